"""Fitting a sequential policy to trials: fitted Q-iteration over replayed decisions.

1. Random stages are replayed for every problem, in many random orders. Of every look, the
   probability of a right answer now is fitted (`chance`).
2. The same is replayed again, and every step kept: the look before, the stage, the look after.
3. Backwards, by regression: the value of stage a at look s is the mean over its steps of
   max(0, best value at the look after) + P(right after) - P(right before) - price x cost.
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
LOOKS = 10
"""Most stages in one order."""
EXPLORE = 0.3
"""Share of random stages among those of fitted policies."""
PRICES = 14


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

    before: Cells
    """[n, F] columns of the look before; of no use where nothing was drawn yet."""
    is_first: Integers
    stage: Integers
    after: Cells
    allowed: Allowed
    """[n, A] after it."""
    gain: Floats
    """[n] by how much the probability of a right answer rose."""
    chance: Floats
    """[n] that probability after it."""

    @classmethod
    def joined(cls, parts: Sequence[_Steps]) -> _Steps:
        columns = zip(*(part.columns() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def columns(self) -> tuple[np.ndarray, ...]:
        return (
            self.before,
            self.is_first,
            self.stage,
            self.after,
            self.allowed,
            self.gain,
            self.chance,
        )


def fit(trials: Trials, *, most: float = np.inf, seed: int = 0) -> tuple[Sequential, ...]:
    """Policies for falling prices, from the cheapest to the most thorough. `most` caps what one
    problem may cost, in the currency of the trials."""
    problems = len(trials.problems)
    orders = max(1, round(STEPS / 2 / LOOKS / problems))
    rng = np.random.default_rng(seed)
    chances = _chances(trials, orders, most, rng)
    explorer = _Explorer(trials.menu, chances, trials.costs, rng)
    steps = _replay(explorer, trials, orders, most)
    prices = _prices(trials)
    policies = _values(steps, trials, chances, prices)
    explorer = _Explorer(trials.menu, chances, trials.costs, rng, policies)
    more = _replay(explorer, trials, orders, most)
    return _values(_Steps.joined([steps, more]), trials, chances, prices)


def _prices(trials: Trials) -> Floats:
    """From one at which hardly more than the cheapest stage pays, down."""
    cheapest: float = trials.costs.min()
    return np.geomspace(0.03, 0.0003, PRICES) / cheapest


def _chances(trials: Trials, orders: int, most: float, rng: np.random.Generator) -> Chances:
    curves = {source.name: ScoreCurve.fit(source, trials.right) for source in trials.sources}
    blank = Chances(curves, np.zeros(0))
    explorer = _Explorer(trials.menu, blank, trials.costs, rng)
    replay = _start(explorer, trials, max(1, orders // 2), most, rng)
    seen: list[tuple[Floats, Floats]] = []
    for _ in range(LOOKS):
        replay.run(explorer.decide(replay.tally, replay.allowed(most)))
        rows, answers, columns = of_answers(replay.tally)
        right = trials.right[replay.tally.problem[rows], answers].astype(float)
        seen.append((columns, right))
    columns, right = (np.concatenate(part) for part in zip(*seen, strict=True))
    few = rng.permutation(right.size)[:200_000]
    return Chances(curves, logistic(columns[few], right[few], ridge=3.0))


def _start(
    explorer: _Explorer, trials: Trials, orders: int, most: float, rng: np.random.Generator
) -> Replay:
    problems = np.tile(np.arange(len(trials.problems)), orders)
    return Replay(explorer, trials, problems, int(rng.integers(2**62)))


def _replay(explorer: _Explorer, trials: Trials, orders: int, most: float) -> _Steps:
    """Steps from nothing drawn to the last look of every order."""
    replay = _start(explorer, trials, orders, most, explorer.rng)
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
        _, likely = explorer.chances_of.likeliest(tally)
        after = of_problems(tally, likely)
        now = likely[:, 0].astype(float)
        parts.append(
            _Steps(
                (after if before is None else before)[going],
                np.full(going.size, number == 0),
                decided[going],
                after[going],
                allowed[going],
                (now - chance)[going],
                now[going],
            )
        )
        before, chance = after, now
    return _Steps.joined(parts)


def _values(
    steps: _Steps, trials: Trials, chances: Chances, prices: Floats
) -> tuple[Sequential, ...]:
    """The policy at each price."""
    stages, columns = len(trials.menu), steps.after.shape[1]
    solvers = []
    for stage in range(stages):
        rows = np.flatnonzero((steps.stage == stage) & ~steps.is_first)
        known = steps.before[rows].astype(np.float64)
        normal = known.T @ known + RIDGE * np.eye(columns)
        solvers.append((rows, np.linalg.solve(normal, known.T).astype(np.float32)))
    forbidden = np.where(steps.allowed, 0, NEVER).astype(np.float32)
    policies = []
    for price in prices:
        values = np.zeros((columns, stages), np.float32)
        for _ in range(SWEEPS):
            target = steps.gain + _going_on(steps, values, forbidden)
            for stage, (rows, solver) in enumerate(solvers):
                values[:, stage] = solver @ (target[rows] - price * trials.costs[stage])
        target = steps.gain + _going_on(steps, values, forbidden)
        first = np.full(stages, NEVER)
        for stage in range(stages):
            rows = np.flatnonzero((steps.stage == stage) & steps.is_first)
            if rows.size:
                first[stage] = target[rows].mean() - price * trials.costs[stage]
        policies.append(
            Sequential(trials.menu, chances, float(price), first, values.astype(np.float64))
        )
    return tuple(policies)


def _going_on(steps: _Steps, values: Cells, forbidden: Cells) -> Floats:
    """[n] what going on after a step is worth: the best stage's value, or 0."""
    best: Floats = (steps.after @ values + forbidden).max(axis=1)
    return np.maximum(best, 0)
