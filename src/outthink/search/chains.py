"""A pool of chains of revisions, from which every split of a budget is read.

Snell et al. 2024, section 6.2: sequential against parallel. It is drawn once, and is no strategy.
"""

from __future__ import annotations

from outthink.errors import UsageError
from outthink.search.chain import WINDOW, chains_of
from outthink.search.describe import describe
from outthink.search.select import Selection
from outthink.types import REVISER, REVISION_VERIFIER, Budget, Problem, Scores, Search, Verify


@describe(
    label="a pool of chains",
    roles=lambda scored: {REVISER, REVISION_VERIFIER} if scored else {REVISER},
)
def chains(problem: Problem, budget: Budget, *, scored: bool = True) -> Search:
    """Draws a pool from which every split of every power of two up to N is read: N first answers,
    of which N / 2 chains go on to a second, N / 4 to a fourth, ..., one to an N-th.

    It costs N (1 + log2(N) / 2) generations: it serves to measure strategies, and is none itself.
    """
    n = budget.generations
    if n & (n - 1):
        raise UsageError(f"a pool of chains of {n}; give a power of two")
    drawn, places = yield from chains_of(problem, pool_lengths(n), WINDOW)
    if not scored:
        return Selection()(drawn)
    scores: list[Scores] = yield Verify(drawn, role=REVISION_VERIFIER)
    return Selection().among(places, drawn, scores)


def pool_lengths(n: int) -> list[int]:
    """Length of each of the n chains of a pool, n a power of two; the longest come first."""
    return [1 << ((n // (chain + 1)).bit_length() - 1) for chain in range(n)]
