"""What a report shows, read from a study and the policy fitted on it.

Measures nothing that the study or the fit has not measured, but for the verifier's calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outthink.measure import difficulty
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import Method
from outthink.measure.equivalence import Equivalence
from outthink.measure.intervals import Interval, intervals, wilson
from outthink.measure.quality import Reliability, auc, calibration_error, reliability
from outthink.policy.results import FitResult, SequentialFit
from outthink.policy.table import Fit
from outthink.report import data
from outthink.report.sequential_study import Bins, sequential
from outthink.run.store import Node, SearchTree
from outthink.search import strategy
from outthink.study.plan import STRATEGIES
from outthink.study.read import Study
from outthink.study.verifiers import VerifierQuality

LABELS = {
    "majority": ("Majority vote", "N samples; the most frequent answer"),
    "best_of_n(answer=max)": ("Best-of-N", "N samples; the answer of the best-scored one"),
    "best_of_n": ("Best-of-N weighted", "N samples; the answer with the largest sum of scores"),
    "beam": ("Beam (M = 4)", "N prefixes; the N/4 best are kept, with 4 next steps from each"),
    "beam(width=sqrt)": ("Beam (M = √N)", "as beam, with √N kept and √N next steps from each"),
    "lookahead(width=sqrt)": ("Lookahead (k = 1)", "beam that scores 1 greedy step further"),
    "lookahead(depth=3)": ("Lookahead (k = 3)", "beam that scores 3 greedy steps further"),
    "greedy": ("Greedy", "one answer, always the likeliest token"),
    "greedy(scored=yes)": ("Greedy, scored", "as greedy, and the verifier scores the answer"),
    "greedy(by=larger)": ("Larger model, greedy", "one answer of the larger model"),
    "greedy(by=larger,scored=yes)": (
        "Larger model, greedy, scored",
        "one answer of the larger model, and the verifier scores it",
    ),
    "best_of_n(by=larger)": (
        "Larger model, best-of-N weighted",
        "N samples of the larger model; the answer with the largest sum of scores",
    ),
    **{
        f"revise(sequential={length})" if length != 4 else "revise": (
            f"Revisions ({length} in a row)" if length > 1 else "Revisions in parallel",
            f"N / {length} chains of {length}; an answer is conditioned on those before it",
        )
        for length in (1, 2, 4, 8, 16, 32, 64)
    },
    **{
        strategy(f"revise(sequential={length},answer=max)").name: (
            f"Revisions ({length} in a row), best",
            f"as revisions ({length} in a row), and the best-scored answer of all",
        )
        for length in (2, 4, 8, 16, 32, 64)
    },
}
"""By strategy name: the label on the page, and one line for the glossary."""

Text = Callable[[Sequence[int]], str]

WITHOUT_TEXT = (
    "This store does not hold the text of its solutions, so each step shows its number of tokens. "
    "A new sweep of a served model keeps the text."
)
_TREES_PER_BIN = 8
_TREE_BUDGET = 16


def build(
    study: Study,
    fitting: FitResult | None,
    *,
    provenance: data.Provenance,
    text: Text | None,
    title: str,
    notes: Sequence[str] = (),
    verifiers: Sequence[VerifierQuality] = (),
    policy: SequentialFit | None = None,
) -> data.Report:
    """The report of a study, with its policies, the sequential one and the paper's table, where
    they could be fitted.

    The text of solutions is read from the store. Where the store has none, `text` decodes token
    ids; without that too, trees show how many tokens a step has, and a note says so.
    """
    reference = None if fitting is None else fitting.oracle or fitting.predicted
    searched = _searched(study, None if reference is None else reference.bins)
    textless = text is None and any(
        node.texts is None for tree, _ in searched for node in tree.nodes
    )
    policies = [] if fitting is None else [policy_table(fitting.predicted, "predicted")]
    if fitting is not None and fitting.oracle is not None:
        policies.append(policy_table(fitting.oracle, "oracle"))
    return data.Report(
        title=title,
        provenance=provenance,
        notes=(*notes, WITHOUT_TEXT) if textless else tuple(notes),
        labels=tuple(
            data.Label(name, *LABELS[name]) for name in study.strategies if name in LABELS
        ),
        sequential=None
        if policy is None
        else sequential(policy, study.problems, bins=_difficulty(fitting), labels=_label),
        curves=_curves(study, np.arange(len(study.problems))),
        bins=() if fitting is None or reference is None else _bins(study, fitting, reference),
        comparison=None if fitting is None else _comparison(study, fitting),
        policies=tuple(policies),
        calibrations=_calibration(study, provenance.verifiers),
        agreement=None
        if fitting is None or fitting.agreement is None
        else agreement(fitting.agreement),
        spending=tuple(
            data.Spending(
                name,
                budget,
                len(study.problems),
                study.usage(name, budget),
                study.verifier_wrote(name, budget),
            )
            for name in study.strategies
            for budget in study.plan.budgets
            if study.problems and study.is_known(name, budget) and not study.asked.imported
        ),
        trees=tuple(tree(stored, number, text) for stored, number in searched),
        verifiers=tuple(map(_verifier, verifiers)),
    )


def _label(name: str) -> str:
    return LABELS[name][0] if name in LABELS else name


def _difficulty(fitting: FitResult | None) -> Bins | None:
    """Oracle bins, or else predicted ones; one alone says nothing."""
    if fitting is None or fitting.policy.binning.count == 1:
        return None
    if fitting.oracle is not None:
        return "oracle difficulty", fitting.oracle.bins
    return "predicted difficulty", fitting.predicted.bins


def _verifier(one: VerifierQuality) -> data.VerifierCurves:
    def curve(values: Sequence[Interval]) -> tuple[data.Point, ...]:
        pairs = zip(one.budgets, values, strict=True)
        return tuple(data.Point(n, value.mean, value.low, value.high) for n, value in pairs)

    return data.VerifierCurves(
        one.verifier,
        one.auc,
        curve(one.weighted),
        curve(one.plain),
        one.auc_problems,
        one.auc_all,
        one.error,
        one.error_after,
        one.tokens,
        _calibrated(one),
    )


def _calibrated(one: VerifierQuality) -> data.Calibration | None:
    if not one.curve_after:
        return None
    return data.Calibration(
        f"{one.verifier}, calibrated",
        _buckets(one.curve_after),
        one.weighted[0].problems,
        unit="solutions",
        ece=one.error_after,
    )


def _buckets(rows: Sequence[Reliability]) -> tuple[data.Bucket, ...]:
    return tuple(
        data.Bucket(row.score, row.rate, *wilson(row.rate, row.count), row.count)
        for row in rows
        if row.count
    )


def points(budgets: Sequence[float], accuracy: Floats, seed: int = 0) -> tuple[data.Point, ...]:
    """A curve [N, P] as means over problems, with their intervals."""
    return tuple(
        data.Point(budget, interval.mean, interval.low, interval.high)
        for budget, interval in zip(budgets, intervals(accuracy, seed=seed), strict=True)
    )


def _curves(study: Study, places: Integers) -> tuple[data.Curve, ...]:
    if not (places.size and study.strategies):
        return ()
    grid, curves = study.grid, []
    for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True):
        columns = np.flatnonzero(~np.isnan(accuracy[:, 0]))  # at the others it was not run
        if columns.size:
            budgets = [grid.budgets[column] for column in columns]
            curves.append(data.Curve(name, points(budgets, accuracy[np.ix_(columns, places)])))
    return tuple(curves)


def _bins(study: Study, fitting: FitResult, fit: Fit) -> tuple[data.Bin, ...]:
    """Every bin; one alone is all problems, which are drawn already."""
    count = fitting.policy.binning.count
    if count == 1:
        return ()
    return tuple(_bin(study, fit.bins == number, number, fitting.base) for number in range(count))


def _bin(study: Study, members: NDArray[np.bool_], number: int, base: str) -> data.Bin:
    places = np.flatnonzero(members)
    single = study.curve(base, [1])[0, places].mean()
    return data.Bin(number + 1, len(places), float(single), _curves(study, places))


def _comparison(study: Study, fitting: FitResult) -> data.Comparison:
    budgets, samples = study.plan.budgets, fitting.policy.samples
    held_out, oracle = fitting.predicted.held_out, fitting.oracle
    return data.Comparison(
        baseline=data.Curve(fitting.base, points(study.plan.pool_budgets, fitting.baseline)),
        predicted=data.Curve("policy", points(budgets, held_out)),
        charged=data.Curve("policy", points([n + samples for n in budgets], held_out)),
        oracle=None if oracle is None else data.Curve("policy", points(budgets, oracle.held_out)),
        cefs=tuple(
            cef(
                row.equivalence,
                charged=row.charged,
                kind="oracle" if row.bins is Method.ORACLE else "predicted",
            )
            for row in fitting.versus_baseline
        ),
    )


def cef(factor: Equivalence, *, charged: bool, kind: data.Bins) -> data.Cef:
    """A compute-equivalence factor as the page shows it."""
    return data.Cef(
        budget=factor.cost,
        value=factor.factor,
        low=factor.low,
        high=factor.known_high,
        at_least=factor.at_least,
        charged=charged,
        bins=kind,
    )


def policy_table(fit: Fit, kind: data.Bins) -> data.Policy:
    """The cells of a fitted policy."""
    cells = tuple(
        data.Cell(
            cell.bin + 1,
            cell.budget,
            cell.strategy,
            cell.accuracy.mean,
            cell.accuracy.low,
            cell.accuracy.high,
            cell.accuracy.problems,
        )
        for cell in fit.cells
    )
    return data.Policy(kind, cells)


def _calibration(study: Study, verifiers: Sequence[str]) -> tuple[data.Calibration, ...]:
    """Step scores of the difficulty samples against how each sample ended."""
    scores: list[float] = []
    ended: list[bool] = []
    samples = study.plan.predicted_samples
    name, stream = study.plan.probe
    for problem in study.problems if samples else ():
        tree = study.view.tree(problem.id, name, samples, stream)
        for node in tree.nodes:
            right = (
                node.answer is not None
                and problem.reference is not None
                and study.is_right(problem, node.answer)
            )
            for score in node.scores.steps if node.scores else ():
                if score is not None:
                    scores.append(score)
                    ended.append(right)
    if not scores or not verifiers:
        return ()
    value, outcome = np.array(scores), np.array(ended)
    return (
        data.Calibration(
            verifier=verifiers[0],
            buckets=_buckets(reliability(value, outcome)),
            problems=len(study.problems),
            auc=auc(value, outcome),
            ece=calibration_error(value, outcome),
        ),
    )


def agreement(measured: difficulty.Agreement) -> data.Agreement:
    """How many problems of each oracle bin are in which predicted bin, and the rank correlation."""
    confusion = tuple(tuple(int(count) for count in row) for row in measured.confusion)
    return data.Agreement(confusion, measured.spearman)


def _searched(study: Study, bins: Integers | None) -> list[tuple[SearchTree, int | None]]:
    """Search trees to read, with the number of their bin: a few problems a bin, and for each of
    them every live search at the largest budget that is still readable, and the difficulty samples.
    Without bins a few problems, and no number.
    """
    plan = study.plan
    shown: list[tuple[str, int, str]] = []
    for name in plan.live:
        fits = [
            budget
            for budget in plan.budgets
            if budget <= _TREE_BUDGET
            and study.is_known(name, budget)
            and not plan.is_sample(name, budget)
        ]
        if name in STRATEGIES and fits:
            shown.append((name, fits[-1], ""))
    if plan.predicted_samples:
        name, stream = plan.probe
        shown.append((name, plan.predicted_samples, stream))
    places = np.zeros(len(study.problems), np.int64) if bins is None else bins
    trees: list[tuple[SearchTree, int | None]] = []
    for number in np.unique(places):
        for place in np.flatnonzero(places == number)[:_TREES_PER_BIN]:
            for name, budget, stream in shown:
                problem = study.problems[place].id
                stored = study.view.tree(problem, strategy(name).name, budget, stream)
                trees.append((stored, None if bins is None else int(number) + 1))
    return trees


def tree(stored: SearchTree, bin: int | None, text: Text | None) -> data.Tree:
    """A stored search as the page draws it: one node a step."""
    outcome = stored.outcome
    assert outcome is not None
    by_number = {node.number: node for node in stored.nodes}
    chosen_path = _path(outcome.chosen, {node.number: node.parent for node in stored.nodes})
    inner = {node.parent for node in stored.nodes}
    nodes: list[data.Node] = []
    last: dict[int, int] = {-1: -1}
    for node in stored.nodes:
        above = _extended(by_number.get(node.parent))
        known = len(above.step_ends) if above else 0
        parent = last.get(node.parent, -1)
        texts = _step_texts(node, above, text)
        if len(texts) > max(1, len(node.step_ends) - known) and not texts[-1].strip():
            texts.pop()
        scores = node.scores.steps if node.scores else ()
        for place, step_text in enumerate(texts):
            is_last = place + 1 == len(texts)
            step = known + place
            nodes.append(
                data.Node(
                    number=len(nodes),
                    parent=parent,
                    text=step_text.strip(),
                    score=scores[step] if step < len(scores) else None,
                    on_chosen_path=node.number in chosen_path,
                    kept=not is_last or node.finished or node.number in inner,
                    finished=is_last and node.finished,
                    truncated=is_last and node.truncated,
                    answer=node.answer if is_last else None,
                )
            )
            parent = len(nodes) - 1
        last[node.number] = parent
    return data.Tree(
        problem_id=stored.problem.id,
        prompt=stored.problem.prompt,
        reference=stored.problem.reference,
        strategy=stored.strategy,
        budget=stored.budget,
        bin=bin,
        answer=outcome.answer,
        right=outcome.right,
        usage=outcome.usage,
        nodes=tuple(nodes),
    )


def _extended(parent: Node | None) -> Node | None:
    """The parent, where a solution goes on from it: what revises a solution that has ended, or is
    about it, begins anew."""
    return None if parent is None or parent.finished or parent.truncated else parent


def _step_texts(node: Node, above: Node | None, text: Text | None) -> list[str]:
    """The text a solution adds to its parent: one entry a step, then one for what follows the last
    step's end, if anything does. At least one entry."""
    known = len(above.step_ends) if above else 0
    if node.texts is not None:
        return [*node.texts[known:]] or [""]
    start = len(above.tokens) if above else 0
    ends = [*node.step_ends[known:]]
    if not ends or ends[-1] < len(node.tokens):
        ends.append(len(node.tokens))
    parts = [node.tokens[a:b] for a, b in pairwise((start, *ends))]
    return [*map(text or _token_count, parts)]


def _token_count(tokens: Sequence[int]) -> str:
    """Stands in for the text of a step, where it was not stored."""
    return f"({len(tokens)} token{'' if len(tokens) == 1 else 's'})"


def _path(chosen: int | None, parents: Mapping[int, int]) -> set[int]:
    """Numbers of the chosen solution and its ancestors."""
    path: set[int] = set()
    while chosen is not None and chosen in parents:
        path.add(chosen)
        chosen = parents[chosen]
    return path
