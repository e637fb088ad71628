"""A beam of chains: of several revisions of a solution the best is revised next.

Revisions (Snell et al. 2024, section 6) searched as steps are (section 5.2): a solution takes the
place of a step, and the chain that led to it that of a prefix.
"""

from __future__ import annotations

import math

from outthink.errors import UsageError
from outthink.search.beam import best
from outthink.search.chain import WINDOW, prefix_after
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import (
    END,
    REVISER,
    REVISION_VERIFIER,
    Budget,
    Problem,
    Propose,
    Purpose,
    Scores,
    Search,
    Solution,
    Verify,
)


@describe(
    label="beam of revisions",
    source="Snell et al. 2024, sections 5.2 and 6",
    roles={REVISER, REVISION_VERIFIER},
)
def revision_beam(
    problem: Problem,
    budget: Budget,
    *,
    sequential: int = 4,
    width: int = 2,
    window: int = WINDOW,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations in `sequential` rounds, one a round where N is smaller. Of each round
    one solution in `width` is kept, the best, and revised in the next. All solutions vote.

    At width 1 it is revisions in parallel chains. Ties go to the earliest draw.
    """
    if min(sequential, width, window) < 1:
        raise UsageError(
            f"revision_beam sequential={sequential}, width={width}, window={window}; give at least "
            "one of each"
        )
    n = budget.generations
    rounds = min(sequential, n)
    chains: list[list[Solution]] = [[]]
    drawn: list[Solution] = []
    scores: list[Scores] = []
    for number in range(rounds):
        size = n // rounds + (number < n % rounds)
        parents = [chains[row * len(chains) // size] for row in range(size)]
        prefixes = [prefix_after(problem, chain, window) for chain in parents]
        new = yield Propose(prefixes, until=END, role=REVISER, purpose=Purpose.REVISION)
        told = yield Verify(new, role=REVISION_VERIFIER)
        drawn += new
        scores += told
        kept = sorted(best(new, told, math.ceil(size / width), by=step))
        chains = [[*parents[row], new[row]] for row in kept]
    return Selection(step, answer)(drawn, scores)
