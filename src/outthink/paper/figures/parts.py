"""Parts that the figures share: lines with intervals, captions, labels, policy comparisons."""

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
"""Summaries are about this budget in generations, where it was run."""

UNSCORED = "majority"
FLAT_PARALLEL = strategy(FLAT[0]).name

SAME = 5e-4
"""Accuracies closer than this are shown as the same number."""

BY_BIN = "Oracle bins, as in the paper: sorted by pass@1, cut into bins of equal size."


def line(
    name: str, budgets: Sequence[float], accuracy: Floats, *, order: int | None = None
) -> shown.Line:
    """A line of accuracies [N, P] over budgets; budgets that were not run (NaN) are left out."""
    run = [row for row in range(len(budgets)) if not np.isnan(accuracy[row]).any()]
    if not run or not accuracy.shape[1]:
        return shown.Line(name, (), order)
    return shown.Line(name, points([float(budgets[row]) for row in run], accuracy[run]), order)


def with_best(drawn: shown.Line) -> shown.Line:
    """The line with a ring at its highest point."""
    best = max(drawn.points, key=lambda point: point.accuracy)
    return shown.Line(drawn.name, drawn.points, drawn.order, best.budget)


def present(*lines: shown.Line) -> tuple[shown.Line, ...]:
    """The lines that have points."""
    return tuple(drawn for drawn in lines if drawn.points)


def level(name: str, budgets: Sequence[float], accuracy: Floats) -> shown.Line:
    """A horizontal line at an accuracy [P], across the range of budgets."""
    ends = sorted({float(min(budgets)), float(max(budgets))})
    return line(name, ends, np.stack([accuracy] * len(ends)))


def stands_on(problems: int, more: str = "") -> str:
    """The caption's line on what a figure is based on."""
    basis = f"{counted(problems, 'problem')}; bands are {LEVEL} intervals."
    return f"{basis} {more}" if more else basis


def highest(lines: Sequence[shown.Line], labels: dict[str, str], noun: str = "generation") -> str:
    """A sentence on which line is highest at the largest budget that all of them have."""
    common = set.intersection(*({p.budget for p in drawn.points} for drawn in lines))
    if not common or len(lines) < 2:
        return "The lines have no budget in common, so they cannot be compared."
    at = max(common)
    ranked = sorted(
        ((point, drawn.name) for drawn in lines for point in drawn.points if point.budget == at),
        key=lambda pair: -pair[0].accuracy,
    )
    (top, best), (second, other) = ranked[:2]
    if top.accuracy - second.accuracy < SAME:
        return (
            f"At {counted(at, noun)} {labels.get(best, best)} and {labels.get(other, other)} are "
            f"equal and highest, at {measured(top)}."
        )
    overlap = " (the intervals overlap)" if second.high >= top.low else ""
    return (
        f"At {counted(at, noun)} {labels.get(best, best)} is highest, at {measured(top)}, ahead "
        f"of {labels.get(other, other)} at {measured(second)}{overlap}."
    )


def labels() -> dict[str, tuple[str, str]]:
    """By strategy name: the label on the page, and one line for the glossary."""
    return {
        **LABELS,
        PARALLEL: ("Parallel", "N first answers of the revision model; its verifier chooses"),
        FLAT_PARALLEL: ("Parallel, majority", "N first answers; the most frequent one"),
        **{
            strategy(name).name: (
                f"Chains of {chain_length(name)}",
                f"N/{chain_length(name)} chains of {chain_length(name)} revisions; the verifier "
                "chooses",
            )
            for name in REVISIONS[1:]
        },
    }


def short_names() -> dict[str, str]:
    """The labels of strategies, for sentences."""
    return {name: label for name, (label, _) in labels().items()}


def at_headline(budgets: Sequence[int]) -> int:
    """The budget that summaries are about, among those that were run."""
    return max((budget for budget in budgets if budget <= HEADLINE), default=budgets[0])


def normal(text: str) -> str:
    """The normal name of a strategy, as plans have it."""
    return strategy(text).name


def versus(
    findings: Findings, axis: Axis, paper: str, others: tuple[data.Curve, ...] = ()
) -> tuple[shown.Versus, ...]:
    """The policy of an axis against its baseline, and against plain best-of-N."""
    again = [plain for plain in findings.against_plain if plain.name == axis.name]
    return (
        _versus(
            findings, axis, axis.name, "Compute-optimal against a single strategy", paper, others
        ),
        *(
            _versus(findings, plain, f"{plain.name}-plain", _PLAIN, "not in the paper", ())
            for plain in again
        ),
    )


_PLAIN = "Compute-optimal against plain best-of-N, the single best-scored sample"


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
        *(cef(factor, charged=False, kind="predicted") for factor in axis.gross),
        *(cef(factor, charged=True, kind="predicted") for factor in axis.net),
        *(cef(factor, charged=False, kind="oracle") for factor in axis.upper),
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
    """The strategies that the policy of an axis chose."""
    return shown.Choices(
        f"choices-{axis.name}",
        "What the policy chose",
        "",
        policy_table(axis.fits[Bins.PREDICTED], "predicted"),
    )
