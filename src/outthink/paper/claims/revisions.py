"""Claims about revisions: which split is best where, and what later answers are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.measure.arrays import Floats
from outthink.measure.grid import Grid
from outthink.measure.intervals import Interval
from outthink.paper.claims.base import (
    BETTER,
    EASY,
    HARD,
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
    judged,
    mean,
    number,
    percent,
    points,
    ratio,
    share,
    untestable,
)
from outthink.paper.evidence import CORRECTED, PARALLEL, REFINED, REFINED_AT
from outthink.paper.findings import LONGEST, Bins, Findings, interaction, members
from outthink.paper.replayed import replayed
from outthink.policy import table as policy
from outthink.search import strategy

# C07, C08, C09, C13: sequential or parallel -------------------------------------------------------


def _splits(findings: Findings, numbers: Sequence[int]) -> dict[int, Floats]:
    """By length of chains, [p] accuracy on the problems of these bins."""
    lengths, accuracy = findings.sweep
    there = members(findings.bins(Bins.PREDICTED), numbers)
    return {length: row[there] for length, row in zip(lengths, accuracy, strict=True)}


def _best_of(splits: dict[int, Floats], findings: Findings, numbers: Sequence[int]) -> Floats:
    """[p] held-out accuracy of the best of these splits for each bin."""
    bins = findings.bins(Bins.PREDICTED)
    bins = bins[members(bins, numbers)]
    ids = tuple(str(row) for row in range(bins.size))
    names = tuple(str(length) for length in splits)
    grid = Grid(ids, names, (1,), np.array([[row] for row in splits.values()]))
    accuracy: Floats = policy.fit(grid, bins - bins.min()).held_out[0]
    return accuracy


def _split_figures(splits: dict[int, Floats], where: str) -> list[Figure]:
    return [
        share(f"chains of {length}, {where}", mean(values)) for length, values in splits.items()
    ]


def _no_splits(findings: Findings) -> str | None:
    lengths, _ = findings.sweep
    if len(lengths) >= 3:
        return None
    return f"a budget of {findings.sweep_budget} has {len(lengths)} splits, too few to compare"


def _c07(findings: Findings) -> Judgement:
    splits = _splits(findings, EASY)
    if reason := _no_splits(findings):
        return untestable(reason)
    n = findings.sweep_budget
    sequential = splits.pop(n)
    gap = apart(sequential, _best_of(splits, findings, EASY))
    verdict = Verdict.UNDECIDED
    if above(gap, -NEGLIGIBLE):
        verdict = Verdict.CONFIRMED
    elif below(gap, 0.0):
        verdict = Verdict.REFUTED
    figures = [difference(f"one chain of {n} - best other split, held out", gap)]
    figures += _split_figures({n: sequential, **splits}, "bins 1-2")
    return judged(
        verdict,
        figures,
        f"In bins 1-2 one chain of {n} differs from the best other split by {points(gap)}.",
    )


def _c08(findings: Findings) -> Judgement:
    splits = _splits(findings, EASY)
    if reason := _no_splits(findings):
        return untestable(reason)
    n = findings.sweep_budget
    gap = apart(splits[n], splits[1])
    verdict = Verdict.UNDECIDED
    if above(gap, 0.0):
        verdict = Verdict.REFUTED
    elif below(gap, 0.0):
        verdict = Verdict.CONFIRMED
    return judged(
        verdict,
        [difference(f"one chain of {n} - {n} parallel", gap), *_split_figures(splits, "bins 1-2")],
        f"In bins 1-2 one chain of {n} differs from {n} parallel answers by {points(gap)}.",
    )


def _c09(findings: Findings) -> Judgement:
    splits = _splits(findings, HARD)
    if reason := _no_splits(findings):
        return untestable(reason)
    n = findings.sweep_budget
    figures = _split_figures(splits, "bins 4-5")
    sequential, parallel = splits.pop(n), splits.pop(1)
    mixed = apart(_best_of(splits, findings, HARD), sequential)
    every = {1: parallel, **splits}
    gap = apart(sequential, _best_of(every, findings, HARD))
    verdict = Verdict.UNDECIDED
    if above(mixed, 0.0):
        verdict = Verdict.REFUTED
    elif above(gap, 0.0):
        verdict = Verdict.CONFIRMED
    figures[:0] = [
        difference(f"best mixture - one chain of {n}, held out", mixed),
        difference(f"one chain of {n} - best other split, held out", gap),
    ]
    return judged(
        verdict,
        figures,
        f"In bins 4-5 the best mixture differs from one chain of {n} by {points(mixed)}.",
    )


MOVES = 0.05


def _c13(findings: Findings) -> Judgement:
    if reason := _no_splits(findings):
        return untestable(reason)
    lengths, accuracy = findings.sweep
    numbers = findings.bins(Bins.PREDICTED)
    chance = interaction(accuracy, numbers)
    every = dict(zip(lengths, accuracy, strict=True))
    whole = tuple(range(int(numbers.max()) + 1))
    alike = policy.fit(
        Grid(
            tuple(map(str, range(numbers.size))),
            tuple(map(str, lengths)),
            (1,),
            accuracy[:, None],
        ),
        np.zeros(numbers.size, np.int64),
    )
    gain = apart(_best_of(every, findings, whole), alike.held_out[0])
    best = [lengths[int(accuracy[:, numbers == b].mean(axis=1).round(12).argmax())] for b in whole]
    verdict = Verdict.UNDECIDED
    if chance < MOVES and above(gain, 0.0):
        verdict = Verdict.CONFIRMED
    elif chance >= MOVES and below(gain, NEGLIGIBLE):
        verdict = Verdict.REFUTED
    figures = [
        number("p-value of split x bin", chance),
        difference("one split a bin - one split for all, held out", gain),
        *(
            number(f"bin {b + 1}: length of the best chains", length)
            for b, length in enumerate(best)
        ),
    ]
    return judged(
        verdict,
        figures,
        f"The best chains of bins 1 to 5 have {', '.join(map(str, best))} answers of "
        f"{findings.sweep_budget} (p = {chance:.3f} for no such interaction), and choosing by bin "
        f"gains {points(gain)}.",
    )


# C21, C22, C37, C38: along a chain ----------------------------------------------------------------

TRAINED = 5
"""Answers of the longest trajectory trained on: four wrong ones and the right one."""
LEAST_CHAIN = 8
"""With shorter chains than this, claims about answers after TRAINED are not tested."""
BROKEN = 0.38
"""The share of right answers followed by a wrong one in the paper."""
AT_ONCE = 0.92
"""The share of solved questions whose first solution is right in Chen et al. 2024."""


def _too_short(findings: Findings) -> str | None:
    size = len(findings.chain_facts.pass_at_1)
    return None if size >= LEAST_CHAIN else f"chains of {size} answers are too short to tell"


def _chain_figures(findings: Findings) -> list[Figure]:
    return [
        share(f"answer {place + 1} of a chain", mean(row))
        for place, row in enumerate(findings.chain_facts.pass_at_1)
    ]


def _c21(findings: Findings) -> Judgement:
    if reason := _too_short(findings):
        return untestable(reason)
    rows = findings.chain_facts.pass_at_1[:LONGEST]
    gain = apart(rows[TRAINED:].mean(axis=0), rows[TRAINED - 1])
    first = apart(rows[TRAINED:].mean(axis=0), rows[0])
    return judged(
        better(gain),
        [
            difference(f"answers {TRAINED + 1}-{len(rows)} - answer {TRAINED}", gain),
            difference(f"answers {TRAINED + 1}-{len(rows)} - answer 1", first),
            *_chain_figures(findings),
        ],
        f"Answers {TRAINED + 1} to {len(rows)} of a chain differ from answer {TRAINED} by "
        f"{points(gain)}, and from the first by {points(first)}.",
    )


def _c22(findings: Findings) -> Judgement:
    facts = findings.chain_facts
    broken, mended = (
        ratio(facts.broken, facts.kept_or_broken),
        ratio(facts.mended, facts.mended_or_not),
    )
    if broken is None or mended is None:
        return untestable("no right answer, or no wrong one, was followed by another")
    verdict = Verdict.UNDECIDED
    if above(broken, NEGLIGIBLE):
        verdict = Verdict.CONFIRMED
    elif below(broken, NEGLIGIBLE):
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        [
            share("right answers followed by a wrong one", broken),
            share("wrong answers followed by a right one", mended),
            number("right answers followed by a wrong one, in the paper", BROKEN),
        ],
        f"{percent(broken.mean)} of right answers are followed by a wrong one "
        f"({percent(BROKEN)} in the paper), and {percent(mended.mean)} of wrong ones by a right "
        "one.",
    )


def _c37(findings: Findings) -> Judgement:
    if reason := _too_short(findings):
        return untestable(reason)
    there = members(findings.bins(Bins.PREDICTED), EASY)
    rows = findings.chain_facts.pass_at_1[:LONGEST, there]
    half = len(rows) // 2
    drift = apart(rows[half:].mean(axis=0), rows[:half].mean(axis=0))
    verdict = Verdict.UNDECIDED
    if below(drift, 0.0):
        verdict = Verdict.CONFIRMED
    elif above(drift, -NEGLIGIBLE):
        verdict = Verdict.REFUTED
    figures = [difference(f"answers {half + 1}-{len(rows)} - answers 1-{half}, bins 1-2", drift)]
    figures += [
        share(f"answer {place + 1} of a chain, bins 1-2", mean(row))
        for place, row in enumerate(rows)
    ]
    public = replayed()
    figures += [
        difference("recorded, 1.5 B on MATH-500: longer - shorter half", public.all.difference),
        difference(
            "recorded, 1.5 B on MATH-500: longer - shorter half, of those with an answer",
            public.answered.difference,
        ),
    ]
    return judged(
        verdict,
        figures,
        f"In bins 1-2 pass@1 of the second half of {len(rows)} answers differs from that of the "
        f"first by {points(drift)}. In a public recording of a real model the longer half of a "
        f"problem's samples differs from the shorter by {points(public.all.difference)}, and by "
        f"{points(public.answered.difference)} without those that were cut off: this is beside the "
        "rule, which is of chains.",
    )


def _c38(findings: Findings) -> Judgement:
    facts = findings.chain_facts
    at_once = ratio(facts.solved_at_once, facts.solved)
    if at_once is None:
        return untestable("no chain has a right answer")
    verdict = Verdict.UNDECIDED
    if above(at_once, AT_ONCE):
        verdict = Verdict.CONFIRMED
    elif below(at_once, AT_ONCE):
        verdict = Verdict.REFUTED
    figures = [share(f"chains of {facts.short} with a right answer whose first is right", at_once)]
    needed = ""
    if facts.efficiency is not None:
        efficiency = mean(facts.efficiency)
        figures.append(share(f"outcome efficiency of chains of {facts.short}", efficiency))
        needed = (
            f" {percent(efficiency.mean)} of the tokens of a chain are up to its first right "
            "answer, none where it has no right one."
        )
    return judged(
        verdict,
        figures,
        f"Of chains of {facts.short} answers with a right one, {percent(at_once.mean)} have it "
        f"first.{needed}",
    )


# C41: is being shown one's answers enough ---------------------------------------------------------


def _c41(findings: Findings) -> Judgement:
    prompted_reviser = findings.evidence.prompted_reviser
    n, count = prompted_reviser.plan.budgets[-1], len(prompted_reviser.problems)
    parallel, sequential = (
        strategy(f"revise(sequential={length},answer=majority)").name for length in (1, n)
    )
    if sequential not in prompted_reviser.plan.strategies:
        return untestable(f"no chain of {n} answers was run with the model not trained to revise")

    def gain(chain: Floats, votes: Floats) -> Interval:
        return apart(chain[:count], votes[:count])

    prompted = gain(*(prompted_reviser.curve(name, (n,))[0] for name in (sequential, parallel)))
    trained = gain(*(findings.curve(name, n) for name in (sequential, parallel)))
    verdict = Verdict.UNDECIDED
    if above(prompted, 0.0):
        verdict = Verdict.REFUTED
    elif below(prompted, NEGLIGIBLE) and above(trained, 0.0):
        verdict = Verdict.CONFIRMED
    return judged(
        verdict,
        [
            difference(f"S shown its answers: chain of {n} - {n} parallel, majority", prompted),
            difference(f"trained to revise: chain of {n} - {n} parallel, majority", trained),
            *_refined(findings),
            *_searched(findings, n),
        ],
        f"At {n} samples, seeing its own answers changes the majority vote of S by "
        f"{points(prompted)}; that of the model trained to revise changes by {points(trained)}.",
    )


def _refined(findings: Findings) -> list[Figure]:
    """What it gains to refine until a verifier is sure, over as many answers that it scores."""
    n = REFINED_AT
    figures = []
    for who, study in findings.evidence.refined.items():
        grid = study.grid
        refined, parallel = (
            grid.accuracy[grid.strategies.index(strategy(name).name), grid.budgets.index(n)]
            for name in (REFINED, PARALLEL)
        )
        told = f"{who}: self-refine of {n} - {n} parallel, weighted"
        figures.append(difference(told, apart(refined, parallel)))
    return figures


def _searched(findings: Findings, n: int) -> list[Figure]:
    """What it gains to search among revisions, over as many parallel answers, at the largest budget
    up to `n` at which searches were run."""
    study = findings.evidence.searches
    budgets = [one for one in (study.grid.budgets if study else ()) if one <= n]
    runs = findings.beside(CORRECTED, budgets[-1]) if budgets else {}
    figures = []
    for name, accuracy in runs.items():
        parallel = findings.curve(PARALLEL, budgets[-1])[: accuracy.size]
        told = f"trained to revise: {name} of {budgets[-1]} - as many parallel, weighted"
        figures.append(difference(told, apart(accuracy, parallel)))
    return figures


_SWEEP = "Splits of the largest budget, predicted bins"

CLAIMS = (
    Claim(
        "C07",
        "Easy questions are best served by sequential revisions.",
        ("001",),
        "The same, among splits of revisions (section 6.2).",
        f"{_SWEEP} 1-2: accuracy of one chain minus that of the best other split, chosen on other "
        "problems. Confirmed: above minus one point (not worse). Refuted: below 0.",
        _c07,
        contradicts=("C06", "C08"),
    ),
    Claim(
        "C08",
        "Easy questions are best served by best-of-N, and revisions are worse.",
        ("003",),
        "The opposite among splits of revisions; the same against beam search.",
        f"{_SWEEP} 1-2: accuracy of one chain minus that of all in parallel. Refuted: above 0. "
        "Confirmed: below 0.",
        _c08,
        contradicts=("C06", "C07"),
    ),
    Claim(
        "C09",
        "Hard questions are best served by sequential revisions.",
        ("003",),
        "No: by a mixture of sequential and parallel.",
        f"{_SWEEP} 4-5. Refuted: the best mixture, chosen on other problems, is above one chain. "
        "Confirmed: one chain is above the best of all other splits.",
        _c09,
        contradicts=("C05", "C11"),
    ),
    Claim(
        "C13",
        "There is an ideal ratio of sequential to parallel, and it moves with difficulty.",
        ("001",),
        "The same (section 6.2).",
        f"{_SWEEP}. Confirmed: a permutation test of the interaction of split and bin has p < "
        f"{MOVES:g}, and a split for each bin is above one split for all, both chosen on other "
        "problems. Refuted: p is not smaller, and the gain is below one point.",
        _c13,
        contradicts=("C40",),
    ),
    Claim(
        "C21",
        "Revision chains go on improving beyond the four earlier answers they were trained on.",
        ("001",),
        "The same, up to about 15 answers.",
        f"Mean pass@1 of answers {TRAINED + 1} to {LONGEST} (or as many as there are) minus that "
        f"of answer {TRAINED}. {BETTER}.",
        _c21,
        contradicts=("C37", "C38"),
    ),
    Claim(
        "C22",
        "Later revisions break right answers.",
        ("paper",),
        "About 38 % of them at the next step.",
        "Share of right answers followed by a wrong one. Confirmed: above one in a hundred. "
        "Refuted: below. The paper's figure is shown for comparison and is not part of the rule.",
        _c22,
    ),
    Claim(
        "C37",
        "Overthinking: with more thinking, accuracy drifts down.",
        ("000", "001"),
        "The papers quoted find it inefficient, not harmful; others find a drop.",
        "Chains in predicted bins 1-2, without selection among their answers: pass@1 of the second "
        f"half of {LONGEST} answers (or as many as there are) minus that of the first half. "
        "Confirmed: below 0. Refuted: above minus one point.",
        _c37,
        contradicts=("C21",),
    ),
    Claim(
        "C38",
        "Later solutions add little: over 92 % of solved questions are right at once.",
        ("000",),
        "Measured on reasoning models (Chen et al. 2024).",
        f"Of chains of four with a right answer, the share whose first is right. Confirmed: above "
        f"{percent(AT_ONCE)}. Refuted: below.",
        _c38,
        contradicts=("C21",),
    ),
    Claim(
        "C41",
        "Prompting a model to refine its answers is not enough; it must be trained to.",
        ("001",),
        "The same, citing others (section 6).",
        "Majority vote over one chain minus that over as many parallel answers. Confirmed: below "
        "one point for S shown its own answers, and above 0 for the model trained to revise. "
        "Refuted: above 0 for S shown its own answers. Refining until a verifier is sure is "
        "measured beside it, and decides nothing. That proposers and verifiers form one framework "
        "is a view and is not judged.",
        _c41,
    ),
)
