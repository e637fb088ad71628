#!/usr/bin/env python3
"""Whether a policy is ever worse than the best fixed strategy of the same cost, held out.

    python scripts/held_out.py STORE [--votes] [--splits 6]

Half of the problems fit a policy and choose the best fixed strategy at every cost; both are played
on the other half, at several averages. With --votes the scores of the store are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from outthink.measure.intervals import paired
from outthink.policy.cross import Contenders, cross_fitted
from outthink.policy.family import Dial, Family, Origin
from outthink.policy.frontier import Frontier, best_of
from outthink.policy.members import members_of
from outthink.policy.menu import Stage
from outthink.policy.read import menu, trials
from outthink.policy.replay import play
from outthink.policy.rules.fixed import Fixed
from outthink.policy.trials import Trials
from outthink.search import AnswerAggregation
from outthink.study.sweep import reopened
from outthink.types import LARGER

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 24, 32, 48, 64)
AVERAGES = (1.5, 2, 3, 4, 6, 8, 12, 15, 24, 48)
MOST = 64.0


def fixed(known: Trials, how: AnswerAggregation) -> np.ndarray:
    """[N, P] accuracy of samples alone, at every size that there is."""
    job, units = known.menu[0].strategy, known.sources[0].units
    stages = [Stage(job, size) for size in SIZES if size <= units]
    return np.array(
        [play(Fixed(one, how), known.only((one,)), orders=8, seed=1).right for one in stages]
    )


def at(rows: np.ndarray, cost: float) -> np.ndarray:
    """[P] between sizes, linear in the logarithm of the cost."""
    place = np.interp(np.log(cost), np.log(SIZES[: len(rows)]), np.arange(len(rows)))
    low = int(place)
    high = min(low + 1, len(rows) - 1)
    return (1 - place + low) * rows[low] + (place - low) * rows[high]


def fitted(known: Trials, seed: int) -> Family:
    """A family of these problems alone."""
    crossed = cross_fitted(known, most=MOST, seed=seed)
    whole = Contenders.fit(known, crossed.prices, most=MOST, seed=seed)
    kept = best_of(crossed.prices, crossed.points)
    points = tuple(crossed.points[n] for n in kept)
    prices = tuple(crossed.prices[n] for n in kept)
    frontier = Frontier(
        known.currency, known.menu, known.problems, points, prices, crossed.points, (), ""
    )
    members = members_of(known, whole, crossed, frontier, most=MOST, seed=seed)
    chances = whole.fitted.policies[0].chances_of
    costs = tuple(map(float, known.costs))
    runs = tuple(known.sources[place].units for place in known.source_of)
    origin = Origin({}, "", len(known.problems), seed, "exact", "", {})
    return Family(known.menu, costs, runs, known.currency, MOST, chances, members, origin)


def compared(
    known: Trials, hows: Sequence[AnswerAggregation], seed: int
) -> list[tuple[float, ...]]:
    """For each average: what was asked, what it cost, its accuracy, what was promised, and how far
    it is above the best fixed strategy, with an interval."""
    order = np.random.default_rng([9, seed]).permutation(len(known.problems))
    half = len(order) // 2
    learnt, left = known.take(np.sort(order[:half])), known.take(np.sort(order[half:]))
    family = fitted(learnt, seed)
    played = [
        play(family.rule(one), left, orders=4, most=MOST, seed=seed) for one in family.members
    ]
    means = np.array([one.cost.mean for one in family.members])
    by_how = [(fixed(learnt, how), fixed(left, how)) for how in hows]
    rows = []
    for average in (one for one in AVERAGES if means[0] <= one < known.sources[0].units):
        place = float(np.interp(average, means, np.arange(len(means))))
        low, share = int(place), place - int(place)
        high = min(low + 1, len(means) - 1)
        right = (1 - share) * played[low].right + share * played[high].right
        cost = (1 - share) * played[low].cost.mean() + share * played[high].cost.mean()
        best = max(by_how, key=lambda both: float(at(both[0], cost).mean()))
        gap = paired(right, at(best[1], cost))
        promised = family.promise(Dial(average=average))[1].mean
        rows.append((average, cost, right.mean(), promised, gap.mean, gap.low, gap.high))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--votes", action="store_true", help="without the scores")
    parser.add_argument("--splits", type=int, default=6, help="random halves of the problems")
    options = parser.parse_args()
    with reopened(options.store) as opened:
        # Generations of a larger model are not those of a small one.
        small = [stage for stage in menu(opened.study) if LARGER not in stage.roles]
        known = trials(opened.study, small)
    hows = [AnswerAggregation.MAJORITY]
    if options.votes:
        without = [replace(one, scores=np.full_like(one.scores, np.nan)) for one in known.sources]
        known = replace(known, sources=tuple(without))
    else:
        hows += [AnswerAggregation.MAX, AnswerAggregation.WEIGHTED]
    rows = np.array([row for seed in range(options.splits) for row in compared(known, hows, seed)])
    print(f"{len(known.problems)} problems, {options.splits} random halves")
    print("average  cost  right, %  promised  above the best fixed, points  below beyond doubt")
    for average in np.unique(rows[:, 0]):
        of = rows[rows[:, 0] == average]
        mean, below = of.mean(axis=0), int((of[:, 6] < 0).sum())
        print(
            f"{average:7g} {mean[1]:5.2f} {100 * mean[2]:9.1f} {100 * mean[3]:9.1f} "
            f"{100 * mean[4]:+29.2f} {below:>14} of {len(of)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
