"""How numbers and names are put into words: one way, everywhere on the page."""

from __future__ import annotations

from outthink.report.data import Cef, Point

THIN = "\u202f"
"""A narrow space that does not break: between a number and its unit, and in thousands."""
TIMES = "\u00d7"
DASH = "\u2013"
AT_LEAST = "\u2265"
LEVEL = f"95{THIN}%"


def percent(share: float) -> str:
    """0.412 is `41.2 %`."""
    return f"{100 * share:.1f}{THIN}%"


def span(low: float, high: float) -> str:
    """An interval of shares, in percent: `[39.0, 43.4]`."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def measured(point: Point) -> str:
    """`41.2 % [39.0, 43.4]`."""
    return f"{percent(point.accuracy)} {span(point.low, point.high)}"


def whole(number: float) -> str:
    """Thousands set apart; a fraction only where there is one."""
    rounded = round(number, 1)
    shown = f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:,.1f}"
    return shown.replace(",", THIN)


def counted(number: float, noun: str) -> str:
    """`1 problem`, `16 problems`."""
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def ratio(value: float) -> str:
    """A factor to two figures where it is small: `0.85`, `3.1`, `12`."""
    return f"{value:.2f}" if value < 0.95 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def ratio_span(cef: Cef, *, largest: float) -> str:
    """The interval of a factor. Where it has no end, the largest factor that could be seen."""
    high = f">{THIN}{ratio(largest / cef.budget)}" if cef.high is None else ratio(cef.high)
    return f"[{ratio(cef.low)}, {high}]"


def factor(cef: Cef, *, largest: float) -> str:
    """`x3.1 [2.2, 4.4]`, with a sign before it where it is a lower bound."""
    sign = f"{AT_LEAST}{THIN}" if cef.at_least else ""
    return f"{sign}{TIMES}{ratio(cef.value)} {ratio_span(cef, largest=largest)}"


def bin_name(number: int, bins: int) -> str:
    """`bin 1 (easiest)`."""
    end = " (easiest)" if number == 1 else " (hardest)" if number == bins else ""
    return f"bin {number}{end}"


def listed(items: list[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def signed(share: float) -> str:
    """0.278 is `+27.8 %`."""
    return f"{_points(share)}{THIN}%"


def signed_span(low: float | None, high: float | None) -> str:
    """The interval of a difference, in percent or points; an end that is not known is open."""
    ends = ("\u2026" if end is None else _points(end) for end in (low, high))
    return f"[{', '.join(ends)}]"


def _points(share: float) -> str:
    # What rounds to nothing has no sign of its own.
    return f"{round(100 * share, 1) + 0.0:+.1f}"
