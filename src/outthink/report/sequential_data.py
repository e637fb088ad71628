"""The values of the page's first part: what a sequential policy is worth, and how it decides.

As `data`: nothing here measures or draws. Costs are a problem, in the currency of the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["policy", "fixed", "rule", "bound"]
"""Whose line it is: the policy's, a fixed strategy's, another adaptive rule's, or that of one that
reads the reference answers."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Accuracy at a mean cost. Intervals have no width where none was computed."""

    cost: Estimate
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the frontier's figure."""

    name: str
    """A strategy's name, a rule's, or `policy`."""
    kind: Kind
    points: tuple[CostPoint, ...]


@dataclass(frozen=True, slots=True)
class Factor:
    """How many times the policy's cost a fixed strategy needs to be as accurate."""

    strategy: str
    """The fixed strategy that it is against; of several, the strongest."""
    value: float
    low: float
    high: float
    at_least: bool
    """The strategy is never as accurate: `value` stands for the largest cost that was run. Of
    several strategies none is, and `value` says nothing: each was run up to a cost of its own."""
    at_most: bool
    """It is more accurate at its smallest cost: `value` stands for that."""
    low_at_most: bool
    low_at_least: bool
    high_at_least: bool
    """As `at_most` and `at_least`, of the ends of the interval."""
    most: float
    """The largest cost at which the strategy was run."""
    of_several: bool
    """Whether the strategy is the strongest of several, which the interval chooses anew."""


@dataclass(frozen=True, slots=True)
class Member:
    """The policy at one price."""

    price: float
    cost: Estimate
    accuracy: Estimate
    baseline: Factor
    """Against the paper's baseline."""
    strongest: Factor
    """Against the fixed strategy that gets there at the smallest cost."""
    difference: Estimate
    """In accuracy, from the best fixed strategy at equal cost."""


@dataclass(frozen=True, slots=True)
class StageUse:
    """How much of a stage a group of problems got."""

    stage: str
    runs: float
    """Mean times that it was run on a problem."""
    cost: float
    """Mean cost of that."""


@dataclass(frozen=True, slots=True)
class Group:
    """Problems of one difficulty, and what was spent on each."""

    name: str
    problems: int
    accuracy: float
    uses: tuple[StageUse, ...]
    """Of every stage of the menu that is used on any problem, in one order for all groups."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How often a decision was taken: the share of problems at every look, of all problems."""

    decision: str
    """A stage, or empty for answering."""
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a problem, and the decision."""

    spent: float
    answer: str | None
    """What it would answer now."""
    chance: float | None
    """The probability that this is right; `None` before anything was drawn."""
    stage: str | None
    """What it runs next; `None` where it answers."""
    worth: float | None
    """What the best stage adds to the probability of a right answer, less its price; `None` where
    no stage is left."""


@dataclass(frozen=True, slots=True)
class Followed:
    """One problem through all its decisions."""

    problem_id: str
    prompt: str
    reference: str | None
    looks: tuple[Look, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Certainty:
    """How often answers were right, by the probability that the policy gave them."""

    chance: float
    """Mean probability."""
    rate: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Promise:
    """A policy that was run live, against its promise."""

    strategy: str
    budget: int
    currency: str
    promised_cost: Estimate
    cost: Estimate
    promised_accuracy: Estimate
    accuracy: Estimate
    holds: bool
    """Whether mean cost and accuracy are inside the promised intervals."""
    is_capped: bool
    """Whether it was run with a smaller cap than it was fitted up to."""
    calibration_error: float | None
    """Of the probability that came with its answers."""
    chance_error: float | None
    """What that error is on so many problems where the probability is exact."""


@dataclass(frozen=True, slots=True)
class Sequential:
    """A sequential policy on the problems of a study."""

    currency: str
    problems: int
    baseline: str
    """The fixed strategy of the paper's comparison; empty where there is none."""
    lines: tuple[CostLine, ...]
    members: tuple[Member, ...]
    """By rising cost; one at least."""
    chosen: int
    """The member that the page speaks of: its lower bound against the baseline is largest."""
    groups: tuple[Group, ...]
    """Of the chosen member, easiest first."""
    by: str
    """What the groups are made by."""
    taken: tuple[Taken, ...]
    followed: tuple[Followed, ...]
    certainties: tuple[Certainty, ...]
    calibration_error: float | None
