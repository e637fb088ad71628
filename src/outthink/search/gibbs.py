"""Particle Gibbs: particle filtering again and again, each pass around a path of the one before.

Puri et al. 2025, arXiv 2502.01618; Andrieu et al. 2010, section 2.4.3, conditional sequential Monte
Carlo. The path that is kept takes part in every resampling as far as it has come, so that a pass
begins where the last one was good, and is itself never drawn again.
"""

from __future__ import annotations

from outthink.errors import UsageError
from outthink.search.beam import finish
from outthink.search.chance import generator
from outthink.search.describe import describe
from outthink.search.particles import Resampling, resampled, weighed
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

_Path = tuple[tuple[Solution, Scores], ...]
"""A particle after each of its steps; what has ended stays as it is."""


@describe(
    label="particle Gibbs",
    source="Puri et al. 2025, arXiv 2502.01618",
    roles={PROPOSER, VERIFIER},
)
def gibbs(
    problem: Problem,
    budget: Budget,
    *,
    passes: int = 2,
    resampling: Resampling = Resampling.SYSTEMATIC,
    temperature: float = 1.0,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations, N / `passes` a pass; the kept path comes on top, for nothing. The first
    steps of all passes are one request: a pass that goes on from the kept path is of the same tree.

    What a pass keeps is drawn from its last particles, by their weights. The particles of all
    passes vote. With one pass it is particle filtering.
    """
    if passes < 1 or temperature <= 0 or rounds < 1:
        raise UsageError(
            f"gibbs passes={passes}, temperature={temperature:g}, rounds={rounds}; give a "
            "temperature above 0, and at least one pass and one round"
        )
    n = budget.generations
    runs = min(passes, n)
    firsts: list[Solution] = yield Propose([Solution.start(problem)] * n, until=STEP)
    told: list[Scores] = yield Verify(firsts)
    ended: _Path = ()
    kept: _Path = ()
    begun = list(zip(firsts, told, strict=True))
    for number in range(runs):
        size = n // runs + (number < n % runs)
        drawn: list[_Path] = [(begun.pop(0),) for _ in range(size)]
        for depth in range(1, rounds):
            paths = [*drawn, kept[:depth]] if kept else drawn
            pool, scores = zip(*(path[-1] for path in paths), strict=True)
            if not any(solution.is_open for solution in pool):
                break
            weights = weighed(pool, scores, step, temperature)
            chosen = resampled(weights, size, resampling, generator(problem, pool))
            new = yield Propose([pool[i] for i in chosen], until=STEP)
            rows = zip(chosen, new, (yield Verify(new)), strict=True)
            drawn = [(*paths[i], (solution, score)) for i, solution, score in rows]
        ended += tuple(path[-1] for path in drawn)
        paths = [*drawn, kept] if kept else drawn
        pool, scores = zip(*(path[-1] for path in paths), strict=True)
        weights = weighed(pool, scores, step, temperature)
        if any(weights):
            [survivor] = resampled(weights, 1, Resampling.MULTINOMIAL, generator(problem, pool))
            kept = paths[survivor]
    pool, scores = zip(*ended, strict=True)
    return (yield from finish(pool, scores, Selection(step, answer)))
