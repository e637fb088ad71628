"""Results as the objects that `--json` prints: plain numbers, text and lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from outthink.measure.intervals import Interval
from outthink.policy.results import FitResult, Reported, Solved, Worth
from outthink.study.forecast import Forecast
from outthink.study.results import Accuracies, Accuracy
from outthink.study.verifiers import VerifierQuality


def accuracies(graded: int, rows: Sequence[Accuracy]) -> dict[str, Any]:
    return {"graded": graded, "rows": [_accuracy(row) for row in rows]}


def sweep(found: Accuracies) -> dict[str, Any]:
    return {
        "store": str(found.store),
        "problems": found.problems,
        **accuracies(found.graded, found.rows),
        **({} if found.missing is None else {"missing": asdict(found.missing)}),
        **({"verifiers": [_quality(one) for one in found.verifiers]} if found.verifiers else {}),
    }


def forecast(found: Forecast) -> dict[str, Any]:
    """What is not known is null."""
    return {
        "problems": found.problems,
        "searches": found.searches,
        "searches_left": found.searches_left,
        "generations": found.generations,
        "generations_left": found.generations_left,
        "written_tokens": found.written_tokens,
        "most_written_tokens": found.most_written_tokens,
        "read_tokens": found.read_tokens,
        "seconds": found.seconds,
        "least_seconds": found.least_seconds,
        "money": found.money,
        "most_money_written": found.most_money_written,
        "bytes": found.bytes,
        "least_bytes": found.least_bytes,
        "free_bytes": found.free_bytes,
        "objections": list(found.objections()),
    }


def fitting(found: FitResult) -> dict[str, Any]:
    return {
        **({} if found.path is None else {"policy": str(found.path)}),
        "problems": found.problems,
        "cells": [
            {
                "bin": cell.bin + 1,
                "budget": cell.budget,
                "strategy": cell.strategy,
                **_interval(cell.accuracy),
                "problems": cell.accuracy.problems,
            }
            for cell in found.policy.cells
        ],
        "comparison": [_worth(row) for row in found.worth],
        "notes": list(found.notes),
    }


def reported(found: Reported) -> dict[str, Any]:
    return {
        "report": str(found.page),
        **sweep(found.accuracies),
        **({} if found.fitting is None else fitting(found.fitting)),
        "notes": list(found.notes),
    }


def solved(found: Solved) -> dict[str, Any]:
    return asdict(found)


def _accuracy(row: Accuracy) -> dict[str, Any]:
    return {
        "strategy": row.strategy,
        "budget": row.budget,
        **_interval(row.accuracy),
        **({} if row.bins is None else {"bins": list(row.bins)}),
        **({} if row.bounds is None else {"bounds": list(row.bounds)}),
        "decoded_tokens_per_problem": row.decoded_tokens,
        "verifier_tokens_per_problem": row.verifier_tokens,
        "verifier_computed_share": row.verifier_computed,
    }


def _quality(one: VerifierQuality) -> dict[str, Any]:
    columns = zip(one.budgets, one.weighted, one.plain, strict=True)
    return {
        "verifier": one.verifier,
        "auc_within_problems": one.auc,
        "rows": [
            {"budget": budget, "weighted": _interval(weighted), "plain": _interval(plain)}
            for budget, weighted, plain in columns
        ],
    }


def _interval(found: Interval) -> dict[str, Any]:
    return {"accuracy": found.mean, "low": found.low, "high": found.high}


def _worth(row: Worth) -> dict[str, Any]:
    factor = row.equivalence
    return {
        "bins": row.bins.value,
        "charged": row.charged,
        "budget": row.budget,
        "cost": factor.cost,
        **_interval(row.accuracy),
        "best_of_n": row.best_of_n,
        "best_of_n_budget": row.best_of_n_budget,
        "difference": row.difference.mean,
        "difference_low": row.difference.low,
        "difference_high": row.difference.high,
        "cef": factor.factor,
        "cef_low": factor.low,
        "cef_high": None if factor.high_at_least else factor.high,
        "cef_at_least": factor.at_least,
    }
