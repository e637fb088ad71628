"""AB-MCTS, adaptive branching: a new answer, or a revision of one that there is.

Inoue et al. 2025, arXiv 2503.04412, variant A with beta distributions. At every node two
arms are compared by Thompson sampling: to draw a new answer there (wider), or to go down into one
of its answers (deeper), which one again by Thompson sampling. Every answer's score counts for its
node and for all above it, with the arm that it came by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from outthink.search.chain import WINDOW, answer_after
from outthink.search.chance import generator
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

_PRIOR = 0.5
"""Both parameters of the beta distribution before any score: Jeffreys' prior."""


@dataclass(slots=True)
class _Arm:
    """What is believed of a score."""

    good: float = _PRIOR
    bad: float = _PRIOR

    def saw(self, score: float) -> None:
        self.good += score
        self.bad += 1 - score

    def guess(self, random: Random) -> float:
        return random.betavariate(self.good, self.bad)


@dataclass(slots=True, eq=False)
class _Node:
    chain: list[Solution]
    """The answers from the top to this one."""
    children: list[_Node] = field(default_factory=list)
    wider: _Arm = field(default_factory=_Arm)
    """Scores of answers drawn here."""
    deeper: _Arm = field(default_factory=_Arm)
    """Scores of answers drawn further down."""
    own: _Arm = field(default_factory=_Arm)
    """Its own score, and those of all answers below it."""


@describe(
    label="adaptive branching",
    source="Inoue et al. 2025, arXiv 2503.04412",
    roles={REVISER, REVISION_VERIFIER},
)
def ab_mcts(
    problem: Problem,
    budget: Budget,
    *,
    window: int = WINDOW,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations, one after another. All answers vote.

    A revision sees the last `window` answers from the top down to the one that it revises.
    """
    top = _Node([])
    drawn: list[Solution] = []
    scores: list[Scores] = []
    for _ in range(budget.generations):
        path = _descend(top, generator(problem, drawn))
        solution = yield from answer_after(problem, path[-1].chain, window)
        [score] = yield Verify([solution], role=REVISION_VERIFIER)
        drawn.append(solution)
        scores.append(score)
        value = reduce_steps(score, step) or 0.0
        made = _Node([*path[-1].chain, solution])
        path[-1].children.append(made)
        path[-1].wider.saw(value)
        for above in path[:-1]:
            above.deeper.saw(value)
        for node in (*path[1:], made):
            node.own.saw(value)
    return Selection(step, answer)(drawn, scores)


def _descend(top: _Node, random: Random) -> list[_Node]:
    """The nodes from the top to the one at which the next answer is drawn."""
    path = [top]
    while (at := path[-1]).children and at.deeper.guess(random) > at.wider.guess(random):
        path.append(max(at.children, key=lambda node: node.own.guess(random)))
    return path
