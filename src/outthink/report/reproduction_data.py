"""The values a reproduction's page shows: the paper's figures, and the claims with their verdicts.

As in `data`, nothing here measures or draws, shares are in [0, 1], `low` and `high` are the ends of
a 95 % interval, and bins are numbered from 1, the easiest. A figure without data is a `NotRun`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outthink.report.data import (
    GENERATIONS,
    Agreement,
    Axis,
    Comparison,
    KeyFigure,
    Label,
    Point,
    Policy,
    Provenance,
)
from outthink.report.sequential_data import Sequential

Verdict = Literal["confirmed", "refuted", "undecided", "not testable here"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "refuted", "undecided", "not testable here")

Unit = Literal["share", "difference", "factor", "number"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    """A strategy, drawn in the same colour in every figure, or a name of this figure's own."""
    points: tuple[Point, ...]
    order: int | None = None
    """Position from 0 among lines that have an order, such as bins; `None` for other lines."""
    best: float | None = None
    """The budget of the point that gets a ring."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of a figure."""

    lines: tuple[Line, ...]
    title: str = ""
    sub: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """Lines: one large chart, or several small ones side by side."""

    id: str
    title: str
    paper: str
    """The paper's figure it corresponds to; empty where there is none."""
    panels: tuple[Panel, ...]
    reading: str
    basis: str
    x: Axis = GENERATIONS
    y: str = "accuracy (%)"
    own: str = "each bin its own"
    """Label of the choice that gives each small chart its own scale."""


@dataclass(frozen=True, slots=True)
class NotRun:
    """A figure that this run has no data for."""

    id: str
    title: str
    paper: str
    reason: str


@dataclass(frozen=True, slots=True)
class Versus:
    """A compute-optimal policy against its baseline."""

    id: str
    title: str
    paper: str
    comparison: Comparison
    problems: int


@dataclass(frozen=True, slots=True)
class Choices:
    """The strategy a policy chose for each bin and budget."""

    id: str
    title: str
    paper: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Confusion:
    """Predicted against oracle bins."""

    id: str
    title: str
    paper: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Improvement:
    """The small model against the larger one at equal FLOPs, on one bin."""

    bin: int | None
    """`None` for all problems together."""
    small: float | None
    """Accuracy of the small model; `None` where its budget does not pay for one generation."""
    large: float
    relative: float | None
    """small / large - 1; `None` where the larger model solves nothing."""
    low: float | None
    high: float | None
    """`None` where the interval has no upper end, because the larger model may solve nothing."""
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    problems: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """All bins at one R, the ratio of inference to pretraining tokens."""

    token_ratio: float
    budget: int | None
    """Generations the small model affords; `None` where that is less than one."""
    note: str | None
    rows: tuple[Improvement, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """Relative improvements, one group for each R."""

    id: str
    title: str
    paper: str
    groups: tuple[Exchange, ...]
    reading: str
    basis: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first column holds the row headings."""

    id: str
    title: str
    paper: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reading: str
    basis: str


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A sequential policy over one menu: its frontier, and where its budget went."""

    id: str
    title: str
    paper: str
    adaptive: Sequential


Item = Figure | NotRun | Versus | Choices | Confusion | Bars | Table | Adaptive


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the page."""

    id: str
    name: str
    """In the contents."""
    title: str
    lead: str
    """One sentence under the title."""
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number that a verdict is based on."""

    name: str
    value: float
    low: float | None
    high: float | None
    problems: int | None
    unit: Unit


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the rule that decides it, and what was measured."""

    id: str
    text: str
    stated_in: tuple[str, ...]
    paper: str
    """What the paper states about it."""
    rule: str
    how: str
    verdict: Verdict
    sentence: str
    reason: str | None
    figures: tuple[Evidence, ...]
    contradicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Everything on the page, in the order it is shown."""

    title: str
    provenance: Provenance
    summary: str
    key_figures: tuple[KeyFigure, ...]
    notes: tuple[str, ...]
    labels: tuple[Label, ...]
    parts: tuple[Part, ...]
    claims: tuple[Claim, ...]
