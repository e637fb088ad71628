"""Claims about test-time compute against a larger model."""

from __future__ import annotations

from collections.abc import Sequence

from outthink.measure import exchange
from outthink.measure.exchange import Crossover, Match, SmallerWins, Threshold
from outthink.measure.intervals import LEVEL, Interval
from outthink.paper.claims.base import (
    FIRST_THREE,
    HARD,
    LAST_THREE,
    LEAST,
    Claim,
    Figure,
    How,
    Judgement,
    Unit,
    Verdict,
    above,
    apart,
    below,
    difference,
    judged,
    mean,
    number,
    points,
    share,
    untestable,
)
from outthink.paper.findings import RATIOS, Bins, Exchanged, Findings

LOW = RATIOS[0]
"""The R at which equal FLOPs give the small model most samples."""
CLOSE = 0.05
"""A measured budget may be this share below what equal FLOPs give."""


def _difference(
    exchanged: Exchanged, token_ratio: float, numbers: Sequence[int], level: float = LEVEL
) -> Interval | None:
    values = exchanged.difference(token_ratio, numbers)
    return None if values is None or not values.size else mean(values, level=level)


def _comparisons(findings: Findings) -> list[Figure]:
    """Accuracy of S minus L by R and bin: predicted bins and charged, then oracle bins."""
    kinds = (("predicted, net", findings.exchanged), ("oracle", findings.exchanged_oracle))
    figures = []
    for label, exchanged in kinds:
        for row in exchanged.comparisons:
            if row.bin is None:
                continue
            gap = _difference(exchanged, row.token_ratio, (row.bin,))
            if gap is not None:
                where = f"R = {row.token_ratio:g}, N = {row.budget}, bin {row.bin + 1}"
                figures.append(difference(f"S - L, {where}, {label}", gap))
    return figures


def _capped(findings: Findings) -> str | None:
    """Why S might do better than measured; `None` if its budget was measured far enough."""
    row = findings.exchanged.at(LOW, None)
    if row.match is Match.EXACT or (row.budget or 0) >= (1 - CLOSE) * row.matched:
        return None
    return row.note


def _c02(findings: Findings) -> Judgement:
    exchanged = findings.exchanged
    level = 1 - (1 - LEVEL) / len(FIRST_THREE)
    gaps = {b: _difference(exchanged, LOW, (b,), level) for b in FIRST_THREE}
    known = {b: gap for b, gap in gaps.items() if gap is not None}
    figures = [*_crossover_figures(exchanged), *_comparisons(findings)]
    if not known:
        return untestable(f"at R = {LOW} equal FLOPs do not pay for one sample of S", figures)
    best = max(known, key=lambda b: known[b].mean)
    verdict, reason = Verdict.UNDECIDED, None
    if any(above(gap, 0.0) for gap in known.values()):
        verdict = Verdict.CONFIRMED
    elif len(known) == len(FIRST_THREE) and all(below(gap, 0.0) for gap in known.values()):
        verdict, reason = Verdict.REFUTED, _capped(findings)
        verdict = Verdict.UNDECIDED if reason else verdict
    return judged(
        verdict,
        figures,
        f"At R = {LOW} S with its policy differs from L by {points(known[best])} in bin "
        f"{best + 1}, its best of bins 1-3.",
        reason,
    )


def _c03(findings: Findings) -> Judgement:
    figures = [number("parameters of L over those of S", findings.size_ratio, Unit.FACTOR)]
    for row in findings.exchanged.comparisons:
        if row.bin is None and row.small is not None and row.difference is not None:
            figures.append(
                difference(f"S - L, R = {row.token_ratio:g}, N = {row.budget}", row.difference)
            )
    listing = ", ".join(
        f"{points(row.difference)} at N = {row.budget}"
        for row in findings.exchanged.comparisons
        if row.bin is None and row.difference is not None
    )
    return untestable(
        "it is about models of 3.8 and 70 billion parameters on MATH, which the paper does not "
        "measure either",
        figures,
        f"The lab's L has {findings.size_ratio:.1f} times the parameters of S; over all "
        f"problems S with its policy differs from it by {listing}.",
    )


