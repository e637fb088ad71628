"""Claims, their judgements, and the tests on intervals that rules are made of.

A claim's rule is fixed before anything is measured. Rules that only say which of two things is
better share the constants below; a rule with a number of its own has it beside its code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from outthink.measure.arrays import Floats
from outthink.measure.equivalence import Equivalence
from outthink.measure.intervals import LEVEL, Interval, interval, resampled_means
from outthink.paper.findings import Findings

NEGLIGIBLE = 0.01
"""A difference in accuracy below one point counts as no difference: it is about the standard error
on 2,000 problems, and the bound that C06 states."""

LEAST = 20
"""With fewer problems than this, no interval decides a claim."""

_SAME = 1e-9
"""Differences smaller than this are rounding errors."""

EASY, MIDDLE, HARD = (0, 1), (2, 3), (3, 4)
"""Bins 1-2, 3-4 and 4-5 of the paper, numbered from 0."""
FIRST_THREE = (0, 1, 2)
LAST_THREE = (2, 3, 4)
HARDEST = (4,)


class Verdict(StrEnum):
    """The result of applying a claim's rule."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    """It was measured, but the interval allows both."""
    NOT_TESTABLE = "not testable here"
    """The models or the scale of this run cannot show it."""


class Unit(StrEnum):
    """The kind of number a figure is."""

    SHARE = "share"
    """From 0 to 1."""
    DIFFERENCE = "difference"
    """A difference of two shares."""
    FACTOR = "factor"
    """A ratio."""
    NUMBER = "number"
    """Any other number."""


class How(StrEnum):
    """How a claim is tested."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    """In a simulation with known parameters."""
    CALCULATED = "calculated"
    OUTSIDE = "outside"
    """Not at all: it is about something the lab does not have."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a judgement is based on."""

    name: str
    value: float
    low: float | None = None
    """Lower end of its interval; `None` without an interval, or where that end is unknown."""
    high: float | None = None
    problems: int | None = None
    """Problems it was measured on; `None` for a calculated number."""
    unit: Unit = Unit.SHARE


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a claim, and the figures it is based on."""

    verdict: Verdict
    figures: tuple[Figure, ...]
    sentence: str
    """One sentence on what was measured."""
    reason: str | None = None
    """Why the claim is neither confirmed nor refuted, where it is not."""

    def __post_init__(self) -> None:
        decided = self.verdict in (Verdict.CONFIRMED, Verdict.REFUTED)
        assert decided or self.reason, "no verdict without a reason"


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A statement, where it was made, and the rule that decides it."""

    id: str
    text: str
    stated_in: tuple[str, ...]
    """Ids of the documents that state it."""
    paper: str
    """What the paper that it is about states."""
    rule: str
    """When it is confirmed and when refuted, fixed before measuring."""
    judge: Callable[[Findings], Judgement]
    how: How = How.MEASURED
    contradicts: tuple[str, ...] = ()
    """Ids of claims that cannot be true together with this one."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A claim with its judgement."""

    claim: Claim
    judgement: Judgement


# Intervals ---------------------------------------------------------------------------------------


def mean(values: Floats, *, level: float = LEVEL) -> Interval:
    """The mean of values [p] with its interval over problems.

    Where all values are equal, a bootstrap interval has no width. The rule of three gives it one:
    an event not seen on n problems may have a probability of up to 3 / n.
    """
    measured = interval(values, level=level)
    if measured.low < measured.high:
        return measured
    room = 3.0 / measured.problems
    return Interval(measured.mean, measured.mean - room, measured.mean + room, measured.problems)


def apart(a: Floats, b: Floats, *, level: float = LEVEL) -> Interval:
    """The mean of a - b, paired over problems, with its interval."""
    return mean(np.asarray(a, np.float64) - np.asarray(b, np.float64), level=level)


def ratio(above: Floats, below: Floats, *, resamples: int = 2000) -> Interval | None:
    """Sum of `above` [P] over sum of `below` [P]; `None` where that is 0.

    Both are resampled over the same problems. The rule of three applies to the sum of `below`.
    """
    if not below.sum():
        return None
    drawn = resampled_means(np.stack([above, below]).astype(np.float64), resamples, 0)
    kept = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(kept[:, 0] / kept[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(above.sum() / below.sum())
    if low == high:
        room = 3.0 / float(below.sum())
        low, high = value - room, value + room
    counted = int(np.count_nonzero(below))
    return Interval(value, float(low), float(high), counted)


def above(measured: Interval | Equivalence, bound: float) -> bool:
    """Whether the whole interval is above a bound. With an unknown lower end it is not."""
    known = not (isinstance(measured, Equivalence) and measured.low_at_most)
    return known and measured.problems >= LEAST and measured.low > bound + _SAME


def below(measured: Interval | Equivalence, bound: float) -> bool:
    """Whether the whole interval is below a bound. With an unknown upper end it is not."""
    known = not (isinstance(measured, Equivalence) and measured.high_at_least)
    return known and measured.problems >= LEAST and measured.high < bound - _SAME


def better(measured: Interval) -> Verdict:
    """The verdict on "this is better", from the interval of the difference; see `BETTER`."""
    if above(measured, 0.0):
        return Verdict.CONFIRMED
    return Verdict.REFUTED if below(measured, NEGLIGIBLE) else Verdict.UNDECIDED


BETTER = (
    "Confirmed where the interval of the difference is above 0, refuted where it is below one point"
)
"""The rule of `better`, for the text of claims."""


# Judgements --------------------------------------------------------------------------------------


def share(name: str, measured: Interval) -> Figure:
    return Figure(
        name, measured.mean, max(0.0, measured.low), min(1.0, measured.high), measured.problems
    )


def difference(name: str, measured: Interval) -> Figure:
    return Figure(
        name, measured.mean, measured.low, measured.high, measured.problems, Unit.DIFFERENCE
    )


def factor(name: str, measured: Equivalence) -> Figure:
    """A compute-equivalence factor; an end beyond the budgets measured is `None`."""
    low, high = measured.known_low, measured.known_high
    return Figure(name, measured.factor, low, high, measured.problems, Unit.FACTOR)


def number(name: str, value: float, unit: Unit = Unit.NUMBER) -> Figure:
    """A counted or calculated number, without an interval."""
    return Figure(name, float(value), unit=unit)


def judged(
    verdict: Verdict, figures: Sequence[Figure], sentence: str, reason: str | None = None
) -> Judgement:
    """A judgement; an undecided one without a reason gets the usual reason."""
    if verdict is Verdict.UNDECIDED and reason is None:
        reason = "the intervals are too wide, or include the bound that the rule sets"
    return Judgement(verdict, tuple(figures), sentence, reason)


def untestable(reason: str, figures: Sequence[Figure] = (), sentence: str = "") -> Judgement:
    """A judgement that the claim cannot be tested, with what was measured all the same."""
    return Judgement(Verdict.NOT_TESTABLE, tuple(figures), sentence or "Not measured.", reason)


def points(measured: Interval) -> str:
    """A difference as text: `+1.2 points [0.3, 2.1]`."""
    return (
        f"{100 * measured.mean:+.1f} points [{100 * measured.low:.1f}, {100 * measured.high:.1f}]"
    )


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def times(measured: Equivalence) -> str:
    """A factor as text, `2.10 [1.20, ?]`, with a question mark for an unknown end."""
    low = "?" if measured.known_low is None else f"{measured.low:.2f}"
    high = "?" if measured.known_high is None else f"{measured.high:.2f}"
    return f"{measured.factor:.2f} [{low}, {high}]"
