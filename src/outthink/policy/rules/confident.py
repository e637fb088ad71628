"""Resample until confident: sample until one answer has most of the weight.

The stopping rule of DeepConf (Fu et al. 2025, https://arxiv.org/abs/2508.15260), which votes by
confidence and stops once the leading answer's share is 0.95; here any score is a weight. Its other
half, cutting off single traces, is not a decision between samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outthink.errors import UsageError
from outthink.measure.arrays import Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import Allowed
from outthink.policy.rules.shared import SCORED_CAP, as_given, check_share, chosen, drawn, on
from outthink.policy.tally import Cells, Tally
from outthink.search.select import AnswerAggregation


@dataclass(frozen=True, slots=True)
class UntilConfident:
    """After `least` samples, stops once the answer of most weight has a share of at least
    `threshold` of all weight; it takes that answer.

    Weight is the sum of scores. While every score is 0 or missing it goes on, to the cap. Raises
    `UsageError` for a threshold outside [0, 1], or `least` below 1 or above the cap.
    """

    needs_scores: ClassVar[bool] = True

    threshold: float = 0.95
    least: int = 4
    """Samples before it may stop; DeepConf takes 16."""
    most: int = SCORED_CAP
    """Samples a problem."""
    strategy: str = "best_of_n"
    """Where samples come from."""

    def __post_init__(self) -> None:
        check_share("a threshold of", self.threshold)
        if not 1 <= self.least <= self.most:
            raise UsageError(
                f"at least {self.least} samples and at most {self.most}; give 1 or more, and a cap "
                "above it"
            )

    @property
    def name(self) -> str:
        """With its threshold."""
        return f"weighted share above {self.threshold:g}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One sample."""
        return (Stage(self.strategy, 1),)

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores; 0 for none."""
        return as_given(scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """Another sample, or stop."""
        total = tally.weight.sum(axis=1)
        sure = (tally.weight.max(axis=1) >= self.threshold * total) & (total > 0)
        samples = drawn(tally)
        return on((sure & (samples >= self.least)) | (samples >= self.most), allowed)

    def answer(self, tally: Tally) -> Integers:
        """The answer of most weight."""
        return chosen(tally, AnswerAggregation.WEIGHTED)
