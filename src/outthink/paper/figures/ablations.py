"""Ablations of the paper's appendices, and measurements of papers that followed it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.paper.evidence import BASELINE, PARALLEL, PLAIN, STEPS
from outthink.paper.figures.parts import (
    UNSCORED,
    at_headline,
    highest,
    level,
    line,
    normal,
    present,
    short_names,
    stands_on,
)
from outthink.paper.findings import Bins, Findings, Goodhart, chain_facts
from outthink.paper.scaling import fit_coverage
from outthink.policy.table import Fit
from outthink.report import data
from outthink.report import reproduction_data as shown
from outthink.report.format import counted, measured, percent, ratio, whole
from outthink.report.study import agreement
from outthink.search import strategy
from outthink.study.plan import REVISIONS, STRATEGIES
from outthink.study.read import Study

COST = data.Axis("FLOPs a problem (log scale)", "FLOPs", "tens")


def appendix(findings: Findings) -> shown.Part:
    """The section of ablations."""
    items: tuple[shown.Item, ...] = (
        _verifiers(findings),
        _aggregations(findings),
        _beams(findings),
        _labels(findings),
        _goodhart(findings),
        _flips(findings),
        _prm_on_revisions(findings),
        _prompted_reviser(findings),
        shown.Confusion(
            "agreement",
            "Predicted against oracle bins",
            "Appendix C",
            agreement(findings.agreement),
        ),
        _by_samples(findings),
        _coverage(findings),
        _costs(findings),
    )
    return shown.Part(
        "appendix",
        "Appendices",
        "Ablations",
        "How results depend on the verifier, on the aggregation of scores, on the estimate of "
        "difficulty, and on the cost model.",
        items,
    )


def _verifiers(findings: Findings) -> shown.Figure:
    main, orm = findings.evidence.main, findings.evidence.orm
    size = min(main.plan.pool, orm.plan.pool)
    budgets = [n for n in findings.search.base_budgets if n <= size]
    lines = present(
        *(
            line(f"{name}, {how}", budgets, study.curve(known, budgets))
            for name, study in (("PRM", main), ("ORM", orm))
            for how, known in (("weighted", BASELINE), ("plain", PLAIN))
        ),
        line(UNSCORED, budgets, main.curve(UNSCORED, budgets)),
    )
    return shown.Figure(
        "verifiers",
        "PRM against ORM, weighted against plain best-of-N",
        "Appendices F and G",
        (shown.Panel(lines),),
        reading=highest(lines, short_names()),
        basis=stands_on(findings.evidence.problems, "Both score the same samples."),
    )


def _aggregations(findings: Findings) -> shown.Figure:
    main = findings.evidence.main
    budgets = findings.search.base_budgets
    names = [BASELINE, *(name for name in map(normal, STEPS) if name in main.plan.strategies)]
    lines = present(*(line(_step(name), budgets, main.curve(name, budgets)) for name in names))
    return shown.Figure(
        "aggregations",
        "How step scores are aggregated, in best-of-N weighted",
        "Appendix E",
        (shown.Panel(lines),),
        reading=highest(lines, {}),
        basis=stands_on(findings.evidence.problems),
    )


_KINDS = {
    "soft": "share of 4 rollouts",
    "hard": "any of 4 rollouts",
    "once": "1 rollout",
}


def _labels(findings: Findings) -> shown.Figure:
    studies = findings.evidence.labels
    panels = [
        shown.Panel(
            present(*(_read(_KINDS[kind], study, BASELINE) for kind, study in studies.items())),
            "Labels",
            "aggregated by the last step",
        )
    ]
    for kind, study in studies.items():
        names = [BASELINE, *map(normal, STEPS)]
        lines = present(*(_read(_step(name), study, name) for name in names))
        panels.append(shown.Panel(lines, _KINDS[kind].capitalize(), "by aggregation of steps"))
    aucs = [
        f"{_KINDS[kind]} {values.mean():.3f}"
        for kind, values in findings.auc_labels.items()
        if values.size
    ]
    auc = f" AUC among the answers to one problem: {', '.join(aucs)}." if aucs else ""
    return shown.Figure(
        "labels",
        "Labels a PRM is trained on: soft or hard, from one rollout or four",
        "Appendices D and E",
        tuple(panels),
        reading=highest(panels[0].lines, {}) + auc,
        basis=stands_on(
            len(next(iter(studies.values())).problems),
            "The three PRMs differ only in their labels; they were trained for a quarter of the "
            "steps of the PRM used elsewhere. All score the same samples.",
        ),
        own="each its own",
    )


def _read(label: str, study: Study, name: str) -> shown.Line:
    """A pooled strategy of a study, at powers of two."""
    budgets = [2**power for power in range(study.plan.pool.bit_length())]
    return line(label, budgets, study.curve(name, budgets))


def _step(name: str) -> str:
    how = strategy(name).options.get("step")
    return "last step" if how is None else f"{how.value} of steps"


def _beams(findings: Findings) -> shown.Figure:
    beams, main = findings.evidence.beams, findings.evidence.main
    few = len(beams.problems)
    budgets = beams.grid.budgets
    drawn = [
        line(_step(name), budgets, accuracy)
        for name, accuracy in zip(beams.grid.strategies, beams.grid.accuracy, strict=True)
    ]
    first = normal("beam")
    if first in main.plan.strategies:
        row = main.grid.strategies.index(first)
        columns = [main.grid.budgets.index(n) for n in budgets if n in main.grid.budgets]
        own = main.grid.accuracy[row][columns][:, :few]
        drawn.insert(0, line("last step", [main.grid.budgets[c] for c in columns], own))
    lines = present(*drawn)
    return shown.Figure(
        "beams",
        "How step scores are aggregated, in beam search",
        "",
        (shown.Panel(lines),),
        reading=highest(lines, {}),
        basis=stands_on(few),
    )


def _goodhart(findings: Findings) -> shown.Figure | shown.NotRun:
    panels = []
    sentences = []
    title = "The score that best-of-N maximises, and its accuracy"
    for name, goodhart in (("PRM", findings.goodhart_prm), ("ORM", findings.goodhart_orm)):
        lines = _goodhart_lines(goodhart)
        if len(lines) < 2:
            reason = f"no sample has an answer with a score of the {name}."
            return shown.NotRun("goodhart", title, "Appendix G", reason)
        panels.append(shown.Panel(lines, name, "best-of-N, plain"))
        score, right = lines[0].points[-1], lines[1].points[-1]
        sentences.append(
            f"{name}: the best-scored of {whole(score.budget)} samples has a mean score of "
            f"{percent(score.accuracy)}, and is right on {percent(right.accuracy)} of problems."
        )
    return shown.Figure(
        "goodhart",
        title,
        "Appendix G",
        tuple(panels),
        reading=" ".join(sentences),
        basis=stands_on(
            findings.evidence.problems,
            "Where the score keeps rising and accuracy does not, the verifier is over-optimised.",
        ),
        y="share (%)",
        own="each verifier its own",
    )


def _goodhart_lines(goodhart: Goodhart) -> tuple[shown.Line, ...]:
    known = ~np.isnan(goodhart.score).any(axis=0)
    return present(
        line("mean best score", goodhart.budgets, goodhart.score[:, known]),
        line("accuracy of the best-scored", goodhart.budgets, goodhart.accuracy[:, known]),
    )


def _flips(findings: Findings) -> shown.Figure:
    shares = list(findings.flipped)
    axis = data.Axis(
        "share of scores flipped",
        "share flipped",
        "even",
        ticks=tuple(
            data.Tick(float(place), f"{100 * share:.0f}\u202f%")
            for place, share in enumerate(shares, 1)
        ),
    )
    places = [float(place) for place in range(1, len(shares) + 1)]
    top = findings.top
    lines = [line("best-of-N weighted", places, np.stack([findings.flipped[s] for s in shares]))]
    if UNSCORED in findings.evidence.main.plan.pooled:
        vote = findings.evidence.main.curve(UNSCORED, (top,))[0]
        lines.append(level("majority, no verifier", places, vote))
    first, last = lines[0].points[0], lines[0].points[-1]
    return shown.Figure(
        "flips",
        f"A degraded verifier, at {counted(top, 'generation')}",
        "Appendix K of the published version",
        (shown.Panel(tuple(lines)),),
        reading=f"Accuracy goes from {measured(first)} with the PRM as it is to {measured(last)} "
        "with half of its scores flipped.",
        basis=stands_on(
            findings.evidence.problems, "Flipping turns a score s into 1 - s; which, is random."
        ),
        x=axis,
    )


def _prm_on_revisions(findings: Findings) -> shown.Figure:
    evidence = findings.evidence
    prm_on_revisions, main = evidence.prm_on_revisions, evidence.main
    few = len(prm_on_revisions.problems)
    size = min(prm_on_revisions.plan.chains, main.plan.chains)
    budgets = [2**power for power in range(size.bit_length()) if 2**power <= size]
    judges = (
        ("with history", main),
        ("without history", evidence.no_history),
        ("PRM", prm_on_revisions),
    )
    lines = [
        drawn
        for label, study in judges
        for drawn in (
            _longest(f"sequential, {label}", study, budgets, few),
            line(f"parallel, {label}", budgets, study.curve(PARALLEL, budgets)[:, :few]),
        )
    ]
    return shown.Figure(
        "prm-on-revisions",
        "Verifiers of revisions: one that sees earlier answers, one that does not, the PRM",
        "Appendix J",
        (shown.Panel(present(*lines)),),
        reading=highest(lines, {}),
        basis=stands_on(few),
    )


def _longest(
    label: str, study: Study, budgets: Sequence[int], few: int, more: str = ""
) -> shown.Line:
    """A single chain as long as the budget."""
    accuracy = np.full((len(budgets), min(few, len(study.problems))), np.nan)
    for row, budget in enumerate(budgets):
        name = normal(f"revise(sequential={budget}{more})")
        if name in study.plan.strategies:
            accuracy[row] = study.curve(name, (budget,))[0][:few]
    return line(label, budgets, accuracy)


def _prompted_reviser(findings: Findings) -> shown.Figure:
    prompted_reviser, main = findings.evidence.prompted_reviser, findings.evidence.main
    few = len(prompted_reviser.problems)
    prompted = chain_facts(prompted_reviser).pass_at_1
    trained = findings.chain_facts.pass_at_1[: len(prompted), :few]
    steps = range(1, len(prompted) + 1)
    first = (
        line("trained to revise", steps[: len(trained)], trained),
        line("shown its answers only", steps, prompted),
    )
    budgets = [n for n in prompted_reviser.grid.budgets if n <= main.plan.chains]
    more = ",answer=majority"
    votes = (
        _longest("trained to revise", main, budgets, few, more),
        _longest("shown its answers only", prompted_reviser, budgets, few, more),
        line("independent samples", budgets, main.curve(UNSCORED, budgets)[:, :few]),
    )
    last = [drawn.points[-1] for drawn in first]
    return shown.Figure(
        "prompted-reviser",
        "Revising without training for it",
        "",
        (
            shown.Panel(first, "pass@1", "at each answer of a chain"),
            shown.Panel(present(*votes), "Majority vote", "over one chain of N answers"),
        ),
        reading=f"At answer {len(prompted)} of a chain pass@1 is {measured(last[0])} for the model "
        f"trained to revise, and {measured(last[1])} for S, which is only shown its answers.",
        basis=stands_on(few, "The horizontal axis counts the answers of a chain."),
        x=data.Axis("answers", "answers", noun="answer"),
        own="each its own",
    )


def _by_samples(findings: Findings) -> shown.Figure:
    axis = findings.search
    budget = at_headline(axis.grid.budgets)
    row = axis.row(budget)
    fits = findings.search_by_samples
    counts = list(fits)
    lines = present(
        line("predicted bins", counts, _rows(list(fits.values()), row)),
        level("oracle bins (upper bound)", counts, axis.held_out(budget, Bins.ORACLE)),
        level("best-of-N weighted", counts, findings.evidence.main.curve(BASELINE, (budget,))[0]),
    )
    first, last = lines[0].points[0], lines[0].points[-1]
    return shown.Figure(
        "by-samples",
        f"How many samples predict difficulty well, at {counted(budget, 'generation')}",
        "Appendix C",
        (shown.Panel(lines),),
        reading=f"With bins from {counted(first.budget, 'sample')} the policy reaches "
        f"{measured(first)}, from {counted(last.budget, 'sample')} {measured(last)}. The samples "
        "are not charged here.",
        basis=stands_on(findings.evidence.problems),
        x=data.Axis(
            "scored samples for difficulty (log scale)", "samples for difficulty", noun="sample"
        ),
    )


def _rows(fits: Sequence[Fit], row: int) -> Floats:
    return np.stack([fit.held_out[row] for fit in fits])


def _coverage(findings: Findings) -> shown.Figure:
    budgets, coverage = findings.coverage
    lines = [line("coverage: any of N is right", budgets, coverage)]
    try:
        law = fit_coverage(budgets, coverage)
    except UsageError as error:
        reading = f"No law could be fitted: {error}."
    else:
        fitted = law.predict(budgets).tolist()
        curve = tuple(data.Point(n, c, c, c) for n, c in zip(budgets, fitted, strict=True))
        lines.append(shown.Line("fitted law", curve))
        low, high = sorted((-law.b.low, -law.b.high))
        reading = (
            f"The fitted law is -log coverage = {law.amplitude:.3g} N^-{law.exponent:.3g}, the "
            f"exponent in [{low:.3g}, {high:.3g}]; its mean error is {100 * law.error:.1f} points."
        )
    main = findings.evidence.main
    lines.append(line("best-of-N weighted", budgets, main.curve(BASELINE, budgets)))
    return shown.Figure(
        "coverage",
        "Coverage, and a law fitted to it",
        "Brown et al. 2024",
        (shown.Panel(tuple(lines)),),
        reading=reading,
        basis=stands_on(
            findings.evidence.problems, "With a perfect verifier best-of-N would reach coverage."
        ),
    )


def _costs(findings: Findings) -> shown.Figure:
    grid = findings.evidence.main.grid
    names = [
        name for name in map(normal, (*STRATEGIES, *REVISIONS[::3])) if name in grid.strategies
    ]
    large = findings.greedy_large
    panels = []
    for model in large.flops:
        lines = []
        for name in names:
            spent = [row for row in findings.ledger if row.strategy == name]
            spent = [row for row in spent if row.budget in grid.budgets]
            if not spent:
                continue
            row_of = grid.accuracy[grid.strategies.index(name)]
            accuracy = np.stack([row_of[grid.budgets.index(row.budget)] for row in spent])
            lines.append(line(name, [row.flops[model] for row in spent], accuracy))
        greedy = findings.evidence.large_greedy.astype(np.float64)
        lines.append(line("L, greedy", [large.flops[model]], greedy[None]))
        panels.append(shown.Panel(present(*lines), _COSTS[model][0], _COSTS[model][1]))
    return shown.Figure(
        "costs",
        "What an answer costs, under three cost models",
        "",
        tuple(panels),
        reading=_dearest(findings, names),
        basis=stands_on(
            findings.evidence.problems, "FLOPs of proposer and verifier together, without training."
        ),
        x=COST,
        own="each model its own",
    )


_COSTS = {
    "paper": ("The paper's", "2 FLOPs a parameter and token"),
    "attention": ("With attention", "plus attention to earlier tokens"),
    "memory": ("With memory", "plus reading keys and values, as the FLOPs possible meanwhile"),
}


_UNDER = {
    "paper": "by the paper's model",
    "attention": "with attention",
    "memory": "with memory",
}


def _dearest(findings: Findings, names: Sequence[str]) -> str:
    called = short_names()
    budget = at_headline(findings.evidence.main.plan.budgets)
    rows = [row for row in findings.ledger if row.strategy in names and row.budget == budget]
    factors = []
    for model in findings.greedy_large.flops:
        most = max(rows, key=lambda row: row.flops[model])
        least = min(rows, key=lambda row: row.flops[model])
        factors.append(
            f"{_UNDER[model]} {called.get(most.strategy, most.strategy)} costs "
            f"{ratio(most.flops[model] / least.flops[model])} times "
            f"{called.get(least.strategy, least.strategy)}"
        )
    return f"At {counted(budget, 'generation')}: {'; '.join(factors)}."
