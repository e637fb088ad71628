"""Policies as files: JSON, written whole or not at all, and refused where anything is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from outthink import whole
from outthink.errors import PolicyError, UsageError
from outthink.grade import grading
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval
from outthink.policy.chance import ScoreCurve
from outthink.policy.family import Family, Member, Origin
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan
from outthink.policy.pooled import Table
from outthink.policy.sequential import Chances
from outthink.policy.table import Policy, get
from outthink.search.select import AnswerAggregation

FORMAT = 7
WITHOUT_LADDERS = 6
"""The format before this one, which is read too: plans have no bounds."""
WITHOUT_PLANS = 5
"""The one before that, which is read too: none of its members is a plan."""
KIND = "sequential"
_LIKELIEST = "likeliest"
"""How a plan says that its answer is the likeliest one."""


def load(path: str | Path) -> Policy | Family:
    """The policy in a file, of either kind.

    Raises `PolicyError` where there is no such file, it is no policy, of another format, or lacks
    or garbles a field.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Policy.load(path)  # which says what is wrong
    if not isinstance(data, dict) or data.get("kind") != KIND:
        return Policy.load(path)
    try:
        return _parse(data)
    except (UsageError, ValueError, TypeError, OverflowError) as error:
        raise PolicyError(f"policy {path}: {error}") from error


def save(family: Family, path: str | Path) -> None:
    """Write a family. Raises `OSError` where it cannot be written."""
    data = {
        "format": FORMAT,
        "kind": KIND,
        "provenance": asdict(family.provenance),
        "currency": family.currency,
        "most": family.most,
        "menu": [
            {"stage": stage.name, "cost": cost, "runs": runs}
            for stage, cost, runs in zip(family.menu, family.costs, family.runs, strict=True)
        ],
        "chances": {
            "curves": {
                name: {"unscored": curve.unscored, "weights": list(curve.weights)}
                for name, curve in family.chances.curves.items()
            },
            "weights": _numbers(family.chances.weights),
        },
        "members": [
            {
                "price": member.price,
                "fitted_at": member.fitted_at or member.price,
                "cost": asdict(member.cost),
                "accuracy": asdict(member.accuracy),
                "first": _numbers(member.first),
                "values": [_numbers(row) for row in member.values],
                "plan": _plan_as_json(member.plan, family.menu),
                "tables": [
                    {
                        "keys": list(map(int, table.keys)),
                        "values": [_numbers(row) for row in table.values],
                    }
                    for table in member.tables
                ],
            }
            for member in family.members
        ],
    }
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    whole.write(Path(path), text)


def _plan_as_json(plan: Plan | None, menu: Sequence[Stage]) -> dict[str, Any]:
    """Empty where there is none."""
    if plan is None:
        return {}
    stages = [menu[number].name for number in plan.stages]
    bounds = [_exact(pair) for pair in plan.bounds]
    return {"stages": stages, "answer_by": plan.answer_by or _LIKELIEST, "bounds": bounds}


def _exact(bounds: tuple[float, float]) -> list[float | None]:
    """Not rounded: a bound is a probability that was seen. `null` stands for no upper one."""
    low, high = bounds
    return [low, high if np.isfinite(high) else None]


def _numbers(values: Floats) -> list[float | None]:
    """Rounded to what a decision can depend on; `null` stands for minus infinity."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def _array(values: list[Any]) -> Floats:
    return np.array([-np.inf if value is None else float(value) for value in values])


def _parse(data: Mapping[str, Any]) -> Family:
    if get(data, "format", int) not in (FORMAT, WITHOUT_LADDERS, WITHOUT_PLANS):
        raise PolicyError(
            f"format {data['format']}, this version reads {FORMAT}; fit it again on its store, "
            "with 'outthink fit'"
        )
    menu = get(data, "menu", list)
    names = [get(entry, "stage", str) for entry in menu]
    is_old = data["format"] == WITHOUT_PLANS
    chances = get(data, "chances", dict)
    curves = get(chances, "curves", dict)
    family = Family(
        menu=tuple(Stage.parse(get(entry, "stage", str)) for entry in menu),
        costs=tuple(get(entry, "cost", float) for entry in menu),
        runs=tuple(get(entry, "runs", int) for entry in menu),
        currency=get(data, "currency", str),
        most=get(data, "most", float),
        chances=Chances(
            {
                name: ScoreCurve(
                    get(curve, "unscored", float), tuple(map(float, get(curve, "weights", list)))
                )
                for name, curve in curves.items()
            },
            _array(get(chances, "weights", list)),
        ),
        members=tuple(
            _member(_with_plan(entry) if is_old else entry, names)
            for entry in get(data, "members", list)
        ),
        provenance=_origin(get(data, "provenance", dict)),
    )
    if not family.members or not family.menu:
        raise PolicyError("holds no member or no stage; fit it again")
    if missing := {stage.source for stage in family.menu} - curves.keys():
        raise PolicyError(f"holds no score curve of {min(missing)!r}; fit it again")
    return family


def _member(data: Mapping[str, Any], menu: Sequence[str]) -> Member:
    return Member(
        get(data, "price", float),
        _array(get(data, "first", list)),
        np.array([_array(row) for row in get(data, "values", list)]),
        _interval(get(data, "cost", dict)),
        _interval(get(data, "accuracy", dict)),
        tuple(_table(entry, len(menu)) for entry in get(data, "tables", list)),
        _plan(get(data, "plan", dict), menu),
        get(data, "fitted_at", float),
    )


def _with_plan(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A member as it is written now."""
    return {**data, "plan": {}, "fitted_at": get(data, "price", float)}


def _plan(data: Mapping[str, Any], menu: Sequence[str]) -> Plan | None:
    if not data:
        return None
    by = get(data, "answer_by", str)
    stages = tuple(menu.index(name) for name in get(data, "stages", list))
    bounds = tuple(map(_bounds, get(data, "bounds", list) if "bounds" in data else []))
    if bounds and len(bounds) != len(stages) - 1:
        raise PolicyError(f"{len(bounds)} bounds for {len(stages)} stages; fit it again")
    return Plan(stages, None if by == _LIKELIEST else AnswerAggregation(by), bounds)


def _bounds(pair: Any) -> tuple[float, float]:
    low, high = pair
    return float(low), np.inf if high is None else float(high)


def _table(data: Mapping[str, Any], stages: int) -> Table:
    rows = [_array(row) for row in get(data, "values", list)]
    keys = np.array(get(data, "keys", list), np.int64)
    return Table(keys, np.array(rows, np.float32).reshape(keys.size, stages))


def _interval(data: Mapping[str, Any]) -> Interval:
    mean, low, high = (get(data, name, float) for name in ("mean", "low", "high"))
    return Interval(mean, low, high, get(data, "problems", int))


def _origin(data: Mapping[str, Any]) -> Origin:
    engines, spec = get(data, "engines", dict), get(data, "spec", dict)
    return Origin(
        engines={role: get(engines, role, str) for role in engines},
        data_hash=get(data, "data_hash", str),
        problems=get(data, "problems", int),
        seed=get(data, "seed", int),
        grader=grading(get(data, "grader", str)).name,
        created_by=get(data, "created_by", str),
        spec={name: get(spec, name, str) for name in spec},
    )
