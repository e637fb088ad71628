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
    """Figures 6 and 7."""
    return shown.Part(
        "revisions",
        "Revisions",
        "Revising one's own answers",
        "A model trained to revise writes chains of answers, each with the last four in view.",
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
    drawn = line("revision model, nothing chosen", steps, facts.pass_at_1)
    first, last = drawn.points[0], drawn.points[-1]
    broken = facts.broken.sum() / max(1.0, facts.kept_or_broken.sum())
    return shown.Figure(
        "pass-at-1",
        "pass@1 at each answer of a chain",
        "Figure 6, left",
        (shown.Panel((drawn,)),),
        reading=f"From {measured(first)} at the first answer to {measured(last)} at answer "
        f"{len(drawn.points)}; {percent(broken)} of right answers are followed by a wrong one "
        "(38\u202f% in the paper).",
        basis=stands_on(findings.evidence.problems, "Nothing is chosen among the answers."),
        x=STEP,
        y="pass@1 (%)",
    )


def _splits(findings: Findings, names: Sequence[str]) -> Grid:
    """Every split at every budget up to the size of the pool of chains."""
    budgets = findings.revisions.base_budgets
    return findings.grid(findings.run(names), budgets, affordable=False)


def _sequential(findings: Findings) -> shown.Figure:
    verified, flat = _splits(findings, REVISIONS), _splits(findings, FLAT)
    found = []
    for kind, grid in (("verifier", verified), ("majority", flat)):
        by_length = {chain_length(name): row for row, name in enumerate(grid.strategies)}
        chain = np.full((len(grid.budgets), len(grid.problems)), np.nan)
        for column, budget in enumerate(grid.budgets):
            if budget in by_length:
                chain[column] = grid.accuracy[by_length[budget], column]
        found.append(line(f"sequential, {kind}", grid.budgets, chain))
        found.append(line(f"parallel, {kind}", grid.budgets, grid.accuracy[by_length[1]]))
    lines = present(*found)
    return shown.Figure(
        "sequential",
        "One chain against as many independent answers",
        "Figure 6, right",
        (shown.Panel(lines),),
        reading=highest(lines, {}),
        basis=stands_on(findings.evidence.problems),
    )


def _ratio_axis(values: Sequence[float]) -> data.Axis:
    """Answers one after the other for each in parallel."""
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
    found = []
    for column, budget in enumerate(grid.budgets):
        if budget == 1:
            continue
        ratios = [length * length / budget for length in lengths]
        name = f"N = {whole(budget)}"
        found.append(line(name, ratios, grid.accuracy[:, column], order=column - 1))
    lines = tuple(with_best(each) for each in present(*found))
    top = lines[-1]
    axis = _ratio_axis([point.budget for each in lines for point in each.points])
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
    found = {point.budget: point for point in drawn.points}
    assert drawn.best is not None
    best = found[drawn.best]
    parallel, sequential = found[min(found)], found[max(found)]
    return (
        f"{drawn.name}: best at {names[best.budget]} with {measured(best)}; wholly parallel "
        f"{measured(parallel)}, wholly sequential {measured(sequential)}."
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
    best = [f"{each.name} {names[each.best]}" for each in lines if each.best is not None]
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
    """Figure 8."""
    flat = _splits(findings, FLAT)
    row = flat.strategies.index(FLAT_PARALLEL)
    curve = data.Curve(FLAT_PARALLEL, points(flat.budgets, flat.accuracy[row]))
    return shown.Part(
        "optimal-revisions",
        "Optimal revisions",
        "The best split for every difficulty",
        "One ratio of sequential to parallel for each difficulty bin and budget, chosen on other "
        "problems.",
        (
            *versus(findings, findings.revisions, "Figure 8", (curve,)),
            choices(findings, findings.revisions),
        ),
    )


def both(findings: Findings) -> shown.Part:
    """Searches and revisions in one policy, which the paper leaves open."""
    lead = "The paper studies searches and revisions apart; here one policy may choose either."
    if findings.evidence.deep is not None:
        deep = whole(findings.evidence.scale.deep)
        lead += (
            f" At N = {deep} it has searches alone to choose from: revisions were not run there."
        )
    return shown.Part(
        "both",
        "Both",
        "Both together: one policy over searches and revisions",
        lead,
        (*versus(findings, findings.both, "not in the paper"), choices(findings, findings.both)),
    )
