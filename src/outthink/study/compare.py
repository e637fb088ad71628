"""Differences between strategies, and between verifiers, on the same problems of a store.

Both are paired: a problem is resampled with all that was done on it, so what makes it hard cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval, paired
from outthink.measure.quality import auc
from outthink.search import strategy
from outthink.study.read import Study
from outthink.study.sweep import OpenStudy
from outthink.study.verifiers import WEIGHTED, VerifierQuality, side_by_side, study_by


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more of something one has than another."""

    one: str
    other: str
    what: str
    """`accuracy at N = 16`, or `AUC within problems`."""
    value: Interval


@dataclass(frozen=True, slots=True)
class Compared:
    """What a store says about strategies and verifiers, held against one another."""

    problems: int
    verifiers: tuple[VerifierQuality, ...]
    between_verifiers: tuple[Difference, ...]
    between_strategies: tuple[Difference, ...]


def compared(opened: OpenStudy, against: str | None = None) -> Compared:
    """Every strategy against one (the first of the sweep, unless `against` names another), every
    verifier against the first that scored the pool.

    Raises `UsageError` where no problem has a reference, or `against` was not run.
    """
    study = opened.study
    if not study.problems:
        raise UsageError(f"{opened.store.path}: no problem has a reference; nothing to compare")
    qualities = side_by_side(opened.store, study)
    own = [study_by(opened.store, study, one.verifier) for one in qualities]
    return Compared(
        len(study.problems),
        qualities,
        tuple(row for other in own[1:] for row in _between(other, own[0])),
        _strategies(study, against),
    )


def _between(one: Study, other: Study) -> list[Difference]:
    names = one.asked.verifier or "", other.asked.verifier or ""
    budgets = one.plan.budgets
    rows = [
        Difference(*names, f"best_of_n at N = {budget}", paired(mine, theirs))
        for budget, mine, theirs in zip(
            budgets, one.curve(WEIGHTED, budgets), other.curve(WEIGHTED, budgets), strict=True
        )
    ]
    mine, theirs = _aucs(one), _aucs(other)
    both = ~np.isnan(mine) & ~np.isnan(theirs)
    if both.any():
        value = paired(mine[both], theirs[both])
        rows.insert(0, Difference(*names, "AUC within problems", value))
    return rows


def _aucs(study: Study) -> Floats:
    """[P]; NaN for a problem without right or wrong samples."""
    values = [auc(pool.scores.astype(np.float64), pool.right) for pool in study.pools]
    return np.array([np.nan if value is None else value for value in values])


def _strategies(study: Study, against: str | None) -> tuple[Difference, ...]:
    names = study.strategies
    base = strategy(against).name if against else names[0] if names else ""
    if against and base not in names:
        raise UsageError(f"{base} was not run; the sweep has {', '.join(names) or 'none'}")
    grid, rows = study.grid, []
    accuracy = dict(zip(grid.strategies, grid.accuracy, strict=True))
    for name in names:
        for column, budget in enumerate(grid.budgets):
            if name == base or not (study.is_known(name, budget) and study.is_known(base, budget)):
                continue
            value = paired(accuracy[name][column], accuracy[base][column])
            rows.append(Difference(name, base, f"accuracy at N = {budget}", value))
    return tuple(rows)
