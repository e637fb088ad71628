"""The lab's task: chains of multiplications that keep the last five digits.

    40713 *7 *13          the prompt: a start and one to MAX_STEPS factors
    *7=84991              one line a step
    *13=04883             the last line holds the answer

Each result is written from its first digit, before the carries below it are on paper, so writing a
step takes looking ahead; checking one takes neighbouring columns only. That is what makes
verification easier than generation here. An answer is one of 10^DIGITS numbers, so guessing is
hopeless, and nothing in the text says whether it is right. No factor shares a divisor with ten, so
a chain never runs into zeros.

Problems fall into three disjoint streams by a hash of what they are: training never sees a
calibration or test problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.types import Problem

DIGITS = 5
MAX_STEPS = 6
FACTORS = (3, 7, 9, 11, 13, 17, 19, 21)
MODULUS = 10**DIGITS
CHANCE = 1 / MODULUS
"""Share of right answers when guessing."""


class Stream(StrEnum):
    """Which problems: training, calibration (policies, difficulty) or test."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    TEST = "test"


_CHUNK = 256
_SIXTEENTHS = {Stream.TEST: (0, 2), Stream.CALIBRATION: (2, 4), Stream.TRAIN: (4, 16)}


@dataclass(frozen=True, slots=True)
class Chain:
    """One problem as numbers."""

    start: int
    factors: tuple[int, ...]

    @property
    def prompt(self) -> str:
        """As a person and the tokenizer read it."""
        return " ".join([f"{self.start:0{DIGITS}d}", *(f"*{factor}" for factor in self.factors)])

    @property
    def values(self) -> tuple[int, ...]:
        """The exact result of every step."""
        value, results = self.start, []
        for factor in self.factors:
            value = value * factor % MODULUS
            results.append(value)
        return tuple(results)

    @property
    def answer(self) -> str:
        return f"{self.values[-1]:0{DIGITS}d}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The exact solution, a step a line."""
        return tuple(
            f"*{factor}={value:0{DIGITS}d}\n"
            for factor, value in zip(self.factors, self.values, strict=True)
        )

    def problem(self) -> Problem:
        """Its id is its prompt without blanks: unique, and the same in every run."""
        return Problem(self.prompt.replace(" ", ""), self.prompt, self.answer)


_FACTOR = "|".join(map(str, FACTORS))
_PROMPT = re.compile(rf"[0-9]{{{DIGITS}}}( \*({_FACTOR})){{1,{MAX_STEPS}}}")


def parse(prompt: str) -> Chain:
    """The chain a prompt describes. Raises `UsageError` where it describes none."""
    if not _PROMPT.fullmatch(prompt):
        raise UsageError(
            f"not a problem of the lab's task: {prompt!r}; write {DIGITS} digits and 1 to "
            f"{MAX_STEPS} factors out of {', '.join(map(str, FACTORS))}, such as '40713 *7 *13'"
        )
    start, *factors = prompt.split()
    return Chain(int(start), tuple(int(word[1:]) for word in factors))


@dataclass(frozen=True, slots=True)
class Chains:
    """Many chains as columns, for training."""

    length: NDArray[np.int64]
    """[B] number of steps."""
    start: NDArray[np.int64]
    """[B]"""
    factor: NDArray[np.int64]
    """[B, MAX_STEPS] places in FACTORS; -1 past the length."""

    def __iter__(self) -> Iterator[Chain]:
        for start, row in zip(self.start.tolist(), self.factor.tolist(), strict=True):
            yield Chain(start, tuple(FACTORS[place] for place in row if place >= 0))


def draw(stream: Stream, count: int, rng: np.random.Generator) -> Chains:
    """`count` chains of one stream; lengths uniform over 1..MAX_STEPS."""
    kept: list[Chains] = []
    have = 0
    low, high = _SIXTEENTHS[stream]
    while have < count:
        size = 64 + (count - have) * 17 // (high - low)
        length = rng.integers(1, MAX_STEPS + 1, size)
        live = np.arange(MAX_STEPS) < length[:, None]
        batch = Chains(
            length,
            rng.integers(0, MODULUS, size),
            np.where(live, rng.integers(0, len(FACTORS), (size, MAX_STEPS)), -1),
        )
        sixteenth = _sixteenth(batch)
        chosen = np.flatnonzero((sixteenth >= low) & (sixteenth < high))[: count - have]
        kept.append(Chains(length[chosen], batch.start[chosen], batch.factor[chosen]))
        have += len(chosen)
    return Chains(
        np.concatenate([chains.length for chains in kept]),
        np.concatenate([chains.start for chains in kept]),
        np.concatenate([chains.factor for chains in kept]),
    )


def problems(stream: Stream, count: int, seed: int) -> list[Problem]:
    """`count` different problems of a stream; the same seed gives the same ones in the same order,
    so a shorter list is the beginning of a longer one."""
    rng = np.random.default_rng([seed, list(Stream).index(stream)])
    distinct: dict[str, Problem] = {}
    while len(distinct) < count:
        for chain in draw(stream, _CHUNK, rng):
            problem = chain.problem()
            distinct.setdefault(problem.id, problem)
    return list(distinct.values())[:count]


def stream_of(chain: Chain) -> Stream:
    """The stream a chain belongs to."""
    places = [FACTORS.index(factor) for factor in chain.factors]
    places += [-1] * (MAX_STEPS - len(places))
    batch = Chains(np.array([len(chain.factors)]), np.array([chain.start]), np.array([places]))
    sixteenth = int(_sixteenth(batch)[0])
    return next(stream for stream, (low, high) in _SIXTEENTHS.items() if low <= sixteenth < high)


def _sixteenth(chains: Chains) -> NDArray[np.int64]:
    """[B] a hash of each chain, 0..15."""
    state = chains.start.astype(np.uint64)
    for column in chains.factor.T:
        state = (state ^ (column + 1).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
    return (state >> np.uint64(60)).astype(np.int64)
