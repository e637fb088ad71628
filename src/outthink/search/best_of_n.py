"""Best of N: draw N solutions, score each, keep the best answer.

Cobbe et al. 2021, https://arxiv.org/abs/2110.14168; weighted as in Snell et al. 2024, section 5.1.
"""

from __future__ import annotations

from outthink.search.describe import describe, writes
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import (
    END,
    PROPOSER,
    VERIFIER,
    Budget,
    Problem,
    Propose,
    Reading,
    Search,
    Solution,
    Verify,
)


def _reading(step: StepAggregation, answer: AnswerAggregation, by: str) -> Reading | None:
    """A pool holds what the proposer draws."""
    return Reading(Selection(step, answer)) if by == PROPOSER else None


@describe(
    label="best of N",
    source="Snell et al. 2024, section 5.1",
    roles=lambda by, **_: {writes(by), VERIFIER},
    reading=_reading,
)
def best_of_n(
    problem: Problem,
    budget: Budget,
    *,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
    by: str = PROPOSER,
) -> Search:
    """Spends N generations. Ties go to the earliest draw: the same seed gives the same choice. `by`
    is the role that writes: `best_of_n(by=larger)` draws from the larger model."""
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=END, role=by)
    scores = yield Verify(drawn)
    return Selection(step, answer)(drawn, scores)
