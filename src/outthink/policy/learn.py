"""Fitting a sequential policy to trials: fitted Q-iteration over replayed decisions.

1. Random stages are replayed for every problem, in many random orders. Of every look, the
   probability of a right answer now is fitted (`chance`).
2. The same is replayed again, and every step kept: the look before, the stage, the look after.
3. Backwards, by regression: the value of stage a at look s is the mean over its steps of
   max(0, best value at the look after) + right after - right before - price x cost.
   As long as the replayed order goes on with the best stage, what it came to stands for the best
   value. Sweeps carry values from the last stage to the first; one set of steps serves every price.
4. The steps that the fitted policies would take are replayed too, with some random ones among them,
   and 3 is done again: values are sharpest where they are needed.

Steps 2 to 4 are fitted Q-iteration (Ernst et al. 2005) on the Lagrangian of `adaptive` stopping,
E[right] - price E[cost], which separates over problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.chance import ScoreCurve, logistic
from outthink.policy.looks import keys, of_answers, of_problems
from outthink.policy.menu import Stage
from outthink.policy.pooled import Pools, Table, places
from outthink.policy.replay import STOP, Allowed, Replay
from outthink.policy.sequential import NEVER, Chances, Sequential, bounded
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials

SWEEPS = 12
"""Times that values are carried one stage back, at each price; at the first price, twice as often.
The next price goes on from them."""
RIDGE = 300.0
"""Penalty of the regressions."""
STEPS = 160_000
"""Steps that are replayed for a fit, about."""
STEPS_EACH = 120
"""At most, about, of one problem: more random orders of it say little that is new."""
LOOKS = 40
"""Most stages in one order, where looks repeat."""
SHORT = 10
"""The same where they do not: long orders make a regression too hopeful there."""
LEAVE = 0.08
"""Chance that an explorer ends an order of random stages at a look."""
BEYOND = 0.6
"""Chance that it goes on where the policy it follows would answer."""
EXPLORE = 0.3
"""Share of random stages among those of fitted policies."""
PRICES = 16
OFTEN = 60
"""Steps from looks that are alike, for a pool of their own."""
POOLS = 2000
"""At most, for either key."""
NOTHING = 5e-4
"""Left out of a table: as much as one part in 2,000 of an accuracy."""
BATCH = 4000
"""Problems that are replayed at once."""
ANSWERS = 100_000
"""Answers that the probabilities are fitted on, of random and of fitted policies each."""


@dataclass(frozen=True, slots=True, eq=False)
class _Explorer:
    """Random stages, the cheap ones more often: what a policy is fitted on."""

    menu: tuple[Stage, ...]
    chances_of: Chances
    costs: Floats
    rng: np.random.Generator
    policies: tuple[Sequential, ...] = ()
    """Fitted already; each row follows one of them, but for a share of random stages."""
    repeats: bool = True
    """Whether looks repeat: orders are long then, and end at random."""
    name: str = "explorer"

    @property
    def looks(self) -> int:
        return LOOKS if self.repeats else SHORT

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        return self.chances_of.curves[stage.source](scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        noise = self.rng.gumbel(size=allowed.shape) - 0.5 * np.log(self.costs)
        noise[~allowed] = NEVER
        chosen = np.where(allowed.any(axis=1), noise.argmax(axis=1), STOP)
        begun = tally.looks > 0
        if not self.policies:
            return np.where(
                begun & (self.rng.random(chosen.size) < LEAVE * self.repeats), STOP, chosen
            )
        followed = self._followed(tally, allowed)
        beyond = BEYOND if self.repeats else 1.0
        explores = self.rng.random(chosen.size) < np.where(followed == STOP, beyond, EXPLORE)
        return np.where(explores | ~begun, chosen, followed)

    def _followed(self, tally: Tally, allowed: Allowed) -> Integers:
        followed = np.full(tally.size, STOP)
        which = np.arange(tally.size) % len(self.policies)
        for number, policy in enumerate(self.policies):
            rows = np.flatnonzero(which == number)
            followed[rows] = policy.decide(tally.take(rows), allowed[rows])
        return followed

    def answer(self, tally: Tally) -> Integers:
        raise AssertionError("an explorer does not answer")


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """Every answer after some looks, n of them."""

    columns: Floats
    """[n, F]"""
    right: Floats
    """[n] 1 or 0."""
    look: Integers
    """[n] the look of each; it never falls."""

    @classmethod
    def joined(cls, parts: Sequence[_Answers]) -> _Answers:
        ends = np.cumsum([int(part.look.max(initial=-1)) + 1 for part in parts])
        firsts = np.append(0, ends[:-1])
        looks = [part.look + first for part, first in zip(parts, firsts, strict=True)]
        return cls(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate(looks),
        )

    def some(self, most: int, rng: np.random.Generator) -> _Answers:
        """Those of some looks, about `most` answers."""
        share = min(1.0, most / max(self.look.size, 1))
        kept = (rng.random(int(self.look.max(initial=0)) + 1) < share)[self.look]
        return _Answers(self.columns[kept], self.right[kept], self.look[kept])


@dataclass(slots=True, eq=False)
class _Steps:
    """Steps that were replayed, n of them."""

    problem: Integers
    order: Integers
    """[n] which order each is a step of."""
    look: Integers
    """[n] its number in the order."""
    before: Cells
    """[n, F] columns of the look before; of no use where nothing was drawn yet."""
    is_first: Integers
    stage: Integers
    after: Cells
    room: Floats
    """[n] 1 less the probability of a right answer after it."""
    keys: Integers
    """[n, 2] of the look before."""
    keys_after: Integers
    allowed: Allowed
    """[n, A] after it."""
    gain: Floats
    """[n] 1 where the answer became right, -1 where it became wrong, else 0."""

    @classmethod
    def joined(cls, parts: Sequence[_Steps]) -> _Steps:
        columns = zip(*(part.columns() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def columns(self) -> tuple[np.ndarray, ...]:
        return (
            self.problem,
            self.order,
            self.look,
            self.before,
            self.is_first,
            self.stage,
            self.after,
            self.room,
            self.keys,
            self.keys_after,
            self.allowed,
            self.gain,
        )


def fit(
    trials: Trials,
    *,
    most: float = np.inf,
    seed: int = 0,
    prices: Sequence[float] | None = None,
) -> tuple[Sequential, ...]:
    """Policies for falling prices, from the cheapest to the most thorough. `most` caps what one
    problem may cost, in the currency of the trials; `prices`, in any order, are those of an
    accuracy, `None` for a grid of them. Raises `UsageError` for a cap below every stage."""
    if not (trials.costs <= most).any():
        raise UsageError(f"a cap of {most:g}; the cheapest stage costs {trials.costs.min():g}")
    rng = np.random.default_rng(seed)
    steps = min(STEPS, STEPS_EACH * len(trials.problems))
    falling = _prices(trials) if prices is None else np.sort(np.array(prices, float))[::-1]

    def explorer(chances: Chances, policies: tuple[Sequential, ...] = ()) -> _Explorer:
        return _Explorer(trials.menu, chances, trials.costs, rng, policies, repeats)

    curves = {source.name: ScoreCurve.fit(source, trials.right) for source in trials.sources}
    repeats = True
    unknown = Chances(curves, _nothing(len(trials.sources)))
    repeats = _repeats(_replay(explorer(unknown), trials, steps // 8, most))
    seen = _answers(explorer(unknown), trials, steps // 4, most)
    chances = Chances(curves, _weights([seen], rng))
    begun = _values(
        _replay(explorer(chances), trials, steps // 4, most), trials, chances, falling, repeats
    )
    more = _answers(explorer(chances, begun), trials, steps // 4, most)
    chances = Chances(curves, _weights([seen, more], rng))
    kept = [
        _replay(explorer(chances, policies), trials, steps // 2, most) for policies in ((), begun)
    ]
    return _values(_Steps.joined(kept), trials, chances, falling, repeats)


def _nothing(sources: int) -> Floats:
    """[F] weights of an answer's columns before any are fitted."""
    _, _, columns = of_answers(Tally.empty(np.zeros(0, np.int64), 2, sources))
    return np.zeros(columns.shape[1])


