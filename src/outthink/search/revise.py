"""Revisions: chains in which each solution sees the answers before it.

Snell et al. 2024, section 6.

A chain is sequential: the model reads its most recent answers, or its best, and writes a better
one. Chains are parallel to one another. How a budget is split between the two is the strategy: N =
sequential x parallel.
"""

from __future__ import annotations

from outthink.errors import UsageError
from outthink.search.chain import WINDOW, Shown, chains_of
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import (
    REVISER,
    REVISION_VERIFIER,
    Budget,
    Problem,
    Reading,
    Scores,
    Search,
    Verify,
)


def _roles(answer: AnswerAggregation, shown: Shown, **_: object) -> set[str]:
    votes_alone = answer is AnswerAggregation.MAJORITY and shown is Shown.LATEST
    return {REVISER} if votes_alone else {REVISER, REVISION_VERIFIER}


def _reading(
    sequential: int, window: int, shown: Shown, step: StepAggregation, answer: AnswerAggregation
) -> Reading | None:
    """How a split is read from a pool of chains of all lengths that are powers of two."""
    of_chains = (AnswerAggregation.HIERARCHICAL, AnswerAggregation.MAJORITY)
    usual = window == WINDOW and shown is Shown.LATEST and step is StepAggregation.LAST
    if not usual or sequential & (sequential - 1) or answer not in of_chains:
        return None
    return Reading(Selection(step, answer), sequential)


@describe(label="revisions", source="Snell et al. 2024, section 6", roles=_roles, reading=_reading)
def revise(
    problem: Problem,
    budget: Budget,
    *,
    sequential: int = 4,
    window: int = WINDOW,
    shown: Shown = Shown.LATEST,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.HIERARCHICAL,
) -> Search:
    """Spends N generations on N / `sequential` chains; a remainder makes one shorter chain.

    A budget below `sequential` makes one chain. A revision sees the last `window` answers of its
    chain, or its best ones, for which each is scored before the next is drawn. `majority` is a flat
    vote over all answers of all chains, and asks no verifier where the last are shown; every other
    `answer` scores all solutions (appendix I).
    """
    if min(sequential, window) < 1:
        raise UsageError(
            f"revise sequential={sequential}, window={window}; give at least one of each"
        )
    n = budget.generations
    lengths = [min(sequential, n - done) for done in range(0, n, sequential)]
    drawn, chains = yield from chains_of(problem, lengths, window, shown, step)
    selection = Selection(step, answer)
    if answer is AnswerAggregation.MAJORITY:
        return selection(drawn)
    scores: list[Scores] = yield Verify(drawn, role=REVISION_VERIFIER)
    return selection.among(chains, drawn, scores)
