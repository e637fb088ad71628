"""How far two judges agree: Cohen's kappa, and statistics of clustered samples with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import LEVEL, Interval, tails_of

RESAMPLES = 1000


def cohen_kappa(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float | None:
    """Agreement of two verdicts [n] beyond chance: 1 is all, 0 what chance alone would give (Cohen
    1960). `None` where both say the same of everything, and chance would too, or there is none.

    Raises `UsageError` where shapes differ.
    """
    a, b = np.asarray(a, np.bool_), np.asarray(b, np.bool_)
    if a.shape != b.shape or a.ndim != 1:
        raise UsageError(
            f"verdicts of shapes {list(a.shape)} and {list(b.shape)}; give as many on both sides"
        )
    if not a.size:
        return None
    same, chance = float((a == b).mean()), float(a.mean() * b.mean() + (~a).mean() * (~b).mean())
    return None if chance == 1 else (same - chance) / (1 - chance)


def clustered(
    statistic: Callable[[Floats], float | None],
    problems: Sequence[Floats],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """A statistic of all rows [n, ...], and its percentile bootstrap over problems, whose rows stay
    together. Resamples in which it is not defined are left out; `None` where it is not defined on
    all, or on fewer than half of them."""
    whole = statistic(np.concatenate(problems)) if problems else None
    if whole is None:
        return None
    rng, values = np.random.default_rng(seed), []
    for _ in range(resamples):
        places = rng.integers(len(problems), size=len(problems))
        value = statistic(np.concatenate([problems[place] for place in places]))
        if value is not None:
            values.append(value)
    if len(values) < resamples / 2:
        return None
    low, high = np.quantile(values, tails_of(LEVEL))
    return Interval(whole, float(low), float(high), len(problems))
