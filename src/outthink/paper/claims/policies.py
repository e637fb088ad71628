"""Claims about choosing a strategy by difficulty and budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.measure.arrays import Floats
from outthink.measure.difficulty import bins
from outthink.measure.equivalence import Equivalence
from outthink.measure.grid import Grid
from outthink.measure.intervals import Interval
from outthink.paper.claims.base import (
    BETTER,
    LEAST,
    NEGLIGIBLE,
    Claim,
    Figure,
    How,
    Judgement,
    Unit,
    Verdict,
    above,
    apart,
    below,
    better,
    difference,
    factor,
    judged,
    mean,
    number,
    percent,
    points,
    share,
    times,
    untestable,
)
from outthink.paper.evidence import BASELINE, PARALLEL, TREES
from outthink.paper.findings import Bins, Findings, interaction, share_out
from outthink.paper.replayed import N as RECORDED
from outthink.paper.replayed import replayed
from outthink.policy import table as policy
from outthink.search import strategy

# C01, C42: four times -----------------------------------------------------------------------------

FOUR_TIMES, SURELY, AT_MOST = 4.0, 2.0, 2.0
"""The factor claimed; what the lower end of its interval must exceed; the bound that refutes the
claim where every upper end is below it."""


def four_times(factors: Sequence[Equivalence], reach: int) -> Verdict:
    """The rule of C01 on one curve; `reach` is the baseline's largest budget.

    A budget cannot refute where the baseline was not measured up to AT_MOST times its cost: a
    saving of that size could not be seen there.
    """
    if any(cef.factor >= FOUR_TIMES and above(cef, SURELY) for cef in factors):
        return Verdict.CONFIRMED
    seen = [cef for cef in factors if reach >= AT_MOST * cef.cost]
    refuted = bool(seen) and all(below(cef, AT_MOST) for cef in seen)
    return Verdict.REFUTED if refuted else Verdict.UNDECIDED


def _c01(findings: Findings) -> Judgement:
    axes = (findings.search, findings.revisions)
    verdicts = [four_times(axis.net, axis.base_budgets[-1]) for axis in axes]
    figures = [
        factor(f"{axis.name}, N = {cef.n}, {label}", cef)
        for axis in axes
        for label, factors in (
            ("predicted, net", axis.net),
            ("predicted, difficulty free", axis.gross),
            ("oracle, difficulty free", axis.upper),
        )
        for cef in factors
    ]
    against = findings.against_plain
    figures += [
        factor(f"{axis.name}, N = {cef.n}, predicted, net, over plain best-of-N", cef)
        for axis in against
        for cef in axis.net
    ]
    best = {axis.name: max(axis.net, key=lambda cef: cef.factor) for axis in axes}
    sentence = "; ".join(
        f"{name}: at best {times(cef)} times, at N = {cef.n}" for name, cef in best.items()
    )
    sentence = f"With difficulty charged, {sentence}."
    if against:
        other = [(max(axis.net, key=lambda cef: cef.factor), axis.name) for axis in against]
        more = "; ".join(f"{name} {times(cef)} times, at N = {cef.n}" for cef, name in other)
        sentence += f" Against plain best-of-N, which is not part of the rule, at best: {more}."
    return judged(_either(verdicts), figures, sentence)


def _either(verdicts: Sequence[Verdict]) -> Verdict:
    """Confirmed where one verdict is, refuted where all are."""
    if Verdict.CONFIRMED in verdicts:
        return Verdict.CONFIRMED
    refuted = all(verdict is Verdict.REFUTED for verdict in verdicts)
    return Verdict.REFUTED if refuted else Verdict.UNDECIDED


def _c42(findings: Findings) -> Judgement:
    axis = findings.search
    numbers = findings.bins(Bins.PREDICTED)
    budgets = tuple(n for n in axis.grid.budgets if n > 1)
    only_n = np.array(
        [share_out(axis.base_curve, axis.base_budgets, numbers, float(n)) for n in budgets]
    )
    only_strategy = np.array([axis.held_out(n) for n in budgets])
    names, costs = _choices(axis.grid)
    together = np.array([share_out(names, costs, numbers, float(n)) for n in budgets])
    curves = {"number": only_n, "strategy": only_strategy, "both": together}
    factors = {name: axis.against_base(curve, budgets, axis.cost) for name, curve in curves.items()}
    base = [axis.base_curve[axis.base_budgets.index(n)] for n in budgets]
    reach = axis.base_budgets[-1]
    number_wins = four_times(factors["number"], reach)
    strategy_wins = four_times(factors["strategy"], reach)
    verdict = number_wins
    if number_wins is Verdict.CONFIRMED and strategy_wins is Verdict.CONFIRMED:
        verdict = Verdict.UNDECIDED
    figures = [
        factor(f"adaptive {name}, N = {cef.n}", cef)
        for name, cefs in factors.items()
        for cef in cefs
    ]
    figures += [
        difference(f"adaptive {name} - best-of-N, N = {n}", apart(curve[row], base[row]))
        for name, curve in curves.items()
        for row, n in enumerate(budgets)
    ]
    best = {name: max(cefs, key=lambda cef: cef.factor) for name, cefs in factors.items()}
    sentence = ", ".join(f"{times(cef)} adapting {name}" for name, cef in best.items())
    return judged(
        verdict,
        figures,
        f"At best, with difficulty charged: {sentence} (number of samples, strategy, or both).",
    )


def _choices(grid: Grid) -> tuple[Floats, list[float]]:
    """[C, P] accuracy of every strategy at every budget it was run at, and the costs."""
    run = ~np.isnan(grid.accuracy[:, :, 0])
    costs = [float(n) for row in run for n, there in zip(grid.budgets, row, strict=True) if there]
    accuracy: Floats = grid.accuracy[run]
    return accuracy, costs


# C14, C15, C43: difficulty ------------------------------------------------------------------------


def _c14(findings: Findings) -> Judgement:
    axes = (findings.search, findings.revisions)
    gaps = {
        (axis.name, n): apart(axis.held_out(n, Bins.ORACLE), axis.held_out(n))
        for axis in axes
        for n in axis.grid.budgets
    }
    figures = [
        difference(f"{name}, N = {n}: oracle - predicted", gap) for (name, n), gap in gaps.items()
    ]
    figures += [
        share(
            f"predicted from {k}, N = {findings.top}",
            mean(fit.held_out[findings.search.row(findings.top)]),
        )
        for k, fit in findings.search_by_samples.items()
    ]
    agreed = findings.agreement
    figures.append(number("share of problems in the same bin", agreed.same_bin, Unit.SHARE))
    near = all(below(gap, NEGLIGIBLE) and above(gap, -NEGLIGIBLE) for gap in gaps.values())
    far = any(above(gap, NEGLIGIBLE) for gap in gaps.values())
    verdict = Verdict.CONFIRMED if near else Verdict.REFUTED if far else Verdict.UNDECIDED
    (name, n), widest = max(gaps.items(), key=lambda item: item[1].mean)
    return judged(
        verdict,
        figures,
        f"Oracle bins gain at most {points(widest)} over predicted ones ({name}, N = {n}); "
        f"{percent(agreed.same_bin)} of problems are in the same bin under both.",
    )


def _c15(findings: Findings) -> Judgement:
    grid = findings.both.grid
    labels, _ = bins(-findings.evidence.steps.astype(np.float64))
    by_label = policy.fit(grid, labels, seed=findings.evidence.seed)
    rows = [row for row, n in enumerate(grid.budgets) if n > 1]
    if not rows:
        return untestable("every strategy is the same at one sample, and no more was run")

    def gain(kind: Bins) -> Floats:
        held_out = findings.both.fits[kind].held_out - by_label.held_out
        gained: Floats = held_out[rows].mean(axis=0)
        return gained

    oracle, predicted = mean(gain(Bins.ORACLE)), mean(gain(Bins.PREDICTED))
    return judged(
        better(oracle),
        [
            difference("bins by pass@1 - bins by length", oracle),
            difference("bins by the verifier - bins by length", predicted),
        ],
        f"Choosing by pass@1 instead of by the problem's length changes accuracy by "
        f"{points(oracle)}; choosing by predicted difficulty changes it by {points(predicted)}.",
    )


def _c43(findings: Findings) -> Judgement:
    axes = (findings.search, findings.revisions)
    figures: list[Figure] = []
    gained, survived, lost = 0, 0, 0
    for axis in axes:
        for free, paid in zip(axis.gross, axis.net, strict=True):
            figures += [
                factor(f"{axis.name}, N = {free.n}, difficulty free", free),
                factor(f"{axis.name}, N = {free.n}, {paid.cost - paid.n:g} samples charged", paid),
            ]
            if above(free, 1.0):
                gained += 1
                survived += above(paid, 1.0)
                lost += below(paid, 1.0)
                spare = free.factor * free.n - free.n
                figures.append(
                    number(f"{axis.name}, N = {free.n}: uses to break even", axis.cost / spare)
                )
    search = findings.search
    row = search.row(findings.top)
    for k, fit in findings.search_by_samples.items():
        paid = search.against_base(fit.held_out[row : row + 1], (findings.top,), float(k))[0]
        figures.append(factor(f"search, N = {findings.top}, {k} samples charged", paid))
    verdict = Verdict.UNDECIDED
    if gained and survived == gained:
        verdict = Verdict.CONFIRMED
    elif lost:
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        figures,
        f"Of {gained} budgets at which the policy saves compute with difficulty free, it still "
        f"does at {survived} with difficulty charged, and loses at {lost}.",
        None if gained else "nothing is saved even with difficulty free, so nothing can be lost",
    )


# C35, C40: what the best strategy depends on ------------------------------------------------------

SIGNIFICANT = 0.05


def _c35(findings: Findings) -> Judgement:
    axis, main = findings.search, findings.evidence.main
    n = findings.top
    column = axis.grid.accuracy[:, axis.row(n)]
    chance = interaction(column[~np.isnan(column[:, 0])], findings.bins(Bins.PREDICTED))
    verifiers = _by_verifier(findings)
    policies = _by_policy(findings)
    dependent = [
        chance < SIGNIFICANT,
        above(verifiers, 0.0) or below(verifiers, 0.0),
        above(policies, 0.0) or below(policies, 0.0),
    ]
    tight = [
        below(effect, NEGLIGIBLE) and above(effect, -NEGLIGIBLE) for effect in (verifiers, policies)
    ]
    verdict = Verdict.UNDECIDED
    if len(main.problems) >= LEAST and all(dependent):
        verdict = Verdict.CONFIRMED
    elif not any(dependent) and all(tight):
        verdict = Verdict.REFUTED
    figures = [
        number(f"search, N = {n}: p-value of strategy x bin", chance),
        *_with_trees(findings, n),
        difference("weighted - best-scored, PRM minus ORM", verifiers),
        difference("verifier - majority, S minus reviser", policies),
    ]
    figures += [
        share(f"weighted best-of-{n}, {percent(flips)} of scores flipped", mean(values))
        for flips, values in findings.flipped.items()
    ]
    return judged(
        verdict,
        figures,
        f"That strategies compare alike in all bins has p = {chance:.3f}. The gain of weighting "
        f"differs by {points(verifiers)} between the verifiers, and the gain of a verifier over "
        f"a vote by {points(policies)} between the proposers.",
    )


def _with_trees(findings: Findings, n: int) -> list[Figure]:
    """The same p-value with the searches that came after the paper's, on the problems they ran."""
    trees = list(findings.beside(TREES, n).values())
    if not trees:
        return []
    few = trees[0].size
    axis = findings.search
    column = axis.grid.accuracy[:, axis.row(n), :few]
    both = np.concatenate([column[~np.isnan(column[:, 0])], np.stack(trees)])
    p = interaction(both, findings.bins(Bins.PREDICTED)[:few])
    return [number(f"with {', '.join(TREES)}, on {few} problems: the same", p)]


