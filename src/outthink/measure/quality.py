"""How good scores are: calibration, ranking, correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats


@dataclass(frozen=True, slots=True)
class Reliability:
    """The samples whose score lies in [low, high), the last row [low, high]."""

    low: float
    high: float
    score: float
    """Their mean score."""
    rate: float
    """The share of them that is right."""
    count: int


def reliability(
    scores: Floats, right: NDArray[np.bool_], *, rows: int = 15
) -> tuple[Reliability, ...]:
    """A reliability diagram of scores [n] in [0, 1] against right [n], in rows of equal width.

    Samples without a score (NaN) are left out, and rows without a sample. Raises `UsageError`
    where shapes differ, a score is outside [0, 1], or there is no row.
    """
    scores, right = _with_score(scores, right)
    if rows < 1 or (scores.size and not (scores.min() >= 0 and scores.max() <= 1)):
        raise UsageError(f"reliability in {rows} rows; give at least 1 row, and scores in [0, 1]")
    number = np.minimum((scores * rows).astype(np.int64), rows - 1)
    count = np.bincount(number, minlength=rows)
    total = np.bincount(number, scores, rows)
    hits = np.bincount(number, right, rows)
    return tuple(
        Reliability(
            low=row / rows,
            high=(row + 1) / rows,
            score=float(total[row] / count[row]),
            rate=float(hits[row] / count[row]),
            count=int(count[row]),
        )
        for row in np.flatnonzero(count).tolist()
    )


def calibration_error(scores: Floats, right: NDArray[np.bool_], *, rows: int = 15) -> float | None:
    """Expected calibration error: mean |score - rate| over rows of equal width, by their counts.

    `None` where no sample has a score. Guo et al. 2017 (arXiv 1706.04599), section 2. Raises as
    `reliability` does.
    """
    table = reliability(scores, right, rows=rows)
    total = sum(row.count for row in table)
    if not total:
        return None
    return sum(row.count * abs(row.score - row.rate) for row in table) / total


def chance_error(
    scores: Floats, *, rows: int = 15, draws: int = 200, seed: int = 0
) -> float | None:
    """What `calibration_error` comes to on average where every score is exactly the chance to be
    right: by the luck of so many samples alone. `None` where no sample has a score."""
    known = scores[~np.isnan(scores)]
    rng = np.random.default_rng(seed)
    errors = [
        calibration_error(known, rng.random(known.size) < known, rows=rows) for _ in range(draws)
    ]
    return float(np.mean([error for error in errors if error is not None])) if known.size else None


def auc(scores: Floats, right: NDArray[np.bool_]) -> float | None:
    """Chance that a random right sample scores above a random wrong one, a tie counting half.

    Samples without a score (NaN) are left out. `None` where right or wrong ones are missing. Raises
    `UsageError` where shapes differ.
    """
    scores, right = _with_score(scores, right)
    positive = int(np.count_nonzero(right))
    negative = right.size - positive
    if not positive or not negative:
        return None
    above = _mid_ranks(scores)[right].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def auc_within(
    scores: Sequence[Floats], right: Sequence[NDArray[np.bool_]]
) -> tuple[float, int] | None:
    """Mean `auc` over the problems that have right and wrong samples with a score, and their
    number; `None` where no problem has both.

    It is what choosing among the samples of one problem depends on. The `auc` over all samples
    together is mostly how well easy problems are told from hard ones.
    """
    values = [auc(*problem) for problem in zip(scores, right, strict=True)]
    known = [value for value in values if value is not None]
    return (float(np.mean(known)), len(known)) if known else None


def spearman(a: Floats, b: Floats) -> float | None:
    """Rank correlation of a [n] and b [n], ties at their middle rank; `None` where one is constant.

    Raises `UsageError` where shapes differ or a value is NaN.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1 or np.isnan(a).any() or np.isnan(b).any():
        raise UsageError(
            f"rank correlation of shapes {list(a.shape)} and {list(b.shape)}; "
            "give as many numbers on both sides"
        )
    if a.size == 0:
        return None
    x, y = (_mid_ranks(side) - (side.size + 1) / 2 for side in (a, b))
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else None


def _with_score(scores: Floats, right: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    scores, right = np.asarray(scores, np.float64), np.asarray(right, np.bool_)
    if scores.shape != right.shape or scores.ndim != 1:
        raise UsageError(
            f"scores of shape {list(scores.shape)} for labels of shape {list(right.shape)}; "
            "give one of each a sample"
        )
    known = ~np.isnan(scores)
    return scores[known], right[known]


def _mid_ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - (count - 1) / 2)[group]
    return ranks
