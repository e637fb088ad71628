"""Compute-equivalence factors: how many times the budget a baseline needs to be as good (F14)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import (
    LEVEL,
    RESAMPLES,
    resampled_means,
    tails_of,
)

_SAME = 1e-12
"""Two mean accuracies nearer than this differ by rounding alone."""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """How many times its own cost the base would have to spend for the same accuracy (F14)."""

    n: int
    """Budget of the optimised strategy, generations."""
    cost: float
    """`n` and what was charged on top, generations."""
    factor: float
    """N_base / cost."""
    low: float
    high: float
    problems: int
    at_least: bool
    """The base never gets there: `factor` stands for its largest budget, the truth is larger."""
    at_most: bool
    """The base is better at its smallest budget: `factor` stands for that, the truth is smaller."""
    high_at_least: bool
    """The upper end of the interval lies beyond the base's largest budget, as with `at_least`."""
    low_at_most: bool
    """The lower end lies below the base's smallest budget, as with `at_most`."""

    @property
    def known_low(self) -> float | None:
        """The lower end; `None` where it lies below the smallest budget measured."""
        return None if self.low_at_most else self.low

    @property
    def known_high(self) -> float | None:
        """The upper end; `None` where it lies above the largest budget measured."""
        return None if self.high_at_least else self.high


def equivalence(
    base: Floats,
    base_ns: Sequence[int],
    optimised: Floats,
    ns: Sequence[int],
    *,
    extra_cost: float = 0.0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Equivalence, ...]:
    """The compute-equivalence factor N_base / (N + extra) at each N (F14), what "4 times" means.

    `base` [B, P] and `optimised` [N, P] are accuracies on the same problems at budgets `base_ns`,
    rising, and `ns`. N_base is the smallest budget at which the base's mean accuracy reaches the
    optimised one's, linear in log2 N between budgets. The base curve is first made monotone by its
    running maximum: a larger budget can always spend less, and noise then favours the base. Nothing
    is extrapolated; see `at_least` and `at_most`.

    `extra_cost`, generations a problem, is what the optimised strategy spent besides N, such as
    the samples that told how hard the problem is. The interval resamples problems with both
    curves, and makes each resampled base monotone anew. Raises `UsageError` where shapes disagree,
    budgets do not rise, or an accuracy is not finite.
    """
    base, optimised = np.asarray(base, np.float64), np.asarray(optimised, np.float64)
    _check_curves(base, base_ns, optimised, ns)
    if not extra_cost >= 0:
        raise UsageError(f"extra cost {extra_cost}; give generations a problem, 0 or more")
    tails = tails_of(level)
    both = np.vstack([base, optimised])
    point = both.mean(axis=1)[None]
    drawn = resampled_means(both, resamples, seed)
    budgets = np.log2(np.array(base_ns, np.float64))
    reached = reach(point, budgets)[0]
    spread = np.sort(reach(drawn, budgets), axis=0)
    # Order statistics, rounded outwards: "never" cannot be averaged with a number.
    lows = spread[math.floor(tails[0] * (resamples - 1))]
    highs = spread[math.ceil(tails[1] * (resamples - 1))]

    def factor(log2_n: float, cost: float) -> float:
        return float(2.0 ** np.clip(log2_n, budgets[0], budgets[-1]) / cost)

    return tuple(
        Equivalence(
            n=n,
            cost=n + extra_cost,
            factor=factor(reached[i], n + extra_cost),
            low=factor(lows[i], n + extra_cost),
            high=factor(highs[i], n + extra_cost),
            problems=base.shape[1],
            at_least=bool(reached[i] == np.inf),
            at_most=bool(reached[i] == -np.inf),
            high_at_least=bool(highs[i] == np.inf),
            low_at_most=bool(lows[i] == -np.inf),
        )
        for i, n in enumerate(ns)
    )


