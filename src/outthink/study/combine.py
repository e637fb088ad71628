"""How to weigh several verifiers, learnt from what they said of the samples of a store.

A logistic regression on the log odds of their scores. What it is worth is told on problems that it
was not fitted on: each half of the problems by the other half. The one that is kept is fitted on
all. Nothing is drawn, scored or judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval, paired
from outthink.measure.logistic import logistic
from outthink.measure.quality import auc, auc_within
from outthink.study.record import Asked
from outthink.study.sweep import OpenStudy
from outthink.study.verifiers import asked_with, scored_by, study_by
from outthink.verify.combined import Learnt, log_odds

_RIDGE = 1.0
_FOLDS = 2


@dataclass(frozen=True, slots=True)
class Combination:
    """A learnt combination, and what it is worth on problems that it was not fitted on."""

    learnt: Learnt
    auc: float | None
    """Within problems, as `VerifierQuality.auc`; `None` where no problem has right and wrong."""
    best: str
    """The part with the best such figure, on all problems."""
    best_auc: float | None
    gain: Interval | None
    """That of the combination less that of the best part, on the problems that have right and
    wrong samples."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What every part said of the samples of every problem."""

    columns: list[Floats]
    """A problem: [n, 1 + parts] ones, and log odds; NaN where a part said nothing."""
    right: list[Floats]


def combine(opened: OpenStudy, names: Sequence[str]) -> Combination:
    """Learn to combine the verifiers of these names: as they were typed, or as the store has them.

    Raises `UsageError` for fewer than two, for one that did not score the pool, and where no sample
    is right or none is wrong.
    """
    asked = [asked_with(opened.store, name) for name in names]
    full = [str(one.verifier) for one in asked]
    if len(set(full)) < 2:
        raise UsageError(f"a combination of {len(set(full))} verifiers; name two or more")
    scored = scored_by(opened.store, opened.study.asked)
    if lacking := [name for name in full if name not in scored]:
        raise UsageError(
            f"{opened.store.path}: {lacking[0]} did not score its pool; sweep again with it"
        )
    read = _read(opened, full)
    labels = np.concatenate(read.right)
    if labels.min() == labels.max():
        raise UsageError(
            f"{opened.store.path}: its samples are all {'right' if labels.max() else 'wrong'}; "
            "nothing can be learnt"
        )
    weights = _fitted(read, range(len(read.right)))
    typed = tuple(map(_typed, asked, full))
    made = Learnt(typed, tuple(full), tuple(weights[1:]), weights[0], len(read.right))
    return _judged(made, read)


def _typed(asked: Asked, full: str) -> str:
    return asked.spec.get("verifier", full)


def _read(opened: OpenStudy, names: Sequence[str]) -> _Read:
    pools = [study_by(opened.store, opened.study, name).pools for name in names]
    columns, right = [], []
    for same in zip(*pools, strict=True):
        odds = [_odds(pool.scores.astype(np.float64)) for pool in same]
        columns.append(np.stack([np.ones(same[0].size), *odds], axis=1))
        right.append(same[0].right.astype(np.float64))
    return _Read(columns, right)


def _odds(scores: Floats) -> Floats:
    return np.array([np.nan if np.isnan(score) else log_odds(score) for score in scores])


def _fitted(read: _Read, places: Sequence[int]) -> list[float]:
    columns = np.concatenate([read.columns[place] for place in places])
    right = np.concatenate([read.right[place] for place in places])
    known = ~np.isnan(columns).any(axis=1)
    return [float(weight) for weight in logistic(columns[known], right[known], ridge=_RIDGE)]


def _judged(made: Learnt, read: _Read) -> Combination:
    problems = range(len(read.right))
    fits = [
        _fitted(read, [place for place in problems if place % _FOLDS != fold])
        for fold in range(min(_FOLDS, len(problems)))
        if len(problems) > 1
    ]
    labels = [right.astype(bool) for right in read.right]
    parts = {
        name: auc_within([rows[:, column] for rows in read.columns], labels)
        for column, name in enumerate(made.names, 1)
    }
    best = max(parts, key=lambda name: (parts[name] or (0.0, 0))[0])
    told = parts[best]
    if not fits:
        return Combination(made, None, best, told and told[0], None)
    chances = [expit(read.columns[place] @ fits[place % _FOLDS]) for place in problems]
    held_out = auc_within(chances, labels)
    at = 1 + made.names.index(best)
    pairs = [
        (auc(mine, right), auc(rows[:, at], right))
        for mine, rows, right in zip(chances, read.columns, labels, strict=True)
    ]
    known = np.array([pair for pair in pairs if None not in pair], np.float64)
    gain = paired(known[:, 0], known[:, 1]) if len(known) else None
    return Combination(made, held_out and held_out[0], best, told and told[0], gain)
