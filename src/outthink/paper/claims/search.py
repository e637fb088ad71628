"""Claims about searching with a verifier: beams, best-of-N, and what a verifier is good for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from outthink.measure.arrays import Floats
from outthink.measure.grid import Grid
from outthink.measure.intervals import LEVEL, Interval
from outthink.paper.claims.base import (
    BETTER,
    EASY,
    FIRST_THREE,
    HARDEST,
    MIDDLE,
    NEGLIGIBLE,
    Claim,
    Figure,
    Judgement,
    Verdict,
    above,
    apart,
    below,
    better,
    difference,
    factor,
    judged,
    mean,
    percent,
    points,
    share,
    times,
    untestable,
)
from outthink.paper.evidence import BASELINE, BEAMS, BY_MEAN, STEPS, TREES
from outthink.paper.findings import RATIOS, Bins, Findings, Goodhart, members
from outthink.policy import table as policy
from outthink.search import strategy

BEAM = "beam"
"""M = 4, the paper's."""
HIGH = 128
"""The budget at which over-optimisation is tested; the paper goes to 256."""


# C10, C12, C18: beam search against best-of-N -----------------------------------------------------


def _beam_by_bin(findings: Findings, budget: int) -> dict[str, Interval]:
    """Beam minus best-of-N in groups of predicted bins."""
    axis = findings.search
    gap = axis.accuracy(BEAM, budget) - axis.accuracy(BASELINE, budget)
    numbers = findings.bins(Bins.PREDICTED)
    groups = {"bins 1-2": EASY, "bins 3-4": MIDDLE, "bin 5": HARDEST}
    return {name: mean(gap[members(numbers, group)]) for name, group in groups.items()}


def _beam_budgets(findings: Findings) -> list[int]:
    axis = findings.search
    return [n for n in axis.grid.budgets if not np.isnan(axis.accuracy(BEAM, n)[0])]


def _beam_figures(findings: Findings) -> list[Figure]:
    return [
        difference(f"beam - best-of-N, N = {n}, {name}", gap)
        for n in _beam_budgets(findings)
        for name, gap in _beam_by_bin(findings, n).items()
    ]


def _not_deep(findings: Findings) -> str | None:
    """Why a claim about N = HIGH cannot be tested; `None` if it can."""
    if findings.deepest >= HIGH and findings.evidence.deep is not None:
        return None
    return f"beam search was not run at N = {HIGH} at this scale"


def _c10(findings: Findings) -> Judgement:
    n = findings.deepest
    gaps = _beam_by_bin(findings, n)
    easy, middle = gaps["bins 1-2"], gaps["bins 3-4"]
    sentence = (
        f"At N = {n} beam search differs from best-of-N by {points(easy)} in bins 1-2 and by "
        f"{points(middle)} in bins 3-4."
    )
    figures = _beam_figures(findings)
    if reason := _not_deep(findings):
        return untestable(reason, figures, sentence)
    verdict = Verdict.UNDECIDED
    if below(easy, 0.0) and above(middle, 0.0):
        verdict = Verdict.CONFIRMED
    elif above(easy, 0.0) or below(middle, 0.0):
        verdict = Verdict.REFUTED
    return judged(verdict, figures, sentence)


BEAM_FACTOR, BEAM_SURELY, BEAM_HIGH = 4.0, 2.0, 128


def _c12(findings: Findings) -> Judgement:
    axis = findings.search
    budgets = _beam_budgets(findings)
    factors = axis.against_base(np.array([axis.accuracy(BEAM, n) for n in budgets]), budgets)
    figures = [factor(f"beam over best-of-N, N = {cef.n}", cef) for cef in factors]
    best = max(factors, key=lambda cef: cef.factor)
    sentence = (
        f"To be as accurate as beam search, best-of-N needs {times(best)} times the samples at N "
        f"= {best.n}, where it needs most, and {times(factors[-1])} times at N = {factors[-1].n}."
    )
    high = [cef for cef in factors if cef.n >= BEAM_HIGH]
    if any(cef.factor >= BEAM_FACTOR and above(cef, BEAM_SURELY) for cef in factors):
        return judged(Verdict.CONFIRMED, figures, sentence)
    if any(below(cef, 1.0) for cef in high):
        return judged(Verdict.REFUTED, figures, sentence)
    if not high:
        return untestable(
            f"beam search was not run at N >= {BEAM_HIGH} at this scale", figures, sentence
        )
    return judged(Verdict.UNDECIDED, figures, sentence)


