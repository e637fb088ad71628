"""Chains of revisions, how to split a budget, and one policy over everything: figures 6 to 8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from outthink.measure.difficulty import BINS
from outthink.measure.grid import Grid
from outthink.paper.evidence import FLAT
from outthink.paper.figures.parts import (
    BY_BIN,
    FLAT_PARALLEL,
    choices,
    highest,
    line,
    present,
    stands_on,
    versus,
    with_best,
)
from outthink.paper.findings import Bins, Findings, chain_length
from outthink.report import data
from outthink.report import reproduction_data as shown
from outthink.report.format import bin_name, counted, measured, percent, whole
from outthink.report.study import points
from outthink.study.plan import REVISIONS

STEP = data.Axis("answer of the chain", "answer", "even", noun="answer")


def revisions(findings: Findings) -> shown.Part:
    """The section with figures 6 and 7."""
    return shown.Part(
        "revisions",
        "Revisions",
        "Revising earlier answers",
        "A model trained to revise writes chains of answers; it sees the last four before each.",
        (
            _pass_at_1(findings),
            _sequential(findings),
            _ratios(findings),
            _ratios_by_bin(findings),
        ),
    )


def _pass_at_1(findings: Findings) -> shown.Figure:
    facts = findings.chain_facts
    steps = range(1, len(facts.pass_at_1) + 1)
    drawn = line("revision model", steps, facts.pass_at_1)
    first, last = drawn.points[0], drawn.points[-1]
    broken = facts.broken.sum() / max(1.0, facts.kept_or_broken.sum())
    return shown.Figure(
        "pass-at-1",
        "pass@1 at each answer of a chain",
        "Figure 6, left",
        (shown.Panel((drawn,)),),
        reading=f"pass@1 goes from {measured(first)} at the first answer to {measured(last)} at "
        f"answer {len(drawn.points)}; {percent(broken)} of right answers are followed by a wrong "
        "one (38\u202f% in the paper).",
        basis=stands_on(findings.evidence.problems, "No answer is selected within a chain."),
        x=STEP,
        y="pass@1 (%)",
    )


def _splits(findings: Findings, names: Sequence[str]) -> Grid:
    """Accuracy of every split at every budget up to the longest chain."""
    budgets = findings.revisions.base_budgets
    return findings.grid(findings.run(names), budgets, affordable=False)


def _sequential(findings: Findings) -> shown.Figure:
    verified, flat = _splits(findings, REVISIONS), _splits(findings, FLAT)
    drawn = []
    for kind, grid in (("verifier", verified), ("majority", flat)):
        by_length = {chain_length(name): row for row, name in enumerate(grid.strategies)}
        chain = np.full((len(grid.budgets), len(grid.problems)), np.nan)
        for column, budget in enumerate(grid.budgets):
            if budget in by_length:
                chain[column] = grid.accuracy[by_length[budget], column]
        drawn.append(line(f"sequential, {kind}", grid.budgets, chain))
        drawn.append(line(f"parallel, {kind}", grid.budgets, grid.accuracy[by_length[1]]))
    lines = present(*drawn)
    return shown.Figure(
        "sequential",
        "One chain against as many independent answers",
        "Figure 6, right",
        (shown.Panel(lines),),
        reading=highest(lines, {}),
        basis=stands_on(findings.evidence.problems),
    )


def _ratio_axis(values: Sequence[float]) -> data.Axis:
    """An axis for the ratio of sequential to parallel answers."""
    low, high = math.log2(min(values)), math.log2(max(values))
    ticks = tuple(
        data.Tick(2.0**power, f"{2**power}:1" if power >= 0 else f"1:{2**-power}")
        for power in range(math.floor(low), math.ceil(high) + 1)
    )
    return data.Axis(
        "sequential : parallel (log scale)", "sequential : parallel", "doubling", ticks=ticks
    )


def _ratios(findings: Findings) -> shown.Figure | shown.NotRun:
    grid = _splits(findings, REVISIONS)
    if grid.budgets[-1] == 1:
        return shown.NotRun("ratios", "How to split a budget", "Figure 7, left", _ONE)
    lengths = [chain_length(name) for name in grid.strategies]
    drawn = []
    for column, budget in enumerate(grid.budgets):
        if budget == 1:
            continue
        ratios = [length * length / budget for length in lengths]
        name = f"N = {whole(budget)}"
        drawn.append(line(name, ratios, grid.accuracy[:, column], order=column - 1))
    lines = tuple(with_best(split) for split in present(*drawn))
    top = lines[-1]
    axis = _ratio_axis([point.budget for split in lines for point in split.points])
    return shown.Figure(
        "ratios",
        "How to split a budget",
        "Figure 7, left",
        (shown.Panel(lines),),
        reading=_ideal(top, axis),
        basis=stands_on(
            findings.evidence.problems, "The ring marks the best split of each budget."
        ),
        x=axis,
    )


def _ideal(drawn: shown.Line, axis: data.Axis) -> str:
    names = {tick.value: tick.name for tick in axis.ticks}
    by_budget = {point.budget: point for point in drawn.points}
    assert drawn.best is not None
    best = by_budget[drawn.best]
    parallel, sequential = by_budget[min(by_budget)], by_budget[max(by_budget)]
    return (
        f"At {drawn.name} the best ratio is {names[best.budget]}, with {measured(best)}; all in "
        f"parallel gives {measured(parallel)}, all in one chain {measured(sequential)}."
    )


def _ratios_by_bin(findings: Findings) -> shown.Figure | shown.NotRun:
    lengths, accuracy = findings.sweep
    budget = findings.sweep_budget
    title = f"How to split {counted(budget, 'generation')}, by difficulty"
    if budget == 1:
        return shown.NotRun("ratios-bins", title, "Figure 7, right", _ONE)
    ratios = [length * length / budget for length in lengths]
    numbers = findings.bins(Bins.ORACLE)
    axis = _ratio_axis(ratios)
    names = {tick.value: tick.name for tick in axis.ticks}
    lines = tuple(
        with_best(
            line(bin_name(number + 1, BINS), ratios, accuracy[:, numbers == number], order=number)
        )
        for number in range(BINS)
    )
    best = [f"{split.name} {names[split.best]}" for split in lines if split.best is not None]
    return shown.Figure(
        "ratios-bins",
        title,
        "Figure 7, right",
        (shown.Panel(lines),),
        reading=f"Best split: {', '.join(best)}.",
        basis=stands_on(
            findings.evidence.problems, f"{BY_BIN} The ring marks the best split of each bin."
        ),
        x=axis,
    )


_ONE = "a budget of one generation cannot be split"


def optimal_revisions(findings: Findings) -> shown.Part:
    """The section with figure 8."""
    flat = _splits(findings, FLAT)
    row = flat.strategies.index(FLAT_PARALLEL)
    curve = data.Curve(FLAT_PARALLEL, points(flat.budgets, flat.accuracy[row]))
    return shown.Part(
        "optimal-revisions",
        "Optimal revisions",
        "The best split for every difficulty",
        "One ratio of sequential to parallel answers for each difficulty bin and budget, chosen on "
        "other problems than shown.",
        (
            *versus(findings, findings.revisions, "Figure 8", (curve,)),
            choices(findings, findings.revisions),
        ),
    )


def both(findings: Findings) -> shown.Part:
    """The section on one policy over searches and revisions, which the paper does not study."""
    lead = "The paper studies searches and revisions separately; here one policy may use either."
    if findings.evidence.deep is not None:
        deep = whole(findings.evidence.scale.deep)
        lead += f" At N = {deep} it may use searches only, as revisions were not run there."
    return shown.Part(
        "both",
        "Both",
        "Both together: one policy over searches and revisions",
        lead,
        (*versus(findings, findings.both, "not in the paper"), choices(findings, findings.both)),
    )
