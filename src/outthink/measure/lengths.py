"""Overthinking: whether longer is better, and how much of what is written was needed.

Within a problem, so that what makes a problem hard, and long, cancels. Chen et al. 2024 (arXiv
2412.21187) define the efficiencies; Agarwal et al. 2025 (arXiv 2512.02008) compare short and long
traces. Solutions that were cut off are all as long as they may be: they tie at the cap, and of
those that tie the ones in either half are drawn at random, so that their order decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval, interval, paired
from outthink.measure.pools import NO_ANSWER, Pool


@dataclass(frozen=True, slots=True)
class Halves:
    """Accuracy of the shorter and of the longer half of each problem's solutions."""

    short: Interval
    long: Interval
    difference: Interval
    """Long minus short."""
    short_tokens: float
    """Mean length of the shorter half."""
    long_tokens: float


@dataclass(frozen=True, slots=True)
class Halved:
    """The two halves of one problem's solutions."""

    short: float
    """Share that is right."""
    long: float
    short_tokens: float
    long_tokens: float


def halved(lengths: Floats, right: NDArray[np.bool_]) -> Halved | None:
    """The halves of solutions with these lengths [n] and verdicts [n], in expectation over the
    order of ties; the middle one of an odd number is in neither. `None` for fewer than two.

    Raises `UsageError` where shapes differ or a length is not known.
    """
    lengths = np.asarray(lengths, np.float64)
    if lengths.shape != right.shape or lengths.ndim != 1 or not np.isfinite(lengths).all():
        raise UsageError(
            f"lengths of shape {list(lengths.shape)} and verdicts of shape {list(right.shape)}; "
            "give one known length and one verdict a solution"
        )
    half = lengths.size // 2
    if half == 0:
        return None
    values, group, count = np.unique(lengths, return_inverse=True, return_counts=True)
    rate = np.bincount(group, right, values.size) / count
    before = np.cumsum(count) - count
    taken = np.clip(half - before, 0, count)
    after = np.clip(before + count - (lengths.size - half), 0, count)
    return Halved(
        float(taken @ rate / half),
        float(after @ rate / half),
        float(taken @ values / half),
        float(after @ values / half),
    )


def halves(problems: Sequence[tuple[Floats, NDArray[np.bool_]]]) -> Halves | None:
    """The halves of many problems, each lengths [n] and verdicts [n]; `None` where none has two
    solutions."""
    both = [halved(lengths, right) for lengths, right in problems]
    known = [one for one in both if one is not None]
    if not known:
        return None
    short, long = (np.array([getattr(one, name) for one in known]) for name in ("short", "long"))
    return Halves(
        interval(short),
        interval(long),
        paired(long, short),
        float(np.mean([one.short_tokens for one in known])),
        float(np.mean([one.long_tokens for one in known])),
    )


# Efficiency --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Response:
    """Solutions that were written one after another for one problem, each seeing those before."""

    tokens: tuple[float, ...]
    """One count a solution."""
    right: tuple[bool, ...]
    answers: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.tokens) == len(self.right) == len(self.answers):
            raise UsageError(
                f"{len(self.tokens)} counts, {len(self.right)} verdicts and {len(self.answers)} "
                "answers of solutions; give one of each, and one solution at least"
            )


def response(pool: Pool, lengths: Floats, places: NDArray[np.int64]) -> Response:
    """Solutions of a pool with these lengths [n], one after another."""
    answers = pool.answers[places].tolist()
    return Response(
        tuple(lengths[places].tolist()),
        tuple(pool.right[places].tolist()),
        tuple(None if answer == NO_ANSWER else str(answer) for answer in answers),
    )


def outcome_efficiency(response: Response) -> float:
    """The share of a response up to and with its first right solution, 0 without one."""
    total, first = sum(response.tokens), 0.0
    for tokens, right in zip(response.tokens, response.right, strict=True):
        first += tokens
        if right:
            return first / total if total else 1.0
    return 0.0


def process_efficiency(response: Response) -> float:
    """The share of a response that is in solutions with an answer not given before.

    The paper asks a language model which solutions reason anew; here another answer stands for
    that, so a new way to an old answer counts as a repetition, and the figure is a lower bound.
    """
    seen: set[str] = set()
    new = 0.0
    for tokens, answer in zip(response.tokens, response.answers, strict=True):
        if answer is not None and answer not in seen:
            seen.add(answer)
            new += tokens
    total = sum(response.tokens)
    return new / total if total else 1.0


# Guards ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where a guard stops a response, and with what."""

    solutions: int
    tokens: float
    right: bool


def at_first_agreement(response: Response) -> Stopped:
    """Stop as soon as an answer is given a second time, and answer it; else, at the end, give the
    last answer there is. It is judged as its last solution is."""
    seen: set[str] = set()
    spent, right = 0.0, False
    rows = zip(response.tokens, response.right, response.answers, strict=True)
    for number, (tokens, is_right, answer) in enumerate(rows, 1):
        spent += tokens
        if answer is None:
            continue
        right = is_right
        if answer in seen:
            return Stopped(number, spent, right)
        seen.add(answer)
    return Stopped(len(response.tokens), spent, right)