def _c18(findings: Findings) -> Judgement:
    n = findings.deepest
    easy = _beam_by_bin(findings, n)["bins 1-2"]
    sentence = f"At N = {n} beam search changes accuracy in bins 1-2 by {points(easy)}."
    figures = _beam_figures(findings) + _goodhart_figures(findings.goodhart_prm, "PRM")
    if reason := _not_deep(findings):
        return untestable(reason, figures, sentence)
    verdict = Verdict.UNDECIDED
    if below(easy, 0.0):
        verdict = Verdict.CONFIRMED
    elif above(easy, -NEGLIGIBLE):
        verdict = Verdict.REFUTED
    return judged(verdict, figures, sentence)


# C16, C17, C26, C28: what a verifier's score is good for ------------------------------------------


def _c16(findings: Findings) -> Judgement:
    orm, n = findings.evidence.orm, findings.top
    weighted, vote = findings.curve(BASELINE, n), findings.curve("majority", n)
    gain = apart(weighted, vote)
    auc_prm, auc_orm = mean(findings.auc_prm), mean(findings.auc_orm)
    k = min(n, orm.plan.pool)
    over_orm = apart(findings.curve(BASELINE, k), orm.curve(BASELINE, (k,))[0])
    verdict = better(gain)
    if verdict is Verdict.CONFIRMED and not above(auc_prm, 0.5):
        verdict = Verdict.UNDECIDED
    return judged(
        verdict,
        [
            difference(f"weighted best-of-{n} - majority", gain),
            share("PRM: AUC among the answers to one problem", auc_prm),
            share("ORM: AUC among the answers to one problem", auc_orm),
            difference(f"weighted best-of-{k}, PRM - ORM", over_orm),
        ],
        f"Among answers to one problem the PRM has an AUC of {auc_prm.mean:.3f}; weighting by it "
        f"differs from a majority vote of {n} by {points(gain)}.",
    )


def _c17(findings: Findings) -> Judgement:
    n = findings.top
    last = findings.curve(BASELINE, n)
    others = {name: findings.curve(name, n) for name in findings.run(STEPS)}
    if not others:
        return untestable("no other aggregation of step scores was run")
    best = _best_held_out(findings, others)
    gain = apart(last, best)
    figures = [difference("last step - best of the others, held out", gain)]
    figures += [
        difference(f"last step - {name}", apart(last, change)) for name, change in others.items()
    ]
    by_labels = _last_by_labels(findings)
    figures += [
        difference(f"last step - best of the others, {kind} labels, held out", change)
        for kind, change in by_labels.items()
    ]
    figures += [
        difference(f"{name}: mean of steps - last step, N = {n}", change)
        for name, change in _by_mean(findings, n).items()
    ]
    more = ", ".join(f"{points(change)} with {kind} labels" for kind, change in by_labels.items())
    return judged(
        better(gain),
        figures,
        f"Judging by the last step instead of the best other aggregation changes best-of-{n} by "
        f"{points(gain)}; with PRMs trained for a quarter of the steps: {more}.",
    )


def _by_mean(findings: Findings, n: int) -> dict[str, Interval]:
    """By search beside the paper's, what ranking by the mean score of steps changes."""
    last, mean_of = findings.beside(TREES, n), findings.beside(BY_MEAN, n)
    return {
        name: apart(accuracy, last[name.partition("(")[0]]) for name, accuracy in mean_of.items()
    }


