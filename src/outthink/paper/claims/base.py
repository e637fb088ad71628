"""What a claim is, how it is judged, and when an interval is on the right side.

A claim's rule is fixed before anything is measured. Three constants serve rules that say only which
of two things is better; where a rule names its own number, that stands beside the rule.
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
"""A difference in accuracy below one point counts as none: about the standard error of 2,000
problems, and what C06 asks for."""

LEAST = 20
"""Problems below which no interval decides anything."""

_SAME = 1e-9
"""Differences smaller than this are rounding."""

EASY, MIDDLE, HARD = (0, 1), (2, 3), (3, 4)
"""Bins 1-2, 3-4 and 4-5 of the paper, numbered from 0."""
FIRST_THREE = (0, 1, 2)
LAST_THREE = (2, 3, 4)
HARDEST = (4,)


class Verdict(StrEnum):
    """What the evidence says."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    """It was measured, and its interval is on neither side."""
    NOT_TESTABLE = "not testable here"


class Unit(StrEnum):
    """How a figure is to be read."""

    SHARE = "share"
    """0 to 1."""
    DIFFERENCE = "difference"
    """Of two shares."""
    FACTOR = "factor"
    """How many times."""
    NUMBER = "number"


class How(StrEnum):
    """Where a judgement comes from."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    """In a world whose truth is known."""
    CALCULATED = "calculated"
    OUTSIDE = "outside"
    """What the lab cannot show."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number a judgement stands on."""

    name: str
    value: float
    low: float | None = None
    """Of its interval; `None` where it has none, or no known end."""
    high: float | None = None
    problems: int | None = None
    """`None` for what is calculated."""
    unit: Unit = Unit.SHARE


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was seen, and what follows by the rule."""

    verdict: Verdict
    figures: tuple[Figure, ...]
    sentence: str
    """One plain sentence."""
    reason: str | None = None
    """Why there is no verdict, where there is none."""

    def __post_init__(self) -> None:
        decided = self.verdict in (Verdict.CONFIRMED, Verdict.REFUTED)
        assert decided or self.reason, "no verdict without a reason"


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A statement somebody made, and how it is decided."""

    id: str
    text: str
    stated_in: tuple[str, ...]
    """The documents that say it."""
    paper: str
    """What the paper it is about, or quotes, has to say."""
    rule: str
    """Fixed beforehand."""
    judge: Callable[[Findings], Judgement]
    how: How = How.MEASURED
    contradicts: tuple[str, ...] = ()
    """Claims that cannot both hold with it as they are stated."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A claim with its judgement."""

    claim: Claim
    judgement: Judgement


# Intervals ---------------------------------------------------------------------------------------


def mean(values: Floats, *, level: float = LEVEL) -> Interval:
    """The mean of values [p] with its interval over problems.

    Where all values are equal the bootstrap has no width; then the rule of three gives it one: what
    did not happen on n problems may happen on 3 of n.
    """
    found = interval(values, level=level)
    if found.low < found.high:
        return found
    room = 3.0 / found.problems
    return Interval(found.mean, found.mean - room, found.mean + room, found.problems)


def apart(a: Floats, b: Floats, *, level: float = LEVEL) -> Interval:
    """The mean of a - b, paired over problems, with its interval."""
    return mean(np.asarray(a, np.float64) - np.asarray(b, np.float64), level=level)


def ratio(above: Floats, below: Floats, *, resamples: int = 2000) -> Interval | None:
    """Sum of `above` [P] over sum of `below` [P]; `None` where that is 0.

    Problems are resampled with both. The rule of three applies to the events counted.
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


def above(found: Interval | Equivalence, bound: float) -> bool:
    """Whether the whole interval is above a bound. An end that is not known is above nothing."""
    known = not (isinstance(found, Equivalence) and found.low_at_most)
    return known and found.problems >= LEAST and found.low > bound + _SAME


def below(found: Interval | Equivalence, bound: float) -> bool:
    """Whether the whole interval is below a bound. An end that is not known is below nothing."""
    known = not (isinstance(found, Equivalence) and found.high_at_least)
    return known and found.problems >= LEAST and found.high < bound - _SAME


def better(found: Interval) -> Verdict:
    """Of "this is better by so much": confirmed above 0, refuted where not even by a point."""
    if above(found, 0.0):
        return Verdict.CONFIRMED
    return Verdict.REFUTED if below(found, NEGLIGIBLE) else Verdict.UNDECIDED


BETTER = (
    "Confirmed where the interval of the difference is above 0, refuted where it is below one point"
)
"""`better` in words."""


# Judgements --------------------------------------------------------------------------------------


def share(name: str, found: Interval) -> Figure:
    return Figure(name, found.mean, max(0.0, found.low), min(1.0, found.high), found.problems)


def difference(name: str, found: Interval) -> Figure:
    return Figure(name, found.mean, found.low, found.high, found.problems, Unit.DIFFERENCE)


def factor(name: str, found: Equivalence) -> Figure:
    """An end beyond what was measured is left open."""
    high = None if found.high_at_least else found.high
    low = None if found.low_at_most else found.low
    return Figure(name, found.factor, low, high, found.problems, Unit.FACTOR)


def number(name: str, value: float, unit: Unit = Unit.NUMBER) -> Figure:
    """Something counted or calculated."""
    return Figure(name, float(value), unit=unit)


def judged(
    verdict: Verdict, figures: Sequence[Figure], sentence: str, reason: str | None = None
) -> Judgement:
    """A judgement; what is undecided says so by itself."""
    if verdict is Verdict.UNDECIDED and reason is None:
        reason = "the intervals are too wide, or on both sides of what the rule asks for"
    return Judgement(verdict, tuple(figures), sentence, reason)


def untestable(reason: str, figures: Sequence[Figure] = (), sentence: str = "") -> Judgement:
    """No verdict can be had, with whatever was seen all the same."""
    return Judgement(Verdict.NOT_TESTABLE, tuple(figures), sentence or "Not measured.", reason)


def points(found: Interval) -> str:
    """A difference in words: +1.2 points [0.3, 2.1]."""
    return f"{100 * found.mean:+.1f} points [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def times(found: Equivalence) -> str:
    """A factor in words, with its ends where they are known."""
    low = "?" if found.low_at_most else f"{found.low:.2f}"
    high = "?" if found.high_at_least else f"{found.high:.2f}"
    return f"{found.factor:.2f} [{low}, {high}]"
