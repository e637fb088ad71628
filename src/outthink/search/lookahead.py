"""Lookahead search: a beam whose prefixes are judged by where they lead (Snell et al. 2024, 5.2).

Each candidate prefix is continued greedily for k further steps, stopping early at the end of the
solution, and takes the score the verifier gives at the end of that rollout. The rollout is then
thrown away. k = 0 is beam search.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from outthink.errors import UsageError
from outthink.search.beam import best, children, finish, resolve_width
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import (
    MAX_ROUNDS,
    STEP,
    Budget,
    Problem,
    Propose,
    Request,
    Scores,
    Search,
    Solution,
    Verify,
)


def lookahead(
    problem: Problem,
    budget: Budget,
    *,
    depth: int = 1,
    width: int | str = 4,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N'(k + 1) <= N generations on N' beams (A5; F11), where N' = N // (k + 1).

    A budget too small for k = `depth` looks ahead N - 1 steps instead.
    """
    if depth < 0:
        raise UsageError(f"lookahead depth {depth} is below 0; 0 is beam search")
    if rounds < 1:
        raise UsageError(f"lookahead rounds {rounds} is below 1; give at least one round")
    k = min(depth, budget.generations - 1)
    n = budget.generations // (k + 1)
    m = resolve_width(width, n)
    prefixes = [Solution.start(problem)] * n
    for _ in range(rounds):
        pool: list[Solution] = yield Propose(prefixes, until=STEP)
        scores = yield from _look(pool, k)
        kept = best(pool, scores, math.ceil(n / m), by=step)
        if not any(pool[i].is_open for i in kept):
            break
        prefixes = children(pool, kept, n=n, m=m)
    scores = yield Verify(pool)
    return (yield from finish(pool, scores, Selection(step, answer)))


def _look(pool: list[Solution], k: int) -> Generator[Request, Any, list[Scores]]:
    """Scores of the candidates, read k greedy steps ahead."""
    ahead: list[Solution] = pool
    if k > 0:
        ahead = yield Propose(pool, until=k, temperature=0.0)
    scores: list[Scores] = yield Verify(ahead)
    return scores
