"""Claims about what strategies cost, in FLOPs, memory and time."""

from __future__ import annotations

import math

import numpy as np

from outthink.measure.exchange import pretraining_flops
from outthink.paper.claims.base import (
    Claim,
    Figure,
    Judgement,
    Unit,
    Verdict,
    judged,
    number,
    percent,
    untestable,
)
from outthink.paper.evidence import BASELINE, PARALLEL
from outthink.paper.findings import RATIOS, Bins, Findings, chain_length
from outthink.search import strategy

_COUNTED = "Costs are counted, so they have no interval."

# C29: does a beam cost less than its samples ------------------------------------------------------

SUBLINEAR = 0.9
"""Cost that grows as a smaller power of N than this is called sublinear."""


def _growth(costs: dict[int, float]) -> float:
    """The exponent b where costs grow as N^b."""
    x, y = (np.log(np.array(list(side), np.float64)) for side in (costs.keys(), costs.values()))
    return float(np.polyfit(x, y, 1)[0])


def _c29(findings: Findings) -> Judgement:
    rows = [row for row in findings.ledger if row.strategy == "beam" and row.budget >= 4]
    if len(rows) < 2:
        return untestable("beam search was run at too few budgets to see its cost grow")
    problems = findings.evidence.problems
    reused, recomputed = {}, {}
    for row in rows:
        usage = row.usage
        written = usage.decoded_tokens + usage.prompt_tokens + usage.verifier_tokens
        reused[row.budget] = written / problems
        recomputed[row.budget] = (
            written + usage.cached_tokens + usage.verifier_cached_tokens
        ) / problems
    base = {
        row.budget: row.flops["paper"]
        for row in findings.ledger
        if row.strategy == BASELINE and row.budget in reused
    }
    with_reuse, without = _growth(reused), _growth(recomputed)
    figures = [
        number("power of N, prefixes reused", with_reuse),
        number("power of N, prefixes recomputed", without),
        number("power of N, best-of-N", _growth(base)),
        *(
            number(
                f"N = {row.budget}: FLOPs over best-of-N",
                row.flops["paper"] / base[row.budget],
                Unit.FACTOR,
            )
            for row in rows
            if row.budget in base
        ),
    ]
    return judged(
        Verdict.CONFIRMED if with_reuse < SUBLINEAR else Verdict.REFUTED,
        figures,
        f"The tokens of beam search grow as N^{with_reuse:.2f} with prefixes reused, and as "
        f"N^{without:.2f} without.",
    )


# C39: does memory traffic overturn the small model's advantage ------------------------------------

OVERTURNED = 0.5
"""The share of the small model's wins that must go to the larger one."""


def _c39(findings: Findings) -> Judgement:
    wins = {name: _wins(findings, name) for name in ("paper", "attention", "memory")}
    before = wins["paper"]
    flipped = {name: len(before - won) for name, won in wins.items()}
    figures = [number(f"configurations S wins, {name}", len(won)) for name, won in wins.items()]
    if not before:
        reason = "S wins no configuration under the paper's cost model, so none can flip"
        return judged(Verdict.UNDECIDED, figures, f"{reason}.", reason)
    share = flipped["memory"] / len(before)
    figures.append(number("share of them lost to memory traffic", share, Unit.SHARE))
    figures.append(
        number("share of them lost to attention", flipped["attention"] / len(before), Unit.SHARE)
    )
    return judged(
        Verdict.CONFIRMED if share >= OVERTURNED else Verdict.REFUTED,
        figures,
        f"Of {len(before)} configurations that S wins at equal FLOPs, L wins {percent(share)} "
        "once reading keys and values is charged.",
    )


