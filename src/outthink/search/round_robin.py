"""A round-robin tournament: every solution meets every other one, and most points win.

Pairwise judges: Zheng et al. 2023, arXiv 2306.05685. k entrants play k (k - 1) / 2 duels.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from outthink.search.describe import describe
from outthink.search.duel import asks, chosen, competing, duels, popularity, scored
from outthink.search.words import note
from outthink.types import END, JUDGE, PROPOSER, Budget, Problem, Propose, Search, Solution


@describe(
    label="round-robin tournament",
    source="Zheng et al. 2023, arXiv 2306.05685",
    roles=lambda entrants, by: {PROPOSER, by},
    words=lambda entrants, by: asks(by),
)
def round_robin(problem: Problem, budget: Budget, *, entrants: int = 8, by: str = JUDGE) -> Search:
    """Spends N generations, of which `entrants` compete. `by` is the role that judges, or
    `verifier`.

    A duel that is won is a point, a tie half of one. Of equal points the answer that was given more
    often wins, then the earlier solution.
    """
    competing([], entrants)
    drawn: list[Solution] = yield Propose([Solution.start(problem)] * budget.generations, until=END)
    left, ranks = competing(drawn, entrants), popularity(drawn)
    scores = yield from scored(drawn, left, by)
    pairs = list(combinations(left, 2))
    said: list[float | None] = []
    if pairs:
        said = yield from duels([(drawn[i], drawn[k]) for i, k in pairs], by)
    points: Counter[int] = Counter()
    for (i, k), first in zip(pairs, said, strict=True):
        first = 0.5 if first is None else first
        points.update({i: round(2 * first), k: round(2 - 2 * first)})
    told = note(said, "they count as ties")
    best = min(left, key=lambda i: (-points[i], *ranks[i][1:]), default=None)
    return chosen(drawn, best, scores, told)
