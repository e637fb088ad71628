"""The greedy allocation: how many samples each problem gets, by one who knows its chance (F16).

An upper bound on what an adaptive number of samples can give in coverage, decided before anything
is drawn. It is read off the trials' own verdicts, so it is no policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import Allowed
from outthink.policy.rules.shared import as_given, chosen, drawn, on
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials
from outthink.search.select import AnswerAggregation


@dataclass(frozen=True, slots=True, eq=False)
class GreedyAllocation:
    """Draws `samples` of each problem and keeps the best-scored answer, or without scores the one
    given most often. For the trials that it was made from, and no others."""

    needs_scores: ClassVar[bool] = False

    samples: Integers = field(repr=False)
    """[P] by problem of the trials."""
    strategy: str = "best_of_n"
    """Where samples come from."""

    @classmethod
    def of(cls, trials: Trials, budget: int, *, strategy: str = "best_of_n") -> GreedyAllocation:
        """The allocation of `budget` samples, for all problems together, of most coverage.

        The next sample goes where it helps most, which is optimal since each further one of a
        problem helps no more than the last. What the sample after n helps is the chance that it is
        right and none of the n was: p (1 - p)^n with samples without end (F16), and here, where a
        problem has U units with c right ones, the same without replacement. Stops where no sample
        helps. Raises `UsageError` for a negative budget or trials without this source.
        """
        if budget < 0:
            raise UsageError(f"a budget of {budget} samples; give 0 or more")
        stage = Stage(strategy, 1)
        source = trials.sources[trials.only((stage,)).source_of[0]]
        problems = np.arange(len(trials.problems))[:, None, None]
        right = trials.is_right(problems, source.answers.astype(np.int64)).any(axis=2).sum(axis=1)
        gains = _gains(right, source.units)
        best_first = np.argsort(-gains.T.ravel(), kind="stable")[:budget]
        helps = best_first[gains.T.ravel()[best_first] > 0]
        return cls(np.bincount(helps % len(gains), minlength=len(gains)), strategy)

    @property
    def name(self) -> str:
        """With its mean."""
        return f"greedy allocation of {self.samples.mean():g} a problem"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One sample."""
        return (Stage(self.strategy, 1),)

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores; 0 for none."""
        return as_given(scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """Another sample, or stop."""
        return on(drawn(tally) >= self.samples[tally.problem], allowed)

    def answer(self, tally: Tally) -> Integers:
        """The best-scored answer; ties to the one drawn first."""
        return chosen(tally, AnswerAggregation.MAX)


def _gains(right: Integers, units: int) -> Floats:
    """[P, units]: the chance that a problem's next sample is its first right one, after n samples
    without replacement, when `right` [P] of its `units` are."""
    n = np.arange(units)
    wrong = np.maximum(units - right[:, None] - n, 0) / (units - n)
    none = np.hstack([np.ones((right.size, 1)), np.cumprod(wrong, axis=1)[:, :-1]])
    gains: Floats = none * np.minimum(right[:, None] / (units - n), 1)
    # They never rise; rounding may say so where they are equal.
    return np.minimum.accumulate(gains, axis=1)
