"""Early-stopping self-consistency: sample in windows, stop when all of one agree.

Li et al. 2024, https://arxiv.org/abs/2401.10480
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import Allowed, most_voted
from outthink.policy.rules.shared import CAP, drawn, on
from outthink.policy.tally import Cells, Tally


@dataclass(frozen=True, slots=True)
class UnanimousWindow:
    """Draws `window` samples at a time until they all give one answer, and takes the vote of all
    that was drawn.

    A sample without an answer agrees with none. A last window that does not fit into the cap is not
    drawn. Raises `UsageError` for a window below 1 or above the cap.
    """

    needs_scores: ClassVar[bool] = False

    window: int = 5
    """Samples."""
    most: int = CAP
    """Samples a problem."""
    strategy: str = "majority"
    """Where samples come from."""

    def __post_init__(self) -> None:
        if not 1 <= self.window <= self.most:
            raise UsageError(
                f"windows of {self.window} samples, {self.most} in all; give at least 1, and no "
                "more than there are"
            )

    @property
    def name(self) -> str:
        """With its window."""
        return f"early stopping, windows of {self.window}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One window."""
        return (Stage(self.strategy, self.window),)

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """0: it looks at votes alone."""
        return np.zeros_like(scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """Another window, or stop."""
        agreed = tally.recent.max(axis=1) == self.window
        return on(agreed | (drawn(tally) + self.window > self.most), allowed)

    def answer(self, tally: Tally) -> Integers:
        """The answer given most often; ties to the one drawn first."""
        return most_voted(tally.votes, tally)
