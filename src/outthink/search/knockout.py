"""A knock-out tournament: solutions meet in pairs, and the better one goes on.

Pairwise judges: Zheng et al. 2023, arXiv 2306.05685. N entrants play N - 1 duels.
"""

from __future__ import annotations

from outthink.search.describe import describe
from outthink.search.duel import asks, chosen, competing, duels, popularity, scored
from outthink.search.words import note
from outthink.types import END, JUDGE, PROPOSER, Budget, Problem, Propose, Search, Solution


@describe(
    label="knock-out tournament",
    source="Zheng et al. 2023, arXiv 2306.05685",
    roles=lambda entrants, by: {PROPOSER, by},
    words=lambda entrants, by: asks(by),
)
def knockout(problem: Problem, budget: Budget, *, entrants: int = 16, by: str = JUDGE) -> Search:
    """Spends N generations, of which `entrants` compete. `by` is the role that judges, or
    `verifier`.

    Of a tie the answer that was given more often goes on, then the earlier solution.
    """
    competing([], entrants)
    drawn: list[Solution] = yield Propose([Solution.start(problem)] * budget.generations, until=END)
    left, ranks = competing(drawn, entrants), popularity(drawn)
    scores = yield from scored(drawn, left, by)
    said: list[float | None] = []
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=False))
        won = yield from duels([(drawn[i], drawn[k]) for i, k in pairs], by)
        said += won
        going = [
            min(pair, key=lambda i: ranks[i][1:]) if first in (None, 0.5) else pair[first == 0]
            for pair, first in zip(pairs, won, strict=True)
        ]
        left = going + left[2 * len(pairs) :]
    told = note(said, "the answer given more often went on")
    return chosen(drawn, left[0] if left else None, scores, told)
