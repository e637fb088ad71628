"""Decisions replayed for a fit: random stages, and what fitted policies would do.

An order is one problem from nothing drawn to its last look. Each order draws the units of every
source anew, at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats, Integers
from outthink.policy.looks import Look, of_answers
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP, Allowed, Replay
from outthink.policy.sequential import NEVER, Chances, Prices, Sequential, choice
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials

STEPS_EACH = 120
"""At most, about, of one problem: more random orders of it say little that is new."""
LOOKS = 40
"""Most stages in one order, where looks repeat."""
SHORT = 10
"""The same where they do not: long orders make a regression too hopeful there."""
LEAVE = 0.08
"""Chance that an order of random stages ends at a look."""
BEYOND = 0.6
"""Chance that an order goes on where the policy it follows would answer."""
EXPLORE = 0.3
"""Share of random stages among those of fitted policies."""
TURN = 0.3
"""Chance that an order leaves the policy it follows at a look, once."""
NEAR = 0.03
"""It leaves for stages worth about as much less than the best."""
BATCH = 4000
"""Problems that are replayed at once."""


class Chooser(Protocol):
    """Decides what is replayed."""

    @property
    def looks(self) -> int:
        """Most stages in one order."""
        ...

    def decide(self, look: Look, allowed: Allowed, rows: Integers) -> Integers:
        """[E] a stage each, or `STOP`; `rows` [E] are their places in the batch."""
        ...

    def price_of(self, rows: Integers) -> Integers:
        """[E] which price's policy each row follows; 0 where it follows none."""
        ...

    def counts(self, rows: Integers, look: int) -> Allowed:
        """[E] whether all that comes after this look is that policy's."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What every replay of a fit has in common."""

    trials: Trials
    chances_of: Chances
    most: float
    rng: np.random.Generator
    repeats: bool = True
    """Whether looks repeat: orders are long then, and end at random."""

    @property
    def menu(self) -> tuple[Stage, ...]:
        return self.trials.menu

    @property
    def looks(self) -> int:
        return LOOKS if self.repeats else SHORT

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        return self.chances_of.curves[stage.source](scores)

    def start(self) -> Replay:
        """A batch of problems, each in an order of its own."""
        count = len(self.trials.problems)
        # Few problems go several times, for a batch of a few rows costs as much as one of many.
        often = max(1, min(BATCH, STEPS_EACH * count // 2 // SHORT) // count)
        problems = np.concatenate([self.rng.permutation(count) for _ in range(often)])[:BATCH]
        return Replay(self, self.trials, problems, int(self.rng.integers(2**62)))

    def look(self, tally: Tally) -> tuple[Look, Integers]:
        """The look at a tally, and its likeliest answers [E]."""
        likeliest, likely = self.chances_of.likeliest(tally)
        return Look.of(tally, likely), likeliest


@dataclass(frozen=True, slots=True, eq=False)
class Random:
    """Random stages, the cheap ones more often; or those of fitted policies, with random ones among
    them."""

    setting: Setting
    policies: tuple[Sequential, ...] = ()
    """Each row follows one of them."""

    @property
    def looks(self) -> int:
        return self.setting.looks

    def decide(self, look: Look, allowed: Allowed, rows: Integers) -> Integers:
        rng, repeats = self.setting.rng, self.setting.repeats
        noise = rng.gumbel(size=allowed.shape) - 0.5 * np.log(self.setting.trials.costs)
        noise[~allowed] = NEVER
        chosen = np.where(allowed.any(axis=1), noise.argmax(axis=1), STOP)
        if not self.policies:
            leaves = look.begun & (rng.random(chosen.size) < LEAVE * repeats)
            return np.where(leaves, STOP, chosen)
        which = rows % len(self.policies)
        followed = choice(Prices(self.policies).at(look, allowed, which), look.begun)
        beyond = BEYOND if repeats else 1.0
        explores = rng.random(chosen.size) < np.where(followed == STOP, beyond, EXPLORE)
        return np.where(explores | ~look.begun, chosen, followed)

    def price_of(self, rows: Integers) -> Integers:
        return np.zeros(rows.size, np.int64)

    def counts(self, rows: Integers, look: int) -> Allowed:
        return np.zeros(rows.size, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Turning:
    """Follows a policy, leaves it once for another stage, and follows it again to the end: so what
    comes after the turn is what that stage is worth under the policy (rollouts of one action, as in
    classification-based policy iteration, Lagoudakis and Parr 2003)."""

    setting: Setting
    policies: tuple[tuple[Sequential, ...], tuple[Sequential, ...]]
    """By half and price: who is followed on problems of that half."""
    half: Integers
    """[E] the half that the problem of each row is in."""
    turned: Integers
    """[E] the look at which each row left its policy; beyond every look where it has not."""

    @classmethod
    def of(
        cls,
        setting: Setting,
        policies: tuple[tuple[Sequential, ...], tuple[Sequential, ...]],
        problem: Integers,
    ) -> Turning:
        """For a batch of these problems [E]."""
        return cls(setting, policies, problem % 2, np.full(problem.size, LOOKS))

    @property
    def looks(self) -> int:
        return LOOKS

    def price_of(self, rows: Integers) -> Integers:
        prices: Integers = rows % len(self.policies[0])
        return prices

    def counts(self, rows: Integers, look: int) -> Allowed:
        counts: Allowed = self.turned[rows] <= look
        return counts

    def decide(self, look: Look, allowed: Allowed, rows: Integers) -> Integers:
        worth = np.empty(allowed.shape)
        for half, policies in enumerate(self.policies):
            for number, policy in enumerate(policies):
                own = (self.half[rows] == half) & (self.price_of(rows) == number)
                some = np.flatnonzero(own)
                worth[some] = policy.at(look.take(some), allowed[some])
        followed = choice(worth, look.begun)
        chance = np.where(followed == STOP, BEYOND, TURN)
        turns = (self.turned[rows] == LOOKS) & allowed.any(axis=1)
        turns &= self.setting.rng.random(rows.size) < chance
        self.turned[rows[turns]] = look.number[turns]
        return np.where(turns, self._other(worth, allowed), followed)

    def _other(self, worth: Floats, allowed: Allowed) -> Integers:
        """One of the stages that are worth most, about, or any."""
        rng = self.setting.rng
        near = (worth + NEAR * rng.gumbel(size=worth.shape)).argmax(axis=1)
        wide = np.where(allowed, rng.random(worth.shape), NEVER).argmax(axis=1)
        other: Integers = np.where(rng.random(near.size) < 0.5, near, wide)
        return other


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Every answer after some looks, n of them."""

    columns: Floats
    """[n, F]"""
    right: Floats
    """[n] 1 or 0."""
    look: Integers
    """[n] the look of each; it never falls."""
    problem: Integers
    """[n]"""

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        ends = np.cumsum([int(part.look.max(initial=-1)) + 1 for part in parts])
        firsts = np.append(0, ends[:-1])
        looks = [part.look + first for part, first in zip(parts, firsts, strict=True)]
        return cls(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate(looks),
            np.concatenate([part.problem for part in parts]),
        )

    def take(self, rows: NDArray[Any]) -> Answers:
        """These alone."""
        return Answers(self.columns[rows], self.right[rows], self.look[rows], self.problem[rows])

    def some(self, most: int, rng: np.random.Generator) -> Answers:
        """Those of some looks, about `most` answers."""
        share = min(1.0, most / max(self.look.size, 1))
        kept = (rng.random(int(self.look.max(initial=0)) + 1) < share)[self.look]
        return self.take(kept)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps that were replayed, n of them."""

    problem: Integers
    order: Integers
    """[n] which order each is a step of."""
    price: Integers
    """[n] which price's policy the order follows; 0 where it follows none."""
    counts: Allowed
    """[n] whether all that comes after it is that policy's."""
    before: Look
    stage: Integers
    after: Look
    allowed: Allowed
    """[n, A] after it."""
    gain: Floats
    """[n] 1 where the answer became right, -1 where it became wrong, else 0."""

    @classmethod
    def joined(cls, parts: Sequence[Steps]) -> Steps:
        """One after the other."""

        def all_of(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            all_of("problem"),
            all_of("order"),
            all_of("price"),
            all_of("counts"),
            Look.joined([part.before for part in parts]),
            all_of("stage"),
            Look.joined([part.after for part in parts]),
            all_of("allowed"),
            all_of("gain"),
        )

    def take(self, rows: NDArray[Any]) -> Steps:
        """These alone."""
        return Steps(
            self.problem[rows],
            self.order[rows],
            self.price[rows],
            self.counts[rows],
            self.before.take(rows),
            self.stage[rows],
            self.after.take(rows),
            self.allowed[rows],
            self.gain[rows],
        )

    @property
    def number(self) -> Integers:
        """[n] the place of each in its order."""
        return self.before.number

    def following(self) -> Integers:
        """[n] the step that follows each in its order; n where none does."""
        by_order = np.lexsort((self.number, self.order))
        same = self.order[by_order[:-1]] == self.order[by_order[1:]]
        following = np.full(self.order.size, self.order.size)
        following[by_order[:-1][same]] = by_order[1:][same]
        return following

    def by_number(self) -> list[Integers]:
        """The steps of each place in an order, the last place first."""
        last = int(self.number.max(initial=-1))
        return [np.flatnonzero(self.number == number) for number in range(last, -1, -1)]

    def returns(self, costs: Floats) -> Floats:
        """[n] what each came to: its gain and those of all that followed, less their costs, at
        `costs` [n] of each."""
        total = np.append(self.gain - costs, 0.0)
        following = self.following()
        for rows in self.by_number():
            total[rows] += total[following[rows]]
        return total[:-1]


def answers(setting: Setting, policies: tuple[Sequential, ...], steps: int) -> list[Answers]:
    """Of some `steps` looks."""
    seen: list[Answers] = []

    def keep(tally: Tally) -> None:
        row, given, columns = of_answers(tally)
        problem = tally.problem[row]
        right = setting.trials.right[problem, given].astype(float)
        seen.append(Answers(columns, right, row, problem))

    while steps > 0:
        batch = _batch(setting, Random(setting, policies), setting.start(), keep)
        steps -= sum(part.stage.size for part in batch)
    return seen


def random_steps(setting: Setting, policies: tuple[Sequential, ...], steps: int) -> Steps:
    """Some `steps` steps, each order from nothing drawn to its last look."""
    return _many(lambda replay: _batch(setting, Random(setting, policies), replay), setting, steps)


def policy_steps(
    setting: Setting,
    policies: tuple[tuple[Sequential, ...], tuple[Sequential, ...]],
    steps: int,
) -> Steps:
    """Some `steps` steps of orders that follow policies and leave them once (`Turning`)."""

    def batch(replay: Replay) -> list[Steps]:
        chooser = Turning.of(setting, policies, replay.tally.problem)
        return _batch(setting, chooser, replay)

    return _many(batch, setting, steps)


def _many(batch: Callable[[Replay], list[Steps]], setting: Setting, steps: int) -> Steps:
    parts: list[Steps] = []
    while steps > 0:
        more = batch(setting.start())
        steps -= sum(part.stage.size for part in more)
        parts += more
    return Steps.joined(parts)


def _batch(
    setting: Setting,
    chooser: Chooser,
    replay: Replay,
    seen: Callable[[Tally], None] = lambda tally: None,
) -> list[Steps]:
    """Every step of a batch, a part for each place in the orders; `seen` is shown every tally."""
    tally, trials = replay.tally, setting.trials
    first_order = int(setting.rng.integers(2**62))
    rows = np.arange(tally.size)
    before, _ = setting.look(tally)
    allowed, right = replay.allowed(setting.most), np.zeros(tally.size)
    parts: list[Steps] = []
    while len(parts) < chooser.looks:
        decided = chooser.decide(before, allowed, rows)
        on = np.flatnonzero(decided != STOP)
        if not on.size:
            break
        rows, before, right, stage = rows[on], before.take(on), right[on], decided[on]
        stages = np.full(tally.size, STOP)
        stages[rows] = stage
        replay.run(stages)
        drawn = tally.take(rows)
        seen(drawn)
        after, likeliest = setting.look(drawn)
        allowed = replay.allowed(setting.most)[rows]
        now = trials.is_right(tally.problem[rows], likeliest).astype(float)
        parts.append(
            Steps(
                tally.problem[rows],
                first_order + rows,
                chooser.price_of(rows),
                chooser.counts(rows, len(parts)),
                before,
                stage,
                after,
                allowed,
                now - right,
            )
        )
        before, right = after, now
    return parts
