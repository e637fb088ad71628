"""Last finish: draw N solutions, vote among the k that finish last, which are the longest.

LFS-k@N of Agarwal et al. 2025, https://arxiv.org/abs/2512.02008
"""

from __future__ import annotations

from outthink.search.describe import describe
from outthink.search.finish import Finish
from outthink.types import END, PROPOSER, Budget, Problem, Propose, Reading, Search, Solution


@describe(
    label="last finish",
    source="Agarwal et al. 2025",
    roles={PROPOSER},
    reading=lambda k: Reading(Finish(k, last=True)),
)
def last_finish(problem: Problem, budget: Budget, *, k: int = 1) -> Search:
    """Spends N generations: all solutions are drawn to their end."""
    choose = Finish(k, last=True)
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=END)
    return choose(drawn)