def _last_by_labels(findings: Findings) -> dict[str, Interval]:
    """By kind of label, what judging by the last step gains with the PRM trained on it."""
    gains = {}
    for kind, study in findings.evidence.labels.items():
        n = study.plan.pool
        others = {name: study.curve(name, (n,))[0] for name in STEPS}
        last = study.curve(BASELINE, (n,))[0]
        gains[kind] = apart(last, _best_held_out(findings, others))
    return gains


def _best_held_out(findings: Findings, curves: dict[str, Floats]) -> Floats:
    """[P] held-out accuracy of the best of these curves, one choice for all problems."""
    count = next(iter(curves.values())).size
    ids = tuple(problem.id for problem in findings.evidence.main.problems[:count])
    grid = Grid(ids, tuple(curves), (1,), np.array([[curve] for curve in curves.values()]))
    accuracy: Floats = policy.fit(grid, np.zeros(count, np.int64)).held_out[0]
    return accuracy


def _goodhart_figures(goodhart: Goodhart, name: str) -> list[Figure]:
    scored = ~np.isnan(goodhart.score[0])
    rows = zip(goodhart.budgets, goodhart.score, goodhart.accuracy, strict=True)
    return [
        figure
        for n, score, accuracy in rows
        for figure in (
            share(f"{name}: best score of {n}", mean(score[scored])),
            share(f"{name}: accuracy of the best-scored of {n}", mean(accuracy)),
        )
    ]


def _c26(findings: Findings) -> Judgement:
    figures: list[Figure] = []
    rising, falling = True, []
    steps = {"PRM": findings.goodhart_prm, "ORM": findings.goodhart_orm}
    jumps = {name: goodhart.budgets[::2] for name, goodhart in steps.items()}
    level = 1 - (1 - LEVEL) / max(1, sum(len(budgets) - 1 for budgets in jumps.values()))
    for name, goodhart in steps.items():
        figures += _goodhart_figures(goodhart, name)
        for small, large in pairwise(jumps[name]):
            rows = goodhart.budgets.index(large), goodhart.budgets.index(small)
            gain = apart(goodhart.accuracy[rows[0]], goodhart.accuracy[rows[1]], level=level)
            figures.append(difference(f"{name}: accuracy from N = {small} to {large}", gain))
            rising &= above(gain, 0.0)
            if below(gain, 0.0):
                falling.append(f"{name} from N = {small} to {large}, by {points(gain)}")
    verdict = Verdict.CONFIRMED if rising else Verdict.UNDECIDED
    if falling:
        verdict = Verdict.REFUTED
    first, last = (mean(findings.goodhart_prm.accuracy[row]) for row in (0, -1))
    fall = f"; accuracy falls for {falling[0]}" if falling else ""
    return judged(
        verdict,
        figures,
        "While the best score rises with every sample, accuracy with the PRM goes from "
        f"{percent(first.mean)} to {percent(last.mean)}{fall}.",
    )


def _c28(findings: Findings) -> Judgement:
    beams = findings.evidence.beams
    count, n = len(beams.problems), min(findings.top, beams.plan.budgets[-1])
    column = beams.grid.budgets.index(n)
    current = findings.search.accuracy(BEAM, n)[:count]
    others = dict(zip(beams.grid.strategies, beams.grid.accuracy[:, column], strict=True))
    cumulative = strategy(BEAMS[2]).name
    gain = apart(others[cumulative], current)
    figures = [
        difference(f"{name} - current value, N = {n}", apart(accuracy, current))
        for name, accuracy in others.items()
    ]
    figures += [
        difference(f"{name} - current value, N = {n}", change)
        for name, change in _by_mean(findings, n).items()
    ]
    return judged(
        better(gain),
        figures,
        "Ranking beams by the sum of their scores instead of by the current value changes "
        f"accuracy by {points(gain)} at N = {n}.",
    )


# C25, C34: how good a verifier has to be ----------------------------------------------------------

FLIPPED = 0.2
"""Share of scores flipped (appendix K of the published version)."""


