"""Claims about the easiest and the hardest questions: always solved, or never."""

from __future__ import annotations

from outthink.paper.claims.base import (
    HARDEST,
    LEAST,
    NEGLIGIBLE,
    Claim,
    Judgement,
    Verdict,
    above,
    apart,
    below,
    difference,
    judged,
    mean,
    points,
    share,
    untestable,
)
from outthink.paper.evidence import BASELINE
from outthink.paper.findings import Bins, Findings, members

RECOVERED = 0.02
"""From two points on, C05 and C11 count a gain."""


def _c05(findings: Findings) -> Judgement:
    evidence, exchanged = findings.evidence, findings.exchanged_oracle
    never = evidence.main.oracle.values == 0
    samples, n = evidence.main.oracle.samples, exchanged.largest
    count = int(never.sum())
    if count < LEAST:
        few = f"only {count} problems have no right answer among {samples} samples"
        return judged(Verdict.UNDECIDED, (), few.capitalize() + ".", few)
    # One sample of S, not the policy at N = 1: single samples are what a success of 0 is about.
    one = findings.curve(BASELINE, 1)
    after = exchanged.at_largest
    gain = apart(after[never], one[never])
    covered = findings.coverage[1][-1]
    hardest = members(findings.bins(Bins.ORACLE), HARDEST)
    fifth = apart(after[hardest], one[hardest])
    verdict = Verdict.UNDECIDED
    if below(gain, RECOVERED):
        verdict = Verdict.CONFIRMED
    elif above(gain, RECOVERED):
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        [
            difference(f"0 of {samples}: policy at N = {n} - one sample", gain),
            share(
                f"0 of {samples}: one of {findings.coverage[0][-1]} others right",
                mean(covered[never]),
            ),
            difference(f"oracle bin 5: policy at N = {n} - one sample", fifth),
        ],
        f"On {count} problems without a right answer among {samples}, the policy at N = {n} gains "
        f"{points(gain)}.",
    )


FEW, SOME = 1, 16
"""C06 compares these two budgets."""


def _c06(findings: Findings) -> Judgement:
    axis = findings.both
    if SOME not in axis.grid.budgets or FEW not in axis.grid.budgets:
        return untestable(f"budgets of {FEW} and {SOME} were not both run")
    easiest = findings.bins(Bins.PREDICTED) == 0
    few, some = axis.held_out(FEW)[easiest], axis.held_out(SOME)[easiest]
    gain = apart(some, few)
    verdict = Verdict.UNDECIDED
    if below(gain, NEGLIGIBLE):
        verdict = Verdict.CONFIRMED
    elif above(gain, NEGLIGIBLE):
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        [
            difference(f"bin 1: N = {SOME} - N = {FEW}", gain),
            share(f"bin 1 at N = {FEW}", mean(few)),
            share(f"bin 1 at N = {SOME}", mean(some)),
        ],
        f"In the easiest bin, {SOME} samples instead of {FEW} gain {points(gain)}.",
    )


def _c11(findings: Findings) -> Judgement:
    exchanged = findings.exchanged_search
    n = exchanged.largest
    hardest = members(findings.bins(Bins.PREDICTED), HARDEST)
    one = findings.curve(BASELINE, 1)
    gain = apart(exchanged.at_largest[hardest], one[hardest])
    verdict = Verdict.UNDECIDED
    if above(gain, RECOVERED):
        verdict = Verdict.CONFIRMED
    elif below(gain, RECOVERED):
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        [
            difference(f"bin 5: best search at N = {n} - one sample", gain),
        ],
        f"In the hardest bin the best search at N = {n} gains {points(gain)} over one sample.",
    )


CLAIMS = (
    Claim(
        "C05",
        "No test-time compute recovers questions on which the model's success is 0.",
        ("000",),
        "Curves of the hardest bin stay nearly flat.",
        "On problems without a right answer among the samples for oracle difficulty: accuracy of "
        "the policy (oracle bins, all strategies) at the largest budget minus that of one sample. "
        "Confirmed: below two points. Refuted: above.",
        _c05,
        contradicts=("C04", "C09", "C11"),
    ),
    Claim(
        "C06",
        "For very easy questions, minimal compute is optimal.",
        ("000",),
        "Bin 1 gains much from revisions.",
        f"In predicted bin 1: accuracy of the policy at N = {SOME} minus at N = {FEW}. Confirmed: "
        "below one point. Refuted: above.",
        _c06,
        contradicts=("C07", "C08"),
    ),
    Claim(
        "C11",
        "On the hardest questions beam or parallel search works.",
        ("001",),
        "No method helps in bin 5.",
        "In predicted bin 5: accuracy of the best search at the largest budget minus that of one "
        "sample. Confirmed: above two points. Refuted: below.",
        _c11,
        contradicts=("C05", "C09"),
    ),
)
