"""The sequential policy: after every stage it answers, or goes on with the stage worth most.

The value of a stage at a price lambda is what it adds to the probability of a right answer, less
lambda times its cost, given that the policy goes on as well as it can (`learn` fits it). The policy
answers when no stage has a value above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats, Integers
from outthink.policy.chance import ScoreCurve, likeliest
from outthink.policy.looks import Look
from outthink.policy.menu import Stage
from outthink.policy.pooled import Table
from outthink.policy.replay import STOP, Allowed
from outthink.policy.tally import Cells, Tally

NEVER = -np.inf


def bounded(values: NDArray[np.floating], room: NDArray[np.floating], costs: Floats) -> Cells:
    """[E, A] values, none above what it can be: going on adds at most `room` [E], 1 less the
    probability of a right answer now, and costs the stage. A regression on smooth columns is off by
    more than that where an answer is nearly certain."""
    most = room.astype(np.float32)[:, None] - costs.astype(np.float32)
    least: Cells = np.minimum(values, most)
    return least


def choice(worth: Floats, begun: Allowed) -> Integers:
    """[E] the stage of the largest value [E, A] above 0, or `STOP`; where nothing is begun [E], a
    stage is run if any is allowed."""
    best, value = worth.argmax(axis=1), worth.max(axis=1)
    return np.where((value > 0) | (~begun & (value > NEVER)), best, STOP)


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """How likely answers are to be right, as fitted."""

    curves: Mapping[str, ScoreCurve]
    """From score to probability, by source."""
    weights: Floats
    """[F] of the columns of an answer."""

    def likeliest(self, tally: Tally) -> tuple[Integers, Cells]:
        """As `chance.likeliest`."""
        return likeliest(tally, self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class Sequential:
    """The policy at one price. A `Rule`."""

    menu: tuple[Stage, ...]
    chances_of: Chances
    price: float
    """Lambda: the probability of a right answer that one unit of cost must buy."""
    costs: Floats
    """[A] what each stage costs, on average."""
    first: Floats
    """[A] the value of each stage where nothing is drawn yet."""
    values: Floats
    """[F, A] of the columns of a problem: the value of each stage."""
    tables: tuple[Table, ...] = ()
    """By the first of a problem's keys, and the second: what is added to these values."""

    @property
    def name(self) -> str:
        return f"sequential at price {self.price:.3g}"

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The probability that a candidate of a stage is right, given its score."""
        return self.chances_of.curves[stage.source](scores)

    def worth(self, tally: Tally, allowed: Allowed) -> tuple[Floats, Cells]:
        """[E, A] the value of every stage, minus infinity where it is not allowed; [E, 2] as
        `likeliest`."""
        _, likely = self.chances_of.likeliest(tally)
        return self.at(Look.of(tally, likely), allowed), likely

    def at(self, look: Look, allowed: Allowed) -> Floats:
        """[E, A] as `worth`."""
        values = look.columns @ self.values
        for table, key in zip(self.tables, look.keys.T, strict=bool(self.tables)):
            values += table.at(key)
        later = bounded(values, look.room, self.price * self.costs)
        worth = np.where(look.begun[:, None], later, self.first)
        return np.where(allowed, worth, NEVER)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """[E] the stage of the largest value above 0, or `STOP`; a first stage is always run."""
        values, _ = self.worth(tally, allowed)
        return choice(values, tally.looks > 0)

    def chance(self, tally: Tally) -> Cells:
        """[E] the probability that the likeliest answer is right."""
        _, likely = self.chances_of.likeliest(tally)
        return likely[:, 0]

    def answer(self, tally: Tally) -> Integers:
        """[E] the likeliest answer."""
        return self.chances_of.likeliest(tally)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Policies that were fitted together, at several prices. `Rules`."""

    rules: tuple[Sequential, ...]

    @property
    def menu(self) -> tuple[Stage, ...]:
        return self.rules[0].menu

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """As `Sequential.chances`."""
        return self.rules[0].chances(stage, scores)

    def decide(self, tally: Tally, allowed: Allowed, which: Integers) -> Integers:
        """[E] as `Sequential.decide`, each row at the price of number `which` [E]."""
        _, likely = self.rules[0].chances_of.likeliest(tally)
        look = Look.of(tally, likely)
        return choice(self.at(look, allowed, which), look.begun)

    def at(self, look: Look, allowed: Allowed, which: Integers) -> Floats:
        """[E, A] as `Sequential.at`, the same way."""
        worth = np.empty(allowed.shape)
        for number in np.unique(which):
            rows = np.flatnonzero(which == number)
            worth[rows] = self.rules[number].at(look.take(rows), allowed[rows])
        return worth