def _c04(findings: Findings) -> Judgement:
    gap = _difference(findings.exchanged, LOW, HARD)
    figures = _comparisons(findings)
    if gap is None:
        return untestable(f"at R = {LOW} equal FLOPs do not pay for one sample of S", figures)
    verdict, reason = Verdict.UNDECIDED, None
    if above(gap, 0.0):
        verdict = Verdict.CONFIRMED
    elif below(gap, 0.0):
        reason = _capped(findings)
        verdict = Verdict.UNDECIDED if reason else Verdict.REFUTED
    n = findings.exchanged.at(LOW, None).budget
    return judged(
        verdict,
        [difference(f"S - L, R = {LOW}, N = {n}, bins 4-5", gap), *figures],
        f"In bins 4-5 S with {n} samples differs from L by {points(gap)}.",
        reason,
    )


# C19, C20, C33: R ---------------------------------------------------------------------------------


def _crossover_figures(exchanged: Exchanged) -> list[Figure]:
    figures = []
    for row in exchanged.crossovers:
        where = "all bins" if row.bin is None else f"bin {row.bin + 1}"
        if row.estimate.budget is not None:
            figures.append(
                Figure(
                    f"k*, {where}",
                    row.estimate.budget,
                    row.high.budget,
                    row.low.budget,
                    row.problems,
                    Unit.NUMBER,
                )
            )
        if row.estimate.token_ratio is not None:
            figures.append(
                Figure(
                    f"R*, {where}",
                    row.estimate.token_ratio,
                    row.low.token_ratio,
                    row.high.token_ratio,
                    row.problems,
                    Unit.NUMBER,
                )
            )
    return figures


def _by_bin(findings: Findings, numbers: Sequence[int]) -> list[Crossover]:
    return [row for row in findings.exchanged.crossovers if row.bin in numbers]


def _said(threshold: Threshold) -> str:
    if threshold.smaller_wins is SmallerWins.BELOW:
        assert threshold.token_ratio is not None
        return f"R* = {threshold.token_ratio:.2g}"
    return (
        "S at every R"
        if threshold.smaller_wins is SmallerWins.ALWAYS
        else "L at every budget measured"
    )


def _c19(findings: Findings) -> Judgement:
    rows = _by_bin(findings, LAST_THREE)
    enough = all(row.problems >= LEAST for row in rows)
    finite = [
        all(
            threshold.smaller_wins is SmallerWins.BELOW
            for threshold in (row.estimate, row.low, row.high)
        )
        for row in rows
    ]
    # "Never" holds for the budgets measured only, so they must reach what equal FLOPs give.
    settled = {SmallerWins.ALWAYS} if _capped(findings) else {SmallerWins.ALWAYS, SmallerWins.NEVER}
    not_finite = [
        row.low.smaller_wins is row.high.smaller_wins and row.low.smaller_wins in settled
        for row in rows
    ]
    verdict = Verdict.UNDECIDED
    if enough and all(finite):
        verdict = Verdict.CONFIRMED
    elif enough and all(not_finite):
        verdict = Verdict.REFUTED
    listing = ", ".join(
        f"bin {row.bin + 1}: {_said(row.estimate)}" for row in rows if row.bin is not None
    )
    figures = [*_crossover_figures(findings.exchanged), *_comparisons(findings)]
    return judged(verdict, figures, f"The better buy by bin: {listing}.")


def _c20(findings: Findings) -> Judgement:
    tokens = 1e9
    spent = exchange.inference_flops(1.0, tokens) / exchange.pretraining_flops(1.0, tokens)
    k_tokens = exchange.matched_budget(1.0, findings.size_ratio)
    k_compute = exchange.matched_budget(3.0, findings.size_ratio)
    same = abs(spent - 1.0) < 1e-12
    return judged(
        Verdict.CONFIRMED if same else Verdict.REFUTED,
        [
            number("inference over pretraining FLOPs at R = 1", spent),
            number("k at a token ratio of 1", k_tokens),
            number("k at a compute ratio of 1", k_compute),
        ],
        f"At as many tokens of inference as of pretraining, inference costs {spent:.3f} of the "
        "FLOPs of pretraining. So R is a ratio of tokens; the ratio of compute is a third of it.",
    )


