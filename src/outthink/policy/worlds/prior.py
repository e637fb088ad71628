"""How the chance p that one sample is right is spread over problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from outthink.errors import UsageError
from outthink.measure.arrays import Floats

Counts = NDArray[np.integer[Any]]


class Prior(Protocol):
    """A distribution of chances, whose moments are known."""

    def draw(self, problems: int, rng: np.random.Generator) -> Floats:
        """[problems] chances."""
        ...

    def moments(self, right: Counts, wrong: Counts) -> Floats:
        """E[p^right (1 - p)^wrong] of any shape: the chance of samples in a given order."""
        ...


@dataclass(frozen=True, slots=True)
class Beta:
    """p ~ Beta(a, b). Raises `UsageError` unless both are above 0."""

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (0 < self.a < np.inf and 0 < self.b < np.inf):
            raise UsageError(f"Beta({self.a:g}, {self.b:g}); give two numbers above 0")

    def draw(self, problems: int, rng: np.random.Generator) -> Floats:
        """[problems] chances."""
        return rng.beta(self.a, self.b, problems)

    def moments(self, right: Counts, wrong: Counts) -> Floats:
        """B(a + right, b + wrong) / B(a, b)."""
        log = betaln(self.a + right, self.b + wrong) - betaln(self.a, self.b)
        moments: Floats = np.exp(log)
        return moments


@dataclass(frozen=True, slots=True)
class Classes:
    """A few kinds of problems. Raises `UsageError` unless there is a share for each chance, all are
    in [0, 1], and the shares add up to 1."""

    chances: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.chances, *self.shares)
        alike = len(self.chances) == len(self.shares) > 0
        if not (alike and 0 <= min(numbers) <= max(numbers) <= 1):
            raise UsageError(
                f"classes of chances {self.chances} and shares {self.shares}; give one share for "
                "each chance, all in [0, 1]"
            )
        if abs(sum(self.shares) - 1) > 1e-9:
            raise UsageError(f"shares add up to {sum(self.shares):g}; they must to 1")

    def draw(self, problems: int, rng: np.random.Generator) -> Floats:
        """[problems] chances."""
        return rng.choice(self.chances, size=problems, p=self.shares)

    def moments(self, right: Counts, wrong: Counts) -> Floats:
        """The weighted sum over kinds; 0^0 is 1."""
        kinds = zip(self.chances, self.shares, strict=True)
        moments: Floats = np.sum(
            [share * np.power(p, right) * np.power(1.0 - p, wrong) for p, share in kinds], axis=0
        )
        return moments
