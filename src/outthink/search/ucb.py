"""UCB over answers: each draw revises the answer that may be best, or looks for a new one.

Arms are the answers given so far, and one more that draws anew. What an arm pays is the verifier's
score of what was drawn by it; the arm with the largest mean + c sqrt(2 ln(draws) / its draws) is
pulled (UCB1, Auer et al. 2002, theorem 1). An answer's arm revises its best-scored solution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from outthink.errors import UsageError
from outthink.search.chain import answer_after
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation, reduce_steps
from outthink.types import (
    REVISER,
    REVISION_VERIFIER,
    Budget,
    Problem,
    Scores,
    Search,
    Solution,
    Verify,
)


@dataclass(slots=True)
class _Arm:
    total: float = 0.0
    pulls: int = 0
    best: tuple[float, Solution] | None = None
    """The solution it revises, and its score; `None` of the arm that draws anew."""

    def bound(self, c: float, pulls: int) -> float:
        """The upper confidence bound after so many pulls of all arms."""
        if self.pulls == 0:
            return math.inf
        return self.total / self.pulls + c * math.sqrt(2 * math.log(pulls) / self.pulls)


@describe(
    label="UCB over answers",
    source="Auer et al. 2002, section 2",
    roles={REVISER, REVISION_VERIFIER},
)
def ucb(
    problem: Problem,
    budget: Budget,
    *,
    c: float = 0.5,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations, one after another. All answers vote.

    At c = 0 it goes on with what has paid best. Solutions without an answer make no arm. Ties go to
    the arm that draws anew, then to the earliest answer.
    """
    if c < 0:
        raise UsageError(f"ucb c={c:g} is below 0; give 0 or more")
    arms: dict[str | None, _Arm] = {None: _Arm()}
    drawn: list[Solution] = []
    scores: list[Scores] = []
    for pulls in range(budget.generations):
        arm = max(arms.values(), key=lambda arm: arm.bound(c, pulls))
        chain = [] if arm.best is None else [arm.best[1]]
        solution = yield from answer_after(problem, chain, 1)
        [score] = yield Verify([solution], role=REVISION_VERIFIER)
        drawn.append(solution)
        scores.append(score)
        value = reduce_steps(score, step) or 0.0
        arm.total += value
        arm.pulls += 1
        if solution.answer is None:
            continue
        named = arms.setdefault(solution.answer, _Arm(value, 1, (value, solution)))
        if named.best is None or value > named.best[0]:
            named.best = value, solution
    return Selection(step, answer)(drawn, scores)
