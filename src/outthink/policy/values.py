"""Values of stages, regressed on replayed steps.

Of every half of the problems apart: the choices that a half's values make are held against what
they came to on the other half, since the best of many noisy values looks better than it is (double
Q-learning, van Hasselt 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.measure.arrays import Floats, Integers
from outthink.policy.explore import Steps
from outthink.policy.pooled import Pools, Table, places
from outthink.policy.replay import STOP
from outthink.policy.sequential import NEVER
from outthink.policy.tally import Cells

SWEEPS = 12
"""Times that values are carried one stage back where looks repeat, at most, at each price. The next
price goes on from them."""
SETTLED = 2e-3
"""They are carried back no further where they change by less, on average: where choices are near
ties they go to and fro for ever."""
SWEEPS_BEFORE_ROLLOUTS = 5
"""The same where rollouts mend the values afterwards: more gain nothing there."""
RIDGE = 30.0
"""Penalty of the regressions, in steps of one problem: those are alike."""
MEND = 300.0
"""That of what mends values: rollouts are few, and each is one outcome."""
FEW = 30.0
"""Rollouts of a first stage that weigh as much as its value before them."""
OFTEN = 60
"""Steps from looks that are alike, for a pool of their own."""
POOLS = 2000
"""At most, for either key."""
NOTHING = 5e-4
"""Left out of a table: as much as one part in 2,000 of an accuracy."""
NEXT = 2
"""A price learns from the rollouts of so many prices on either side, too."""


def common(keys: Integers) -> list[Integers]:
    """For either of the keys [n, 2]: those that come often enough for a pool of their own,
    rising."""
    return [_often(column) for column in keys.T]


def _often(keys: Integers) -> Integers:
    known, counts = np.unique(keys, return_counts=True)
    often = known[counts >= OFTEN]
    if often.size > POOLS:
        often = np.sort(known[np.argsort(-counts, kind="stable")[:POOLS]])
    return often


def table(known: Integers, added: Cells) -> Table:
    """Of what is added [A, G + 1] to the values of each pool, without those of nothing."""
    values = added[:, :-1].T
    some = np.abs(values).max(axis=1) > NOTHING
    return Table(known[some], values[some])


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Of every stage, as fitted on one half."""

    first: Floats
    """[A] where nothing is drawn yet."""
    weights: Cells
    """[F, A]"""
    added: list[Cells]
    """For either key: [A, G + 1] what is added for looks in each pool, 0 for those in none."""

    @classmethod
    def empty(cls, columns: int, stages: int, pools: Sequence[Integers]) -> Values:
        """Nothing known."""
        return cls(
            np.zeros(stages),
            np.zeros((columns, stages), np.float32),
            [np.zeros((stages, known.size + 1), np.float32) for known in pools],
        )

    @classmethod
    def mean(cls, both: Sequence[Values]) -> Values:
        """Of two halves."""
        return cls(
            np.mean([one.first for one in both], axis=0),
            np.mean([one.weights for one in both], axis=0),
            [np.mean(added, axis=0) for added in zip(*(one.added for one in both), strict=True)],
        )

    def plus(self, other: Values) -> Values:
        """The sum."""
        return Values(
            self.first + other.first,
            self.weights + other.weights,
            [one + more for one, more in zip(self.added, other.added, strict=True)],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """What solves the regressions of every stage on the columns of the looks before some steps,
    whatever their targets are."""

    later: tuple[tuple[Integers, Cells, Cells, list[Pools]], ...]
    """For each stage: its later steps, their columns [m, F], what solves their regression [F, m],
    and their pools."""
    begins: tuple[Integers, ...]
    """For each stage: its steps that were the first."""

    @classmethod
    def of(
        cls, steps: Steps, stages: int, pools: Sequence[Integers], ridge: float = RIDGE
    ) -> Regression:
        later = []
        for number in range(stages):
            rows = np.flatnonzero((steps.stage == number) & steps.before.begun)
            columns, keys = steps.before.columns[rows], steps.before.keys[rows].T
            alike = max(rows.size, 1) / max(np.unique(steps.problem[rows]).size, 1)
            pooled = [
                Pools.of(places(known, key), steps.problem[rows], known.size)
                for known, key in zip(pools, keys, strict=bool(pools))
            ]
            later.append((rows, columns, _solver(columns, ridge * alike), pooled))
        first = ~steps.before.begun
        begins = tuple(np.flatnonzero((steps.stage == n) & first) for n in range(stages))
        return cls(tuple(later), begins)

    def values(self, target: Floats, costs: Floats | float) -> Values:
        """Regressed on the columns; then what is left over, pooled. `target` [n] is of every step,
        before the stage's own of the `costs` [A]."""
        weights, added = [], []
        stages = len(self.later)
        for (rows, columns, solver, pooled), cost in zip(
            self.later, np.broadcast_to(costs, stages), strict=True
        ):
            # In single precision, as what it is multiplied with: no product copies that.
            wanted = (target[rows] - cost).astype(np.float32)
            weights.append(solver @ wanted)
            left = wanted - columns @ weights[-1]
            shrunk = []
            for pools in pooled:
                shrunk.append(pools.shrunk(left))
                left = left - shrunk[-1][pools.place]
            added.append(shrunk)
        means = [target[rows].mean() if rows.size else NEVER for rows in self.begins]
        return Values(
            np.array(means) - costs,
            np.stack(weights, axis=1, dtype=np.float32),
            [np.stack(one) for one in zip(*added, strict=True)],
        )


def _solver(known: Cells, ridge: float) -> Cells:
    """[F, m] what makes ridge regression's weights of m targets."""
    columns = known.astype(np.float64)
    normal = columns.T @ columns + ridge * np.eye(columns.shape[1])
    solver: Cells = np.linalg.solve(normal, columns.T).astype(np.float32)
    return solver


@dataclass(frozen=True, slots=True, eq=False)
class Half:
    """The steps of half of the problems, ready for fitted Q-iteration."""

    after: Cells
    """[F, n]"""
    room: Cells
    """[A, n] the most that a stage can be worth after the step, but for its cost; minus infinity
    where it is not allowed."""
    pools_after: list[Integers]
    """For either key: [n]"""
    gain: Floats
    stage: Integers
    following: Integers
    """[n] as `Steps.following`."""
    by_number: list[Integers]
    regression: Regression

    @classmethod
    def of(cls, steps: Steps, stages: int, pools: Sequence[Integers]) -> Half:
        keys = steps.after.keys.T
        return cls(
            np.ascontiguousarray(steps.after.columns.T),
            np.where(steps.allowed.T, steps.after.room, NEVER).astype(np.float32),
            [places(known, key) for known, key in zip(pools, keys, strict=bool(pools))],
            steps.gain,
            steps.stage,
            steps.following(),
            steps.by_number(),
            Regression.of(steps, stages, pools),
        )

    def target(self, own: Values, other: Values, costs: Floats) -> Floats:
        """[n] what each step gained, with what going on after it is worth.

        The other half chooses. As long as an order goes on with what it chooses, what the order
        came to is counted, and only then what the values say (Watkins's Q(lambda) with lambda = 1):
        estimates that are chained gather the errors of every link.
        """
        chosen, value = _best(self._worth(other, costs))
        goes_on = value > 0
        worth = self._worth(own, costs)[chosen, np.arange(chosen.size)].astype(np.float64)
        stage = np.append(self.stage, STOP)
        target = np.append(self.gain, 0.0)
        for steps in self.by_number:
            best, following = chosen[steps], self.following[steps]
            realised = target[following] - costs[best]
            later = np.where(stage[following] == best, realised, worth[steps])
            target[steps] += np.where(goes_on[steps], later, 0.0)
        return target[:-1]

    def _worth(self, values: Values, costs: Floats) -> Cells:
        """[A, n] of every stage after each step."""
        worth: Cells = values.weights.T @ self.after
        for added, place in zip(values.added, self.pools_after, strict=True):
            if added.shape[1] > 1:
                worth += np.take(added, place, axis=1)
        # As `sequential.bounded`, a row a stage.
        for row, room, cost in zip(worth, self.room, costs.astype(np.float32), strict=True):
            np.minimum(row, room - cost, out=row)
        return worth


def _best(values: Cells) -> tuple[Integers, Cells]:
    """[n] the first stage of the largest value [A, n], and that value. Quicker than `argmax`, which
    is slow across rows."""
    chosen, most = np.zeros(values.shape[1], np.int64), values[0].copy()
    for stage, row in enumerate(values[1:], 1):
        chosen[row > most] = stage
        np.maximum(most, row, out=most)
    return chosen, most


def corrected(
    values: Sequence[Values], steps: Steps, costs: Floats, pools: Sequence[Integers]
) -> list[Values]:
    """Values at each price, mended by what rollouts came to: the steps follow a policy at a price,
    at `costs` [prices, A]. What is regressed is how far they are off, so where there are few
    rollouts the values stay as they were."""
    spent = costs[steps.price, steps.stage]
    came_to = steps.returns(spent)
    stages = costs.shape[1]
    off = came_to - _of_steps(values, steps, costs, pools)
    off[~np.isfinite(off)] = 0.0  # a first stage that was never tried stays so
    mended = []
    for price, before in enumerate(values):
        near = np.flatnonzero(steps.counts & (abs(steps.price - price) <= NEXT))
        regression = Regression.of(steps.take(near), stages, pools, MEND)
        more = regression.values(off[near], 0.0)
        counts = np.array([rows.size for rows in regression.begins])
        first = np.where(counts > 0, more.first, 0.0) * counts / (counts + FEW)
        mended.append(before.plus(Values(first, more.weights, more.added)))
    return mended


def _of_steps(
    values: Sequence[Values], steps: Steps, costs: Floats, pools: Sequence[Integers]
) -> Floats:
    """[n] the value of each step's stage at the look before it, at the price of its order."""
    worth = np.zeros(steps.stage.size)
    keys = steps.before.keys.T
    at = [places(known, key) for known, key in zip(pools, keys, strict=bool(pools))]
    for price, of in enumerate(values):
        rows = np.flatnonzero(steps.price == price)
        stage = steps.stage[rows]
        later = np.einsum("nf,fn->n", steps.before.columns[rows], of.weights[:, stage])
        for added, place in zip(of.added, at, strict=True):
            later += added[stage, place[rows]]
        most = steps.before.room[rows] - costs[price, stage]
        worth[rows] = np.where(steps.before.begun[rows], np.minimum(later, most), of.first[stage])
    return worth
