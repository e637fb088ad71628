"""A rule played over trials: what it answers and what it spends, problem by problem.

The runs of a source are shuffled anew in every order, and never taken twice in one. A stage whose
source has no run left, or that would break the cap, is not allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats, Integers
from outthink.measure.pools import NO_ANSWER
from outthink.policy.menu import Stage
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials

STOP = -1
"""The decision to answer now."""
ROWS = 8000
"""Rows that are replayed at once, about."""

Allowed = NDArray[np.bool_]


class Scored(Protocol):
    """Stages, and what their scores mean."""

    @property
    def menu(self) -> tuple[Stage, ...]:
        """The stages, A of them."""
        ...

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The probability that a candidate of a stage is right, given its score, NaN for none."""
        ...


class Rule(Scored, Protocol):
    """Decides after every look. Everything it does is row by row: rows do not see one another."""

    @property
    def name(self) -> str: ...

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """[E] the number of the stage to run next, or `STOP`; `allowed` [E, A]."""
        ...

    def answer(self, tally: Tally) -> Integers:
        """[E] the answer it would give now; `NO_ANSWER` where there is none."""
        ...


class Rules(Scored, Protocol):
    """Rules of the same stages and scores, which look at many rows together."""

    @property
    def rules(self) -> Sequence[Rule]: ...

    def decide(self, tally: Tally, allowed: Allowed, which: Integers) -> Integers:
        """[E] as `Rule.decide`, each row by the rule of the number `which` [E]."""
        ...


@runtime_checkable
class Certain(Protocol):
    """What a rule is, that says how likely its answer is to be right."""

    def chance(self, tally: Tally) -> Cells:
        """[E] the probability that the answer it would give now is right."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What a rule came to on P problems, each in O random orders of its trials."""

    right: Floats
    """[P] share of orders in which the answer was right."""
    cost: Floats
    """[P] mean over orders of what was spent."""
    runs: Floats
    """[P, A] mean over orders of how often each stage was run."""
    hits: NDArray[np.bool_]
    """[P, O] whether the answer of each order was right."""
    chances: Cells
    """[P, O] the probability of that, as the rule said at its end; NaN where it does not say."""


class Replay:
    """Rows of trials in random orders, and what was taken of them so far."""

    def __init__(
        self, rule: Scored, trials: Trials, problems: Integers, seed: int, rules: int = 1
    ) -> None:
        """`problems` [E] are those of one rule after the other, where there are several `rules`:
        each has the same orders."""
        self.rule = rule
        self.trials = trials.only(rule.menu)
        self.tally = Tally.empty(problems, trials.right.shape[1], len(trials.sources))
        self._seed = seed
        self._own = problems.size // rules
        self._orders: dict[int, Integers] = {}
        self._taken = np.zeros((problems.size, len(trials.sources)), np.int64)
        self._units = np.array([stage.units for stage in rule.menu])
        self._has = np.array([source.units for source in trials.sources])

    def fork(self) -> Replay:
        """The same rows, of which either goes on alone."""
        other = copy(self)
        other.tally = self.tally.take(np.arange(self.tally.size))
        other._taken = self._taken.copy()
        return other

    def allowed(self, most: float) -> Allowed:
        """[E, A] stages that have runs left and keep within a cap on what is spent."""
        sources = np.array(self.trials.source_of)
        there = self._taken[:, sources] + self._units <= self._has[sources]
        cheap = self.tally.spent[:, None] + self.trials.costs <= most + 1e-9
        allowed: Allowed = there & cheap
        return allowed

    def run(self, decided: Integers) -> None:
        """Run the stage decided for each row; rows with `STOP` stay as they are."""
        for number in np.unique(decided[decided != STOP]):
            self._run(int(number), np.flatnonzero(decided == number))

    def _order(self, place: int) -> Integers:
        """[E / rules, U] the units of a source as each row takes them: the same for every rule."""
        if place not in self._orders:
            rng = np.random.default_rng([self._seed, place])
            self._orders[place] = self.trials.sources[place].order(self._own, rng)
        return self._orders[place]

    def _run(self, number: int, rows: Integers) -> None:
        stage, place = self.trials.menu[number], self.trials.source_of[number]
        source = self.trials.sources[place]
        first = self._taken[rows, place]
        columns = first[:, None] + np.arange(stage.units)
        units = np.take_along_axis(self._order(place)[rows % self._own], columns, axis=1)
        of = self.tally.problem[rows][:, None]
        scores = source.scores[of, units].reshape(rows.size, -1)
        self.tally.add(
            rows,
            source.answers[of, units].reshape(rows.size, -1),
            self.rule.chances(stage, scores),
            source=place,
            generations=stage.size,
            cost=source.costs[of, units].sum(axis=1),
            candidates=source.candidates[of, units].sum(axis=1),
        )
        self._taken[rows, place] += stage.units


