"""From a study to the values a report shows: curves, fits, factors, trees. Measures nothing new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from outthink.errors import UsageError
from outthink.measure import difficulty
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import Binning, Difficulty
from outthink.measure.equivalence import Equivalence, equivalence
from outthink.measure.intervals import Interval, intervals
from outthink.measure.quality import auc, calibration_error, reliability
from outthink.policy import table as policy
from outthink.policy.table import Fit
from outthink.report import data
from outthink.run.store import Node, SearchTree
from outthink.search import strategy
from outthink.study.plan import STRATEGIES, UNSCORED
from outthink.study.read import Study
from outthink.study.verifiers import VerifierQuality

BASELINE = "best_of_n"
LABELS = {
    "majority": ("Majority vote", "N samples; the answer given most often"),
    "best_of_n(answer=max)": ("Best-of-N", "N samples; the answer of the best-scored one"),
    "best_of_n": ("Best-of-N weighted", "N samples; the answer with the largest sum of scores"),
    "beam": ("Beam, M = 4", "N prefixes; the N/4 best go on with 4 next steps each"),
    "beam(width=sqrt)": ("Beam, M = √N", "as beam, with √N next steps each"),
    "lookahead(width=sqrt)": ("Lookahead, k = 1", "beam, judged one greedy step ahead"),
    "lookahead(depth=3)": ("Lookahead, k = 3", "beam, judged three greedy steps ahead"),
    "greedy": ("Greedy", "one answer, the likeliest token each time"),
    **{
        f"revise(sequential={length})" if length != 4 else "revise": (
            f"Revisions, {length} in a row" if length > 1 else "Revision model, in parallel",
            f"N / {length} chains of {length}, each answer seeing the ones before it",
        )
        for length in (1, 2, 4, 8, 16, 32, 64)
    },
}
Text = Callable[[Sequence[int]], str]

WORDLESS = (
    "This store does not hold what its solutions say, so steps are shown by their number of "
    "tokens. A new sweep of a served model keeps what it says."
)
_TREES_PER_BIN = 8
_TREE_BUDGET = 16


@dataclass(frozen=True, eq=False)
class Fitted:
    """A policy fitted on a study under one kind of difficulty."""

    difficulty: Difficulty
    bins: Integers
    """[P] 0 is the easiest."""
    binning: Binning
    fit: Fit


def fitted(study: Study, estimate: Difficulty, *, seed: int) -> Fitted:
    """Bin the problems, into as many bins as they fill, and fit the best strategy of every bin and
    budget."""
    count = difficulty.bins_for(len(study.problems))
    numbers, binning = difficulty.bins(estimate.values, count)
    return Fitted(estimate, numbers, binning, policy.fit(study.grid, numbers, seed=seed))


def lacks(study: Study) -> str | None:
    """Why no policy can be fitted on a study, and what would help; `None` where one can."""
    problems = len(study.problems)
    if problems < 2:
        return (
            "a policy is chosen on half of the problems and measured on the others, and "
            f"{problems or 'no'} problem{' is' if problems == 1 else 's are'} there with a "
            "reference and every search; give at least 2, better 100"
        )
    if not {BASELINE, UNSCORED} & {*study.strategies}:
        return (
            f"policies are compared with {BASELINE}, or {UNSCORED} where there is no verifier, "
            f"and this study ran neither; sweep with one of them among the strategies"
        )
    if not study.plan.predicted_samples:
        return "this study predicts no difficulty; sweep with --difficulty-samples"
    return None


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything that follows from a study without running anything."""

    study: Study
    predicted: Fitted
    oracle: Fitted | None
    seed: int

    @classmethod
    def of(cls, study: Study, *, seed: int) -> Analysis:
        """Raises `UsageError` where no policy can be fitted, and says what would help."""
        if why := lacks(study):
            raise UsageError(why)
        oracle = fitted(study, study.oracle, seed=seed) if study.plan.oracle_samples else None
        return cls(study, fitted(study, study.predicted, seed=seed), oracle, seed)

    @property
    def base(self) -> str:
        """What policies are compared with: weighted best-of-N, or majority without a verifier."""
        return BASELINE if BASELINE in self.study.strategies else UNSCORED

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of so few problems; nothing where they fill every bin."""
        problems, count = len(self.study.problems), self.predicted.binning.count
        if count == difficulty.BINS:
            return ()
        widths = [cell.accuracy.high - cell.accuracy.low for cell in self.predicted.fit.cells]
        said = (
            f"{problems} problems fill {count} difficulty bin{'s' if count > 1 else ''} of at "
            f"least {difficulty.LEAST_PER_BIN}, not {difficulty.BINS}: the 95 % intervals of the "
            f"policy's cells are {100 * min(widths):.0f} to {100 * max(widths):.0f} points wide."
        )
        if problems >= difficulty.LEAST_PER_BIN:
            return (said,)
        return (said, f"Intervals resampled from {problems} problems are narrower than the truth.")

    @cached_property
    def baseline(self) -> Floats:
        """[N, P] accuracy of the base at `plan.pool_budgets`."""
        return self.study.curve(self.base, self.study.plan.pool_budgets)

    def equivalences(self, fit: Fitted, *, charged: bool) -> tuple[Equivalence, ...]:
        """CEF(N) of a fitted policy over the base (method F14)."""
        plan = self.study.plan
        cost = fit.difficulty.samples if charged else 0
        return equivalence(
            self.baseline,
            plan.pool_budgets,
            fit.fit.held_out,
            plan.budgets,
            extra_cost=cost,
            seed=self.seed,
        )


def build(
    study: Study,
    analysis: Analysis | None,
    *,
    provenance: data.Provenance,
    text: Text | None,
    title: str,
    notes: Sequence[str] = (),
    verifiers: Sequence[VerifierQuality] = (),
) -> data.Report:
    """The report of a study, with its policy where one could be fitted.

    What solutions say is in the store, or else `text` makes it of their token ids; where neither
    can, their trees are shown without words, and the page says so.
    """
    reference = None if analysis is None else analysis.oracle or analysis.predicted
    searched = _searched(study, reference)
    mute = text is None and any(node.texts is None for found, _ in searched for node in found.nodes)
    fits = [] if analysis is None else [(analysis.predicted, "predicted")]
    if analysis and analysis.oracle:
        fits.append((analysis.oracle, "oracle"))
    return data.Report(
        title=title,
        provenance=provenance,
        notes=(*notes, WORDLESS) if mute else tuple(notes),
        labels=tuple(
            data.Label(name, *LABELS[name]) for name in study.strategies if name in LABELS
        ),
        curves=_curves(study, np.arange(len(study.problems))),
        bins=_bins(study, reference, analysis.base) if analysis and reference else (),
        comparison=None if analysis is None else _comparison(analysis),
        policies=tuple(policy_table(fit.fit, kind) for fit, kind in fits),
        calibrations=_calibration(study, provenance.verifiers),
        agreement=None if analysis is None else _agreement(analysis),
        spending=tuple(
            data.Spending(name, budget, len(study.problems), study.usage(name, budget))
            for name in study.strategies
            for budget in study.plan.budgets
            if study.problems and study.is_known(name, budget)
        ),
        trees=tuple(tree(found, number, text) for found, number in searched),
        verifiers=tuple(map(_verifier, verifiers)),
    )


def _verifier(one: VerifierQuality) -> data.VerifierCurves:
    def curve(values: Sequence[Interval]) -> tuple[data.Point, ...]:
        pairs = zip(one.budgets, values, strict=True)
        return tuple(data.Point(n, value.mean, value.low, value.high) for n, value in pairs)

    return data.VerifierCurves(one.verifier, one.auc, curve(one.weighted), curve(one.plain))


def points(budgets: Sequence[float], accuracy: Floats, seed: int = 0) -> tuple[data.Point, ...]:
    """A curve [N, P] as means over problems, with their intervals."""
    found = intervals(accuracy, seed=seed)
    return tuple(
        data.Point(budget, each.mean, each.low, each.high)
        for budget, each in zip(budgets, found, strict=True)
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


def _bins(study: Study, fit: Fitted, base: str) -> tuple[data.Bin, ...]:
    """Every bin; one alone is all problems, which are drawn already."""
    count = fit.binning.count
    return tuple(_bin(study, fit, number, base) for number in range(count)) if count > 1 else ()


def _bin(study: Study, fit: Fitted, number: int, base: str) -> data.Bin:
    places = np.flatnonzero(fit.bins == number)
    single = study.curve(base, [1])[0, places].mean()
    return data.Bin(number + 1, len(places), float(single), _curves(study, places))


def _comparison(analysis: Analysis) -> data.Comparison:
    plan, predicted = analysis.study.plan, analysis.predicted
    samples = predicted.difficulty.samples
    held_out = predicted.fit.held_out
    factors = [
        cef(found, charged=charged, kind=kind)
        for fit, charged, kind in (
            (predicted, False, "predicted"),
            (predicted, True, "predicted"),
            (analysis.oracle, False, "oracle"),
        )
        if fit is not None
        for found in analysis.equivalences(fit, charged=charged)
    ]
    return data.Comparison(
        baseline=data.Curve(analysis.base, points(plan.pool_budgets, analysis.baseline)),
        predicted=data.Curve("policy", points(plan.budgets, held_out)),
        charged=data.Curve("policy", points([n + samples for n in plan.budgets], held_out)),
        oracle=None
        if analysis.oracle is None
        else data.Curve("policy", points(plan.budgets, analysis.oracle.fit.held_out)),
        cefs=tuple(factors),
    )


def cef(found: Equivalence, *, charged: bool, kind: str) -> data.Cef:
    """A factor as the page shows it."""
    return data.Cef(
        budget=found.cost,
        value=found.factor,
        low=found.low,
        high=None if found.high_at_least else found.high,
        at_least=found.at_least,
        charged=charged,
        bins="oracle" if kind == "oracle" else "predicted",
    )


def policy_table(fit: Fit, kind: str) -> data.Policy:
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
    return data.Policy("oracle" if kind == "oracle" else "predicted", cells)


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
    rows = reliability(value, outcome)
    return (
        data.Calibration(
            verifier=verifiers[0],
            buckets=tuple(
                data.Bucket(row.score, row.rate, *_wilson(row.rate, row.count), row.count)
                for row in rows
                if row.count
            ),
            problems=len(study.problems),
            auc=auc(value, outcome),
            ece=calibration_error(value, outcome),
        ),
    )


def _wilson(rate: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle = rate + z * z / (2 * count)
    half = z * np.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return float(max(0.0, (middle - half) / scale)), float(min(1.0, (middle + half) / scale))


def _agreement(analysis: Analysis) -> data.Agreement | None:
    if analysis.oracle is None:
        return None
    return agreement(
        difficulty.agreement(
            analysis.oracle.difficulty.values,
            analysis.predicted.difficulty.values,
            analysis.predicted.binning.count,
        )
    )


def agreement(found: difficulty.Agreement) -> data.Agreement:
    """Predicted against oracle bins, as the page shows it."""
    confusion = tuple(tuple(int(count) for count in row) for row in found.confusion)
    return data.Agreement(confusion, found.spearman)


def _searched(study: Study, fit: Fitted | None) -> list[tuple[SearchTree, int | None]]:
    """A few problems of every bin, searched by each search at a budget that can be read, and the
    number of the bin; `None` where problems were not put into bins."""
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
    bins = np.zeros(len(study.problems), np.int64) if fit is None else fit.bins
    trees: list[tuple[SearchTree, int | None]] = []
    for number in np.unique(bins):
        for place in np.flatnonzero(bins == number)[:_TREES_PER_BIN]:
            for name, budget, stream in shown:
                problem = study.problems[place].id
                found = study.view.tree(problem, strategy(name).name, budget, stream)
                trees.append((found, None if fit is None else int(number) + 1))
    return trees


def tree(found: SearchTree, bin: int | None, text: Text | None) -> data.Tree:
    """A stored search as the page draws it: one node a step, whatever a solution's length."""
    outcome = found.outcome
    assert outcome is not None
    by_number = {node.number: node for node in found.nodes}
    on_path = _path(outcome.chosen, {node.number: node.parent for node in found.nodes})
    inner = {node.parent for node in found.nodes}
    nodes: list[data.Node] = []
    last: dict[int, int] = {-1: -1}
    for node in found.nodes:
        above = by_number.get(node.parent)
        known = len(above.step_ends) if above else 0
        parent = last.get(node.parent, -1)
        said = _said(node, above, text)
        if len(said) > max(1, len(node.step_ends) - known) and not said[-1].strip():
            said.pop()
        scores = node.scores.steps if node.scores else ()
        for place, words in enumerate(said):
            is_last = place + 1 == len(said)
            step = known + place
            nodes.append(
                data.Node(
                    number=len(nodes),
                    parent=parent,
                    text=words.strip(),
                    score=scores[step] if step < len(scores) else None,
                    on_chosen_path=node.number in on_path,
                    kept=not is_last or node.finished or node.number in inner,
                    finished=is_last and node.finished,
                    truncated=is_last and node.truncated,
                    answer=node.answer if is_last else None,
                )
            )
            parent = len(nodes) - 1
        last[node.number] = parent
    return data.Tree(
        problem_id=found.problem.id,
        prompt=found.problem.prompt,
        reference=found.problem.reference,
        strategy=found.strategy,
        budget=found.budget,
        bin=bin,
        answer=outcome.answer,
        right=outcome.right,
        usage=outcome.usage,
        nodes=tuple(nodes),
    )


def _said(node: Node, above: Node | None, text: Text | None) -> list[str]:
    """What a solution says past the one above it: a text a step, then one of what is behind the
    last step, where there is anything. At least one."""
    known = len(above.step_ends) if above else 0
    if node.texts is not None:
        return [*node.texts[known:]] or [""]
    start = len(above.tokens) if above else 0
    ends = [*node.step_ends[known:]]
    if not ends or ends[-1] < len(node.tokens):
        ends.append(len(node.tokens))
    parts = [node.tokens[a:b] for a, b in pairwise((start, *ends))]
    return [*map(text or _counted, parts)]


def _counted(tokens: Sequence[int]) -> str:
    """Stands for words that nobody kept."""
    return f"({len(tokens)} token{'' if len(tokens) == 1 else 's'})"


def _path(chosen: int | None, parents: Mapping[int, int]) -> set[int]:
    """The chosen solution and everything it grew from."""
    path: set[int] = set()
    while chosen is not None and chosen in parents:
        path.add(chosen)
        chosen = parents[chosen]
    return path