def _wins(findings: Findings, model: str) -> set[tuple[str, int, int, float]]:
    """(strategy, budget, bin, R) where S is at least as accurate as L at no larger total cost.

    The total is pretraining plus inference on the questions that L answers with R D_pre tokens.
    """
    evidence = findings.evidence
    shapes, tokens = evidence.shapes, float(evidence.pretraining_tokens)
    large = findings.greedy_large
    numbers = findings.bins(Bins.PREDICTED)
    trained = {
        name: pretraining_flops(shapes[name].multiplied_parameters, tokens) for name in ("s", "l")
    }
    wins = set()
    axis = findings.both
    for row in findings.ledger:
        if row.strategy not in axis.grid.strategies or row.budget not in axis.grid.budgets:
            continue
        accuracy = axis.accuracy(row.strategy, row.budget)
        for token_ratio in RATIOS:
            questions = token_ratio * tokens / large.tokens
            small = trained["s"] + questions * row.flops[model]
            if small > trained["l"] + questions * large.flops[model]:
                continue
            for b in range(int(numbers.max()) + 1):
                there = numbers == b
                if accuracy[there].mean() >= evidence.large_greedy[there].mean():
                    wins.add((row.strategy, row.budget, b, token_ratio))
    return wins


# C44: is the larger model costly to train and fast to use, test-time compute slow ----------------

DEARER, SLOWER = 2.0, 2.0
"""From these factors on an answer counts as more expensive, and a strategy as slower."""


def _c44(findings: Findings) -> Judgement:
    n = findings.evidence.main.plan.known(PARALLEL)[-1]
    one = findings.spending("majority", 1)
    large = findings.greedy_large
    dearer = large.flops["paper"] / one.flops["paper"]
    chain = strategy(PARALLEL.replace("=1", f"={n}")).name
    names = [
        BASELINE,
        "beam",
        *(name for name in findings.run((chain,)) if chain_length(name) <= n),
    ]
    depths = {name: findings.spending(name, n).depth / large.depth for name in names}
    figures: list[Figure] = [number("FLOPs of an answer, L over S", dearer, Unit.FACTOR)]
    figures += [
        number(f"{name}, N = {n}: tokens in sequence over L's answer", depth, Unit.FACTOR)
        for name, depth in depths.items()
    ]
    figures += [
        number(
            f"{name}, N = {n}: FLOPs over L's answer",
            findings.spending(name, n).flops["paper"] / large.flops["paper"],
            Unit.FACTOR,
        )
        for name in names
    ]
    slowest = max(depths, key=lambda name: depths[name])
    cheap_later, slow = dearer < DEARER, all(depth >= SLOWER for depth in depths.values())
    assert math.isfinite(dearer)
    return judged(
        Verdict.CONFIRMED if cheap_later and slow else Verdict.REFUTED,
        figures,
        f"An answer of L costs {dearer:.1f} times one of S. In sequence, best-of-{n} with its "
        f"samples in parallel writes {depths[BASELINE]:.2f} times as many tokens as L's answer "
        f"has, {slowest} {depths[slowest]:.1f} times.",
    )


CLAIMS = (
    Claim(
        "C29",
        "Beam search costs less than linearly in N, since it reuses prefixes.",
        ("001",),
        "It charges N for it, as for best-of-N.",
        "Tokens computed by beam search (M = 4) from N = 4 on, prefixes reused, grow as a power of "
        f"N. Confirmed: the power is below {SUBLINEAR:g}. Refuted: it is not. {_COUNTED}",
        _c29,
    ),
    Claim(
        "C39",
        "The cost of memory overturns the small model's advantage.",
        ("000",),
        "Only models above some size gain from it (Sadhukhan et al. 2025).",
        "Of the configurations (strategy, budget, predicted bin, R) in which S is at least as "
        "accurate as L at no larger total cost, counting 2 FLOPs a parameter and token. Confirmed: "
        f"at least {percent(OVERTURNED)} go to L once attention and reading keys and values are "
        "charged. Refuted: fewer.",
        _c39,
        contradicts=("C36",),
    ),
    Claim(
        "C44",
        "A larger model is costly to train and fast to use; test-time compute is slow.",
        ("003",),
        "Not compared.",
        f"Confirmed: an answer of L costs less than {DEARER:g} times one of S, and every "
        f"strategy at the largest budget writes at least {SLOWER:g} times as many tokens in "
        f"sequence as L. Refuted: one of the two is not so. {_COUNTED}",
        _c44,
    ),
)
