"""What a job tells whoever listens to it, as it happens.

Rows come in any order; their numbers are those of the search tree all the same. A row that the
journal holds is told like one that was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outthink.types import Purpose, Scores, Solution, Usage


@dataclass(frozen=True, slots=True)
class Drew:
    """A row that came."""

    solution: Solution
    parent: int
    """Number of the solution that it was drawn from; -1 is the start."""
    role: str
    """Who wrote it."""
    purpose: Purpose
    texts: tuple[str, ...] | None
    """As `Drawn.texts`: what was written past the parent."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A solution that was scored."""

    number: int
    role: str
    """Who scored it."""
    scores: Scores


@dataclass(frozen=True, slots=True)
class Spent:
    """All that the job has spent, whenever one of its requests was answered, failed or was
    cancelled."""

    usage: Usage


Event = Drew | Scored | Spent
Listen = Callable[[Event], None]
"""Told of events in the turn of the event loop in which they happen; what it raises ends the
run."""
