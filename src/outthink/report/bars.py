"""Bars of relative improvement: a small model with test-time compute over a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from outthink.report.chart import (
    NARROW,
    WIDE,
    Canvas,
    Frame,
    Row,
    Scale,
    path,
    picture,
    pointed,
    text,
    ticks,
)
from outthink.report.format import DASH, bin_name, percent, signed, signed_span, whole
from outthink.report.markup import table, tag
from outthink.report.reproduction_data import Bars, Exchange, Improvement
from outthink.report.section import figure
from outthink.report.style import Style, legend, shaded

CAP = 1.5
"""The largest improvement drawn to scale. Where the larger model solves next to nothing, ratios
are huge and would flatten all other bars."""
SIZES = (replace(WIDE, height=380, right=14, labelled=False), replace(NARROW, right=6))


def improvements(bars: Bars) -> str:
    """A group of bars for each R, with a bar for each bin and one for all problems."""
    styles = _styles(bars)
    drawn = [_chart(bars, styles, canvas) for canvas in SIZES]
    rows = [
        [
            f"R = {group.token_ratio:g}, {styles[row.bin].label}",
            DASH if group.budget is None else whole(group.budget),
            DASH if row.small is None else percent(row.small),
            percent(row.large),
            improvement_text(row),
            _points(row),
            whole(row.problems),
        ]
        for group in bars.groups
        for row in group.rows
    ]
    head = ["", "generations", "small", "large", "relative", "points", "problems"]
    return figure(
        f"figure-{bars.id}",
        legend(list(styles.values())) + "".join(drawn),
        reading=bars.reading,
        basis=bars.basis,
        numbers=table(head, rows, caption=bars.title),
    )


def _styles(bars: Bars) -> dict[int | None, Style]:
    numbers = list(dict.fromkeys(row.bin for group in bars.groups for row in group.rows))
    bins = [number for number in numbers if number is not None]
    return {
        number: Style("all problems", "predicted", 0)
        if number is None
        else shaded(bin_name(number, len(bins)), bins.index(number), len(bins))
        for number in numbers
    }


def improvement_text(row: Improvement) -> str:
    """`+27.8 % [+3.1, +52.0]`."""
    if row.small is None:
        return "budget below one generation"
    if row.relative is None:
        return "no ratio: the larger model solves none" if row.small else "neither solves any"
    return f"{signed(row.relative)} {signed_span(row.low, row.high)}"


def _points(row: Improvement) -> str:
    if row.difference is None:
        return DASH
    span = signed_span(row.difference_low, row.difference_high)
    return f"{100 * row.difference:+.1f} {span}"


def _chart(bars: Bars, styles: dict[int | None, Style], canvas: Canvas) -> str:
    rows = [row for group in bars.groups for row in group.rows]
    ends = [v for r in rows for v in (r.relative, r.low, r.high) if v is not None]
    levels = ticks(max(-1.0, min([*ends, -0.1])), min(CAP, max([*ends, 0.1])), most=9)
    base = canvas.height - canvas.bottom
    at = Frame(
        canvas,
        Scale(0, len(bars.groups), canvas.left, canvas.width - canvas.right),
        Scale(levels[0], levels[-1], base, canvas.top),
    )
    right = canvas.width - canvas.right
    drawing = "".join(_level(value, at, right) for value in levels)
    drawing += text("relative improvement (%)", 2, 14, css="title")
    hits: list[str] = []
    for number, group in enumerate(bars.groups):
        left, end = at.x(number), at.x(number + 1)
        gap = 0.08 * (end - left)
        width = (end - left - 2 * gap) / max(1, len(group.rows))
        drawing += text(
            f"R = {group.token_ratio:g}", (left + end) / 2, base + 19, css="tick", anchor="middle"
        )
        drawing += text(_budget(group), (left + end) / 2, base + 36, css="tick", anchor="middle")
        for place, row in enumerate(group.rows):
            x = left + gap + place * width
            style = styles[row.bin]
            drawing += tag(
                "g", _bar(row, at, x, width), class_=f"series {style.css}", data_series=style.css
            )
            area = tag("rect", x=x, y=canvas.top, width=width, height=base - canvas.top)
            title = f"R = {group.token_ratio:g}, {_budget(group)}"
            hits.append(
                pointed(title, [Row(style, improvement_text(row))], area, is_first=not hits)
            )
    for one, _ in pairwise(range(len(bars.groups) + 1)):
        if one:
            edge = at.x(one)
            drawing += tag("line", class_="grid", x1=edge, x2=edge, y1=canvas.top, y2=base + 40)
    return picture(canvas, drawing, "".join(hits), description=f"{bars.title}.")


def _budget(group: Exchange) -> str:
    return "N below 1" if group.budget is None else f"N = {whole(group.budget)}"


def _level(value: float, at: Frame, right: float) -> str:
    y, css = at.y(value), "axis" if abs(value) < 1e-9 else "grid"
    return tag("line", class_=css, x1=at.canvas.left, x2=right, y1=y, y2=y) + text(
        f"{100 * value:.0f}", at.canvas.left - 8, y + 4, css="tick", anchor="end"
    )


def _bar(row: Improvement, at: Frame, x: float, width: float) -> str:
    middle, zero = x + width / 2, at.y(0)
    if row.relative is None:
        return text(DASH, middle, zero - 5, css="tick", anchor="middle")
    top, bottom = at.y.high, at.y.low
    value = min(max(row.relative, bottom), top)
    y = at.y(value)
    drawn = tag(
        "rect",
        class_="block-bar",
        x=x + 0.12 * width,
        width=0.76 * width,
        y=min(y, zero),
        height=max(1.0, abs(y - zero)),
    )
    low = bottom if row.low is None else min(max(row.low, bottom), top)
    high = top if row.high is None else min(max(row.high, bottom), top)
    drawn += tag("path", class_="whisker", d=path([(middle, at.y(low)), (middle, at.y(high))]))
    if row.high is None or row.high > top:
        end = at.y(top)
        arrow: Sequence[tuple[float, float]] = [
            (middle - 4, end + 6),
            (middle, end),
            (middle + 4, end + 6),
        ]
        drawn += tag("path", class_="whisker", d=path(arrow))
    if width > 34:
        # On the side of the zero line where the bar is not.
        foot = zero + 14 if row.relative >= 0 else zero - 5
        worth = f"{round(100 * row.relative) + 0:+d}"
        drawn += text(worth, middle, foot, css="worth", anchor="middle")
    return drawn
