"""Diverse verifier tree search: beams that do not compete (Beeching et al. 2024, Hugging Face).

N / M subtrees of M; every round each of them keeps its own best prefix and draws M next steps from
it. A strong subtree cannot crowd out the others, which is all that is different from a beam.
"""

from __future__ import annotations

from typing import Literal

from outthink.errors import UsageError
from outthink.search.beam import best, children, finish, resolve_width
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import (
    MAX_ROUNDS,
    PROPOSER,
    STEP,
    VERIFIER,
    Budget,
    Problem,
    Propose,
    Scores,
    Search,
    Solution,
    Verify,
)


@describe(
    label="diverse verifier tree search",
    source="Beeching et al. 2024, 'Scaling test-time compute with open models'",
    roles={PROPOSER, VERIFIER},
)
def dvts(
    problem: Problem,
    budget: Budget,
    *,
    width: int | Literal["sqrt"] = 4,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations: N step draws a round, fewer once subtrees have ended.

    Where N is no multiple of M the last subtree is smaller. One subtree, M >= N, is the beam of
    that width. The finished candidates of the last round vote on the answer.
    """
    if rounds < 1:
        raise UsageError(f"dvts rounds {rounds} is below 1; give at least one round")
    n, m = budget.generations, resolve_width(width, budget.generations)
    sizes = [min(m, n - first) for first in range(0, n, m)]
    subtrees = [
        range(first, first + size) for first, size in zip(range(0, n, m), sizes, strict=True)
    ]
    pool: list[Solution] = yield Propose([Solution.start(problem)] * n, until=STEP)
    scores: list[Scores] = yield Verify(pool)
    for _ in range(rounds - 1):
        kept = [
            of[best([pool[i] for i in of], [scores[i] for i in of], 1, by=step)[0]]
            for of in subtrees
        ]
        if not any(pool[i].is_open for i in kept):
            break
        prefixes: list[Solution] = []
        for at, (i, size) in enumerate(zip(kept, sizes, strict=True)):
            drawn = children(pool, [i], n=size, m=size)
            subtrees[at] = range(len(prefixes), len(prefixes) + len(drawn))
            prefixes += drawn
        pool = yield Propose(prefixes, until=STEP)
        scores = yield Verify(pool)
    return (yield from finish(pool, scores, Selection(step, answer)))
