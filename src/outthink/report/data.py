"""What a report shows, as plain values: every number on the page is in here.

Nothing here measures or draws. Accuracies, scores and rates are shares in [0, 1]; `low` and `high`
end a 95 % interval. Bins are numbered from 1, the easiest. Whatever was not measured is left empty,
and the page leaves its section out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from outthink.errors import UsageError
from outthink.report import wire
from outthink.types import Usage

FORMAT = "outthink-report-1"
"""Names the layout of the JSON form. Another value is refused, never guessed at."""

Bins = Literal["oracle", "predicted"]
"""Where difficulty came from: the problems' own labels (an upper bound), or an estimate."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was run, on what, and how to run it again."""

    proposer: str
    verifiers: tuple[str, ...]
    data: str
    problems: int
    seed: int
    version: str
    command: str
    created: str = ""
    """When it was made, as it should be printed. The page reads no clock of its own."""


@dataclass(frozen=True, slots=True)
class Label:
    """How a strategy is called on the page. One that has no label goes by its name."""

    strategy: str
    label: str
    meaning: str = ""
    """One line for the glossary."""


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy at one budget."""

    budget: float
    """Generations a problem. Whole, but where difficulty is charged on top."""
    accuracy: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _require_positive("budget", self.budget)


@dataclass(frozen=True, slots=True)
class Tick:
    """A value of an axis that goes by a name."""

    value: float
    name: str


@dataclass(frozen=True, slots=True)
class Axis:
    """How the budgets of points are to be read, where they are not simply generations."""

    title: str
    short: str
    """The title where there is little room."""
    scale: Literal["doubling", "tens", "even"] = "doubling"
    noun: str = ""
    """What is counted: 16 of `step` are told as `16 steps`."""
    ticks: tuple[Tick, ...] = ()
    """Given ones; empty chooses round numbers."""


GENERATIONS = Axis("generations a problem (log scale)", "generations", noun="generation")


@dataclass(frozen=True, slots=True)
class Curve:
    """One strategy's accuracy over budgets."""

    strategy: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """One difficulty bin: its problems, how easy they are, and every strategy's curve on them."""

    number: int
    problems: int
    pass_at_1: float
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Cef:
    """Compute-equivalence factor: best-of-N needs `value` times `budget` to be as accurate."""

    budget: float
    value: float
    low: float
    high: float | None
    """`None` where the interval runs past the largest budget measured."""
    at_least: bool
    """Best-of-N never got there: `value` is the largest budget measured over `budget`."""
    charged: bool
    """The cost of finding out the difficulty is counted in `budget`."""
    bins: Bins

    def __post_init__(self) -> None:
        for name, value in (("budget", self.budget), ("value", self.value), ("low", self.low)):
            _require_positive(name, value)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The compute-optimal policy, in up to three readings, against best-of-N."""

    baseline: Curve
    predicted: Curve | None = None
    charged: Curve | None = None
    """Predicted bins, with the cost of predicting them in the budget."""
    oracle: Curve | None = None
    """Bins from the labels: an upper bound."""
    cefs: tuple[Cef, ...] = ()
    others: tuple[Curve, ...] = ()
    """Drawn beside them."""
    headline: float | None = None
    """The budget the verdict speaks of; `None` is 16 where it was measured, else the middle one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What the policy does in one bin at one budget, and its accuracy on problems not fit on."""

    bin: int
    budget: int
    strategy: str
    accuracy: float
    low: float
    high: float
    problems: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The fitted table, for one kind of bins."""

    bins: Bins
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Verifier scores that lie together, and how often what was scored turned out right."""

    mean_score: float
    observed: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a verifier's score can be read as a probability."""

    verifier: str
    buckets: tuple[Bucket, ...]
    problems: int
    unit: str = "steps"
    """What was scored: steps (PRM) or solutions (ORM)."""
    auc: float | None = None
    ece: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Predicted against oracle difficulty."""

    confusion: tuple[tuple[int, ...], ...]
    """`confusion[i][j]`: problems in oracle bin i + 1 and predicted bin j + 1."""
    spearman: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What one strategy spent at one budget: the sum over its problems."""

    strategy: str
    budget: int
    problems: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a search tree. A parent stands before its children in `Tree.nodes`."""

    number: int
    parent: int
    """Number of the step it continues; -1 is the start."""
    text: str
    score: float | None
    on_chosen_path: bool
    kept: bool
    """False where the search dropped it; a step it never had to choose about is kept."""
    finished: bool
    truncated: bool
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """One problem's search, to be read step by step."""

    problem_id: str
    prompt: str
    reference: str | None
    strategy: str
    budget: int
    bin: int | None
    answer: str | None
    right: bool | None
    """`None` where the problem has no reference."""
    usage: Usage
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class VerifierCurves:
    """How well one verifier chooses among samples that others chose among too."""

    verifier: str
    auc: float | None
    """Chance that a right sample of a problem scores above a wrong one."""
    weighted: tuple[Point, ...]
    """Best-of-N weighted."""
    plain: tuple[Point, ...]
    """Plain best-of-N."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page, in the order it is shown."""

    title: str
    provenance: Provenance
    notes: tuple[str, ...] = ()
    """What a reader must know to read it fairly: departures, limits, negative results."""
    labels: tuple[Label, ...] = ()
    curves: tuple[Curve, ...] = ()
    bins: tuple[Bin, ...] = ()
    comparison: Comparison | None = None
    policies: tuple[Policy, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    agreement: Agreement | None = None
    spending: tuple[Spending, ...] = ()
    trees: tuple[Tree, ...] = ()
    verifiers: tuple[VerifierCurves, ...] = ()
    """All that scored the same samples, where more than one did."""

    def to_json(self) -> dict[str, Any]:
        """As a plain dict. Raises `UsageError` naming the place of a number that is not finite."""
        return {"format": FORMAT, **wire.dump(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Raises `UsageError` naming the place of what is missing, unknown or of another type."""
        found = data.get("format")
        if found != FORMAT:
            raise UsageError(f"report format is {found!r}, not {FORMAT!r}; make the report again")
        return wire.load(cls, {key: value for key, value in data.items() if key != "format"})


def _require_positive(name: str, value: float) -> None:
    # Both are drawn by their logarithm.
    if not value > 0:
        raise UsageError(f"{name} {value} is not above 0; leave out what was not measured")
