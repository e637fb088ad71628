"""First finish: draw N solutions, vote among the k that finish first, which are the shortest.

FFS-k@N of Agarwal et al. 2025, https://arxiv.org/abs/2512.02008
"""

from __future__ import annotations

from outthink.search.describe import describe
from outthink.search.finish import Finish
from outthink.types import END, PROPOSER, Budget, Problem, Propose, Reading, Search, Solution


@describe(
    label="first finish",
    source="Agarwal et al. 2025",
    roles={PROPOSER},
    reading=lambda k: Reading(Finish(k)),
)
def first_finish(problem: Problem, budget: Budget, *, k: int = 1) -> Search:
    """Spends N generations, those that are not waited for too: this counts them as drawn whole."""
    choose = Finish(k)
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=END)
    return choose(drawn)
