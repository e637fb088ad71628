"""Confidence intervals: the paired bootstrap over problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats

LEVEL = 0.95
"""Share of repeated experiments whose interval should hold the truth."""
_CELLS = 1 << 20
"""Array elements worked on at once, so that memory does not grow with the number of resamples."""
_KEPT_CELLS = 1 << 23
"""Resamples times problems up to which resamples are remembered."""

RESAMPLES = 2000
"""Bootstrap resamples of an interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over problems with its bootstrap interval."""

    mean: float
    low: float
    high: float
    problems: int


def interval(
    values: Floats, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of values [P], one a problem, with the percentile bootstrap over problems.

    It speaks of other problems of the same kind, not of other training runs. Where all values are
    equal it has no width, whatever the truth: all wrong on 20 problems is not proof of 0. Raises
    `UsageError` for no problem, a value that is not finite, or a level outside (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise UsageError(
            f"interval over values of shape {list(values.shape)}; give one finite number a problem"
        )
    return intervals(values[None], level=level, resamples=resamples, seed=seed)[0]


def intervals(
    values: Floats, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """`interval` of each row of values [K, P], from the same resamples of problems."""
    means = resampled_means(np.asarray(values, np.float64), resamples, seed)
    lows, highs = np.quantile(means, tails_of(level), axis=0)
    return [
        Interval(float(row.mean()), float(low), float(high), row.size)
        for row, low, high in zip(values, lows, highs, strict=True)
    ]


def paired(
    a: Floats, b: Floats, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of a - b, values [P] on the same problems in the same order, with its interval.

    Problems are resampled together with both values, so what makes a problem hard cancels. Raises
    `UsageError` as `interval` does, and where the shapes differ.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise UsageError(f"paired values of {a.size} and {b.size} problems; give the same problems")
    return interval(a - b, level=level, resamples=resamples, seed=seed)


def wilson(rate: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle = rate + z * z / (2 * count)
    half = z * np.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return float(max(0.0, (middle - half) / scale)), float(min(1.0, (middle + half) / scale))


def tails_of(level: float) -> tuple[float, float]:
    """The two quantiles that hold `level` between them. Raises `UsageError` outside (0, 1)."""
    if not 0 < level < 1:
        raise UsageError(f"level {level}; give a share between 0 and 1, such as {LEVEL}")
    return (1 - level) / 2, (1 + level) / 2


def resampled_means(values: Floats, resamples: int, seed: int) -> Floats:
    """[resamples, K]: means of values [K, P] over problems drawn with replacement, K together.

    The bootstrap all intervals here come from. Raises `UsageError` for no resample.
    """
    if resamples < 1:
        raise UsageError(f"{resamples} bootstrap resamples; give at least 1, better {RESAMPLES}")
    problems = values.shape[1]
    few = resamples * problems <= _KEPT_CELLS
    times = (_kept_resamples if few else _resamples)(problems, resamples, seed)
    return np.concatenate([some.astype(np.float64) @ values.T / problems for some in times])


def _resamples(problems: int, resamples: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """[some, P] how often each problem is in a resample; `resamples` of them in all."""
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // problems)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(problems, size=(count, problems))
        drawn += problems * np.arange(count).reshape(-1, 1)
        times = np.bincount(drawn.ravel(), minlength=count * problems)
        yield times.reshape(count, problems).astype(np.uint16)


@lru_cache(maxsize=8)
def _kept_resamples(problems: int, resamples: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    return tuple(_resamples(problems, resamples, seed))
