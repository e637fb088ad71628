"""Monte Carlo tree search over steps, with the verifier in place of rollouts.

From the top, the child is followed whose Q + U is largest: Q is the mean value of its subtree,
U = c sqrt(visits of all its siblings) / (k (1 + its visits)), which is PUCT with the k children
alike beforehand (Silver et al. 2017, as in Feng et al. 2024, arXiv 2309.17179). A leaf
that is reached grows; the values of what grew are added to every node above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from outthink.errors import UsageError
from outthink.search.beam import resolve_width
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.search.tree import Node, Tree
from outthink.types import MAX_ROUNDS, PROPOSER, VERIFIER, Budget, Problem, Search


@describe(
    label="Monte Carlo tree search",
    source="Feng et al. 2024, arXiv 2309.17179",
    roles={PROPOSER, VERIFIER},
)
def mcts(
    problem: Problem,
    budget: Budget,
    *,
    width: int | Literal["sqrt"] = 4,
    c: float = 1.25,
    rounds: int = MAX_ROUNDS,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations: N first steps, then M from one leaf at a time while its depth has had
    fewer than N. Ties go to the earliest. All leaves that finished vote on the answer.

    `c` weighs what was visited little. One request a leaf: slower than a beam of the same cost,
    where a server is asked.
    """
    if c < 0 or rounds < 1:
        raise UsageError(f"mcts c={c:g}, rounds={rounds}; give c of 0 or more, at least one round")
    n = budget.generations
    tree = Tree(problem, n, width=resolve_width(width, n), depth=rounds, by=step)
    top = yield from tree.begin()
    while path := _path(tree, top, c):
        drawn = yield from tree.grow(path[-1])
        for node in path:
            node.visits += len(drawn)
            node.total += sum(new.value for new in drawn)
    return (yield from tree.choose(Selection(step, answer)))


def _path(tree: Tree, siblings: Sequence[Node], c: float) -> list[Node]:
    """From the top to the leaf that grows next: by PUCT, back up where a subtree has no room left.
    Empty where no leaf has."""
    visits = sum(node.visits for node in siblings)
    scale = c * math.sqrt(visits) / len(siblings) if siblings else 0.0

    def puct(node: Node) -> float:
        return node.total / node.visits + scale / (1 + node.visits)

    for node in sorted(siblings, key=puct, reverse=True):
        if not node.children:
            if tree.room(node):
                return [node]
        elif below := _path(tree, node.children, c):
            return [node, *below]
    return []
