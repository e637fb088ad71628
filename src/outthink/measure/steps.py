"""How well scores of steps find what is wrong in a solution, by labels of its steps.

First-error F1 is that of ProcessBench: the harmonic mean of the share of wrong solutions whose
first wrong step is named and of the share of right ones in which no step is. A step is named where
it is the first to score below a threshold. Zheng et al. 2024 (arXiv 2412.06559), section 3.3; there
the threshold is chosen on one of four sets, here on the problems of the other half.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import LEVEL, RESAMPLES, Interval, resampled_means, tails_of
from outthink.measure.quality import auc

_THRESHOLDS = 200
"""Most thresholds that are tried."""
_NONE = -1
"""No step is wrong."""


@dataclass(frozen=True, slots=True)
class LabelledSteps:
    """The steps of one solution: what was said of each, and how each scores."""

    problem_id: str
    labels: tuple[bool | None, ...]
    """Whether each step is right; `None` where nobody said."""
    scores: tuple[float | None, ...]
    """One a step; `None` where it could not be had."""
    whole: bool = True
    """Whether it was labelled to its end, or to its first wrong step."""

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.scores):
            raise UsageError(
                f"problem {self.problem_id!r}: {len(self.labels)} labels and {len(self.scores)} "
                "scores of steps; give one of each a step"
            )

    @property
    def first_error(self) -> int | None:
        """The first wrong step, -1 where all are right; `None` where that is not known."""
        for place, label in enumerate(self.labels):
            if label is not True:
                return place if label is False else None
        return _NONE if self.whole and self.labels else None


@dataclass(frozen=True, slots=True)
class StepQuality:
    """How well a verifier's scores of steps agree with labels."""

    problems: int
    wrong: int
    """Solutions with a wrong step."""
    right: int
    """Solutions without one."""
    f1: Interval
    """First-error F1, at thresholds chosen on the problems of the other half."""
    found: float
    """Share of wrong solutions whose first wrong step is named."""
    kept: float
    """Share of right solutions in which no step is named."""
    thresholds: tuple[float, float]
    """Those of the two halves."""
    steps: int
    """Labelled steps with a score."""
    auc: float | None
    """Chance that a right step scores above a wrong one; `None` where one kind is missing."""


def step_quality(solutions: Sequence[LabelledSteps]) -> StepQuality | None:
    """The quality of scores; `None` without a right and a wrong solution in each half of the
    problems."""
    known = [one for one in solutions if one.first_error is not None and _is_scored(one)]
    if not known:
        return None
    truth = np.array([one.first_error for one in known])
    half = np.array([zlib.crc32(one.problem_id.encode()) % 2 for one in known])
    lowest = _running_lowest([one.scores for one in known])
    if any(np.unique(truth[half == side] == _NONE).size < 2 for side in (0, 1)):
        return None
    thresholds = tuple(_best(lowest[half != side], truth[half != side]) for side in (0, 1))
    named = np.where(half == 0, *(_named(lowest, threshold) for threshold in thresholds))
    hit, wrong = named == truth, truth != _NONE
    labels = np.array([label for one in solutions for label in _both(one)[0]], np.bool_)
    scores = np.array([score for one in solutions for score in _both(one)[1]], np.float64)
    ids = [one.problem_id for one in known]
    return StepQuality(
        len(set(ids)),
        int(wrong.sum()),
        int((~wrong).sum()),
        _interval(ids, hit, wrong),
        float(hit[wrong].mean()),
        float(hit[~wrong].mean()),
        (thresholds[0], thresholds[1]),
        labels.size,
        auc(scores, labels),
    )


def first_error_f1(found: float, kept: float) -> float:
    """The harmonic mean of the two shares."""
    return 2 * found * kept / (found + kept) if found + kept else 0.0


def _is_scored(one: LabelledSteps) -> bool:
    return all(score is not None for score in one.scores)


def _both(one: LabelledSteps) -> tuple[list[bool], list[float]]:
    """Labels and scores of the steps that have both."""
    pairs = [
        (label, score)
        for label, score in zip(one.labels, one.scores, strict=True)
        if label is not None and score is not None
    ]
    return [label for label, _ in pairs], [score for _, score in pairs]


def _running_lowest(scores: Sequence[Sequence[float | None]]) -> Floats:
    """[S, steps] the lowest score so far, that of the last step repeated."""
    table = np.full((len(scores), max(map(len, scores))), np.inf)
    for row, some in enumerate(scores):
        table[row, : len(some)] = [np.inf if one is None else one for one in some]
    lowest: Floats = np.minimum.accumulate(table, axis=1)
    return lowest


def _named(lowest: Floats, threshold: float) -> NDArray[np.int64]:
    """[S] the first step below a threshold, -1 where none is."""
    below = lowest < threshold
    return np.where(below.any(axis=1), below.argmax(axis=1), _NONE)


def _best(lowest: Floats, truth: NDArray[np.int64]) -> float:
    """The threshold of the highest F1, in the middle between two scores."""
    ends = lowest[:, -1]
    seen = np.unique(np.quantile(ends, np.linspace(0, 1, _THRESHOLDS), method="nearest"))
    tried = np.array([seen[0], *(seen[:-1] + seen[1:]) / 2, np.nextafter(seen[-1], 2.0)])
    wrong = truth != _NONE
    hits = [_named(lowest, threshold) == truth for threshold in tried]
    reached = [first_error_f1(hit[wrong].mean(), hit[~wrong].mean()) for hit in hits]
    return float(tried[int(np.argmax(reached))])


def _interval(ids: Sequence[str], hit: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> Interval:
    """F1 with its bootstrap interval over problems."""
    names, place = np.unique(ids, return_inverse=True)
    kinds = (wrong & hit, wrong, ~wrong & hit, ~wrong)
    counts = np.array([np.bincount(place, kind, names.size) for kind in kinds])
    means = resampled_means(counts, RESAMPLES, 0)
    means = means[(means[:, 1] > 0) & (means[:, 3] > 0)]
    drawn = [first_error_f1(a / b, c / d) for a, b, c, d in means]
    low, high = np.quantile(drawn, tails_of(LEVEL))
    totals = counts.sum(axis=1)
    mean = first_error_f1(totals[0] / totals[1], totals[2] / totals[3])
    return Interval(float(mean), float(low), float(high), names.size)