def _repeats(steps: _Steps) -> bool:
    """Whether half of the looks are ones that come often, so that tables hold them."""
    coarse = steps.keys[~steps.is_first, 0]
    return bool(np.isin(coarse, _often(coarse)).mean() > 0.5) if coarse.size else True


def _prices(trials: Trials) -> Floats:
    """From one at which hardly more than the cheapest stage pays, down."""
    cheapest: float = trials.costs.min()
    return np.geomspace(0.1, 0.0005, PRICES) / cheapest


def _answers(explorer: _Explorer, trials: Trials, steps: int, most: float) -> list[_Answers]:
    """Of some `steps` looks."""
    seen: list[_Answers] = []
    while steps > 0:
        replay = _start(explorer, trials)
        going = np.ones(replay.tally.size, np.bool_)
        for _ in range(explorer.looks):
            decided = _decide(explorer, replay.tally, replay.allowed(most), going)
            going = decided != STOP
            if not going.any():
                break
            replay.run(decided)
            tally = replay.tally.take(np.flatnonzero(going))
            rows, answers, columns = of_answers(tally)
            right = trials.right[tally.problem[rows], answers].astype(float)
            seen.append(_Answers(columns, right, rows))
            steps -= tally.size
    return seen


def _weights(kinds: Sequence[list[_Answers]], rng: np.random.Generator) -> Floats:
    """Of the columns of an answer, fitted on some of the looks of each kind."""
    parts = [_Answers.joined(kind).some(ANSWERS, rng) for kind in kinds]
    answers = _Answers.joined(parts)
    return logistic(answers.columns, answers.right, ridge=3.0)


