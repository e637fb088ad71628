"""The lab's task: chains of "multiply, add, keep the last four digits".

    4071 *7+3 *2+9        the prompt: a start and one to MAX_STEPS operations
    *7+3=8500             one line a step
    *2+9=7009             the last line holds the answer

Each result is written from its first digit, before the carries below it are on paper, so writing a
step takes looking ahead; checking one takes two neighbouring columns at a time. That is what makes
verification easier than generation here. An answer is one of 10^DIGITS numbers, so guessing is
hopeless, and nothing in the text says whether it is right.

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

DIGITS = 4
MAX_STEPS = 6
MODULUS = 10**DIGITS
CHANCE = 1 / MODULUS
"""Share of right answers when guessing."""


class Stream(StrEnum):
    """Which problems: training, calibration (policies, difficulty) or test."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    TEST = "test"


_SIXTEENTHS = {Stream.TEST: (0, 2), Stream.CALIBRATION: (2, 4), Stream.TRAIN: (4, 16)}


@dataclass(frozen=True, slots=True)
class Chain:
    """One problem as numbers."""

    start: int
    operations: tuple[tuple[int, int], ...]
    """(factor, summand) of each step: factors 2..9, summands 0..9."""

    @property
    def prompt(self) -> str:
        """As a person and the tokenizer read it."""
        return " ".join([f"{self.start:0{DIGITS}d}", *(f"*{d}+{e}" for d, e in self.operations)])

    @property
    def values(self) -> tuple[int, ...]:
        """The exact result of every step."""
        value, results = self.start, []
        for factor, summand in self.operations:
            value = (value * factor + summand) % MODULUS
            results.append(value)
        return tuple(results)

    @property
    def answer(self) -> str:
        return f"{self.values[-1]:0{DIGITS}d}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The exact solution, a step a line."""
        return tuple(
            f"*{d}+{e}={value:0{DIGITS}d}\n"
            for (d, e), value in zip(self.operations, self.values, strict=True)
        )

    def problem(self) -> Problem:
        """Its id is its prompt without blanks: unique, and the same in every run."""
        return Problem(self.prompt.replace(" ", ""), self.prompt, self.answer)


_PROMPT = re.compile(rf"\d{{{DIGITS}}}( \*[2-9]\+\d){{1,{MAX_STEPS}}}")


def parse(prompt: str) -> Chain:
    """The chain a prompt describes. Raises `UsageError` where it describes none."""
    if not _PROMPT.fullmatch(prompt):
        raise UsageError(
            f"not a problem of the lab's task: {prompt!r}; write {DIGITS} digits and 1 to "
            f"{MAX_STEPS} operations, such as '4071 *7+3 *2+9'"
        )
    start, *operations = prompt.split()
    return Chain(int(start), tuple((int(word[1]), int(word[3])) for word in operations))


@dataclass(frozen=True, slots=True)
class Chains:
    """Many chains as columns, for training."""

    length: NDArray[np.int64]
    """[B] number of operations."""
    start: NDArray[np.int64]
    """[B]"""
    factor: NDArray[np.int64]
    """[B, MAX_STEPS]; 0 past the length."""
    summand: NDArray[np.int64]
    """[B, MAX_STEPS]; 0 past the length."""

    def __iter__(self) -> Iterator[Chain]:
        for length, start, factor, summand in zip(
            self.length.tolist(),
            self.start.tolist(),
            self.factor.tolist(),
            self.summand.tolist(),
            strict=True,
        ):
            yield Chain(start, tuple(zip(factor[:length], summand[:length], strict=True)))


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
            rng.integers(2, 10, (size, MAX_STEPS)) * live,
            rng.integers(0, 10, (size, MAX_STEPS)) * live,
        )
        sixteenth = _sixteenth(batch)
        chosen = np.flatnonzero((sixteenth >= low) & (sixteenth < high))[: count - have]
        kept.append(
            Chains(length[chosen], batch.start[chosen], batch.factor[chosen], batch.summand[chosen])
        )
        have += len(chosen)
    return Chains(
        np.concatenate([chains.length for chains in kept]),
        np.concatenate([chains.start for chains in kept]),
        np.concatenate([chains.factor for chains in kept]),
        np.concatenate([chains.summand for chains in kept]),
    )


def problems(stream: Stream, count: int, seed: int) -> list[Problem]:
    """`count` different problems of a stream; the same seed gives the same ones."""
    rng = np.random.default_rng([seed, list(Stream).index(stream)])
    found: dict[str, Problem] = {}
    while len(found) < count:
        for chain in draw(stream, count - len(found), rng):
            problem = chain.problem()
            found.setdefault(problem.id, problem)
    return list(found.values())


def stream_of(chain: Chain) -> Stream:
    """The stream a chain belongs to."""
    length = len(chain.operations)
    pad = (0,) * (MAX_STEPS - length)
    batch = Chains(
        np.array([length]),
        np.array([chain.start]),
        np.array([tuple(d for d, _ in chain.operations) + pad]),
        np.array([tuple(e for _, e in chain.operations) + pad]),
    )
    sixteenth = int(_sixteenth(batch)[0])
    return next(stream for stream, (low, high) in _SIXTEENTHS.items() if low <= sixteenth < high)


def _sixteenth(chains: Chains) -> NDArray[np.int64]:
    """[B] a hash of each chain, 0..15."""
    state = chains.start.astype(np.uint64) + np.uint64(chains.factor.shape[1])
    columns = np.concatenate([chains.factor, chains.summand], axis=1).astype(np.uint64)
    for column in columns.T:
        state = (state ^ column) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
    return (state >> np.uint64(60)).astype(np.int64)