CROSSES = 100.0


def _c33(findings: Findings) -> Judgement:
    figures = _crossover_figures(findings.exchanged)
    rows = [
        row
        for row in findings.exchanged.crossovers
        if row.bin is not None and row.estimate.budget is not None
    ]
    listing = ", ".join(
        f"bin {row.bin + 1}: {row.estimate.budget:.0f}"
        for row in rows
        if row.bin is not None and row.estimate.budget is not None
    )
    if not rows:
        reason = "S catches up with L in no bin at any budget measured"
        return judged(Verdict.UNDECIDED, figures, f"{reason.capitalize()}.", reason)
    paid = findings.exchanged.accounting.difficulty
    enough = [row for row in rows if row.problems >= LEAST]
    most = [None if row.low.budget is None else row.low.budget + paid for row in enough]
    least = [None if row.high.budget is None else row.high.budget + paid for row in enough]
    won = [value for value in most if value is not None]
    verdict = Verdict.UNDECIDED
    if won and all(value < CROSSES for value in won):
        verdict = Verdict.REFUTED
    elif least and all(value is not None and value > CROSSES for value in least):
        verdict = Verdict.CONFIRMED
    return judged(
        verdict,
        figures,
        f"Samples with which S catches up with L, plus {paid:g} to predict difficulty: {listing}.",
    )


# C36 ----------------------------------------------------------------------------------------------


def _c36(findings: Findings) -> Judgement:
    exchanged, large = findings.exchanged, findings.evidence.large_greedy
    n, small = exchanged.largest, exchanged.at_largest
    gap = apart(small, large)
    bins = findings.bins(Bins.PREDICTED)
    figures = [
        difference(f"S at N = {n} - L", gap),
        *(
            difference(f"S at N = {n} - L, bin {b + 1}", apart(small[bins == b], large[bins == b]))
            for b in range(int(bins.max()) + 1)
        ),
        share("L", mean(large)),
    ]
    row = findings.spending("best_of_n", findings.top)
    answer = findings.greedy_large.flops["paper"]
    figures.append(
        number(
            f"FLOPs of best-of-{findings.top} with its PRM over L's answer",
            row.flops["paper"] / answer,
            Unit.FACTOR,
        )
    )
    verdict = Verdict.UNDECIDED
    if above(gap, 0.0):
        verdict = Verdict.CONFIRMED
    elif below(gap, 0.0):
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        figures,
        f"With {n} samples S differs from a model of {findings.size_ratio:.1f} times its "
        f"parameters by {points(gap)} over all problems; larger ratios were not run.",
    )


# C30: coverage of many samples against one of the larger ------------------------------------------


def _c30(findings: Findings) -> Judgement:
    evidence = findings.evidence
    large = evidence.large.curve("majority", (1,))[0]
    budgets, covered = findings.coverage
    k = matched_samples(findings)
    if k is None:
        return untestable("one sample of S costs more than one of L")
    rows = {n: covered[row] for row, n in enumerate(budgets)}
    at_equal = rows[max(n for n in budgets if n <= k)]
    gap = apart(at_equal, large)
    selected = {n: findings.curve("best_of_n", n) for n in budgets if n in (k, budgets[-1])}
    figures = [difference(f"S, one of {max(n for n in budgets if n <= k)} right - L at once", gap)]
    figures += [
        difference(f"S, one of {n} right - L at once", apart(rows[n], large)) for n in budgets
    ]
    figures += [
        difference(f"S, weighted best-of-{n} - L at once", apart(values, large))
        for n, values in selected.items()
    ]
    verdict = Verdict.UNDECIDED
    if above(gap, 0.0):
        verdict = Verdict.CONFIRMED
    elif below(gap, 0.0):
        verdict = Verdict.REFUTED
    last = apart(rows[budgets[-1]], large)
    return judged(
        verdict,
        figures,
        f"{k} samples of S cost no more FLOPs than one of L. The share of problems where at least "
        f"one of them is right differs from L's pass@1 by {points(gap)}; with {budgets[-1]} "
        f"samples, by {points(last)}.",
    )


