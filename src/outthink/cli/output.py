"""What is printed: JSON and tables to standard output, talk to standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outthink.measure.intervals import Interval

_ENDLESS = 100_000
"""Columns of a file or a pipe, where no line is folded."""


def say(text: str) -> None:
    print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they need to be; the first to the left, the others to the right.

    On a terminal they fit into it, with a bold head; elsewhere they are text and spaces alone.
    """
    # rich takes longer to import than a command without a table takes to run.
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for at, name in enumerate(head):
        table.add_column(name, justify="right" if at else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    live = sys.stdout.isatty()
    console = Console(
        width=None if live else _ENDLESS,
        force_terminal=live,
        color_system="auto" if live else None,
        markup=False,
        emoji=False,
        highlight=False,
    )
    # Not written by rich, which leaves the program where nobody reads.
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        print(line.rstrip())


def print_notes(notes: Sequence[str]) -> None:
    """What must be known of the tables above, where they are read."""
    for note in notes:
        print(f"\nnote: {note}")


# Cells of tables ---------------------------------------------------------------------------------


def number(value: float | None, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def between(share: Interval) -> str:
    return accuracy(share.mean, share.low, share.high)


def accuracy(mean: float, low: float, high: float) -> str:
    return f"{percent(mean).lstrip()} [{percent(low)}, {percent(high)}]"


def percent(share: float) -> str:
    """Four characters wide."""
    return " 100" if share == 1 else f"{100 * share:4.1f}"


def points(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:+.1f} [{100 * low:+5.1f}, {100 * high:+5.1f}]"


def cost_factor(row: dict[str, Any]) -> str:
    """`>` where best-of-N never got there; an upper end nobody measured is open."""
    high = "   -" if row["high"] is None else f"{row['high']:4.2f}"
    return f"{'>' if row['at_least'] else ''}{row['factor']:.2f} [{row['low']:4.2f}, {high}]"
