"""Beam search against a process verifier (Snell et al. 2024, section 5.2).

N first steps; every round keeps the N / M best prefixes by the value of their newest step (not a
sum over steps) and draws M next steps from each, so that N prefixes are alive again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from outthink.errors import UsageError
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation, reduce_steps
from outthink.types import (
    END,
    MAX_ROUNDS,
    PROPOSER,
    STEP,
    VERIFIER,
    Budget,
    Problem,
    Propose,
    Purpose,
    Scores,
    Search,
    Solution,
    Verify,
)

SQRT: Literal["sqrt"] = "sqrt"
"""`width=SQRT`: M = sqrt(N), rounded."""


@describe(label="beam search", source="Snell et al. 2024, section 5.2", roles={PROPOSER, VERIFIER})
def beam(
    problem: Problem,
    budget: Budget,
    *,
    width: int | Literal["sqrt"] = 4,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations: N step draws a round, fewer once beams have ended.

    A finished beam keeps its place and its last score, and is not extended (A2); where N is no
    multiple of M the last beam kept has fewer children (A3). The finished candidates of the last
    round vote on the answer. Ties go to the earliest draw.
    """
    if rounds < 1:
        raise UsageError(f"beam rounds {rounds} is below 1; give at least one round")
    n, m = budget.generations, resolve_width(width, budget.generations)
    pool: list[Solution] = yield Propose([Solution.start(problem)] * n, until=STEP)
    scores: list[Scores] = yield Verify(pool)
    for _ in range(rounds - 1):
        kept = best(pool, scores, math.ceil(n / m), by=step)
        if not any(pool[i].is_open for i in kept):
            break
        pool = yield Propose(children(pool, kept, n=n, m=m), until=STEP)
        scores = yield Verify(pool)
    return (yield from finish(pool, scores, Selection(step, answer)))


def resolve_width(width: int | str, n: int) -> int:
    """M from `width`, which is a number or `sqrt`. Raises `UsageError` for anything else."""
    if width == SQRT:
        return max(1, round(math.sqrt(n)))
    if isinstance(width, int) and width >= 1:
        return min(width, n)
    raise UsageError(f"beam width {width!r} is neither a number of at least 1 nor 'sqrt'")


def best(
    pool: Sequence[Solution], scores: Sequence[Scores], k: int, *, by: StepAggregation
) -> list[int]:
    """Indices of the k best, best first; ties to the earliest.

    Candidates without a score come after those with one. Truncated candidates come last: they can
    neither be extended nor answer, so they must not push out a prefix that can.
    """
    value = [reduce_steps(score, by) for score in scores]
    order = sorted(
        range(len(pool)),
        key=lambda i: (pool[i].truncated, value[i] is None, -(value[i] or 0.0), i),
    )
    return order[:k]


def children(pool: Sequence[Solution], kept: Sequence[int], *, n: int, m: int) -> list[Solution]:
    """The prefixes that the next round draws from: every open beam m times, at most N in all.

    A finished beam is among them once, and is returned as it is (A2).
    """
    prefixes: list[Solution] = []
    for i in kept:
        prefixes += [pool[i]] * min(m if pool[i].is_open else 1, n - len(prefixes))
    return prefixes


def finish(pool: Sequence[Solution], scores: Sequence[Scores], selection: Selection) -> Search:
    """Vote among the finished candidates; where the search ran out of rounds, complete its beams
    first."""
    if not any(solution.finished for solution in pool) and any(s.is_open for s in pool):
        pool = yield Propose(pool, until=END, purpose=Purpose.STEP)
        scores = yield Verify(pool)
    return selection(pool, scores)
