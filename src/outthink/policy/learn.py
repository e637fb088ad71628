"""Fitting a sequential policy to trials: fitted Q-iteration over replayed decisions.

1. Random stages are replayed for every problem, in many random orders. Of every look, the
   probability of a right answer now is fitted (`chance`).
2. The same is replayed again, and every step kept: the look before, the stage, the look after.
3. Backwards, by regression: the value of stage a at look s is the mean over its steps of
   max(0, best value at the look after) + right after - right before - price x cost.
   Ten sweeps carry it from the last stage to the first. One set of steps serves every price.
4. The steps that the fitted policies would take are replayed too, with some random ones among them,
   and 3 is done again: values are sharpest where they are needed.

Steps 2 to 4 are fitted Q-iteration (Ernst et al. 2005) on the Lagrangian of `adaptive` stopping,
E[right] - price E[cost], which separates over problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.measure.arrays import Floats, Integers
from outthink.policy.chance import ScoreCurve, logistic
from outthink.policy.looks import of_answers, of_problems
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP, Allowed, Replay
from outthink.policy.sequential import NEVER, Chances, Sequential
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials

SWEEPS = 10
"""Times that values are carried one stage back."""
RIDGE = 300.0
"""Penalty of the regressions."""
STEPS = 160_000
"""Steps that are replayed for a fit, about."""
MOST_ORDERS = 8
"""Random orders of one problem; more of them say little that is new."""
LOOKS = 10
"""Most stages in one order."""
EXPLORE = 0.3
"""Share of random stages among those of fitted policies."""
PRICES = 14
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
    name: str = "explorer"

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        return self.chances_of.curves[stage.source](scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        noise = self.rng.gumbel(size=allowed.shape) - 0.5 * np.log(self.costs)
        noise[~allowed] = NEVER
        chosen = np.where(allowed.any(axis=1), noise.argmax(axis=1), STOP)
        if not self.policies:
            return chosen
        followed = self._followed(tally, allowed)
        explores = (self.rng.random(chosen.size) < EXPLORE) | (followed == STOP)
        return np.where(explores, chosen, followed)

    def _followed(self, tally: Tally, allowed: Allowed) -> Integers:
        followed = np.full(tally.size, STOP)
        which = np.arange(tally.size) % len(self.policies)
        for number, policy in enumerate(self.policies):
            rows = np.flatnonzero(which == number)
            followed[rows] = policy.decide(tally.take(rows), allowed[rows])
        return followed

    def answer(self, tally: Tally) -> Integers:
        raise AssertionError("an explorer does not answer")


@dataclass(slots=True, eq=False)
class _Steps:
    """Steps that were replayed, n of them."""

    problem: Integers
    before: Cells
    """[n, F] columns of the look before; of no use where nothing was drawn yet."""
    is_first: Integers
    stage: Integers
    after: Cells
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
            self.before,
            self.is_first,
            self.stage,
            self.after,
            self.allowed,
            self.gain,
        )


def fit(trials: Trials, *, most: float = np.inf, seed: int = 0) -> tuple[Sequential, ...]:
    """Policies for falling prices, from the cheapest to the most thorough. `most` caps what one
    problem may cost, in the currency of the trials."""
    orders = min(MOST_ORDERS, max(1, round(STEPS / 2 / LOOKS / len(trials.problems))))
    rng = np.random.default_rng(seed)
    prices = _prices(trials)

    def explorer(chances: Chances, policies: tuple[Sequential, ...] = ()) -> _Explorer:
        return _Explorer(trials.menu, chances, trials.costs, rng, policies)

    curves = {source.name: ScoreCurve.fit(source, trials.right) for source in trials.sources}
    some = max(1, orders // 2)
    seen = _answers(explorer(Chances(curves, np.zeros(0))), trials, some, most)
    chances = Chances(curves, _weights([seen], rng))
    begun = _values(_replay(explorer(chances), trials, some, most), trials, chances, prices)
    more = _answers(explorer(chances, begun), trials, some, most)
    chances = Chances(curves, _weights([seen, more], rng))
    steps = [_replay(explorer(chances, policies), trials, orders, most) for policies in ((), begun)]
    return _values(_Steps.joined(steps), trials, chances, prices)


def _prices(trials: Trials) -> Floats:
    """From one at which hardly more than the cheapest stage pays, down."""
    cheapest: float = trials.costs.min()
    return np.geomspace(0.03, 0.0003, PRICES) / cheapest


def _answers(
    explorer: _Explorer, trials: Trials, orders: int, most: float
) -> tuple[Floats, Floats]:
    """Columns of every answer after every look, and whether it is right."""
    replay = _start(explorer, trials, orders)
    seen: list[tuple[Floats, Floats]] = []
    for _ in range(LOOKS):
        decided = explorer.decide(replay.tally, replay.allowed(most))
        replay.run(decided)
        tally = replay.tally.take(np.flatnonzero(decided != STOP))
        rows, answers, columns = of_answers(tally)
        seen.append((columns, trials.right[tally.problem[rows], answers].astype(float)))
    columns, right = (np.concatenate(part) for part in zip(*seen, strict=True))
    return columns, right


def _weights(seen: Sequence[tuple[Floats, Floats]], rng: np.random.Generator) -> Floats:
    """Of the columns of an answer, fitted on some of the answers of each."""
    parts = []
    for columns, right in seen:
        few = rng.permutation(right.size)[:ANSWERS]
        parts.append((columns[few], right[few]))
    columns, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    return logistic(columns, right, ridge=3.0)


def _start(explorer: _Explorer, trials: Trials, orders: int) -> Replay:
    problems = np.tile(np.arange(len(trials.problems)), orders)
    return Replay(explorer, trials, problems, int(explorer.rng.integers(2**62)))


def _replay(explorer: _Explorer, trials: Trials, orders: int, most: float) -> _Steps:
    """Steps from nothing drawn to the last look of every order."""
    replay = _start(explorer, trials, orders)
    tally = replay.tally
    allowed = replay.allowed(most)
    before, chance = None, np.zeros(tally.size)
    parts = []
    for number in range(LOOKS):
        decided = explorer.decide(tally, allowed)
        going = np.flatnonzero(decided != STOP)
        if not going.size:
            break
        replay.run(decided)
        allowed = replay.allowed(most)
        answers, likely = explorer.chances_of.likeliest(tally)
        after = of_problems(tally, likely)
        now = trials.is_right(tally.problem, answers).astype(float)
        parts.append(
            _Steps(
                tally.problem[going],
                (after if before is None else before)[going],
                np.full(going.size, number == 0),
                decided[going],
                after[going],
                allowed[going],
                (now - chance)[going],
            )
        )
        before, chance = after, now
    return _Steps.joined(parts)


def _values(
    steps: _Steps, trials: Trials, chances: Chances, prices: Floats
) -> tuple[Sequential, ...]:
    """The policy at each price.

    Values are fitted twice, on the steps of either half of the problems. A half chooses the stage
    to go on with, the other one says what that is worth: the best of many noisy values looks
    better than it is (double Q-learning, van Hasselt 2010).
    """
    halves = [_Half.of(steps, trials, steps.problem % 2 == half) for half in (0, 1)]
    policies = []
    for price in prices:
        costs = price * trials.costs
        values = [np.zeros((steps.after.shape[1], costs.size), np.float32) for _ in halves]
        for _ in range(SWEEPS):
            pairs = zip(halves, values, values[::-1], strict=True)
            values = [half.values(half.target(own, other), costs) for half, own, other in pairs]
        pairs = zip(halves, values, values[::-1], strict=True)
        first = [half.first(half.target(own, other), costs) for half, own, other in pairs]
        mean = np.mean(values, axis=0).astype(np.float64)
        policies.append(
            Sequential(trials.menu, chances, float(price), np.mean(first, axis=0), mean)
        )
    return tuple(policies)


@dataclass(frozen=True, slots=True, eq=False)
class _Half:
    """The steps of half of the problems, ready to be regressed on."""

    after: Cells
    """[F, n]"""
    forbidden: Cells
    """[A, n] minus infinity where a stage is not allowed after the step, else 0."""
    gain: Floats
    later: tuple[tuple[Integers, Cells], ...]
    """For each stage: its later steps, and what solves their regression [F, m]."""
    begins: tuple[Integers, ...]
    """For each stage: its steps that were the first."""

    @classmethod
    def of(cls, steps: _Steps, trials: Trials, of_half: Allowed) -> _Half:
        stages = range(len(trials.menu))
        stage, is_first = steps.stage[of_half], steps.is_first[of_half]
        before = steps.before[of_half]
        later = [np.flatnonzero((stage == number) & ~is_first) for number in stages]
        return cls(
            np.ascontiguousarray(steps.after[of_half].T),
            np.where(steps.allowed[of_half].T, 0, NEVER).astype(np.float32),
            steps.gain[of_half],
            tuple((rows, _solver(before[rows])) for rows in later),
            tuple(np.flatnonzero((stage == number) & is_first) for number in stages),
        )

    def target(self, own: Cells, other: Cells) -> Floats:
        """[n] what each step gained, with what going on after it is worth."""
        chosen = (own.T @ self.after + self.forbidden).argmax(axis=0)
        columns = np.arange(chosen.size)
        worth = (other.T @ self.after + self.forbidden)[chosen, columns]
        target: Floats = self.gain + np.maximum(worth, 0)
        return target

    def values(self, target: Floats, costs: Floats) -> Cells:
        """[F, A] regressed on the columns of the look before."""
        columns = [
            solver @ (target[rows] - cost)
            for (rows, solver), cost in zip(self.later, costs, strict=True)
        ]
        return np.stack(columns, axis=1, dtype=np.float32)

    def first(self, target: Floats, costs: Floats) -> Floats:
        """[A] the value of each stage where nothing is drawn yet."""
        means = [target[rows].mean() if rows.size else NEVER for rows in self.begins]
        return np.array(means) - costs


def _solver(known: Cells) -> Cells:
    """[F, m] what makes ridge regression's weights of m targets."""
    columns = known.astype(np.float64)
    normal = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
    solver: Cells = np.linalg.solve(normal, columns.T).astype(np.float32)
    return solver
