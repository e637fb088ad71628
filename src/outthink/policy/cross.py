"""Cross-validation by problem: what a fitted policy is worth on others, and which is taken.

At every price there are contenders: plans, ladders, and the sequential policy. Each is played on
problems that it was not fitted on. The simplest within one standard error of the best is taken
(Breiman et al. 1984, section 3.4.3), where problems are what the error is over, paired: plans by
votes and scores first, then plans by the likeliest answer, then ladders, then what decides by
values after every look.

What is told of the result is nested: the choice on one half of the problems is made by halves of
that half, and then played on the other. A fit has values by half anyway, so that costs no more
fits; only how likely answers are is fitted by half once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.frontier import LEAST, ORDERS, Point
from outthink.policy.ladder import fit_bounds, fit_ladders
from outthink.policy.learn import Fitted, fit_halves, prices_of
from outthink.policy.plans import Plan, Planned, plans
from outthink.policy.replay import Played, Rule, play, play_alike, play_several
from outthink.policy.sequential import Prices, Sequential
from outthink.policy.trials import Trials

ORDERS_WITHIN = 2
"""Random orders in which contenders are played to choose among them."""


@dataclass(frozen=True, slots=True)
class LadderAt:
    """The ladder of a price: which one that is follows from the problems that it is fitted on."""

    number: int
    """Of the price."""


Winner = Plan | LadderAt | int
"""A plan, a ladder, or the number of the price at which a sequential policy was fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Every contender on problems that it was not fitted on."""

    plans: tuple[Plan, ...]
    of_plans: tuple[Played, ...]
    of_prices: tuple[Played, ...]
    """The sequential policy at each price."""
    of_ladders: tuple[Played, ...] = ()
    """The ladder of each price."""

    def winner(self, price: float) -> Winner:
        """The simplest contender within one standard error of the best at a price. A policy that
        was fitted at one price may be the best at another: where problems are few, what it spends
        is not what its price says."""
        known: list[tuple[Played, Winner]] = [*self._plans]
        known += [(played, LadderAt(number)) for number, played in enumerate(self.of_ladders)]
        known += [(played, number) for number, played in enumerate(self.of_prices)]
        ways: list[tuple[Floats, Winner]] = [(_worth(came, price), one) for came, one in known]
        ranked = [
            max(alike, key=lambda way: float(way[0].mean()))
            for rank in range(_RANKS)
            if (alike := [way for way in ways if _rank(way[1]) == rank])
        ]
        best = max((worth for worth, _ in ranked), key=lambda worth: float(worth.mean()))
        return next(winner for worth, winner in ranked if _is_near(worth, best))

    @property
    def _plans(self) -> Iterator[tuple[Played, Plan]]:
        return zip(self.of_plans, self.plans, strict=True)

    def played(self, winner: Winner) -> Played:
        """What a winner came to."""
        if isinstance(winner, int):
            return self.of_prices[winner]
        if isinstance(winner, LadderAt):
            return self.of_ladders[winner.number]
        return self.of_plans[self.plans.index(winner)]


def _rank(winner: Winner) -> int:
    """From the simplest up."""
    if isinstance(winner, Plan):
        return int(winner.is_fitted)
    return 2 if isinstance(winner, LadderAt) else 3


_RANKS = 4


def _worth(played: Played, price: float) -> Floats:
    """[P]"""
    worth: Floats = played.right - price * played.cost
    return worth


def _is_near(worth: Floats, best: Floats) -> bool:
    """Whether it is within one standard error of the best [P], paired."""
    behind = best - worth
    return bool(behind.mean() <= behind.std(ddof=1) / np.sqrt(behind.size))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """What a policy is worth at every price, and which contender it is."""

    prices: tuple[float, ...]
    points: tuple[Point, ...]
    """On problems that neither the policy nor the choice among contenders saw."""
    winners: tuple[Winner, ...]
    """By all problems."""
    of_plans: Mapping[Plan, Point]
    """Every plan on problems that what it says of answers was not fitted on."""


def cross_fitted(trials: Trials, *, most: float, seed: int) -> CrossFitted:
    """The policy at every price on problems that it was not fitted on.

    Raises `UsageError` for fewer problems than two halves need.
    """
    return joined([fold.played() for fold in folds(trials, most=most, seed=seed)])


@dataclass(frozen=True, slots=True, eq=False)
class PlayedFold:
    """What was fitted on one half of the problems, on the other half."""

    left: Integers
    """[P / 2] the places of those problems among all."""
    prices: tuple[float, ...]
    contest: Contest
    chosen: tuple[Played, ...]
    """The contender of each price, as the half that was learnt from chooses it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Half of the problems to learn from, and the other half to play on. It is all that a process
    of its own needs."""

    trials: Trials
    learnt: Integers
    left: Integers
    prices: tuple[float, ...]
    tried: tuple[Plan, ...]
    most: float
    seed: int

    def played(self) -> PlayedFold:
        """Fit on what is learnt from, and play on what is left."""
        learnt = self.trials.take(self.learnt)
        contenders = Contenders.fit(learnt, self.prices, most=self.most, seed=self.seed)
        within = self._within(contenders, learnt)
        contest = self._playing(ORDERS).of(
            contenders.fitted.policies, contenders.ladders, self.trials.take(self.left)
        )
        chosen = tuple(contest.played(within.winner(price)) for price in self.prices)
        return PlayedFold(self.left, self.prices, contest, chosen)

    def _within(self, contenders: Contenders, learnt: Trials) -> Contest:
        """Every contender on either half of what was learnt from, as fitted on the other one.
        Ladders keep the order of their stages, and have the bounds of the other half."""
        numbers = np.arange(len(learnt.problems))
        halves = numbers[numbers % 2 == 1], numbers[numbers % 2 == 0]
        parts = []
        for policies, half, other in zip(
            contenders.fitted.halves, halves, halves[::-1], strict=True
        ):
            bounded = fit_bounds(
                learnt.take(other),
                policies[0].chances_of,
                [plan.stages for plan in contenders.ladders],
                self.prices,
                most=self.most,
                seed=self.seed,
            )
            parts.append(self._playing(ORDERS_WITHIN).of(policies, bounded, learnt.take(half)))
        return _in_one(parts, halves)

    def _playing(self, orders: int) -> _Playing:
        return _Playing(self.tried, self.most, orders, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Contenders:
    """What is fitted, at each price. Plans are not."""

    fitted: Fitted
    ladders: tuple[Plan, ...]

    @classmethod
    def fit(cls, trials: Trials, prices: Sequence[float], *, most: float, seed: int) -> Contenders:
        """On all of these trials."""
        fitted = fit_halves(trials, most=most, seed=seed, prices=prices)
        chances = fitted.policies[0].chances_of
        return cls(fitted, fit_ladders(trials, chances, prices, most=most, seed=seed))


def folds(trials: Trials, *, most: float, seed: int) -> tuple[Fold, Fold]:
    """Either half to learn from. Raises `UsageError` for fewer problems than two halves need."""
    count = len(trials.problems)
    if count < LEAST:
        raise UsageError(
            f"{count} problems with every stage are too few for a sequential policy; give at least "
            f"{LEAST}, better 500, or fit the table, with --kind table"
        )
    prices = tuple(map(float, prices_of(trials)))
    tried = plans(trials, most)
    one, other = _halves(count, seed)
    return (
        Fold(trials, other, one, prices, tried, most, seed),
        Fold(trials, one, other, prices, tried, most, seed),
    )


def joined(parts: Sequence[PlayedFold]) -> CrossFitted:
    """What both folds say."""
    first, second = parts
    prices, halves = first.prices, (first.left, second.left)
    whole = _in_one([part.contest for part in parts], halves)
    points = tuple(
        Point.of(f"price {price:.3g}", _in_order(both, halves))
        for price, *both in zip(prices, first.chosen, second.chosen, strict=True)
    )
    of_plans = {
        plan: Point.of("", played) for plan, played in zip(whole.plans, whole.of_plans, strict=True)
    }
    return CrossFitted(prices, points, tuple(map(whole.winner, prices)), of_plans)


def _halves(count: int, seed: int) -> tuple[Integers, Integers]:
    order = np.random.default_rng([seed, count]).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


@dataclass(frozen=True, slots=True)
class _Playing:
    """How contenders are played."""

    tried: Sequence[Plan]
    most: float
    orders: int
    seed: int

    def of(self, policies: Sequence[Sequential], ladders: Sequence[Plan], left: Trials) -> Contest:
        """Every contender on problems that it was not fitted on."""
        chances = policies[0].chances_of
        of_plans: list[Played] = []
        for _, alike in groupby(self.tried, key=lambda plan: plan.stages):
            rules = [Planned(left.menu, chances, plan) for plan in alike]
            of_plans += play_alike(rules, left, orders=self.orders, most=self.most, seed=self.seed)
        of_prices = play_several(
            Prices(tuple(policies)), left, orders=self.orders, most=self.most, seed=self.seed
        )
        once = {
            plan: self._play(Planned(left.menu, chances, plan), left)
            for plan in dict.fromkeys(ladders)
        }
        of_ladders = tuple(once[plan] for plan in ladders)
        return Contest(tuple(self.tried), tuple(of_plans), of_prices, of_ladders)

    def _play(self, rule: Rule, left: Trials) -> Played:
        return play(rule, left, orders=self.orders, most=self.most, seed=self.seed)


def _in_one(contests: Sequence[Contest], halves: tuple[Integers, Integers]) -> Contest:
    """On both halves, in the order of the problems."""
    of_plans = zip(*(contest.of_plans for contest in contests), strict=True)
    of_prices = zip(*(contest.of_prices for contest in contests), strict=True)
    of_ladders = zip(*(contest.of_ladders for contest in contests), strict=True)
    return Contest(
        contests[0].plans,
        tuple(_in_order(parts, halves) for parts in of_plans),
        tuple(_in_order(parts, halves) for parts in of_prices),
        tuple(_in_order(parts, halves) for parts in of_ladders),
    )


def _in_order(parts: Sequence[Played], halves: tuple[Integers, Integers]) -> Played:
    places = np.concatenate(halves).argsort()
    columns = zip(*(_columns(part) for part in parts), strict=True)
    return Played(*(np.concatenate(column)[places] for column in columns))


def _columns(played: Played) -> tuple[np.ndarray, ...]:
    return played.right, played.cost, played.runs, played.hits, played.chances
