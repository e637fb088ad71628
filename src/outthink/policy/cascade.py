"""A smaller model, a larger one, and the cascade of both, from one store: who is the better buy?

The cascade is the sequential policy with the larger model in its menu. What an answer of the larger
model costs over a sample of the smaller one is the price ratio. Every way that was found, of any of
the three, is priced at any ratio: its samples, and the ratio times how often it asks the larger
model. So there is a ratio from which the cascade is as good as the larger model for less, one from
which the smaller model alone is, and one from which it is for less than the cascade. Cascades are
fitted at the ratio of the store, and where the larger model is several times dearer.

Costs and accuracies are of problems that a policy was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    interval,
    paired,
    resampled_means,
    tails_of,
)
from outthink.policy.cross import cross_fitted
from outthink.policy.currency import GENERATIONS, Currency, Price, currency
from outthink.policy.fit_sequential import MOST, fit_sequential
from outthink.policy.frontier import FixedCurve, Point, rising
from outthink.policy.menu import Stage
from outthink.policy.read import menu
from outthink.policy.results import SequentialFit
from outthink.policy.trials import Trials
from outthink.study.sweep import OpenStudy, reopened
from outthink.types import LARGER

DEARER = (4.0, 16.0)
"""How many times dearer the larger model is where further cascades are fitted."""
WITHIN = 0.01
"""Accuracy that a way may be below the larger model and count as good."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer."""

    name: str
    cost: Interval
    """A problem, in the currency."""
    accuracy: Interval
    samples: float
    """What it spends on the smaller model, in samples of it, a problem."""
    asked: float
    """Answers of the larger model, a problem."""
    difference: Interval
    """In accuracy, from the larger model alone."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """The price ratio from which one way is cheaper than another, both as good as the larger model.

    Infinite where it never is.
    """

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Three ways to answer the same problems."""

    currency: str
    problems: int
    names: tuple[str, str]
    """Of the smaller and the larger model."""
    within: float
    """Accuracy that a way may be below the larger model and count as good."""
    ratio: float
    """What an answer of the larger model costs over a sample of the smaller one, in the store."""
    large: Way
    small: tuple[Way, ...]
    """By rising cost: fixed strategies and policies of the smaller model that no cheaper one beats.
    """
    both: tuple[Way, ...]
    """The cascade at falling prices, by rising cost."""
    both_over_large: Crossing
    """From this ratio on the cascade is cheaper than the larger model alone."""
    small_over_large: Crossing
    small_over_both: Crossing


def cascade(
    store: Path,
    *,
    name: str,
    prices: dict[str, Price] | None = None,
    within: float = WITHIN,
) -> Cascade:
    """What a store says of the smaller model, the larger one and both, in the currency `name`.

    Raises `UsageError` for generations, which do not tell models apart, for a store that holds no
    answer of a larger model, and as `fit_sequential`.
    """
    if name == GENERATIONS:
        raise UsageError(
            "a generation of a larger model is not one of a smaller; name tokens, seconds, flops "
            "or money"
        )
    with reopened(store) as opened:
        return _of_study(opened, name, currency(name, opened.asked.sizes, prices), within)


def _of_study(opened: OpenStudy, name: str, cost: Currency, within: float) -> Cascade:
    study, seed = opened.study, opened.asked.seed
    large, small = _apart(menu(study))
    both = fit_sequential(study, seed=seed, money=(name, cost), rules=False)
    alone = fit_sequential(study, seed=seed, money=(name, cost), stages=small, rules=False)
    dearer = [point for times in DEARER for point in _at(both.trials, times, seed)]
    once = min(large, key=lambda stage: both.trials.costs[both.trials.menu.index(stage)])
    return compared(both, alone, once, dearer, names=_names(opened), within=within, seed=seed)


def _at(trials: Trials, times: float, seed: int) -> tuple[Point, ...]:
    """Policies fitted where the larger model is so many times dearer."""
    larger = {stage.source for stage in trials.menu if LARGER in stage.roles}
    sources = [
        replace(one, costs=one.costs * times) if one.name in larger else one
        for one in trials.sources
    ]
    priced = replace(trials, sources=tuple(sources))
    most = MOST * float(trials.costs.min()) + float(priced.costs.max())
    return cross_fitted(priced, most=most, seed=seed).points