def matched_samples(findings: Findings) -> int | None:
    """Samples of S that cost no more than one of L, contexts counted (F12); a power of two."""
    evidence = findings.evidence
    one = findings.spent(evidence.large, "majority", 1, proposer="l").flops["attention"]
    affordable = [
        n
        for n in findings.coverage[0]
        if findings.spent(evidence.main, "majority", n).flops["attention"] <= one
    ]
    return max(affordable, default=None)


CLAIMS = (
    Claim(
        "C02",
        "A small model with test-time compute beats one 14 times larger at equal FLOPs, where it "
        "succeeds at all.",
        ("000", "001", "002"),
        "On bins 1-3 or at small R (section 7).",
        "Accuracy of S with its policy (predicted bins, charged) at k(R), the samples that equal "
        f"FLOPs give, minus L's greedy answer, at R = {LOW} in bins 1-3 (intervals corrected for "
        "three comparisons). Confirmed: above 0 in one bin. Refuted: below 0 in all, at k(R) or "
        f"within {100 * CLOSE:g} % of it.",
        _c02,
        contradicts=("C04",),
    ),
    Claim(
        "C03",
        "A 3.8B model with test-time compute equals a 70B model on MATH.",
        ("003",),
        "Not in the paper, which names no sizes.",
        "Not tested: it needs those models. The lab's size ratio and differences are shown.",
        _c03,
        How.OUTSIDE,
    ),
    Claim(
        "C04",
        "On hard questions test-time compute is more efficient than training compute.",
        ("003",),
        "The opposite: hard questions favour pretraining.",
        "Accuracy of S with its policy at k(R), the samples that equal FLOPs give, minus L's "
        f"greedy answer, at R = {LOW} in predicted bins 4-5. Confirmed: above 0. Refuted: below 0, "
        f"at k(R) or within {100 * CLOSE:g} % of it.",
        _c04,
        contradicts=("C02", "C05"),
    ),
    Claim(
        "C19",
        "At low R the small model with test-time compute is the better buy, at high R the "
        "larger one.",
        ("001", "002"),
        "The paper says the same.",
        "R*, the R below which S wins, in bins 3-5 (predicted, charged). Confirmed: in each bin "
        "R* and both ends of its interval are finite. Refuted: in none are they, and both ends "
        f"agree that one model wins at every R, measured up to the budget that R = {LOW} gives.",
        _c19,
    ),
    Claim(
        "C20",
        "R is total inference compute over pretraining compute.",
        ("001",),
        "R is a ratio of tokens.",
        "Calculated. Confirmed: as many tokens of inference as of pretraining cost as many FLOPs. "
        "Refuted: they do not.",
        _c20,
        How.CALCULATED,
    ),
    Claim(
        "C30",
        "With 100 to 1,000 samples a small model has a right one more often than a 10 times "
        "larger model in one.",
        ("000",),
        "It depends on the task (Brown et al. 2024).",
        "Coverage of S, with as many samples as cost no more than one of L (attention counted), "
        "minus pass@1 of L. Confirmed: above 0. Refuted: below 0. More samples, and a verifier's "
        "choice instead of an oracle's, are shown beside it.",
        _c30,
    ),
    Claim(
        "C33",
        "The crossover needs more than 100 samples.",
        ("000",),
        "Gains appear at 4 to 16 samples, and R much above 1 is tested at 16.",
        "k*, the samples with which S catches up with L, in predicted bins, difficulty charged. "
        "Refuted: in the bins whose interval of k* has an upper end, every such interval is below "
        "100. Confirmed: in every bin in which S catches up at all, the interval is above 100.",
        _c33,
    ),
    Claim(
        "C36",
        "With optimal test-time scaling a much smaller model beats a huge one.",
        ("000",),
        "On MATH-500 with 512 samples, not on AIME24 (Liu et al. 2025); the PRM is not counted.",
        "Accuracy of S with its policy at the largest budget minus L's greedy answer, over all "
        "problems, at the lab's one size ratio. Confirmed: above 0. Refuted: below 0.",
        _c36,
        contradicts=("C39",),
    ),
)
