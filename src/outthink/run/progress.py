"""Progress on standard error: what is done, how fast, and how long it will still take.

A bar that is redrawn on a terminal, and a line now and then elsewhere. Nothing appears for work
that is over within two seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_QUIET_S = 2.0
_REDRAW_S = 0.2
_LINE_S = 15.0


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

    def advance(self, amount: float, note: str = "") -> None:
        """Count `amount` more of the unit; `note` replaces what is said at the end of the line."""
        self._done += amount
        self._note = note or self._note
        now = self._clock()
        due = _REDRAW_S if self._live else _LINE_S
        if now - self._start > _QUIET_S and (now - self._drawn > due):
            self._drawn = now
            self._draw(end="" if self._live else "\n")

    def _draw(self, end: str) -> None:
        self._shown = True
        elapsed = max(self._clock() - self._start, 1e-9)
        rate = (self._done - self._begun) / elapsed
        share = min(1.0, self._done / self._total) if self._total else 1.0
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