def _apart(stages: Sequence[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Those that ask the larger model, and the others."""
    large = [stage for stage in stages if LARGER in stage.roles]
    small = [stage for stage in stages if LARGER not in stage.roles]
    if not (large and small):
        raise UsageError(
            "the store holds no answers of a larger model beside those of a smaller one; sweep "
            "again with '--larger MODEL --stages greedy(by=larger)@1', or give two stores"
        )
    return large, small


def _names(opened: OpenStudy) -> tuple[str, str]:
    who = opened.asked.team[LARGER]
    return opened.asked.proposer, who if isinstance(who, str) else who.name


def compared(
    both: SequentialFit,
    alone: SequentialFit,
    large: Stage,
    dearer: Sequence[Point] = (),
    *,
    names: tuple[str, str],
    within: float = WITHIN,
    seed: int = 0,
) -> Cascade:
    """The comparison of a policy of both models, one of the smaller model alone, and `large`, the
    stage that asks the larger one. `dearer` are policies of both that were fitted at other
    ratios."""
    units = _Units.of(both.trials, alone.trials, large)
    curve = next(one for one in both.frontier.fixed if one.name == large.strategy)
    only = _Tried(large.strategy, curve.accuracy[-1], np.zeros(curve.accuracy[-1].size), 1.0)
    smaller = [
        *(one for fixed in alone.frontier.fixed for one in units.of_fixed(fixed)),
        *(units.of_point(point, alone.trials) for point in alone.frontier.points),
    ]
    known = (*both.frontier.all_points, *dearer)
    tried = [units.of_point(point, both.trials) for point in known]
    shown = [units.of_point(point, both.trials) for point in both.frontier.points]

    def ways(of: Sequence[_Tried]) -> list[Way]:
        return [units.way(one, only.right, seed) for one in of]

    small = ways(smaller)
    best = rising([one.cost.mean for one in small], [one.accuracy.mean for one in small])
    return Cascade(
        both.frontier.currency,
        len(both.frontier.problems),
        names,
        within,
        units.ratio,
        ways([only])[0],
        tuple(small[n] for n in best),
        tuple(ways(shown)),
        *_crossings(tried, smaller, only.right - within, seed),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A way on P problems."""

    name: str
    right: Floats
    """[P]"""
    samples: Floats
    """[P]"""
    asked: Floats | float
    """[P]"""


@dataclass(frozen=True, slots=True)
class _Units:
    """What a sample of the smaller model costs, and an answer of the larger one."""

    sample: float
    answer: float

    @classmethod
    def of(cls, both: Trials, alone: Trials, large: Stage) -> _Units:
        return cls(float(alone.costs.min()), float(both.costs[both.menu.index(large)]))

    @property
    def ratio(self) -> float:
        return self.answer / self.sample

    def of_point(self, point: Point, trials: Trials) -> _Tried:
        dear = np.array([LARGER in stage.roles for stage in trials.menu])
        asked: Floats = point.runs[:, dear] @ trials.costs[dear] / self.answer
        samples: Floats = point.runs[:, ~dear] @ trials.costs[~dear] / self.sample
        return _Tried(point.name, point.right, samples, asked)

    def of_fixed(self, curve: FixedCurve) -> list[_Tried]:
        rows = zip(curve.costs, curve.accuracy, strict=True)
        return [
            _Tried(curve.name, row, np.full(row.size, cost / self.sample), 0.0)
            for cost, row in rows
        ]

    def way(self, tried: _Tried, target: Floats, seed: int) -> Way:
        cost = self.sample * (tried.samples + self.ratio * tried.asked)
        return Way(
            tried.name,
            interval(cost),
            interval(tried.right),
            float(tried.samples.mean()),
            float(np.mean(tried.asked)),
            paired(tried.right, target, seed=seed),
        )


def _crossings(
    both: Sequence[_Tried], small: Sequence[_Tried], least: Floats, seed: int
) -> tuple[Crossing, Crossing, Crossing]:
    """Of ways that are as accurate as `least` [P]; intervals by resampled problems, every one of
    which chooses anew."""
    asked = [np.broadcast_to(one.asked, least.shape) for one in both]
    rows = [
        least,
        *(one.right for one in (*both, *small)),
        *(one.samples for one in (*both, *small)),
    ]
    values = np.array([*rows, *asked])
    means = np.vstack([values.mean(axis=1), resampled_means(values, RESAMPLES, seed)])
    ends = np.cumsum([1, len(both), len(small), len(both), len(small)])
    target, good, good_small, samples, samples_small, share = np.split(means, ends, axis=1)
    samples = np.where(good >= target, samples, np.inf)
    alone = np.where(good_small >= target, samples_small, np.inf).min(axis=1, initial=np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        over_large = np.where(share < 1, samples / (1 - share), np.inf).min(axis=1, initial=np.inf)
        dearer = (alone[:, None] - samples) / share
    # A cascade that is not good enough is in nobody's way, nor one that costs the same.
    dearer = np.where(np.isfinite(samples) & ~np.isnan(dearer), dearer, -np.inf).max(
        axis=1, initial=-np.inf
    )
    over_both = np.where(np.isfinite(alone), np.maximum(dearer, 0.0), np.inf)
    return _crossing(over_large), _crossing(alone), _crossing(over_both)


def _crossing(ratios: Floats) -> Crossing:
    """Of the ratio of all problems, the first, and those of resamples."""
    low, high = np.quantile(ratios[1:], tails_of(LEVEL), method="inverted_cdf")
    return Crossing(float(ratios[0]), float(low), float(high))
