"""Best of N: draw N solutions, score each, keep the best answer.

Cobbe et al. 2021, https://arxiv.org/abs/2110.14168; weighted as in Snell et al. 2024, section 5.1.
"""

from __future__ import annotations

from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import END, Budget, Problem, Propose, Search, Solution, Verify


def best_of_n(
    problem: Problem,
    budget: Budget,
    *,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations. Ties go to the earliest draw: the same seed gives the same choice."""
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=END)
    scores = yield Verify(drawn)
    return Selection(step, answer)(drawn, scores)
