"""The values a report shows: every number on the page is in one of these classes.

Nothing here measures or draws. Accuracies, scores and rates are shares in [0, 1]; `low` and `high`
are the ends of a 95 % interval. Bins are numbered from 1, the easiest. What was not measured is
left empty, and the page leaves out its section.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from outthink.errors import UsageError
from outthink.report import wire
from outthink.report.sequential_data import Promise, Sequential
from outthink.types import Usage

FORMAT = "outthink-report-1"
"""Version of the JSON form; another version is refused."""

Bins = Literal["oracle", "predicted"]
"""Which difficulty the bins are cut by: the reference answers' (an upper bound), or an estimate."""


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
    """When it was made, as printed on the page; the page reads no clock."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a strategy is called on the page; without a label, its name is shown."""

    strategy: str
    label: str
    meaning: str = ""
    """One line for the glossary."""


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One of the figures at the head of the page."""

    value: str
    name: str
    note: str
    """Its interval, or what it was measured on."""


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy at one budget."""

    budget: float
    """Generations a problem. Whole, unless the cost of predicting difficulty is added."""
    accuracy: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _require_positive("budget", self.budget)


@dataclass(frozen=True, slots=True)
class Tick:
    """A value of an axis, and the name shown for it."""

    value: float
    name: str


@dataclass(frozen=True, slots=True)
class Axis:
    """What the x axis shows: generations, or another quantity."""

    title: str
    short: str
    """The title where there is little room."""
    scale: Literal["doubling", "tens", "even"] = "doubling"
    noun: str = ""
    """What is counted, in the singular: with `step`, a budget of 16 is shown as `16 steps`."""
    ticks: tuple[Tick, ...] = ()
    """Where ticks stand; left empty, at round numbers."""


GENERATIONS = Axis("generations a problem (log scale)", "generations", noun="generation")


@dataclass(frozen=True, slots=True)
class Curve:
    """One strategy's accuracy over budgets."""

    strategy: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """One difficulty bin: the number of its problems, their mean pass@1, each strategy's curve."""

    number: int
    problems: int
    pass_at_1: float
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Cef:
    """Compute-equivalence factor: the baseline needs `value` times `budget` to be as accurate."""

    budget: float
    value: float
    low: float
    high: float | None
    """`None` where the interval runs past the largest budget measured."""
    at_least: bool
    """The baseline is less accurate at every budget measured: `value` is the largest of them over
    `budget`, and the true factor is larger."""
    charged: bool
    """Whether `budget` includes the generations spent on predicting difficulty."""
    bins: Bins

    def __post_init__(self) -> None:
        for name, value in (("budget", self.budget), ("value", self.value), ("low", self.low)):
            _require_positive(name, value)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The compute-optimal policy, on up to three kinds of bins, against a baseline strategy."""

    baseline: Curve
    predicted: Curve | None = None
    charged: Curve | None = None
    """By predicted bins, the generations that predict them included in the budget."""
    oracle: Curve | None = None
    """By oracle bins: an upper bound."""
    cefs: tuple[Cef, ...] = ()
    others: tuple[Curve, ...] = ()
    """Other strategies, drawn in the same chart."""
    headline: float | None = None
    """The budget the verdict is about; `None` is 16 where it was measured, else the middle one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The policy's strategy for one bin and budget, and its accuracy on held-out problems."""

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
    """A range of verifier scores, and how often what got such a score turned out right."""

    mean_score: float
    observed: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A verifier's scores against observed rates: how far a score is a probability."""

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
    """What one strategy spent at one budget, summed over its problems."""

    strategy: str
    budget: int
    problems: int
    usage: Usage
    written_tokens: float = 0.0
    """Those of the verifier's tokens that it wrote."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a search tree. In `Tree.nodes`, a parent comes before its children."""

    number: int
    parent: int
    """Number of the step it continues; -1 for the start."""
    text: str
    score: float | None
    on_chosen_path: bool
    kept: bool
    """False where the search pruned it; a step that was never up for selection is kept."""
    finished: bool
    truncated: bool
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """One search on one problem, with every step it tried."""

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
    auc_problems: int = 0
    """Problems that have right and wrong samples."""
    auc_all: float | None = None
    """The same chance over the samples of all problems together."""
    error: float | None = None
    """Expected calibration error of the scores as they are."""
    error_after: float | None = None
    """The same after isotonic regression on the other half of the problems."""
    tokens: float | None = None
    """Verifier tokens computed a solution."""
    calibrated: Calibration | None = None
    """The reliability of the probabilities that isotonic regression made of the scores."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page, in the order it is shown."""

    title: str
    provenance: Provenance
    notes: tuple[str, ...] = ()
    """Caveats: departures from the paper, limits, negative results."""
    labels: tuple[Label, ...] = ()
    sequential: Sequential | None = None
    """`None` where no sequential policy was fitted."""
    curves: tuple[Curve, ...] = ()
    bins: tuple[Bin, ...] = ()
    comparison: Comparison | None = None
    policies: tuple[Policy, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    agreement: Agreement | None = None
    spending: tuple[Spending, ...] = ()
    trees: tuple[Tree, ...] = ()
    verifiers: tuple[VerifierCurves, ...] = ()
    """All that scored the same samples."""
    promises: tuple[Promise, ...] = ()
    """Of policies that were run live."""

    def to_json(self) -> dict[str, Any]:
        """As a plain dict. Raises `UsageError` naming the field of a number that is not finite."""
        return {"format": FORMAT, **wire.dump(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """The reverse of `to_json`.

        Raises `UsageError` naming a field that is missing, unknown or of another type.
        """
        layout = data.get("format")
        if layout != FORMAT:
            raise UsageError(f"report format is {layout!r}, not {FORMAT!r}; make the report again")
        return wire.load(cls, {key: value for key, value in data.items() if key != "format"})


def _require_positive(name: str, value: float) -> None:
    # Both are drawn by their logarithm.
    if not value > 0:
        raise UsageError(f"{name} {value} is not above 0; leave out what was not measured")
