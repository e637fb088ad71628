"""How numbers, intervals and names are written on the page."""

from __future__ import annotations

from outthink.report.data import Cef, Point

THIN = "\u202f"
"""Narrow no-break space: between a number and its unit, and between thousands."""
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
    """`12 345`; with one decimal where the number is not whole: `2.5`."""
    rounded = round(number, 1)
    shown = f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:,.1f}"
    return shown.replace(",", THIN)


def counted(number: float, noun: str) -> str:
    """`1 problem`, `16 problems`."""
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def generations(budget: float) -> str:
    """`N = 16`, which no line break divides."""
    return f"N\u00a0=\u00a0{whole(budget)}"


def ratio(value: float) -> str:
    """A factor in two significant figures: `0.85`, `3.1`, `12`."""
    return f"{value:.2f}" if value < 0.95 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def ratio_span(cef: Cef, *, largest: float) -> str:
    """The interval of a factor; an end beyond `largest`, the largest budget, is `> largest / N`."""
    high = f">{THIN}{ratio(largest / cef.budget)}" if cef.high is None else ratio(cef.high)
    return f"[{ratio(cef.low)}, {high}]"


def factor(cef: Cef, *, largest: float) -> str:
    """`3.1 [2.2, 4.4]` after a times sign, with an at-least sign for a lower bound."""
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
    """The interval of a difference, in percent or points; an unknown end is shown as `…`."""
    ends = ("\u2026" if end is None else _points(end) for end in (low, high))
    return f"[{', '.join(ends)}]"


def _points(share: float) -> str:
    # Adding 0.0 turns -0.0 into 0.0, which is shown as +0.0.
    return f"{round(100 * share, 1) + 0.0:+.1f}"