def _start(explorer: _Explorer, trials: Trials) -> Replay:
    """A batch of problems, each in an order of its own."""
    count = len(trials.problems)
    # Few problems go several times, for a batch of a few rows costs as much as one of many.
    often = max(1, min(BATCH, STEPS_EACH * count // 2 // SHORT) // count)
    problems = np.concatenate([explorer.rng.permutation(count) for _ in range(often)])[:BATCH]
    return Replay(explorer, trials, problems, int(explorer.rng.integers(2**62)))


def _decide(explorer: _Explorer, tally: Tally, allowed: Allowed, going: Allowed) -> Integers:
    """What is decided for the rows that are going on; the rest have stopped."""
    decided = np.full(tally.size, STOP)
    rows = np.flatnonzero(going)
    decided[rows] = explorer.decide(tally.take(rows), allowed[rows])
    return decided


def _replay(explorer: _Explorer, trials: Trials, steps: int, most: float) -> _Steps:
    """Some `steps` steps, each order from nothing drawn to its last look."""
    parts: list[_Steps] = []
    while steps > 0:
        batch = _batch(explorer, trials, most)
        steps -= sum(part.stage.size for part in batch)
        parts += batch
    return _Steps.joined(parts)


def _batch(explorer: _Explorer, trials: Trials, most: float) -> list[_Steps]:
    replay = _start(explorer, trials)
    tally = replay.tally
    allowed = replay.allowed(most)
    going = np.ones(tally.size, np.bool_)
    first_order = int(explorer.rng.integers(2**62))
    before, chance = None, np.zeros(tally.size)
    keys_before = np.zeros((tally.size, 2), np.int64)
    parts = []
    for number in range(explorer.looks):
        decided = _decide(explorer, tally, allowed, going)
        going = decided != STOP
        rows = np.flatnonzero(going)
        if not rows.size:
            break
        replay.run(decided)
        allowed = replay.allowed(most)
        answers, likely = explorer.chances_of.likeliest(tally)
        after, keys_after = of_problems(tally, likely), keys(tally, likely)
        now = trials.is_right(tally.problem, answers).astype(float)
        parts.append(
            _Steps(
                tally.problem[rows],
                first_order + rows,
                np.full(rows.size, number),
                (after if before is None else before)[rows],
                np.full(rows.size, number == 0),
                decided[rows],
                after[rows],
                1.0 - likely[rows, 0],
                keys_before[rows],
                keys_after[rows],
                allowed[rows],
                (now - chance)[rows],
            )
        )
        before, chance, keys_before = after, now, keys_after
    return parts


def _values(
    steps: _Steps, trials: Trials, chances: Chances, prices: Floats, repeats: bool
) -> tuple[Sequential, ...]:
    """The policy at each price.

    Values are fitted twice, on the steps of either half of the problems. A half chooses the stage
    to go on with, the other one says what that is worth: the best of many noisy values looks
    better than it is (double Q-learning, van Hasselt 2010).
    """
    of_looks = steps.keys[~steps.is_first] if repeats else steps.keys[:0]
    pools = [_often(column) for column in of_looks.T]
    halves = [_Half.of(steps, trials, steps.problem % 2 == half, pools) for half in (0, 1)]
    policies = []
    stages = trials.costs.size
    empty = _Values(
        np.zeros((steps.after.shape[1], stages), np.float32),
        [np.zeros((stages, known.size + 1), np.float32) for known in pools],
    )
    values = [empty, empty]
    for number, price in enumerate(prices):
        costs = price * trials.costs
        for _ in range(SWEEPS if number else 2 * SWEEPS):
            pairs = zip(halves, values, values[::-1], strict=True)
            values = [
                half.values(half.target(own, other, costs), costs) for half, own, other in pairs
            ]
        pairs = zip(halves, values, values[::-1], strict=True)
        first = [half.first(half.target(own, other, costs), costs) for half, own, other in pairs]
        mean = np.mean([one.weights for one in values], axis=0).astype(np.float64)
        tables = tuple(
            _table(known, np.mean(added, axis=0))
            for known, *added in zip(pools, *(one.added for one in values), strict=True)
        )
        policies.append(
            Sequential(
                trials.menu,
                chances,
                float(price),
                trials.costs,
                np.mean(first, axis=0),
                mean,
                tables,
            )
        )
    return tuple(policies)


def _often(keys: Integers) -> Integers:
    """The keys that come often enough for a pool of their own, rising."""
    known, counts = np.unique(keys, return_counts=True)
    often = known[counts >= OFTEN]
    if often.size > POOLS:
        often = np.sort(known[np.argsort(-counts, kind="stable")[:POOLS]])
    return often


def _table(known: Integers, added: Cells) -> Table:
    """Of what is added [A, G + 1] to the values of each pool, without those of nothing."""
    values = added[:, :-1].T
    some = np.abs(values).max(axis=1) > NOTHING
    return Table(known[some], values[some])


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """Of every stage, as fitted on one half."""

    weights: Cells
    """[F, A]"""
    added: list[Cells]
    """For either key: [A, G + 1] what is added for looks in each pool, 0 for those in none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Half:
    """The steps of half of the problems, ready to be regressed on."""

    after: Cells
    """[F, n]"""
    room: Floats
    """[n]"""
    pools_after: list[Integers]
    """For either key: [n]"""
    forbidden: Cells
    """[A, n] minus infinity where a stage is not allowed after the step, else 0."""
    gain: Floats
    stage: Integers
    looks: tuple[tuple[Integers, Integers], ...]
    """For each look of an order, the last one first: the steps there, and the step that follows
    each; the number of steps where none does."""
    later: tuple[tuple[Integers, Cells, Cells, list[Pools]], ...]
    """For each stage: its later steps, their columns [m, F], what solves their regression [F, m],
    and their pools."""
    begins: tuple[Integers, ...]
    """For each stage: its steps that were the first."""

    @classmethod
    def of(cls, steps: _Steps, trials: Trials, of_half: Allowed, pools: list[Integers]) -> _Half:
        stages = range(len(trials.menu))
        stage, is_first = steps.stage[of_half], steps.is_first[of_half]
        before, problem = steps.before[of_half], steps.problem[of_half]
        of_keys = steps.keys[of_half].T
        later = []
        for number in stages:
            rows = np.flatnonzero((stage == number) & ~is_first)
            pooled = [
                Pools.of(places(known, key[rows]), problem[rows], known.size)
                for known, key in zip(pools, of_keys, strict=True)
            ]
            later.append((rows, before[rows], _solver(before[rows]), pooled))
        return cls(
            np.ascontiguousarray(steps.after[of_half].T),
            steps.room[of_half],
            [
                places(known, key)
                for known, key in zip(pools, steps.keys_after[of_half].T, strict=True)
            ],
            np.where(steps.allowed[of_half].T, 0, NEVER).astype(np.float32),
            steps.gain[of_half],
            stage,
            _followed(steps.order[of_half], steps.look[of_half]),
            tuple(later),
            tuple(np.flatnonzero((stage == number) & is_first) for number in stages),
        )

    def target(self, own: _Values, other: _Values, costs: Floats) -> Floats:
        """[n] what each step gained, with what going on after it is worth.

        As long as an order goes on with the stage that is best, what it came to is counted, and
        only then what the values say (Watkins's Q(lambda) with lambda = 1): estimates that are
        chained gather the errors of every link.
        """
        values = self._worth(other, costs)
        chosen = values.argmax(axis=0)
        goes_on = values[chosen, np.arange(chosen.size)] > 0
        worth = self._worth(own, costs)[chosen, np.arange(chosen.size)].astype(np.float64)
        stage = np.append(self.stage, STOP)
        target = np.append(self.gain, 0.0)
        for steps, following in self.looks:
            best = chosen[steps]
            realised = target[following] - costs[best]
            later = np.where(stage[following] == best, realised, worth[steps])
            target[steps] += np.where(goes_on[steps], later, 0.0)
        return target[:-1]

    def _worth(self, values: _Values, costs: Floats) -> Cells:
        """[A, n] of every stage after each step."""
        worth: Cells = values.weights.T @ self.after + self.forbidden
        for added, place in zip(values.added, self.pools_after, strict=True):
            worth += added[:, place]
        return bounded(worth.T, self.room, costs).T

    def values(self, target: Floats, costs: Floats) -> _Values:
        """Regressed on the columns of the look before; then what is left over, pooled."""
        weights, added = [], []
        for (rows, columns, solver, pooled), cost in zip(self.later, costs, strict=True):
            wanted = target[rows] - cost
            weights.append(solver @ wanted)
            left = wanted - columns @ weights[-1]
            shrunk = []
            for pools in pooled:
                shrunk.append(pools.shrunk(left))
                left = left - shrunk[-1][pools.place]
            added.append(shrunk)
        return _Values(
            np.stack(weights, axis=1, dtype=np.float32),
            [np.stack(one) for one in zip(*added, strict=True)],
        )

    def first(self, target: Floats, costs: Floats) -> Floats:
        """[A] the value of each stage where nothing is drawn yet."""
        means = [target[rows].mean() if rows.size else NEVER for rows in self.begins]
        return np.array(means) - costs


def _followed(order: Integers, look: Integers) -> tuple[tuple[Integers, Integers], ...]:
    """As `_Half.looks`."""
    by_order = np.lexsort((look, order))
    same = order[by_order[:-1]] == order[by_order[1:]]
    following = np.full(order.size, order.size)
    following[by_order[:-1][same]] = by_order[1:][same]
    steps = [np.flatnonzero(look == number) for number in range(int(look.max(initial=-1)), -1, -1)]
    return tuple((rows, following[rows]) for rows in steps)


def _solver(known: Cells) -> Cells:
    """[F, m] what makes ridge regression's weights of m targets."""
    columns = known.astype(np.float64)
    normal = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
    solver: Cells = np.linalg.solve(normal, columns.T).astype(np.float32)
    return solver
