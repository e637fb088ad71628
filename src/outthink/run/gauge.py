"""How far a run of searches has come, in generations, as their rows are drawn.

A row that is drawn to its end is a generation. How many steps a search will draw for each of its
generations is known once it has ended, so a step counts for as much as it did in searches that have
ended; what is then missing of a search, or was never to be drawn, is counted at its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from outthink.run.runner import Job
from outthink.types import END, MAX_ROUNDS, Propose


class Bar(Protocol):
    """What shows it: `outthink.progress.Progress`."""

    def advance(self, amount: float, note: str = "") -> None: ...


class Gauge:
    """Advances a bar by what is drawn: `Driver(..., watch=gauge.drawn)`, and `ended` a result."""

    def __init__(self, bar: Bar, generations: Callable[[Job], int]) -> None:
        self._bar = bar
        self._generations = generations
        self._counted: dict[Job, float] = {}
        self._steps: Counter[Job] = Counter()
        # Before any search has ended, a step is worth least; a bar that jumps ahead is no harm.
        self._ended_steps: float = MAX_ROUNDS
        self._ended_generations: float = 1

    def drawn(self, job: Job, request: Propose, rows: int) -> None:
        """Count rows of a request of this job; they never come to more than it is to draw."""
        if request.until is END:
            worth = float(rows)
        else:
            self._steps[job] += rows
            worth = rows * self._ended_generations / self._ended_steps
        before = self._counted.get(job, 0.0)
        after = min(self._generations(job), before + worth)
        self._counted[job] = after
        self._bar.advance(after - before, _note(job))

    def ended(self, job: Job) -> None:
        """Count what is left of a job, whatever came of it."""
        whole = self._generations(job)
        if steps := self._steps.pop(job, 0):
            self._ended_steps += steps
            self._ended_generations += whole
        self._bar.advance(whole - self._counted.pop(job, 0.0), _note(job))


def _note(job: Job) -> str:
    return f"{job.strategy.name} at {job.budget.generations}"
