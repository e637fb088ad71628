"""What budget forcing came to in a sweep: its settings by length, and s1's three figures.

A thought ends where the model was made to answer, so its tokens are counted by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass

from outthink.errors import UsageError
from outthink.measure import forcing
from outthink.measure.intervals import Interval
from outthink.run.store.read import SearchTree
from outthink.search import strategy
from outthink.search.budget_forcing import THINKING, budget_forcing
from outthink.study.results import Accuracy, accuracies
from outthink.study.sweep import OpenStudy
from outthink.types import Strategy


@dataclass(frozen=True, slots=True)
class Forced:
    """Budget forcing with one length asked for."""

    strategy: str
    budget: int
    """Generations."""
    most_tokens: int
    """Thinking tokens that were allowed."""
    waits: int
    thinking_tokens: float
    """Of a solution, on average."""
    control: float
    """The share of thoughts that are no longer than allowed."""
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Forcing:
    """Settings at one budget, the shortest thoughts first, and the figures over all of them."""

    budget: int
    settings: tuple[Forced, ...]
    control: float
    scaling: float | None
    """Accuracy a thinking token; `None` where no two settings differ in length."""
    performance: float


def forced(opened: OpenStudy) -> tuple[Forcing, ...]:
    """Budget forcing at every budget. Raises `UsageError` where the sweep has none."""
    rows = [row for row in accuracies(opened.study) if _is_forcing(strategy(row.strategy))]
    if not rows:
        raise UsageError(
            f"{opened.store.path}: has no budget forcing of problems with references; sweep with "
            "--strategies 'budget_forcing(thinking=256),budget_forcing(thinking=1024)'"
        )
    budgets = sorted({row.budget for row in rows})
    return tuple(
        _at(budget, [_setting(opened, row) for row in rows if row.budget == budget])
        for budget in budgets
    )


def thought_lengths(tree: SearchTree) -> list[int]:
    """Thinking tokens of every solution that a search of budget forcing ended with."""
    parents = {node.parent for node in tree.nodes}
    by_number = {node.number: node for node in tree.nodes}
    leaves = [node for node in tree.nodes if node.number not in parents]
    return [len(by_number.get(leaf.parent, leaf).tokens) for leaf in leaves]


def _is_forcing(known: Strategy) -> bool:
    return known.name.partition("(")[0] == budget_forcing.__name__


def _setting(opened: OpenStudy, row: Accuracy) -> Forced:
    lengths = [
        length
        for problem in opened.study.problems
        for length in thought_lengths(opened.study.view.tree(problem.id, row.strategy, row.budget))
    ]
    options = strategy(row.strategy).options
    most = int(options.get("thinking", THINKING))
    return Forced(
        row.strategy,
        row.budget,
        most,
        int(options.get("waits", 0)),
        sum(lengths) / len(lengths),
        forcing.control(lengths, most=most),
        row.accuracy,
    )


def _at(budget: int, settings: list[Forced]) -> Forcing:
    settings.sort(key=lambda one: one.thinking_tokens)
    points = [forcing.Setting(one.thinking_tokens, one.accuracy.mean) for one in settings]
    return Forcing(
        budget,
        tuple(settings),
        sum(one.control for one in settings) / len(settings),
        forcing.scaling(points),
        forcing.performance(points),
    )
