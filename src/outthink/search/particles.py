"""Particle filtering: N partial solutions, resampled by their scores after every step.

Puri et al. 2025, arXiv 2502.01618. A beam keeps the best prefixes; here a prefix
survives with a probability that grows with its score, so that a verifier's mistake early on costs
some of the particles and not all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate
from random import Random

from outthink.errors import UsageError
from outthink.search.beam import finish
from outthink.search.chance import generator
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

_CLIP = 1e-6
"""Scores are kept so far from 0 and 1, where the log-odds are infinite."""


class Resampling(StrEnum):
    """How survivors are drawn from weights."""

    SYSTEMATIC = "systematic"
    """At N evenly spaced places behind one random offset: equal weights survive once each."""
    MULTINOMIAL = "multinomial"
    """Each on its own, as in the paper."""


@describe(
    label="particle filtering",
    source="Puri et al. 2025, arXiv 2502.01618",
    roles={PROPOSER, VERIFIER},
)
def particles(
    problem: Problem,
    budget: Budget,
    *,
    resampling: Resampling = Resampling.SYSTEMATIC,
    temperature: float = 1.0,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations: N step draws a round, fewer once particles have ended.

    Weights are softmax(log-odds of the score / T), with T = `temperature`. A particle that has
    finished is resampled as it is, and never extended; one that was cut off does not survive. With
    equal weights, systematic resampling keeps every particle: that is sampling.
    """
    if temperature <= 0 or rounds < 1:
        raise UsageError(
            f"particles temperature={temperature:g}, rounds={rounds}; give a temperature above 0, "
            "and at least one round"
        )
    pool: list[Solution] = yield Propose([Solution.start(problem)] * budget.generations, until=STEP)
    scores: list[Scores] = yield Verify(pool)
    for _ in range(rounds - 1):
        if not any(solution.is_open for solution in pool):
            break
        weights = weighed(pool, scores, step, temperature)
        kept = resampled(weights, len(pool), resampling, generator(problem, pool))
        pool = yield Propose([pool[i] for i in kept], until=STEP)
        scores = yield Verify(pool)
    return (yield from finish(pool, scores, Selection(step, answer)))


def weighed(
    pool: Sequence[Solution], scores: Sequence[Scores], step: StepAggregation, temperature: float
) -> list[float]:
    """The weight of each particle; 0 of one that was cut off."""
    return [
        0.0 if solution.truncated else _weight(reduce_steps(score, step), temperature)
        for solution, score in zip(pool, scores, strict=True)
    ]


def _weight(score: float | None, temperature: float) -> float:
    """exp(log-odds / T); of a prefix without a score as of one at even odds."""
    p = min(max(0.5 if score is None else score, _CLIP), 1 - _CLIP)
    return math.exp(math.log(p / (1 - p)) / temperature)


def resampled(weights: Sequence[float], n: int, how: Resampling, random: Random) -> list[int]:
    """Indices of the `n` that survive, in order; `weights` are not all 0."""
    sums = list(accumulate(weights))
    if how is Resampling.MULTINOMIAL:
        return sorted(random.choices(range(len(weights)), cum_weights=sums, k=n))
    gap = sums[-1] / n
    offset = random.random()
    kept, at = [], 0
    for place in range(n):
        while at < len(sums) - 1 and sums[at] <= (place + offset) * gap:
            at += 1
        kept.append(at)
    return kept