def play(rule: Rule, trials: Trials, *, orders: int, most: float = np.inf, seed: int = 0) -> Played:
    """Play a rule over every problem of `trials` in `orders` random orders, up to a cap on what one
    problem may cost."""
    return play_alike((rule,), trials, orders=orders, most=most, seed=seed)[0]


def play_alike(
    rules: Sequence[Rule], trials: Trials, *, orders: int, most: float = np.inf, seed: int = 0
) -> tuple[Played, ...]:
    """As `play`, of rules that decide alike and differ in the answer that they give in the end."""
    rule, problems = rules[0], np.tile(np.arange(len(trials.problems)), orders)
    replay = Replay(rule, trials, problems, seed)
    runs = _played(replay, lambda tally, allowed, rows: rule.decide(tally, allowed), most)
    return tuple(_came_to(one, replay.tally, trials, runs, orders) for one in rules)


def play_several(
    several: Rules, trials: Trials, *, orders: int, most: float = np.inf, seed: int = 0
) -> tuple[Played, ...]:
    """As `play`, of each of several rules. A look at thousands of rows takes hardly longer than one
    at hundreds."""
    own = len(trials.problems) * orders
    numbers = np.arange(len(several.rules))
    parts = np.array_split(numbers, math.ceil(numbers.size * own / ROWS))
    return tuple(
        one
        for part in parts
        if part.size
        for one in _play_part(several, part, trials, orders=orders, most=most, seed=seed)
    )


def _play_part(
    several: Rules, numbers: Integers, trials: Trials, *, orders: int, most: float, seed: int
) -> Iterator[Played]:
    own = len(trials.problems) * orders
    problems = np.tile(np.arange(len(trials.problems)), orders * numbers.size)
    which = np.repeat(numbers, own)
    replay = Replay(several, trials, problems, seed, numbers.size)
    runs = _played(
        replay, lambda tally, allowed, rows: several.decide(tally, allowed, which[rows]), most
    )
    for place, number in enumerate(numbers):
        rows = np.arange(place * own, (place + 1) * own)
        tally = replay.tally.take(rows)
        yield _came_to(several.rules[number], tally, trials, runs[rows], orders)


def _played(
    replay: Replay, decide: Callable[[Tally, Allowed, Integers], Integers], most: float
) -> Floats:
    """Play to the end; [E, A] how often each stage was run. `decide` is told the places of the rows
    that are not at their end."""
    size = replay.tally.size
    runs = np.zeros((size, len(replay.trials.menu)))
    going = np.ones(size, np.bool_)
    while going.any():
        rows = np.flatnonzero(going)
        decided = np.full(size, STOP)
        decided[rows] = decide(replay.tally.take(rows), replay.allowed(most)[rows], rows)
        going = decided != STOP
        runs[np.flatnonzero(going), decided[going]] += 1
        replay.run(decided)
    return runs


def _came_to(rule: Rule, tally: Tally, trials: Trials, runs: Floats, orders: int) -> Played:
    right = trials.is_right(tally.problem, rule.answer(tally))
    chances = np.full(tally.size, np.nan, np.float32)
    if isinstance(rule, Certain):
        chances = rule.chance(tally)
    by_order = (orders, tally.size // orders)

    def mean(values: Floats) -> Floats:
        means: Floats = values.reshape(*by_order, *values.shape[1:]).mean(axis=0)
        return means

    return Played(
        mean(right.astype(float)),
        mean(tally.spent),
        mean(runs),
        right.reshape(by_order).T,
        chances.reshape(by_order).T,
    )


def most_voted(values: Cells | Floats, tally: Tally) -> Integers:
    """[E] the answer with the largest value [E, K] among those that were given, `NO_ANSWER` where
    there is none; ties to the answer drawn first.

    Not to the lowest id: ids are numbered along a whole pool, where a frequent answer comes early,
    so that would tell a rule what it has not drawn.
    """
    given = np.where(tally.votes > 0, values, -np.inf)
    leads = given == given.max(axis=1, keepdims=True)
    best: Integers = np.where(leads, tally.first, np.inf).argmin(axis=1)
    return np.where(tally.votes.any(axis=1), best, NO_ANSWER)
