"""Scores made into probabilities: isotonic regression, judged on problems it was not fitted on.

The fit is the non-decreasing function of the score that is nearest to the labels in squares, by
pooling neighbours that are in the wrong order (Ayer et al. 1955; for classifiers Zadrozny and Elkan
2002). Knows nothing of verifiers or stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats

Labels = NDArray[np.bool_]
FOLDS = 2


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A non-decreasing function from scores to probabilities, constant outside what was seen and
    straight between its places."""

    places: tuple[float, ...]
    """Scores, rising; each block of equal probability has its first and its last."""
    chances: tuple[float, ...]
    """The probability at each, rising."""

    @classmethod
    def fit(cls, scores: Floats, right: Labels) -> Isotonic:
        """Fitted on scores [n] and labels [n]; equal scores get one probability.

        Raises `UsageError` where there is no sample with a score, or shapes differ.
        """
        scores, right = np.asarray(scores, np.float64), np.asarray(right, np.bool_)
        known = ~np.isnan(scores)
        if scores.shape != right.shape or scores.ndim != 1 or not known.any():
            raise UsageError(
                f"isotonic fit on scores of shape {list(scores.shape)} and labels of shape "
                f"{list(right.shape)}; give one of each a sample, and a score at least"
            )
        values, group = np.unique(scores[known], return_inverse=True)
        weights = np.bincount(group).astype(np.float64)
        means = np.bincount(group, right[known]) / weights
        places, chances = [], []
        for first, last, mean in _pooled(means, weights):
            ends = values[[first, last]] if last > first else values[[first]]
            places += ends.tolist()
            chances += [mean] * len(ends)
        return cls(tuple(places), tuple(chances))

    def __call__(self, scores: Floats) -> Floats:
        """The probability of each score; NaN where there is none."""
        return np.interp(scores, self.places, self.chances)


def _pooled(means: Floats, weights: Floats) -> list[tuple[int, int, float]]:
    """First place, last place and mean of the blocks, means rising strictly."""
    blocks: list[tuple[int, int, float, float]] = []
    for place, (mean, weight) in enumerate(zip(means.tolist(), weights.tolist(), strict=True)):
        first, total = place, mean * weight
        while blocks and blocks[-1][2] * weight >= total * blocks[-1][3]:
            above = blocks.pop()
            first, total, weight = above[0], total + above[2], weight + above[3]
        blocks.append((first, place, total, weight))
    return [(first, last, total / weight) for first, last, total, weight in blocks]


def held_out(
    scores: Sequence[Floats], right: Sequence[Labels], *, folds: int = FOLDS
) -> list[Floats] | None:
    """Probabilities of the samples of each problem, from the scores and labels of the problems of
    other folds; problem i is in fold i modulo `folds`.

    `None` where a fold would be fitted on no score: with fewer than two problems that have one.
    """
    result: list[Floats] = []
    fits = []
    for fold in range(folds):
        others = [place for place in range(len(scores)) if place % folds != fold]
        known = [place for place in others if not np.isnan(scores[place]).all()]
        if not known:
            return None
        parts = (np.concatenate([some[place] for place in known]) for some in (scores, right))
        fits.append(Isotonic.fit(*parts))
    for place, some in enumerate(scores):
        result.append(fits[place % folds](some))
    return result
