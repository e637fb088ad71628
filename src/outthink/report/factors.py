"""Compute-equivalence factors, drawn in two ways: as arrows on the accuracy curves, from a point of
the policy to the budget at which the baseline is as accurate, and in a chart of factor by budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outthink.report.chart import (
    Canvas,
    Frame,
    Row,
    axes,
    budget_ticks,
    called,
    columns,
    frame,
    marker,
    path,
    picture,
    powers_of_two,
    text,
)
from outthink.report.data import GENERATIONS, Cef, Comparison, Curve
from outthink.report.format import TIMES, factor
from outthink.report.markup import tag
from outthink.report.style import CHARGED, ORACLE, PREDICTED, Style

DODGE = 7.0
"""User units between factors of different curves at the same budget."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A factor, and the curve its arrow starts from."""

    cef: Cef
    accuracy: float
    style: Style


def reading_of(cef: Cef) -> Style:
    """The curve a factor belongs to."""
    return ORACLE if cef.bins == "oracle" else CHARGED if cef.charged else PREDICTED


def largest_budget(comparison: Comparison) -> float:
    """The largest budget at which the baseline was measured."""
    return max(point.budget for point in comparison.baseline.points)


def arrows(comparison: Comparison) -> list[Arrow]:
    """An arrow for each factor that starts at a point of a curve, in the order given."""
    curves: dict[Style, Curve | None] = {
        PREDICTED: comparison.predicted,
        CHARGED: comparison.charged,
        ORACLE: comparison.oracle,
    }
    drawn = []
    for cef in comparison.cefs:
        curve = curves[reading_of(cef)]
        for point in curve.points if curve else ():
            if point.budget == cef.budget:
                drawn.append(Arrow(cef, point.accuracy, reading_of(cef)))
    return drawn


def draw_arrows(drawn: Sequence[Arrow], *, shown: int, largest: float) -> Callable[[Frame], str]:
    """An overlay with every arrow; one is visible, and the page's chooser switches between them."""

    def overlay(at: Frame) -> str:
        return "".join(
            _arrow(arrow, at, index=index, is_shown=index == shown, largest=largest)
            for index, arrow in enumerate(drawn)
        )

    return overlay


def _arrow(arrow: Arrow, at: Frame, *, index: int, is_shown: bool, largest: float) -> str:
    cef, level = arrow.cef, at.y(arrow.accuracy)
    start, end = at.x(cef.budget), at.x(cef.budget * cef.value)
    bottom, right = at.canvas.height - at.canvas.bottom, at.canvas.width - at.canvas.right
    ahead = 1 if end >= start else -1
    tip = path([(end - 9 * ahead, level - 5), (end, level), (end - 9 * ahead, level + 5)])
    label = factor(cef, largest=largest)
    # Right of the head and below the arrow nothing else is drawn.
    fits = end + 10 + 7 * len(label) < right
    place = (end + 10, level + 20, "start") if fits else (right - 2, level + 20, "end")
    parts = (
        tag("path", class_="drop", d=path([(start, level), (start, bottom)])),
        tag("path", class_="drop", d=path([(end, level), (end, bottom)])),
        tag("path", class_="shaft", d=path([(start, level), (end, level)])),
        tag("path", class_="open head" if cef.at_least else "head", d=tip),
        text(label, place[0], place[1], css="factor", anchor=place[2]),
    )
    return tag("g", *parts, class_="cef on" if is_shown else "cef", data_cef=index)


def factor_chart(cefs: Sequence[Cef], canvas: Canvas, *, largest: float) -> str:
    """Factor against budget, both on log scales, with a line at 1, where nothing is saved."""
    styles = list(dict.fromkeys(reading_of(cef) for cef in cefs))
    budgets = sorted({cef.budget for cef in cefs})
    values = [v for c in cefs for v in (c.low, c.value, c.high) if v is not None]
    low, high = _power_range([*values, 1.0])
    at = frame(canvas, (budgets[0], budgets[-1]), (low, high), log_y=True)
    levels = [(value, f"{TIMES}{value:g}") for value in _factor_ticks(low, high)]
    one, right = at.y(1), canvas.width - canvas.right
    drawing = axes(
        at,
        budget_ticks(GENERATIONS, budgets[0], budgets[-1]),
        levels,
        x=GENERATIONS.title,
        y="factor (log scale)",
    )
    drawing += tag("line", class_="one", x1=canvas.left, x2=right, y1=one, y2=one)
    if canvas.right > 60:
        drawing += text("no saving", right + 8, one + 4, css="note")
    for place, style in enumerate(styles):
        shift = DODGE * (place - (len(styles) - 1) / 2)
        members = [cef for cef in cefs if reading_of(cef) == style]
        parts = "".join(_factor_mark(cef, at, style, shift) for cef in members)
        drawing += tag("g", parts, class_=f"series {style.css}", data_series=style.css)
    tips = [
        (
            budget,
            called(GENERATIONS, budget),
            [Row(reading_of(c), factor(c, largest=largest)) for c in cefs if c.budget == budget],
        )
        for budget in budgets
    ]
    return picture(
        canvas, drawing, columns(at, tips), description="Compute-equivalence factor by budget."
    )


def _factor_mark(cef: Cef, at: Frame, style: Style, shift: float) -> str:
    column, level = at.x(cef.budget) + shift, at.y(cef.value)
    top = at.canvas.top if cef.high is None else at.y(cef.high)
    drawn = tag("path", class_="whisker", d=path([(column, at.y(cef.low)), (column, top)]))
    if cef.high is None or cef.at_least:
        arrow = [(column - 4, top + 6), (column, top), (column + 4, top + 6)]
        drawn += tag("path", class_="whisker", d=path(arrow))
    return drawn + marker(style, column, level)


def _power_range(values: Sequence[float]) -> tuple[float, float]:
    """The nearest powers of two below and above `values`, at least a factor of four apart."""
    low, high = 1.0, 2.0
    while low > min(values):
        low /= 2
    while high < max(values):
        high *= 2
    return (low / 2 if low == 1 else low), high


def _factor_ticks(low: float, high: float) -> list[float]:
    """Powers of two, or every second one where there are many; 1 is always included."""
    every = powers_of_two(low, high)
    if len(every) <= 8:
        return every
    return every[every.index(1) % 2 :: 2]
