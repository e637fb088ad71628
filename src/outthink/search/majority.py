"""Majority vote: draw N solutions, keep the answer given most often. Needs no verifier.

Wang et al. 2023 (self-consistency), https://arxiv.org/abs/2203.11171
"""

from __future__ import annotations

from outthink.search.decided import decided
from outthink.search.describe import describe
from outthink.search.select import MAJORITY
from outthink.types import END, PROPOSER, Budget, Problem, Propose, Reading, Search, Solution


@describe(
    label="majority vote",
    source="Wang et al. 2023",
    roles={PROPOSER},
    reading=lambda early: None if early else Reading(MAJORITY),
)
def majority(problem: Problem, budget: Budget, *, early: bool = False) -> Search:
    """Spends N generations. Ties go to the answer drawn first. With `early` it ends as soon as the
    first solutions decide the vote of all N, and cancels what is in flight: the same answer for
    less."""
    n = budget.generations
    enough = decided(n) if early else None
    drawn = yield Propose([Solution.start(problem)] * n, until=END, enough=enough)
    return MAJORITY(drawn)
