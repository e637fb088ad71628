"""The frontier: mean cost against accuracy, of a policy at every price and of what it is compared
with.

Everything is charged: a policy pays for every stage that it ran. Accuracies and costs are of
problems that the policy was not fitted on (`cross`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats
from outthink.measure.equivalence import Equivalence, least_cost
from outthink.measure.intervals import Interval, interval, paired
from outthink.policy.menu import Stage
from outthink.policy.replay import Played
from outthink.policy.tally import Cells

ORDERS = 4
"""Random orders in which a rule is played on every problem."""
LEAST = 20
"""Problems that a policy can be fitted and tested on at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A rule on P problems."""

    name: str
    right: Floats
    """[P] share of orders in which it answered right."""
    cost: Floats
    """[P] what it spent, mean over orders."""
    runs: Floats
    """[P, A] how often it ran each stage of its menu."""
    accuracy: Interval
    mean_cost: Interval
    hits: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    """[P, O] whether it was right in each order; empty where that is not kept."""
    chances: Cells = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """[P, O] the probability of that, as it said at its end; NaN where it does not say."""

    @classmethod
    def of(cls, name: str, played: Played) -> Point:
        return cls(
            name,
            played.right,
            played.cost,
            played.runs,
            interval(played.right),
            interval(played.cost),
            played.hits,
            played.chances,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FixedCurve:
    """A strategy that spends the same on every problem, at rising costs."""

    name: str
    costs: tuple[float, ...]
    """[B] mean cost a problem."""
    accuracy: Floats
    """[B, P]"""


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """A policy at falling prices beside fixed strategies and rules on the same problems."""

    currency: str
    menu: tuple[Stage, ...]
    problems: tuple[str, ...]
    points: tuple[Point, ...]
    """By rising mean cost: those that no other one beats at a smaller cost."""
    prices: tuple[float, ...]
    """Of the points."""
    all_points: tuple[Point, ...]
    """At every price, the highest first."""
    fixed: tuple[FixedCurve, ...]
    baseline: str
    """The fixed strategy of the paper's comparison."""
    rules: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    """Other adaptive rules: name, and a point for every value of its knob."""


def best_of(prices: Sequence[float], points: Sequence[Point]) -> list[int]:
    """Which points are on the frontier, by rising cost: each more accurate than all cheaper ones,
    and above the line between its neighbours."""
    order = sorted(range(len(points)), key=lambda n: points[n].mean_cost.mean)
    kept: list[int] = []
    for number in order:
        while kept and points[kept[-1]].accuracy.mean >= points[number].accuracy.mean:
            break
        else:
            while len(kept) >= 2 and _below(points[kept[-2]], points[kept[-1]], points[number]):
                kept.pop()
            kept.append(number)
    return kept


def rising(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Which policies are kept, by rising cost: each more accurate than all cheaper ones. Not the
    hull, which by the luck of a few problems leaves out what lies between a cheap policy and a dear
    one; what lies there is worth more than a mixture of the two."""
    kept: list[int] = []
    for number in sorted(range(len(costs)), key=lambda n: (costs[n], -accuracies[n])):
        if not kept or accuracies[number] > accuracies[kept[-1]]:
            kept.append(number)
    return kept


def _below(first: Point, middle: Point, last: Point) -> bool:
    """Whether the middle point is below the line between the others."""
    share = (middle.mean_cost.mean - first.mean_cost.mean) / (
        last.mean_cost.mean - first.mean_cost.mean
    )
    line = first.accuracy.mean + share * (last.accuracy.mean - first.accuracy.mean)
    return middle.accuracy.mean <= line


@dataclass(frozen=True, slots=True)
class Saving:
    """A point of the policy against fixed strategies of equal accuracy."""

    price: float
    cost: Interval
    accuracy: Interval
    baseline: Equivalence
    """Against the paper's baseline."""
    strongest: Equivalence
    """Against whichever fixed strategy gets there at the smallest cost."""
    difference: Interval
    """In accuracy, from the strongest fixed strategy that costs no more than 5 % above it."""


def savings(frontier: Frontier, *, seed: int = 0) -> tuple[Saving, ...]:
    """Every point of the frontier against the fixed strategies."""
    base = [curve for curve in frontier.fixed if curve.name == frontier.baseline]
    return tuple(
        Saving(
            price,
            point.mean_cost,
            point.accuracy,
            least_cost(_curves(base), point.right, point.cost, seed=seed),
            least_cost(_curves(frontier.fixed), point.right, point.cost, seed=seed),
            paired(point.right, _equal_cost(frontier, point), seed=seed),
        )
        for price, point in zip(frontier.prices, frontier.points, strict=True)
    )


def over(frontier: Frontier, rule: Point, *, seed: int = 0) -> Interval | None:
    """How much more accurate the policy is than a rule at the same mean cost, paired by problem: a
    mixture of the two members on either side of that cost. `None` where it is beyond all members'.
    """
    ours = _mixed(frontier.points, rule.mean_cost.mean)
    return None if ours is None else paired(ours, rule.right, seed=seed)


def leads(
    frontier: Frontier, rule: Sequence[Point], *, seed: int = 0
) -> tuple[tuple[float, Interval], ...]:
    """How much more accurate each point of the policy is than a rule at the same mean cost, paired
    by problem, with that cost: the rule is a mixture of the points on either side, as a problem may
    be given to either by lot. Points beyond all of the rule's are left out."""
    known = []
    for point in frontier.points:
        theirs = _mixed(rule, point.mean_cost.mean)
        if theirs is not None:
            known.append((point.mean_cost.mean, paired(point.right, theirs, seed=seed)))
    return tuple(known)


def _mixed(points: Sequence[Point], cost: float) -> Floats | None:
    """[P] accuracy of a mixture of the two points on either side of a mean cost; `None` beyond all
    of them."""
    rising = sorted(points, key=lambda point: point.mean_cost.mean)
    means = [point.mean_cost.mean for point in rising]
    if not means[0] <= cost <= means[-1]:
        return None
    above = next(number for number, mean in enumerate(means) if mean >= cost)
    below = max(above - 1, 0)
    share = (cost - means[below]) / (means[above] - means[below]) if above > below else 1.0
    mixed: Floats = (1 - share) * rising[below].right + share * rising[above].right
    return mixed


def _curves(fixed: Sequence[FixedCurve]) -> list[tuple[Floats, tuple[float, ...]]]:
    return [(curve.accuracy, curve.costs) for curve in fixed]


def _equal_cost(frontier: Frontier, point: Point) -> Floats:
    """[P] accuracy of the best fixed strategy at the cost of a point, linear in log cost between
    budgets that were run."""
    mean = point.mean_cost.mean
    rows = [_at(curve, mean) for curve in frontier.fixed if curve.costs[0] <= mean]
    if not rows:
        cheapest: Floats = min(frontier.fixed, key=lambda curve: curve.costs[0]).accuracy[0]
        return cheapest
    return max(rows, key=lambda row: float(row.mean()))


def _at(curve: FixedCurve, cost: float) -> Floats:
    at = np.interp(np.log(cost), np.log(curve.costs), np.arange(len(curve.costs)))
    low = int(at)
    share = at - low
    high = min(low + 1, len(curve.costs) - 1)
    row: Floats = (1 - share) * curve.accuracy[low] + share * curve.accuracy[high]
    return row