def _c25(findings: Findings) -> Judgement:
    n = findings.top
    one, vote = findings.curve(BASELINE, 1), findings.curve("majority", n)
    gain = apart(findings.flipped[FLIPPED], one)
    figures = [
        difference(
            f"{percent(flips)} flipped: weighted best-of-{n} - one sample", apart(values, one)
        )
        for flips, values in findings.flipped.items()
    ]
    over_vote = apart(findings.flipped[FLIPPED], vote)
    figures.append(difference(f"{percent(FLIPPED)} flipped - majority", over_vote))
    verdict = Verdict.UNDECIDED
    if above(gain, 0.0):
        verdict = Verdict.REFUTED
    elif below(gain, NEGLIGIBLE):
        verdict = Verdict.CONFIRMED
    return judged(
        verdict,
        figures,
        f"With {percent(FLIPPED)} of the scores flipped, weighted best-of-{n} differs from one "
        f"sample by {points(gain)}, and from a majority vote by {points(over_vote)}.",
    )


def _trees_over_large(findings: Findings, k: int) -> dict[str, Interval]:
    """By tree search and bin, how far it is above L at the largest budget that `k` affords, and
    that was run; the intervals are corrected for the number of comparisons."""
    study = findings.evidence.searches
    affordable = [n for n in (study.grid.budgets if study else ()) if n <= k]
    runs = findings.beside(TREES, affordable[-1]) if affordable else {}
    level = 1 - (1 - LEVEL) / max(1, len(runs) * len(FIRST_THREE))
    gaps = {}
    for name, accuracy in runs.items():
        few = accuracy.size
        numbers, large = findings.bins(Bins.PREDICTED)[:few], findings.evidence.large_greedy[:few]
        for b in FIRST_THREE:
            told = f"{name} at {affordable[-1]}, bin {b + 1}"
            if (numbers == b).any():
                gaps[told] = apart(accuracy[numbers == b], large[numbers == b], level=level)
    return gaps


def _c34(findings: Findings) -> Judgement:
    n, large = findings.top, findings.evidence.large_greedy
    k = findings.exchanged.at(RATIOS[0], None).budget or n
    numbers = findings.bins(Bins.PREDICTED)
    level = 1 - (1 - LEVEL) / len(FIRST_THREE)
    voted, weighted = (
        [
            apart(findings.curve(name, k)[numbers == b], large[numbers == b], level=level)
            for b in FIRST_THREE
        ]
        for name in ("majority", BASELINE)
    )
    figures = [
        difference(f"{name} of {k} - L, bin {b + 1}", gaps[b])
        for b in FIRST_THREE
        for name, gaps in (("majority", voted), ("weighted best-of-N", weighted))
    ]
    trees = _trees_over_large(findings, k)
    figures += [difference(f"{told} - L", gap) for told, gap in trees.items()]
    budgets, covered = findings.coverage
    chosen = {
        "oracle choice": covered[budgets.index(max(b for b in budgets if b <= n))],
        "weighted best-of-N": findings.curve(BASELINE, n),
        "majority": findings.curve("majority", n),
    }
    one = findings.curve(BASELINE, 1)
    figures += [
        difference(f"{name} of {n} - one sample", apart(values, one))
        for name, values in chosen.items()
    ]
    checked = (*weighted, *trees.values())
    verdict = Verdict.UNDECIDED
    if any(above(gap, 0.0) for gap in voted):
        verdict = Verdict.REFUTED
    elif all(below(gap, 0.0) for gap in voted) and any(above(gap, 0.0) for gap in checked):
        verdict = Verdict.CONFIRMED
    best = max(FIRST_THREE, key=lambda b: voted[b].mean)
    return judged(
        verdict,
        figures,
        f"At equal FLOPs (R = {RATIOS[0]}) a majority vote of {k}, which checks no answer, "
        f"differs from L by {points(voted[best])} in bin {best + 1}, its best of bins 1-3.",
    )


