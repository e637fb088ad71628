"""Greedy decoding: the likeliest token at every place, the baseline without test-time compute."""

from __future__ import annotations

from outthink.search.describe import describe
from outthink.search.select import MAJORITY
from outthink.types import END, PROPOSER, Budget, Problem, Propose, Search, Solution


@describe(label="one greedy answer", roles=lambda by: {by})
def greedy(problem: Problem, budget: Budget, *, by: str = PROPOSER) -> Search:
    """Spends one generation of any budget: a second one would be the same. `by` is the role that
    writes: `greedy(by=larger)` is the larger model's answer."""
    drawn = yield Propose([Solution.start(problem)], until=END, temperature=0.0, role=by)
    return MAJORITY(drawn)