def _by_verifier(findings: Findings) -> Interval:
    evidence = findings.evidence
    n = min(findings.top, evidence.orm.plan.pool)
    plain = strategy("best_of_n(answer=max)").name
    prm = findings.curve(BASELINE, n) - findings.curve(plain, n)
    orm = evidence.orm.curve(BASELINE, (n,))[0] - evidence.orm.curve(plain, (n,))[0]
    return apart(prm, orm)


def _by_policy(findings: Findings) -> Interval:
    evidence = findings.evidence
    prm_on_revisions = evidence.prm_on_revisions
    count = len(prm_on_revisions.problems)
    n = min(prm_on_revisions.plan.budgets[-1], evidence.main.plan.chains)
    flat = strategy(PARALLEL.replace(")", ",answer=majority)")).name
    s = findings.curve(BASELINE, n) - findings.curve("majority", n)
    reviser = prm_on_revisions.curve(PARALLEL, (n,))[0] - findings.curve(flat, n)[:count]
    return apart(s[:count], reviser)


def _c40(findings: Findings) -> Judgement:
    axis = findings.search
    n = findings.top
    column = axis.grid.accuracy[:, axis.row(n)]
    kept = [
        name
        for name, values in zip(axis.grid.strategies, column, strict=True)
        if not np.isnan(values[0])
    ]
    chance = interaction(column[~np.isnan(column[:, 0])], findings.bins(Bins.PREDICTED))
    best = kept[int(np.nanmean(column, axis=1).argmax())]
    public = replayed()
    first, last = apart(public.first, public.vote), apart(public.last, public.vote)
    moves = interaction(np.stack([public.vote, public.first, public.last]), public.levels)
    return untestable(
        "it is about eight released reasoning models and their traces, cut off at a length; the "
        "lab's models do not reason at length, so their traces would show something else",
        [
            number(f"search, N = {n}: p-value of strategy x bin", chance),
            difference(f"recorded, 1.5 B on MATH-500: first of {RECORDED} to finish - vote", first),
            difference(f"recorded, 1.5 B on MATH-500: last of {RECORDED} to finish - vote", last),
            number("recorded, 1.5 B on MATH-500: p-value of strategy x level", moves),
        ],
        f"In the lab {best} is the best search at N = {n}; that searches compare alike in all bins "
        f"has p = {chance:.3f}. In a public recording of a real model the first of {RECORDED} to "
        f"finish differs from their vote by {points(first)}, the last by {points(last)}; that they "
        f"compare alike on easy, medium and hard problems has p = {moves:.3f}.",
    )


