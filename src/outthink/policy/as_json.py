"""Results as the objects that `--json` prints: plain numbers, text and lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from outthink.measure.arrays import Floats
from outthink.measure.equivalence import Equivalence
from outthink.measure.intervals import Interval
from outthink.policy.cascade import Cascade, Crossing, Way
from outthink.policy.frontier import Frontier, Point, leads, over
from outthink.policy.menu import Stage
from outthink.policy.promise import Kept
from outthink.policy.results import FitResult, Reported, SequentialFit, Solved, VersusBaseline
from outthink.study.forecast import Forecast
from outthink.study.results import Accuracies, Accuracy
from outthink.study.verifiers import VerifierQuality


def accuracies(graded: int, rows: Sequence[Accuracy]) -> dict[str, Any]:
    return {"graded": graded, "rows": [_accuracy(row) for row in rows]}


def sweep(result: Accuracies) -> dict[str, Any]:
    return {
        "store": str(result.store),
        "problems": result.problems,
        **accuracies(result.graded, result.rows),
        **({} if result.missing is None else {"missing": asdict(result.missing)}),
        **({"verifiers": [_quality(one) for one in result.verifiers]} if result.verifiers else {}),
        **({} if result.graded_for is None else {"grading": asdict(result.graded_for)}),
        **({} if result.steps is None else {"steps": asdict(result.steps)}),
    }


def promises(kept: Sequence[Kept]) -> dict[str, Any]:
    """Nothing where no policy was run."""
    rows = [
        {
            "strategy": one.strategy,
            "budget": one.budget,
            "currency": one.currency,
            "promised_cost": asdict(one.promised_cost),
            "cost": asdict(one.cost),
            "promised_accuracy": asdict(one.promised_accuracy),
            "accuracy": asdict(one.accuracy),
            "holds": one.holds,
            "calibration_error": one.calibration_error,
            "calibration_error_by_chance": one.chance_error,
            "capped": one.is_capped,
        }
        for one in kept
    ]
    return {"promises": rows} if rows else {}


def cascade(result: Cascade) -> dict[str, Any]:
    """A ratio that is never reached is null."""
    return {
        "problems": result.problems,
        "currency": result.currency,
        "small": result.names[0],
        "large": result.names[1],
        "price_ratio": result.ratio,
        "within": result.within,
        "large_alone": _way(result.large),
        "small_alone": [_way(way) for way in result.small],
        "cascade": [_way(way) for way in result.both],
        "cheaper_from": {
            "cascade_than_large": _crossing(result.both_over_large),
            "small_than_large": _crossing(result.small_over_large),
            "small_than_cascade": _crossing(result.small_over_both),
        },
    }


def _way(way: Way) -> dict[str, Any]:
    return {
        "name": way.name,
        "cost": asdict(way.cost),
        "accuracy": asdict(way.accuracy),
        "samples_of_small": way.samples,
        "answers_of_large": way.asked,
        "difference_from_large": asdict(way.difference),
    }


def _crossing(one: Crossing) -> dict[str, float | None]:
    ends = {"price_ratio": one.ratio, "low": one.low, "high": one.high}
    return {name: value if math.isfinite(value) else None for name, value in ends.items()}


def forecast(cost: Forecast) -> dict[str, Any]:
    """A figure that is not known is null."""
    return {
        "problems": cost.problems,
        "searches": cost.searches,
        "searches_left": cost.searches_left,
        "generations": cost.generations,
        "generations_left": cost.generations_left,
        "written_tokens": cost.written_tokens,
        "most_written_tokens": cost.most_written_tokens,
        "read_tokens": cost.read_tokens,
        "seconds": cost.seconds,
        "least_seconds": cost.least_seconds,
        "money": cost.money,
        "most_money_written": cost.most_money_written,
        "bytes": cost.bytes,
        "least_bytes": cost.least_bytes,
        "free_bytes": cost.free_bytes,
        "objections": list(cost.objections()),
    }


def fitting(fit: FitResult) -> dict[str, Any]:
    return {
        "kind": "table",
        **({} if fit.path is None else {"policy": str(fit.path)}),
        "problems": fit.problems,
        "cells": [
            {
                "bin": cell.bin + 1,
                "budget": cell.budget,
                "strategy": cell.strategy,
                **_interval(cell.accuracy),
                "problems": cell.accuracy.problems,
            }
            for cell in fit.policy.cells
        ],
        "comparison": [_versus_baseline(row) for row in fit.versus_baseline],
        "notes": list(fit.notes),
    }


def sequential(fit: SequentialFit) -> dict[str, Any]:
    frontier = fit.frontier
    return {
        "kind": "sequential",
        **({} if fit.path is None else {"policy": str(fit.path)}),
        "problems": len(frontier.problems),
        "currency": frontier.currency,
        "menu": [stage.name for stage in frontier.menu],
        "frontier": [
            {
                "price": saving.price,
                "cost": asdict(saving.cost),
                "accuracy": asdict(saving.accuracy),
                "versus_baseline": _factor(saving.baseline),
                "versus_strongest": _factor(saving.strongest),
                "difference": _interval(saving.difference),
                "runs": _runs(frontier.menu, point.runs.mean(axis=0)),
            }
            for saving, point in zip(fit.savings, frontier.points, strict=True)
        ],
        "members": [
            {
                "price": member.price,
                "promised_cost": asdict(member.cost),
                "promised_accuracy": asdict(member.accuracy),
                "plan": None if member.plan is None else member.plan.told(frontier.menu),
            }
            for member in fit.family.members
        ],
        "baseline": frontier.baseline,
        "fixed": [
            {
                "strategy": curve.name,
                "cost": list(curve.costs),
                "accuracy": curve.accuracy.mean(axis=1).tolist(),
            }
            for curve in frontier.fixed
        ],
        "rules": [
            {
                "rule": name,
                "points": [_rule_point(frontier, point) for point in points],
                "policy_leads": [
                    {"cost": cost, **_interval(lead)} for cost, lead in leads(frontier, points)
                ],
            }
            for name, points in frontier.rules
        ],
        "notes": list(fit.notes),
    }


def _rule_point(frontier: Frontier, point: Point) -> dict[str, Any]:
    gap = over(frontier, point)
    return {
        "cost": point.mean_cost.mean,
        "accuracy": point.accuracy.mean,
        "policy_over_it": None if gap is None else _interval(gap),
    }


def _runs(menu: Sequence[Stage], means: Floats) -> dict[str, float]:
    return {stage.name: float(mean) for stage, mean in zip(menu, means, strict=True) if mean}


def _factor(factor: Equivalence) -> dict[str, Any]:
    """An upper bound that lies outside what was run is null."""
    return {
        "factor": factor.factor,
        "low": factor.low,
        "high": factor.known_high,
        "at_least": factor.at_least,
    }


def reported(result: Reported) -> dict[str, Any]:
    return {
        "report": str(result.page),
        **sweep(result.accuracies),
        **promises(result.kept),
        **_table(result.fitting),
        **_saved(result.sequential),
        "notes": list(result.notes),
    }


def _table(fit: FitResult | None) -> dict[str, Any]:
    if fit is None:
        return {}
    return {name: value for name, value in fitting(fit).items() if name != "kind"}


def _saved(fit: SequentialFit | None) -> dict[str, Any]:
    if fit is None:
        return {}
    told = sequential(fit)
    policy = told.pop("policy", None)
    return {"sequential": told, **({} if policy is None else {"policy": policy})}


def solved(result: Solved) -> dict[str, Any]:
    decisions = [
        {
            "stage": None if one.stage is None else one.stage.name,
            "spent": one.spent,
            "answer": one.answer,
            "chance": one.chance,
            "worth": one.worth,
            "usage": None if one.usage is None else asdict(one.usage),
        }
        for one in result.decisions
    ]
    return {**asdict(replace(result, decisions=())), "decisions": decisions}


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
        **({} if row.saved is None else {"saved": asdict(row.saved)}),
    }


def _quality(one: VerifierQuality) -> dict[str, Any]:
    columns = zip(one.budgets, one.weighted, one.plain, strict=True)
    return {
        "verifier": one.verifier,
        "auc_within_problems": one.auc,
        "auc_problems": one.auc_problems,
        "auc_all": one.auc_all,
        "calibration_error": one.error,
        "calibration_error_held_out": one.error_after,
        "verifier_tokens_per_solution": one.tokens,
        "rows": [
            {"budget": budget, "weighted": _interval(weighted), "plain": _interval(plain)}
            for budget, weighted, plain in columns
        ],
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {"accuracy": interval.mean, "low": interval.low, "high": interval.high}


def _versus_baseline(row: VersusBaseline) -> dict[str, Any]:
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
        "cef_high": factor.known_high,
        "cef_at_least": factor.at_least,
    }
