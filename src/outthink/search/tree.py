"""A tree of steps that is grown one prefix at a time, at N rows a depth and no more.

A tree costs the rows of its widest depth, so this is what a budget of N generations allows. Which
prefix grows next is what `best_first` and `mcts` differ in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from outthink.search.beam import finish
from outthink.search.select import Selection, StepAggregation, reduce_steps
from outthink.types import STEP, Problem, Propose, Request, Scores, Search, Solution, Verify


@dataclass(eq=False, slots=True)
class Node:
    """A prefix, what it is worth, and what grew from it."""

    solution: Solution
    scores: Scores
    value: float
    """Of its newest step, in [0, 1]; 0 where the verifier said nothing."""
    depth: int
    children: list[Node] = field(default_factory=list)
    visits: int = 1
    """Nodes of its subtree, itself among them."""
    total: float = 0.0
    """Their values, added up."""


class Tree:
    """The nodes drawn so far, in their order."""

    def __init__(self, problem: Problem, n: int, *, width: int, depth: int, by: StepAggregation):
        """At most `n` rows at each depth, `width` from one prefix; none below `depth` steps."""
        self._problem = problem
        self._n, self._width, self._depth, self._by = n, width, depth, by
        self._rows: Counter[int] = Counter()
        self.nodes: list[Node] = []

    def begin(self) -> Generator[Request, Any, Sequence[Node]]:
        """Draw the `n` first steps."""
        return (yield from self._draw([Solution.start(self._problem)] * self._n, None))

    def room(self, node: Node) -> int:
        """Rows that may be drawn from a node now; 0 for one that has grown or ended."""
        if node.children or not node.solution.is_open or node.depth >= self._depth:
            return 0
        return min(self._width, self._n - self._rows[node.depth + 1])

    def grow(self, node: Node) -> Generator[Request, Any, Sequence[Node]]:
        """Draw as many next steps from a node as there is room for."""
        return (yield from self._draw([node.solution] * self.room(node), node))

    def choose(self, selection: Selection) -> Search:
        """Choose among the nodes that nothing grew from. Where none has finished, those that only
        the number of rounds kept from growing are completed first."""
        leaves = [node for node in self.nodes if not node.children]
        if not any(leaf.solution.finished for leaf in leaves):
            # Others have no room: completing them would spend more than N.
            leaves = [
                leaf for leaf in leaves if leaf.depth >= self._depth or not leaf.solution.is_open
            ]
        pool, scores = [leaf.solution for leaf in leaves], [leaf.scores for leaf in leaves]
        return (yield from finish(pool, scores, selection))

    def _draw(
        self, prefixes: Sequence[Solution], parent: Node | None
    ) -> Generator[Request, Any, Sequence[Node]]:
        drawn: list[Solution] = yield Propose(prefixes, until=STEP)
        scores: list[Scores] = yield Verify(drawn)
        depth = 1 if parent is None else parent.depth + 1
        self._rows[depth] += len(drawn)
        made = []
        for solution, score in zip(drawn, scores, strict=True):
            value = reduce_steps(score, self._by) or 0.0
            made.append(Node(solution, score, value, depth, total=value))
        self.nodes += made
        if parent is not None:
            parent.children += made
            self._forget(parent)
        return made

    def _forget(self, grown: Node) -> None:
        """Let go of what engines have kept of prefixes that will not grow again: of this one, and
        of its depth once there is no room below it. Most of a tree's memory is that."""
        full = self._rows[grown.depth + 1] >= self._n
        for node in self.nodes if full else [grown]:
            if node.depth == grown.depth and node.solution.state is not None:
                node.solution = replace(node.solution, state=None)