CLAIMS = (
    Claim(
        "C01",
        "A compute-optimal policy needs about 4 times fewer samples than best-of-N.",
        ("000", "001", "002"),
        "'Up to 4 times' in the body, 'more than 4 times' in the abstract (Snell et al. 2024).",
        "Compute-equivalence factor over weighted best-of-N (search) and over parallel answers "
        "(revisions), on predicted bins, difficulty charged, cross-validated. "
        f"Confirmed: on one axis at least {FOUR_TIMES:g} at some N, the lower end of its interval "
        f"above {SURELY:g}. Refuted: on both axes every upper end is below {AT_MOST:g}, at all N "
        f"where the baseline was measured up to {AT_MOST:g} times the cost.",
        _c01,
        contradicts=("C12", "C42"),
    ),
    Claim(
        "C14",
        "Bins from the verifier's scores do nearly as well as bins from true pass rates.",
        ("001",),
        "The curves largely overlap, with a gap at high N.",
        "Held-out accuracy of the policy on oracle bins minus that on predicted bins, difficulty "
        "free for both. Confirmed: within one point at every budget of both axes. Refuted: above "
        "one point at one of them.",
        _c14,
    ),
    Claim(
        "C15",
        "Difficulty for the model at hand predicts better than the problem's own label.",
        ("001",),
        "The same (section 3.2).",
        "Held-out accuracy, mean over budgets above 1, of choosing by pass@1 (five bins) minus "
        f"that of choosing by the number of steps (five bins). {BETTER}.",
        _c15,
    ),
    Claim(
        "C35",
        "The best strategy depends on the policy, the verifier and the difficulty.",
        ("000",),
        "The same (Liu et al. 2025).",
        "Confirmed: all three interactions are shown, of strategy and bin by a permutation test (p "
        f"< {SIGNIFICANT:g}), of weighting and verifier (PRM or ORM), and of verifier against vote "
        "and proposer (S or the reviser). Refuted: none is shown, and the last two are within one "
        "point.",
        _c35,
        contradicts=("C40",),
    ),
    Claim(
        "C40",
        "No strategy dominates, beam search scales inversely, and the optimum does not depend on "
        "difficulty.",
        ("002",),
        "Stated of eight reasoning models (2512.02008), with traces cut off at a length.",
        "Not tested: it needs the released traces, for votes by difficulty with and without the "
        "traces cut off.",
        _c40,
        How.OUTSIDE,
        contradicts=("C10", "C13", "C35"),
    ),
    Claim(
        "C42",
        "The saving comes from an adaptive number of samples, fewer on easy questions.",
        ("001", "002"),
        "The paper fixes N and adapts the strategy.",
        "The rule of C01 for a policy that adapts only N by bin, at equal mean N. Confirmed: that "
        "rule confirms it, and does not confirm adapting only the strategy. Refuted: that rule "
        "refutes it.",
        _c42,
        contradicts=("C01",),
    ),
    Claim(
        "C43",
        "What it costs to estimate difficulty can be ignored.",
        ("001",),
        "The paper does not charge it, and says so.",
        "At the budgets of both axes where the factor is above 1 with difficulty free. Confirmed: "
        "with difficulty charged it is above 1 at all of them. Refuted: it is below 1 at one.",
        _c43,
    ),
)
