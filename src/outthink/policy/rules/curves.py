"""Which rules to compare a policy with, and the values of each one's knob that draw its curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.policy.menu import Stage
from outthink.policy.replay import Rule
from outthink.policy.rules.allocation import GreedyAllocation
from outthink.policy.rules.clairvoyant import Clairvoyant
from outthink.policy.rules.confident import UntilConfident
from outthink.policy.rules.consistency import BetaConsistency, DirichletConsistency
from outthink.policy.rules.fixed import Fixed
from outthink.policy.rules.threshold import ScoreThreshold
from outthink.policy.rules.windows import UnanimousWindow
from outthink.policy.trials import Trials
from outthink.search.select import AnswerAggregation

LEADS = (0.75, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Chances to lead at which Adaptive-Consistency stops."""

WINDOWS = (1, 2, 3, 4, 5, 6, 8, 10)
"""Samples in a window of early-stopping self-consistency."""

SCORES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Best scores at which sampling stops."""

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Weighted shares at which resampling stops."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One rule at several values of its knob, from those that spend little to those that spend
    much."""

    name: str
    knob: str
    """The field that is swept."""
    rules: tuple[Rule, ...]
    is_bound: bool = False
    """Whether it reads the verdicts: no policy can be expected to reach it."""


def curves(trials: Trials, *, strategy: str = "best_of_n") -> tuple[Curve, ...]:
    """The curves that samples of `strategy` in these trials can give.

    Sizes are the powers of two that the trials hold; those that look at scores are left out where
    no sample has one. Raises `UsageError` where the trials have no such samples.
    """
    sample = Stage(strategy, 1)
    source = trials.sources[trials.only((sample,)).source_of[0]]
    sizes = [2**power for power in range(source.units.bit_length())]
    problems = len(trials.problems)

    def fixed(by: AnswerAggregation) -> Curve:
        rules = tuple(Fixed(Stage(strategy, size), by) for size in sizes)
        return Curve(f"fixed, {by.value}", "stage", rules)

    by_votes = (
        fixed(AnswerAggregation.MAJORITY),
        Curve(
            "adaptive consistency, beta",
            "threshold",
            tuple(BetaConsistency(lead, strategy=strategy) for lead in LEADS),
        ),
        Curve(
            "adaptive consistency, dirichlet",
            "threshold",
            tuple(DirichletConsistency(lead, strategy=strategy) for lead in LEADS),
        ),
        Curve(
            "early-stopping self-consistency",
            "window",
            tuple(UnanimousWindow(window, strategy=strategy) for window in WINDOWS),
        ),
    )
    by_scores = (
        fixed(AnswerAggregation.MAX),
        fixed(AnswerAggregation.WEIGHTED),
        Curve(
            "score threshold",
            "threshold",
            tuple(ScoreThreshold(score, strategy=strategy) for score in SCORES),
        ),
        Curve(
            "resample until confident",
            "threshold",
            tuple(UntilConfident(share, strategy=strategy) for share in SHARES),
        ),
    )
    bounds = (
        Curve(
            "greedy allocation",
            "samples",
            tuple(GreedyAllocation.of(trials, n * problems, strategy=strategy) for n in sizes),
            is_bound=True,
        ),
        Curve("clairvoyant", "order", _clairvoyants(trials, sample, sizes), is_bound=True),
    )
    has_scores = not np.isnan(source.scores).all()
    return (*by_votes, *(by_scores if has_scores else ()), *bounds)


def _clairvoyants(trials: Trials, sample: Stage, sizes: Sequence[int]) -> tuple[Rule, ...]:
    return tuple(Clairvoyant.of(trials, (sample,) * size) for size in sizes)