def least_cost(
    fixed: Sequence[tuple[Floats, Sequence[float]]],
    accuracy: Floats,
    cost: Floats,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Equivalence:
    """How many times the mean of `cost` [P] a fixed strategy needs to be as accurate as `accuracy`
    [P]: of several, the one that needs least.

    `fixed` are accuracies [B, P] at rising mean costs [B] on the same problems; each curve is read
    as in `equivalence`. The interval resamples problems with all curves, with what was spent, and
    chooses the strategy anew in every resample. Raises `UsageError` as `equivalence` does, and for
    no curve.
    """
    if not fixed:
        raise UsageError("no fixed strategy to compare with; sweep best_of_n with the others")
    accuracy, cost = np.asarray(accuracy, np.float64), np.asarray(cost, np.float64)
    lowest = min(costs[0] for _, costs in fixed)
    highest = max(costs[-1] for _, costs in fixed)
    for base, costs in fixed:
        # In units of the lowest cost: a budget of generations is at least 1.
        units = [value / lowest for value in costs]
        _check_curves(np.asarray(base, np.float64), units, accuracy[None], (1,))
    tails = tails_of(level)
    rows = np.vstack([*(base for base, _ in fixed), accuracy, cost])
    both = np.vstack([rows.mean(axis=1), resampled_means(rows, resamples, seed)])
    needed = np.full(both.shape[0], np.inf)
    start = 0
    for base, costs in fixed:
        columns = both[:, [*range(start, start + len(base)), -2]]
        reached = reach(columns, np.log2(np.asarray(costs, float)))[:, 0]
        if costs[0] > lowest:  # better than that at its smallest budget, which it has to pay
            reached = np.maximum(reached, np.log2(costs[0]))
        needed = np.minimum(needed, reached)
        start += len(base)
    spent = both[:, -1]
    factors = 2.0 ** np.clip(needed, np.log2(lowest), np.log2(highest)) / spent
    known = np.where(needed == np.inf, np.inf, np.where(needed == -np.inf, -np.inf, factors))
    spread = np.sort(known[1:])
    low = spread[math.floor(tails[0] * (resamples - 1))]
    high = spread[math.ceil(tails[1] * (resamples - 1))]
    least, most = lowest / spent[0], highest / spent[0]
    return Equivalence(
        n=round(spent[0]),
        cost=float(spent[0]),
        factor=float(np.clip(known[0], least, most)),
        low=float(np.clip(low, least, most)),
        high=float(np.clip(high, least, most)),
        problems=accuracy.size,
        at_least=bool(known[0] == np.inf),
        at_most=bool(known[0] == -np.inf),
        high_at_least=bool(high == np.inf),
        low_at_most=bool(low == -np.inf),
    )


def _check_curves(
    base: Floats, base_ns: Sequence[float], optimised: Floats, ns: Sequence[float]
) -> None:
    wanted = (len(base_ns), len(ns))
    if base.ndim != 2 or optimised.ndim != 2 or wanted != (len(base), len(optimised)):
        raise UsageError(
            f"curves of shapes {list(base.shape)} and {list(optimised.shape)} at {len(base_ns)} "
            f"and {len(ns)} budgets; give [budgets, problems] for both"
        )
    if base.shape[1] != optimised.shape[1] or base.shape[1] == 0 or not base_ns:
        raise UsageError(
            f"curves over {base.shape[1]} and {optimised.shape[1]} problems; give the same problems"
        )
    if min((*base_ns, *ns)) < 1 or any(b <= a for a, b in pairwise(base_ns)):
        raise UsageError(f"base budgets {list(base_ns)}; give rising budgets of at least 1")
    if not (np.isfinite(base).all() and np.isfinite(optimised).all()):
        raise UsageError("an accuracy is missing; leave out the budgets that were not run")


def reach(means: Floats, budgets: Floats) -> Floats:
    """[R, N]: log2 of the least budget at which the base reaches each target; R means at once.

    `means` [R, B + N] holds the base's accuracies at the log2 `budgets` [B], rising, then the
    targets. Linear in between, of the running maximum. +inf where the base never gets there, -inf
    where it is above already at its smallest budget.
    """
    base = np.maximum.accumulate(means[:, : budgets.size], axis=1)
    target = means[:, budgets.size :]
    reached = base[:, :, None] >= target[:, None, :] - _SAME
    upper = np.where(reached.any(axis=1), reached.argmax(axis=1), budgets.size)
    right = np.clip(upper, 1, budgets.size - 1) if budgets.size > 1 else np.zeros_like(upper)
    left = np.maximum(right - 1, 0)
    below, above = np.take_along_axis(base, left, 1), np.take_along_axis(base, right, 1)
    rise = np.where(above > below, above - below, 1.0)
    share = np.clip((target - below) / rise, 0.0, 1.0)
    log2_n = budgets[left] + share * (budgets[right] - budgets[left])
    log2_n = np.where(
        upper == 0, np.where(base[:, :1] > target + _SAME, -np.inf, budgets[0]), log2_n
    )
    return np.where(upper == budgets.size, np.inf, log2_n)
