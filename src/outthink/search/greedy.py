"""Greedy decoding: the likeliest token at every place, the baseline without test-time compute."""

from __future__ import annotations

from outthink.search.describe import describe, writes
from outthink.search.select import MAJORITY, WEIGHTED_LAST
from outthink.types import (
    END,
    PROPOSER,
    VERIFIER,
    Budget,
    Problem,
    Propose,
    Search,
    Solution,
    Verify,
)


@describe(
    label="one greedy answer",
    roles=lambda by, scored: {writes(by), VERIFIER} if scored else {writes(by)},
)
def greedy(problem: Problem, budget: Budget, *, by: str = PROPOSER, scored: bool = False) -> Search:
    """Spends one generation of any budget: a second one would be the same. `by` is the role that
    writes: `greedy(by=larger)` is the larger model's answer. `scored` has a verifier score it, for
    whoever compares it with other answers."""
    drawn = yield Propose([Solution.start(problem)], until=END, temperature=0.0, role=by)
    if not scored:
        return MAJORITY(drawn)
    scores = yield Verify(drawn)
    return WEIGHTED_LAST(drawn, scores)
