"""What figures are made of: lines with their intervals, what they stand on, how they are told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.measure.arrays import Floats
from outthink.paper.evidence import FLAT, PARALLEL
from outthink.paper.findings import Axis, Bins, Findings, chain_length
from outthink.report import data
from outthink.report import reproduction_data as shown
from outthink.report.format import LEVEL, counted, measured
from outthink.report.study import LABELS, cef, points, policy_table
from outthink.search import strategy
from outthink.study.plan import REVISIONS

HEADLINE = 16
"""Generations a problem that summaries speak of, where they were run."""

UNSCORED = "majority"
FLAT_PARALLEL = strategy(FLAT[0]).name

SAME = 5e-4
"""Accuracies closer than this look the same to one decimal."""

BY_BIN = "Oracle bins, as in the paper: equal numbers of problems by pass@1."


def line(
    name: str, budgets: Sequence[float], accuracy: Floats, *, order: int | None = None
) -> shown.Line:
    """Values [N, P] over budgets; what was not run is NaN and left out."""
    run = [row for row in range(len(budgets)) if not np.isnan(accuracy[row]).any()]
    if not run or not accuracy.shape[1]:
        return shown.Line(name, (), order)
    return shown.Line(name, points([float(budgets[row]) for row in run], accuracy[run]), order)


def with_best(drawn: shown.Line) -> shown.Line:
    """The same with its highest point marked."""
    best = max(drawn.points, key=lambda point: point.accuracy)
    return shown.Line(drawn.name, drawn.points, drawn.order, best.budget)


def present(*found: shown.Line) -> tuple[shown.Line, ...]:
    """Those of the lines that anything was run for."""
    return tuple(each for each in found if each.points)


def level(name: str, budgets: Sequence[float], accuracy: Floats) -> shown.Line:
    """A level [P] to compare with, at the ends of an axis."""
    ends = sorted({float(min(budgets)), float(max(budgets))})
    return line(name, ends, np.stack([accuracy] * len(ends)))


def stands_on(problems: int, more: str = "") -> str:
    """What a figure stands on."""
    said = f"{counted(problems, 'problem')}; bands are {LEVEL} intervals."
    return f"{said} {more}" if more else said


def highest(lines: Sequence[shown.Line], labels: dict[str, str], noun: str = "generation") -> str:
    """Which line is highest at the largest budget that all of them have."""
    common = set.intersection(*({p.budget for p in each.points} for each in lines))
    if not common or len(lines) < 2:
        return "The lines share no budget at which they could be compared."
    at = max(common)
    ranked = sorted(
        ((point, each.name) for each in lines for point in each.points if point.budget == at),
        key=lambda pair: -pair[0].accuracy,
    )
    (top, best), (second, other) = ranked[:2]
    if top.accuracy - second.accuracy < SAME:
        return (
            f"At {counted(at, noun)} {labels.get(best, best)} and {labels.get(other, other)} are "
            f"level at {measured(top)}; none is higher."
        )
    overlap = " (the intervals overlap)" if second.high >= top.low else ""
    return (
        f"At {counted(at, noun)} {labels.get(best, best)} is highest, at {measured(top)}, ahead "
        f"of {labels.get(other, other)} at {measured(second)}{overlap}."
    )


def labels() -> dict[str, tuple[str, str]]:
    """How strategies are called on the page, and what they mean."""
    return {
        **LABELS,
        PARALLEL: ("Parallel", "N independent first answers of the revision model, verifier"),
        FLAT_PARALLEL: ("Parallel, majority", "the same, the answer given most often"),
        **{
            strategy(name).name: (
                f"Chains of {chain_length(name)}",
                f"N/{chain_length(name)} chains of {chain_length(name)} revisions, verifier",
            )
            for name in REVISIONS[1:]
        },
    }


def short_names() -> dict[str, str]:
    """What strategies are called, in a sentence."""
    return {name: label for name, (label, _) in labels().items()}


def at_headline(budgets: Sequence[int]) -> int:
    """The budget that summaries speak of, among those that were run."""
    return max((each for each in budgets if each <= HEADLINE), default=budgets[0])


def normal(text: str) -> str:
    """A strategy as the plan names it."""
    return strategy(text).name


def versus(
    findings: Findings, axis: Axis, paper: str, others: tuple[data.Curve, ...] = ()
) -> tuple[shown.Versus, ...]:
    """A policy of an axis against what it is held against, and against plain best-of-N."""
    again = [each for each in findings.against_plain if each.name == axis.name]
    return (
        _versus(
            findings, axis, axis.name, "Compute-optimal against a single strategy", paper, others
        ),
        *(
            _versus(findings, each, f"{each.name}-plain", _PLAIN, "not in the paper", ())
            for each in again
        ),
    )


_PLAIN = "The same against plain best-of-N, the single best-scored sample"


def _versus(
    findings: Findings,
    axis: Axis,
    called: str,
    title: str,
    paper: str,
    others: tuple[data.Curve, ...],
) -> shown.Versus:
    budgets = axis.grid.budgets
    held_out = axis.fits[Bins.PREDICTED].held_out
    factors = [
        *(cef(found, charged=False, kind="predicted") for found in axis.gross),
        *(cef(found, charged=True, kind="predicted") for found in axis.net),
        *(cef(found, charged=False, kind="oracle") for found in axis.upper),
    ]
    return shown.Versus(
        id=called,
        title=title,
        paper=paper,
        comparison=data.Comparison(
            baseline=data.Curve(axis.base, points(axis.base_budgets, axis.base_curve)),
            predicted=data.Curve("policy", points(budgets, held_out)),
            charged=data.Curve("policy", points([n + axis.cost for n in budgets], held_out)),
            oracle=data.Curve("policy", points(budgets, axis.fits[Bins.ORACLE].held_out)),
            cefs=tuple(factors),
            others=others,
            headline=float(at_headline(budgets)),
        ),
        problems=findings.evidence.problems,
    )


def choices(findings: Findings, axis: Axis) -> shown.Choices:
    """What the policy of an axis does in every bin."""
    return shown.Choices(
        f"choices-{axis.name}",
        "What was chosen",
        "",
        policy_table(axis.fits[Bins.PREDICTED], "predicted"),
    )
