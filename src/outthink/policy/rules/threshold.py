"""A threshold on the best score: sample until one is good enough.

The rule of Weitzman (1979) for samples of one kind, whose index is the threshold; nothing is
learnt. Best-of-N with early stopping, as every paper on it has it as a baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outthink.measure.arrays import Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import Allowed
from outthink.policy.rules.shared import (
    SCORED_CAP,
    as_given,
    check_most,
    check_share,
    chosen,
    drawn,
    on,
)
from outthink.policy.tally import Cells, Tally
from outthink.search.select import AnswerAggregation


@dataclass(frozen=True, slots=True)
class ScoreThreshold:
    """Samples until the best score of a candidate with an answer is at least `threshold`.

    Raises `UsageError` for a threshold outside [0, 1] or a cap below 1.
    """

    needs_scores: ClassVar[bool] = True

    threshold: float = 0.9
    """In scores as the verifier gives them."""
    most: int = SCORED_CAP
    """Samples a problem."""
    strategy: str = "best_of_n"
    """Where samples come from."""

    def __post_init__(self) -> None:
        check_share("a threshold of", self.threshold)
        check_most(self.most)

    @property
    def name(self) -> str:
        """With its threshold."""
        return f"best score above {self.threshold:g}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One sample."""
        return (Stage(self.strategy, 1),)

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores; 0 for none."""
        return as_given(scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """Another sample, or stop."""
        good = (tally.best.max(axis=1) >= self.threshold) & tally.votes.any(axis=1)
        return on(good | (drawn(tally) >= self.most), allowed)

    def answer(self, tally: Tally) -> Integers:
        """The best-scored answer; ties to the one drawn first."""
        return chosen(tally, AnswerAggregation.MAX)
