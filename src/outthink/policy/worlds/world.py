"""What a world gives: trials, and the most that any policy can make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP, Allowed, Played, Rule, most_voted
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials

BOTH = 2
"""Answers of a problem that has a right one and a wrong one."""


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """The best that can be done at a price."""

    value: float
    """E[right] - price * E[cost], a problem."""
    rule: Rule
    """What does it."""


@dataclass(frozen=True, slots=True)
class FixedBest:
    """The best fixed number of runs of one stage at a price."""

    value: float
    """E[right] - price * E[cost], a problem, answered as well as can be."""
    stage: Stage
    runs: int
    """0 where nothing is worth its price."""


class World(Protocol):
    """Problems whose law is known, so that the best policy can be computed."""

    @property
    def name(self) -> str: ...

    @property
    def menu(self) -> tuple[Stage, ...]: ...

    def trials(self, problems: int, seed: int) -> Trials:
        """Trials of so many new problems. Raises `UsageError` for fewer than 1."""
        ...

    def optimum(self, price: float) -> Optimum:
        """The most that a policy over this menu and these trials can get when a generation costs
        `price` of an accuracy. Raises `UsageError` for a price that is not above 0."""
        ...

    def fixed_best(self, price: float) -> FixedBest:
        """The most that one stage, run a fixed number of times, can get. Raises as `optimum`."""
        ...


def value(played: Played, price: float) -> Floats:
    """[P]: right - price * cost of every problem, the mean over its orders."""
    worth: Floats = played.right - price * played.cost
    return worth


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A rule read off a table of states. Scores are taken as they are, 0 for none."""

    name: str
    menu: tuple[Stage, ...]
    state: Callable[[Tally], tuple[Integers, ...]]
    """From a tally of E rows to the places [E] of its rows along each axis of the table."""
    decisions: Integers
    """By state: the number of a stage, or `STOP`."""
    answers: Integers | None = None
    """By state; `None` for the best-scored answer."""

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores."""
        return np.nan_to_num(scores, nan=0.0)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """What the table says; stop where that is not allowed."""
        decided = self.decisions[self.state(tally)]
        refused = ~allowed[np.arange(tally.size), decided]
        return np.where(refused, STOP, decided)

    def answer(self, tally: Tally) -> Integers:
        """What the table says, or the best-scored answer; ties to the one drawn first."""
        if self.answers is None:
            return most_voted(tally.best, tally)
        answer: Integers = self.answers[self.state(tally)]
        return answer


def two_answers(problems: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """[P] ids of the right and of the wrong answer: 0 and 1 in random order, for an id must not
    tell which is which."""
    right = rng.integers(BOTH, size=problems)
    return right, 1 - right


def check_problems(problems: int) -> None:
    """Raises `UsageError` for fewer than one problem."""
    if problems < 1:
        raise UsageError(f"a world of {problems} problems; give at least 1")


def check_price(price: float) -> None:
    """Raises `UsageError` for a price that is not a number above 0."""
    if not 0 < price < np.inf:
        raise UsageError(f"a price of {price:g}; give a number above 0")
