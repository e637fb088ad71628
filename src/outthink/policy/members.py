"""The members of a family: what was taken at each price, fitted on all problems, and what each
promises.

A member promises what it costs on these problems: what it does is fixed by now, so that their mean
is that of others too. A plan promises its own accuracy, for next to nothing of it is fitted. That
of a ladder or a sequential policy would flatter it, so it promises what the frontier came to at
that cost, on problems that a policy was not fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from outthink.measure.intervals import Interval
from outthink.policy.cross import Contenders, CrossFitted, LadderAt, Winner
from outthink.policy.family import Member, mixed
from outthink.policy.frontier import Frontier, Point, rising
from outthink.policy.plans import Plan, Planned
from outthink.policy.replay import play
from outthink.policy.sequential import Sequential
from outthink.policy.trials import Trials

_NO = np.zeros(0)
"""Values of a plan."""


def members_of(
    trials: Trials,
    fitted: Contenders,
    crossed: CrossFitted,
    frontier: Frontier,
    *,
    most: float,
    seed: int,
) -> tuple[Member, ...]:
    """By rising cost, of what was `fitted` on all problems."""
    policies = fitted.fitted.policies
    making = _Making(trials, crossed, frontier, most, seed, policies, fitted.ladders)
    made = [
        making.member(winner, price)
        for winner, price in zip(crossed.winners, crossed.prices, strict=True)
    ]
    kept = _rising(made)
    between = [one for pair in pairwise(kept) for one in making.between(*pair)]
    return _rising([*kept, *between])


def _rising(members: Sequence[Member]) -> tuple[Member, ...]:
    """Those that promise more than all cheaper ones."""
    kept = rising([one.cost.mean for one in members], [one.accuracy.mean for one in members])
    return tuple(members[n] for n in kept)


@dataclass(frozen=True, slots=True)
class _Making:
    """What members are made with."""

    trials: Trials
    crossed: CrossFitted
    frontier: Frontier
    most: float
    seed: int
    policies: Sequence[Sequential]
    """At each price."""
    ladders: Sequence[Plan]
    """The ladder of each price."""

    def member(self, winner: Winner, price: float) -> Member:
        if isinstance(winner, Plan):
            return self.planned(winner, price)
        if isinstance(winner, LadderAt):
            return self.ladder(self.ladders[winner.number], price)
        return self.sequential(self.policies[winner], price)

    def ladder(self, plan: Plan, price: float) -> Member:
        """It promises what a sequential policy would: its bounds are fitted."""
        rule = Planned(self.trials.menu, self.policies[0].chances_of, plan)
        point = Point.of("", play(rule, self.trials, orders=2, most=self.most, seed=self.seed))
        accuracy = _held_out(self.frontier, point)
        return Member(price, _NO, _NO[:, None], point.mean_cost, accuracy, (), plan)

    def sequential(self, policy: Sequential, price: float) -> Member:
        played = play(policy, self.trials, orders=2, most=self.most, seed=self.seed)
        point = Point.of(policy.name, played)
        accuracy = _held_out(self.frontier, point)
        return Member(
            price,
            policy.first,
            policy.values,
            point.mean_cost,
            accuracy,
            policy.tables,
            fitted_at=policy.price,
        )

    def planned(self, plan: Plan, price: float) -> Member:
        point = self.crossed.of_plans[plan]
        return Member(price, _NO, _NO[:, None], point.mean_cost, point.accuracy, (), plan)

    def between(self, cheap: Member, dear: Member) -> Iterator[Member]:
        """Plans between two plans, answered as the dearer one. What a plan is worth rises ever less
        with its cost, so each is worth more than a mixture of those two, which are all that a few
        noisy prices may leave."""
        if cheap.plan is None or dear.plan is None or cheap.plan.bounds or dear.plan.bounds:
            return
        low, high = cheap.cost.mean, dear.cost.mean
        for plan, point in self.crossed.of_plans.items():
            cost = point.mean_cost.mean
            if low < cost < high and self._is_alike(plan, dear.plan):
                share = math.log(cost / low) / math.log(high / low)
                yield self.planned(plan, cheap.price * (dear.price / cheap.price) ** share)

    def _is_alike(self, plan: Plan, other: Plan) -> bool:
        """Whether two plans differ in their size alone."""
        sources = {self.trials.source_of[one.stages[0]] for one in (plan, other)}
        return len(sources) == 1 and plan.answer_by == other.answer_by


def _held_out(frontier: Frontier, point: Point) -> Interval:
    """The accuracy of the frontier at the cost of a point; below it, the point's own where that is
    smaller."""
    cost, points = point.mean_cost.mean, frontier.points
    above = next((n for n, one in enumerate(points) if one.mean_cost.mean > cost), None)
    if above is None:
        return points[-1].accuracy
    if above == 0:
        return min(points[0].accuracy, point.accuracy, key=lambda one: one.mean)
    low, high = points[above - 1], points[above]
    share = (cost - low.mean_cost.mean) / (high.mean_cost.mean - low.mean_cost.mean)
    return mixed(low.accuracy, high.accuracy, share)
