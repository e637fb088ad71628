"""What a sweep says: accuracy and tokens of every strategy at every budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outthink.measure.intervals import Interval


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good one strategy is at one budget, and what it spent."""

    strategy: str
    budget: int
    accuracy: Interval
    decoded_tokens: float
    """A problem, as are the verifier's."""
    verifier_tokens: float
    verifier_computed: float | None
    """Of the tokens that the verifier was shown, the share that no cache held; `None` without
    one."""
    bins: tuple[float, ...] | None = None
    """Accuracy by difficulty bin, easiest first, where bins were asked for."""


@dataclass(frozen=True, slots=True)
class Accuracies:
    """A finished sweep."""

    store: Path
    problems: int
    graded: int
    """Those of the problems that have a reference."""
    rows: tuple[Accuracy, ...]
    """Empty where no problem has a reference: an accuracy that cannot be had is not 0."""