CLAIMS = (
    Claim(
        "C10",
        "Beam search beats best-of-N on medium-hard questions and loses on easy ones at high N.",
        ("001",),
        "The same (section 5.3).",
        f"Beam (M = 4) minus weighted best-of-N at N = {HIGH}, predicted bins. Confirmed: below "
        "0 in bins 1-2 and above 0 in bins 3-4. Refuted: above 0 in bins 1-2, or below 0 in "
        "bins 3-4.",
        _c10,
        contradicts=("C12", "C40"),
    ),
    Claim(
        "C12",
        "Beam search is 4 times as efficient as best-of-N.",
        ("002",),
        "It says so of the compute-optimal policy; beam search falls below best-of-N at high N.",
        "Compute-equivalence factor of beam (M = 4) over weighted best-of-N. Confirmed: at "
        f"least {BEAM_FACTOR:g} at some N, the lower end of its interval above {BEAM_SURELY:g}. "
        f"Refuted: below 1 at an N of {BEAM_HIGH} or more.",
        _c12,
        contradicts=("C01", "C10"),
    ),
    Claim(
        "C16",
        "Step labels from rollouts, without people, train a useful PRM.",
        ("001",),
        "The same; it beats an ORM, by more with more samples.",
        "Weighted best-of-N at the largest budget minus majority vote, which equals weighting by a "
        f"random verifier. {BETTER}; to be confirmed, AUC among answers to the same problem must "
        "be above 0.5 as well.",
        _c16,
    ),
    Claim(
        "C17",
        "The last step's score is the best aggregation of step scores.",
        ("001",),
        "Last beats minimum and product, with soft labels (appendix E).",
        "Weighted best-of-N at the largest budget by the last step minus by the best of minimum, "
        f"product and mean, chosen on other problems. {BETTER}. Searches that rank by the mean are "
        "measured beside it.",
        _c17,
        contradicts=("C28",),
    ),
    Claim(
        "C18",
        "Guidance by a verifier makes easy questions worse.",
        ("001",),
        "The same for beam search, by over-optimisation.",
        f"Beam (M = 4) minus weighted best-of-N at N = {HIGH} in predicted bins 1-2. Confirmed: "
        "below 0. Refuted: above minus one point.",
        _c18,
        contradicts=("C26",),
    ),
    Claim(
        "C25",
        "Best-of-N needs a perfect verifier.",
        ("003",),
        "Weaker ones still help (appendix K of the published version).",
        f"Weighted best-of-N at the largest budget with {percent(FLIPPED)} of the PRM's scores s "
        "flipped to 1 - s, minus one sample. Refuted: above 0. Confirmed: below one point.",
        _c25,
    ),
    Claim(
        "C26",
        "The expected best score grows with N, and so does quality, with diminishing returns.",
        ("002",),
        "A reward is not correctness: the ORM is over-optimised at high budgets.",
        "Accuracy of the best-scored of N, for the PRM and the ORM, at every fourfold step of N "
        "(intervals corrected for their number). Confirmed: every step is above 0. Refuted: one is "
        "below 0 though the best score rises.",
        _c26,
        contradicts=("C18",),
    ),
    Claim(
        "C28",
        "Beam search should rank prefixes by the sum of their step scores.",
        ("002",),
        "It ranks by the last step's score.",
        "Beam (M = 4) that ranks by the mean score of steps, which among prefixes of equal length "
        f"is the order of their sums, minus beam that ranks by the last step's score. {BETTER}. "
        "The same of DVTS, REBASE and tree search by PUCT is measured beside it.",
        _c28,
        contradicts=("C17",),
    ),
    Claim(
        "C34",
        "Test-time compute wins over a larger model only where answers can be verified.",
        ("000",),
        "Selectors without a check saturate near 100 samples (Brown et al. 2024).",
        "Majority vote of k samples of S, the number that equal FLOPs give, minus L's greedy "
        f"answer, at R = {RATIOS[0]} in predicted bins 1-3 (intervals corrected for three "
        "comparisons). Refuted: above 0 in one of them. Confirmed: below 0 in all, and weighted "
        "best-of-k above 0 in one, or a tree search of at most k (intervals corrected for their "
        "number, too).",
        _c34,
    ),
)
