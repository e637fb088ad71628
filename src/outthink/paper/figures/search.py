"""Searches with a PRM, and the best of them for every difficulty: figures 3 and 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from outthink.measure.difficulty import BINS
from outthink.measure.grid import Grid
from outthink.paper.evidence import BASELINE
from outthink.paper.figures.parts import (
    BY_BIN,
    UNSCORED,
    choices,
    highest,
    line,
    present,
    short_names,
    stands_on,
    versus,
)
from outthink.paper.findings import Bins, Findings
from outthink.report import data
from outthink.report import reproduction_data as shown
from outthink.report.format import bin_name, counted, percent
from outthink.report.study import points
from outthink.search import strategy
from outthink.study.plan import STRATEGIES


def search(findings: Findings) -> shown.Part:
    """The section with figure 3."""
    grid = _searched(findings)
    lines = present(*_searches(grid))
    names = [drawn.name for drawn in lines]
    missing = [name for name in STRATEGIES if strategy(name).name not in names]
    figure = shown.Figure(
        "search",
        "Searches with a PRM",
        "Figure 3, left",
        (shown.Panel(lines),),
        reading=highest(lines, short_names()),
        basis=stands_on(findings.evidence.problems)
        + (f" Not run: {', '.join(missing)}." if missing else ""),
    )
    numbers = findings.bins(Bins.ORACLE)
    panels = tuple(
        shown.Panel(
            present(*_searches(grid, numbers == number)),
            bin_name(number + 1, BINS).capitalize(),
            _bin_sub(findings, numbers == number),
        )
        for number in range(BINS)
    )
    by_bin = shown.Figure(
        "search-bins",
        "Searches by difficulty bin",
        "Figure 3, right",
        panels,
        reading=_best_by_bin(panels),
        basis=stands_on(findings.evidence.problems, BY_BIN),
    )
    return shown.Part(
        "search",
        "Search",
        "Search with a verifier",
        "Best-of-N, beam search and lookahead search of the small model S with the same PRM.",
        (figure, by_bin, *_deepest(findings)),
    )


def _deepest(findings: Findings) -> tuple[shown.NotRun, ...]:
    """A note where beam search was not run at the largest budget."""
    if findings.evidence.deep is not None:
        return ()
    reason = f"searches ran live up to {counted(findings.top, 'generation')}."
    title = "Beam search at the largest budget"
    return (shown.NotRun("deep", title, "Figure 3, at 256 generations", reason),)


def _searched(findings: Findings) -> Grid:
    """Accuracy of every search at every budget it was measured at."""
    budgets = {*findings.search.base_budgets, *findings.search.grid.budgets}
    return findings.grid(findings.run(STRATEGIES), sorted(budgets), affordable=False)


def _searches(grid: Grid, members: NDArray[np.bool_] | None = None) -> list[shown.Line]:
    places = slice(None) if members is None else members
    return [
        line(name, grid.budgets, accuracy[:, places])
        for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True)
    ]


def _bin_sub(findings: Findings, members: NDArray[np.bool_]) -> str:
    share = float(findings.curve(BASELINE, 1)[members].mean())
    return f"pass@1 {percent(share)}, {counted(int(members.sum()), 'problem')}"


def _best_by_bin(panels: Sequence[shown.Panel]) -> str:
    called = short_names()
    winners = []
    for number, panel in enumerate(panels, 1):
        at = max(set.intersection(*({p.budget for p in drawn.points} for drawn in panel.lines)))
        best = max(
            (p.accuracy, drawn.name)
            for drawn in panel.lines
            for p in drawn.points
            if p.budget == at
        )
        winners.append(f"bin {number} {called.get(best[1], best[1])}")
    return f"Highest at {counted(at, 'generation')}: {'; '.join(winners)}."


def optimal_search(findings: Findings) -> shown.Part:
    """The section with figure 4."""
    axis = findings.search
    plan = findings.evidence.main.plan
    others: tuple[data.Curve, ...] = ()
    if UNSCORED in plan.pooled:
        curve = findings.evidence.main.curve(UNSCORED, axis.base_budgets)
        others = (data.Curve(UNSCORED, points(axis.base_budgets, curve)),)
    return shown.Part(
        "optimal-search",
        "Optimal search",
        "The best search for every difficulty",
        "One search for each difficulty bin and budget, chosen on other problems than shown.",
        (
            *versus(findings, axis, "Figure 4", others),
            choices(findings, axis),
        ),
    )
