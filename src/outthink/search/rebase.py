"""REBASE: every prefix gets children by its share of the reward (Wu et al. 2024, arXiv 2408.00724).

In round i, W_j = Round(B_i softmax_j(R_j / T)) next steps are drawn from open prefix j, where B_i
is what is left of N once finished solutions have taken their places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from outthink.errors import UsageError
from outthink.search.beam import finish
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation, reduce_steps
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


@describe(label="REBASE", source="Wu et al. 2024, arXiv 2408.00724", roles={PROPOSER, VERIFIER})
def rebase(
    problem: Problem,
    budget: Budget,
    *,
    temperature: float = 0.2,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations: N step draws a round, less those that have finished.

    `temperature` is T: at 0 the best prefix has all children, as in a beam of width N. All that
    finished vote on the answer. What ran into the length limit gives its place back.
    """
    if temperature < 0 or rounds < 1:
        raise UsageError(
            f"rebase temperature={temperature:g}, rounds={rounds}; give a temperature of 0 or "
            "more, and at least one round"
        )
    ended: list[tuple[Solution, Scores]] = []
    pool: list[Solution] = yield Propose([Solution.start(problem)] * budget.generations, until=STEP)
    scores: list[Scores] = yield Verify(pool)
    for _ in range(rounds - 1):
        judged = list(zip(pool, scores, strict=True))
        ended += [(solution, score) for solution, score in judged if solution.finished]
        open_ = [(solution, score) for solution, score in judged if solution.is_open]
        pool, scores = [], []
        if not open_ or len(ended) >= budget.generations:
            break
        values = [reduce_steps(score, step) or 0.0 for _, score in open_]
        counts = shares(values, budget.generations - len(ended), temperature)
        prefixes = [
            solution
            for (solution, _), count in zip(open_, counts, strict=True)
            for _ in range(count)
        ]
        pool = yield Propose(prefixes, until=STEP)
        scores = yield Verify(pool)
    candidates = [solution for solution, _ in ended] + pool
    known = [score for _, score in ended] + scores
    return (yield from finish(candidates, known, Selection(step, answer)))


def shares(rewards: Sequence[float], total: int, temperature: float) -> list[int]:
    """`total` children among prefixes with these rewards, in proportion to exp(R / T).

    Plain rounding makes more or less than `total`; here what it leaves over goes to the largest
    remainders, and ties to the earliest.
    """
    top = max(rewards)
    if temperature == 0:
        first = rewards.index(top)
        return [total if i == first else 0 for i in range(len(rewards))]
    weights = [math.exp((reward - top) / temperature) for reward in rewards]
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [math.floor(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts
