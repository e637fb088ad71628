"""Majority vote: draw N solutions, keep the answer given most often. Needs no verifier.

Wang et al. 2023 (self-consistency), https://arxiv.org/abs/2203.11171
"""

from __future__ import annotations

from outthink.search.select import MAJORITY
from outthink.types import END, Budget, Problem, Propose, Search, Solution


def majority(problem: Problem, budget: Budget) -> Search:
    """Spends N generations. Ties go to the answer drawn first."""
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=END)
    return MAJORITY(drawn)
