"""The larger model, or a longer-thinking one: what two stores say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.exchange import (
    Accounting,
    Comparison,
    Crossover,
    Measured,
    Threshold,
    compare,
    crossovers,
)
from outthink.measure.grid import Grid
from outthink.policy.fit import fit_study
from outthink.study.sweep import OpenStudy, reopened

GREEDY = "greedy"
"""What the larger model does."""


def exchange(
    small: Path,
    large: Path,
    *,
    token_ratios: Sequence[float],
    size_ratio: float | None,
    accounting: Accounting,
    strategy: str | None,
) -> dict[str, Any]:
    """The small model with test-time compute against the larger one's greedy answer.

    The small one is compute-optimal on predicted bins, and charged for the prediction, unless a
    `strategy` is given.
    """
    with reopened(small) as ours, reopened(large) as theirs:
        if ours.study.problems != theirs.study.problems:
            raise UsageError(
                f"{small} and {large} hold different problems; sweep the same ones with both models"
            )
        greedy = theirs.study.grid.accuracy[_row(theirs.study.grid, GREEDY, large), 0]
        ratio = size_ratio or _size_ratio(ours, theirs)
        measured, cost = _measured(ours, greedy, ratio, strategy, small)
        charged = replace(accounting, difficulty=float(cost))
        seed = ours.asked.seed
        return {
            "problems": len(ours.study.problems),
            "small": ours.asked.proposer,
            "large": theirs.asked.proposer,
            "strategy": strategy or "compute-optimal",
            "size_ratio": ratio,
            "accounting": accounting.name,
            "difficulty_samples": cost,
            "comparisons": [
                _compared(row) for row in compare(measured, token_ratios, charged, seed=seed)
            ],
            "crossovers": [_crossed(row) for row in crossovers(measured, charged, seed=seed)],
        }


def _measured(
    small: OpenStudy, large: Floats, ratio: float, strategy: str | None, path: Path
) -> tuple[Measured, int]:
    """What the smaller model does against the larger one's accuracy [P], and the samples a problem
    that it pays to know the difficulty."""
    fitted = fit_study(small.study, seed=small.asked.seed)
    grid = small.study.grid
    if strategy is None:
        accuracy, cost = fitted.predicted.held_out, fitted.policy.samples
    else:
        accuracy, cost = grid.accuracy[_row(grid, strategy, path)], 0
    return Measured(grid.budgets, accuracy, large, ratio, fitted.predicted.bins), cost


def _row(grid: Grid, name: str, store: Path) -> int:
    if name not in grid.strategies:
        raise UsageError(
            f"{store} holds no {name}; sweep it with '--strategies {name}' among the others"
        )
    return grid.strategies.index(name)


def _size_ratio(small: OpenStudy, large: OpenStudy) -> float:
    """M, where both stores tell how large their models are."""
    counts = [opened.asked.parameters for opened in (small, large)]
    if None in counts:
        raise UsageError(
            "a store does not say how many parameters its model has; give the larger model's over "
            "the smaller one's as --size-ratio"
        )
    first, second = (float(count or 0) for count in counts)
    return second / first


def _compared(row: Comparison) -> dict[str, Any]:
    difference = row.difference
    return {
        "bin": None if row.bin is None else row.bin + 1,
        "R": row.token_ratio,
        "matched": row.matched,
        "budget": row.budget,
        "match": row.match.value,
        "small": row.small,
        "large": row.large,
        "difference": difference and difference.mean,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "problems": row.problems,
        "note": row.note,
    }


def _crossed(row: Crossover) -> dict[str, Any]:
    return {
        "bin": None if row.bin is None else row.bin + 1,
        "verdict": row.estimate.smaller_wins.value,
        "k_star": row.estimate.budget,
        "R_star": row.estimate.token_ratio,
        "low": _end(row.low),
        "high": _end(row.high),
        "problems": row.problems,
        "note": row.note,
    }


def _end(threshold: Threshold) -> dict[str, Any]:
    """One end of the interval of R*."""
    return {"verdict": threshold.smaller_wins.value, "R_star": threshold.token_ratio}
