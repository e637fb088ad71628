"""Progress on standard error: what is done, how fast, and how long it will still take.

A bar that is redrawn on a terminal, and a line now and then elsewhere. Nothing appears for work
that is over within two seconds.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO

from outthink.run.journal import Job
from outthink.types import END, MAX_ROUNDS, Propose

_QUIET_S = 2.0
_REDRAW_S = 0.2
_LINE_S = 15.0
_RATE_S = 60.0
"""Seconds that the rate is of: what came before, read again or of another kind, tells nothing of
what is left."""


class Bar(Protocol):
    """What is told of work as it is done."""

    def advance(self, amount: float, note: str = "") -> None:
        """So much more is done; `note` says of what."""
        ...


class Shown(Bar, Protocol):
    """The same, where it is shown elsewhere."""

    def start(self, label: str, total: float, done: float) -> None:
        """So much there is to do, and so much of it was done before."""
        ...


class Progress:
    """`with Progress("sampling", total, "problems") as bar: bar.advance(1)`."""

    def __init__(
        self,
        label: str,
        total: float,
        unit: str,
        *,
        done: float = 0.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._begun = self._done = done
        self._note = ""
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._clock = clock
        self._start = self._drawn = clock()
        self._marks = deque([(self._start, self._done)])
        """When how much was done, a second apart, back to the beginning of the rate."""
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown or self._clock() - self._start > _QUIET_S:
            self._draw(end="\n")

    def skip(self, amount: float) -> None:
        """So much more was done before."""
        self._begun += amount
        self._done += amount
        self._marks = deque((when, done + amount) for when, done in self._marks)

    def set_total(self, total: float) -> None:
        """What there is to do, where it was not known at first."""
        self._total = total

    def advance(self, amount: float, note: str = "") -> None:
        """Count `amount` more of the unit; `note` replaces what is said at the end of the line."""
        self._done += amount
        self._note = note or self._note
        now = self._clock()
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._done))
            while len(self._marks) > 1 and self._marks[1][0] <= now - _RATE_S:
                self._marks.popleft()
        due = _REDRAW_S if self._live else _LINE_S
        if now - self._start > _QUIET_S and (now - self._drawn > due):
            self._drawn = now
            self._draw(end="" if self._live else "\n")

    def _draw(self, end: str) -> None:
        self._shown = True
        now = self._clock()
        elapsed = max(now - self._start, 1e-9)
        share = min(1.0, self._done / self._total) if self._total else 1.0
        since, done = (self._start, self._begun) if share >= 1 else self._marks[0]
        rate = (self._done - done) / max(now - since, 1e-9)
        left = duration((self._total - self._done) / rate) if rate > 0 else "?"
        said = f"{elapsed_text(elapsed)}" if share >= 1 else f"{left} left"
        text = (
            f"{self._label:<24} {share:4.0%}  {compact(self._done)}/{compact(self._total)} "
            f"{self._unit}  {compact(rate)}/s  {said}"
        )
        if self._note:
            text += f"  {self._note}"
        self._stream.write(("\r\x1b[2K" if self._live else "") + text + end)
        self._stream.flush()


def duration(seconds: float) -> str:
    """`95` -> `1m35s`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


def elapsed_text(seconds: float) -> str:
    return f"in {duration(seconds)}"


def compact(number: float) -> str:
    """`12300` -> `12.3k`; whole numbers below a thousand stay whole."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:  # 999.6 is 1k to three figures
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


class SweepProgress:
    """Advances a bar by the generations that a run draws: `Runner(..., watch=progress.drawn)`, and
    `ended` for each result.

    A row drawn to its end is a generation. How many steps a search draws for each of its
    generations is known once it has ended, so a step counts for as much as it did in searches that
    have ended; what is then missing of a search, or was never to be drawn, is counted at its end.
    """

    def __init__(self, bar: Bar, generations: Callable[[Job], int]) -> None:
        self._bar = bar
        self._generations = generations
        self.drawn_so_far = 0.0
        """Generations, as far as the bar was advanced."""
        self._counted: dict[Job, float] = {}
        self._steps: Counter[Job] = Counter()
        # Before any search has ended, a step is worth least; a bar that jumps ahead is no harm.
        self._ended_steps: float = MAX_ROUNDS
        self._ended_generations: float = 1

    def drawn(self, job: Job, request: Propose, rows: int) -> None:
        """Count rows of a request of this job; they never come to more than it is to draw."""
        if request.purpose is not None and request.purpose.is_critique:
            return
        if request.until is END:
            worth = float(rows)
        else:
            self._steps[job] += rows
            worth = rows * self._ended_generations / self._ended_steps
        before = self._counted.get(job, 0.0)
        after = min(self._generations(job), before + worth)
        self._counted[job] = after
        self._advance(after - before, job)

    def _advance(self, amount: float, job: Job) -> None:
        self.drawn_so_far += amount
        self._bar.advance(amount, _note(job))

    def ended(self, job: Job) -> None:
        """Count what is left of a job, whatever came of it."""
        whole = self._generations(job)
        if steps := self._steps.pop(job, 0):
            self._ended_steps += steps
            self._ended_generations += whole
        self._advance(whole - self._counted.pop(job, 0.0), job)


def _note(job: Job) -> str:
    return f"{job.strategy.name} at {job.budget.generations}"
