"""The clairvoyant: stops at the first right answer, and gives it. The ceiling of every policy.

It reads the trials' own verdicts, so it is no policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP, Allowed, most_voted
from outthink.policy.rules.shared import as_given
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials


@dataclass(frozen=True, slots=True, eq=False)
class Clairvoyant:
    """Runs stages in `order` until one of its answers is right. A stage that is not allowed ends
    it. For the trials that it was made from, and no others.

    Raises `UsageError` for no stage.
    """

    needs_scores: ClassVar[bool] = False

    order: tuple[Stage, ...]
    """The stage of each look; one may come many times."""
    right: NDArray[np.bool_] = field(repr=False)
    """[P, K] whether each answer of a problem is right, as `Trials` has it."""

    def __post_init__(self) -> None:
        if not self.order:
            raise UsageError("a clairvoyant without a stage; give at least one")

    @classmethod
    def of(cls, trials: Trials, order: tuple[Stage, ...]) -> Clairvoyant:
        """One who has seen these trials."""
        return cls(order, trials.right)

    @property
    def name(self) -> str:
        """With the number of its looks."""
        return f"clairvoyant, at most {len(self.order)} looks"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """Its stages, each once, as they come first."""
        return tuple(dict.fromkeys(self.order))

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores, which it does not look at; 0 for none."""
        return as_given(scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """The next stage in the order, or stop."""
        menu = self.menu
        numbers = np.array([*(menu.index(stage) for stage in self.order), STOP])
        stage = numbers[np.minimum(tally.looks, len(self.order))]
        refused = ~allowed[np.arange(tally.size), stage]
        return np.where(self._found(tally).any(axis=1) | refused, STOP, stage)

    def answer(self, tally: Tally) -> Integers:
        """A right answer where one was drawn, else the one given most often."""
        return most_voted(np.where(self._found(tally), np.inf, tally.votes), tally)

    def _found(self, tally: Tally) -> NDArray[np.bool_]:
        """[E, K] answers that are right and were drawn."""
        given = tally.votes > 0
        found: NDArray[np.bool_] = np.zeros_like(given)
        answers = self.right.shape[1]
        found[:, :answers] = given[:, :answers] & self.right[tally.problem]
        return found
