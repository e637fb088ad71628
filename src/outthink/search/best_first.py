"""Best-first search: the most promising prefix anywhere in the tree grows next.

Koh et al. 2024, arXiv 2407.01476, after the breadth- and depth-first searches of Tree of Thoughts
(Yao et al. 2023). A beam compares prefixes of one depth; here all of them compete.
"""

from __future__ import annotations

import heapq
from typing import Literal

from outthink.errors import UsageError
from outthink.search.beam import resolve_width
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.search.tree import Tree
from outthink.types import MAX_ROUNDS, PROPOSER, VERIFIER, Budget, Problem, Search


@describe(
    label="best-first search",
    source="Koh et al. 2024, arXiv 2407.01476",
    roles={PROPOSER, VERIFIER},
)
def best_first(
    problem: Problem,
    budget: Budget,
    *,
    width: int | Literal["sqrt"] = 4,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations: N first steps, then M from one prefix at a time while its depth has
    had fewer than N. Ties go to the earliest. All leaves that finished vote on the answer.

    One request a prefix: slower than a beam of the same cost, where a server is asked.
    """
    if rounds < 1:
        raise UsageError(f"best_first rounds {rounds} is below 1; give at least one round")
    n = budget.generations
    tree = Tree(problem, n, width=resolve_width(width, n), depth=rounds, by=step)
    queue = [(-node.value, at, node) for at, node in enumerate((yield from tree.begin()))]
    heapq.heapify(queue)
    while queue:
        _, _, node = heapq.heappop(queue)
        if tree.room(node):
            seen = len(tree.nodes)
            for at, child in enumerate((yield from tree.grow(node))):
                heapq.heappush(queue, (-child.value, seen + at, child))
    return (yield from tree.choose(Selection(step, answer)))
