"""The likeliest solution, token by token: what a model does that is given no test-time compute."""

from __future__ import annotations

from outthink.search.select import MAJORITY
from outthink.types import END, Budget, Problem, Propose, Search, Solution


def greedy(problem: Problem, budget: Budget) -> Search:
    """Spends one generation of any budget: a second one would be the same."""
    drawn = yield Propose([Solution.start(problem)], until=END, temperature=0.0)
    return MAJORITY(drawn)
