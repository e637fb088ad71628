"""Line charts in SVG: scales, axes, bands, labels, and areas that show values when pointed at.

A chart has a fixed size in user units; it is drawn once for wide and once for narrow screens, and
the style sheet shows the one that fits. Colours are CSS classes, so that one drawing serves light,
dark and print.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from outthink.report.data import GENERATIONS, Axis, Point
from outthink.report.format import counted, measured, whole
from outthink.report.markup import escape, tag
from outthink.report.style import MARKERS, Style
from outthink.run.progress import compact

LABEL_WIDTH = 25
"""Characters of a label at the end of a line."""
LABEL_LINE = 14.0


@dataclass(frozen=True, slots=True)
class Canvas:
    """A drawing's size and margins, in user units."""

    css: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    labelled: bool = False
    """Whether lines are labelled at their right end."""


WIDE = Canvas("wide", 920, 430, 48, 196, 34, 50, labelled=True)
NARROW = Canvas("narrow", 360, 310, 40, 12, 32, 46)
PANEL = Canvas("panel", 300, 220, 36, 12, 28, 46)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps numbers to user units, linearly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log2(low), math.log2(high), math.log2(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Frame:
    """A canvas with its two scales."""

    canvas: Canvas
    x: Scale
    y: Scale


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    style: Style
    points: tuple[Point, ...]
    ringed: float | None = None
    """The budget of the point that gets a ring."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a tooltip."""

    style: Style
    text: str


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round numbers that span [low, high], at most `most` of them."""
    rough = max(high - low, 1e-9) / (most - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    for multiple in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = multiple * magnitude
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def accuracy_range(points: Sequence[Point]) -> tuple[float, float]:
    """Range of the y axis: from 0 where that wastes little room, else from the lowest interval."""
    low, high = min(p.low for p in points), max(p.high for p in points)
    return (0.0 if low < 0.25 * high else low), max(high, low + 0.02)


def frame(
    canvas: Canvas,
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    log_x: bool = True,
    log_y: bool = False,
) -> Frame:
    """A frame with `x` and `y` as ranges of its scales. A single budget is placed in the middle."""
    low, high = (x[0] / 2, x[1] * 2) if x[0] == x[1] else x
    inset = 0.03 * (canvas.width - canvas.left - canvas.right)
    return Frame(
        canvas,
        Scale(low, high, canvas.left + inset, canvas.width - canvas.right - inset, is_log=log_x),
        Scale(y[0], y[1], canvas.height - canvas.bottom, canvas.top, is_log=log_y),
    )


def axes(
    at: Frame,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    *,
    x: str,
    y: str,
) -> str:
    """Grid, tick labels and titles. The y title is horizontal, above its axis."""
    canvas, bottom = at.canvas, at.canvas.height - at.canvas.bottom
    right = canvas.width - canvas.right
    drawn = []
    for value, shown in y_ticks:
        level = at.y(value)
        drawn.append(tag("line", class_="grid", x1=canvas.left, x2=right, y1=level, y2=level))
        drawn.append(text(shown, canvas.left - 8, level + 4, css="tick", anchor="end"))
    places, labels = [value for value, _ in x_ticks], [label for _, label in x_ticks]
    for value, shown in zip(places, thin_out(labels, _room(at, places)), strict=True):
        column = at.x(value)
        drawn.append(tag("line", class_="axis", x1=column, x2=column, y1=bottom, y2=bottom + 5))
        drawn.append(text(shown, column, bottom + 19, css="tick", anchor="middle"))
    drawn.append(tag("line", class_="axis", x1=canvas.left, x2=right, y1=bottom, y2=bottom))
    drawn.append(text(y, 2, 14, css="title"))
    middle = (canvas.left + right) / 2
    drawn.append(text(x, middle, canvas.height - 8, css="title", anchor="middle"))
    return "".join(drawn)


def _room(at: Frame, x_ticks: Sequence[float]) -> float:
    return min((at.x(b) - at.x(a) for a, b in pairwise(x_ticks)), default=99)


def thin_out(labels: Sequence[str], room: float) -> list[str]:
    """The labels that fit side by side: all, or every second, third, ... with the rest empty."""
    needed = 7 * max(map(len, labels), default=1) + 6
    step = max(1, math.ceil(needed / room))
    return [label if index % step == 0 else "" for index, label in enumerate(labels)]


def powers_of_two(low: float, high: float) -> list[float]:
    """Every power of two in [low, high]."""
    return [2.0**e for e in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]


def budget_ticks(axis: Axis, low: float, high: float) -> list[tuple[float, str]]:
    """The ticks of an axis in [low, high], with their labels."""
    if axis.ticks:
        return [(tick.value, tick.name) for tick in axis.ticks if low <= tick.value <= high]
    if axis.scale == "tens":
        powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        steps = (1, 2, 5) if high < 1000 * low else (1,)
        values = [step * 10.0**power for power in powers for step in steps]
        return [(value, compact(value)) for value in values if low <= value <= high]
    if axis.scale == "even":
        values = [value for value in ticks(low, high, most=9) if low <= value <= high]
        return [(value, whole(value)) for value in values]
    return [(value, whole(value)) for value in powers_of_two(low, high)]


def called(axis: Axis, budget: float) -> str:
    """The name of a budget in tooltips and tables, such as `16 generations`."""
    names = {tick.value: tick.name for tick in axis.ticks}
    if budget in names:
        return names[budget]
    return compact(budget) if axis.scale == "tens" else counted(budget, axis.noun)


def text(shown: str, x: float, y: float, *, css: str, anchor: str | None = None) -> str:
    """One line of text."""
    return tag("text", escape(shown), class_=css, x=x, y=y, text_anchor=anchor) if shown else ""


def marker(style: Style, x: float, y: float) -> str:
    """A series' marker."""
    return tag(
        "path", class_="mark", d=MARKERS[style.marker], transform=f"translate({x:.1f},{y:.1f})"
    )


def line_chart(
    series: Sequence[Series],
    canvas: Canvas,
    *,
    description: str,
    x: Axis = GENERATIONS,
    y: str = "accuracy (%)",
    y_range: tuple[float, float] | None = None,
    tips: Sequence[tuple[float, str, Sequence[Row]]] | None = None,
    overlay: Callable[[Frame], str] = lambda at: "",
) -> str:
    """Shares against budget, with interval bands.

    `tips` are what is told at which budgets, as `columns` has them: by default every point's value.
    `overlay` draws above the lines and below the areas that react to the pointer.
    """
    points = [point for line in series for point in line.points]
    budgets = sorted({point.budget for point in points})
    levels = ticks(*(y_range or accuracy_range(points)), most=9 if canvas.css != "panel" else 5)
    at = frame(
        canvas,
        (budgets[0], budgets[-1]),
        (levels[0], levels[-1]),
        log_x=x.scale != "even",
    )
    decimals = 0 if all(abs(100 * v - round(100 * v)) < 1e-6 for v in levels) else 1
    return picture(
        canvas,
        axes(
            at,
            budget_ticks(x, budgets[0], budgets[-1]) or [(b, called(x, b)) for b in budgets],
            [(value, f"{100 * value:.{decimals}f}") for value in levels],
            x=x.short if canvas.css == "panel" else x.title,
            y=y,
        )
        + "".join(_line(line, at) for line in series)
        + (_end_labels(series, at) if canvas.labelled else "")
        + overlay(at),
        columns(at, tips or [(b, called(x, b), _column(b, series)) for b in budgets]),
        description=description,
    )


def picture(canvas: Canvas, drawing: str, pointed: str, *, description: str) -> str:
    """The SVG element: the drawing, hidden from screen readers, then the areas that show values."""
    return tag(
        "svg",
        tag("g", drawing, aria_hidden="true"),
        pointed,
        class_=f"chart {canvas.css}",
        viewBox=f"0 0 {canvas.width} {canvas.height}",
        role="group",
        aria_label=f"{description} Arrow keys move between values.",
    )


def _line(series: Series, at: Frame) -> str:
    points = sorted(series.points, key=lambda point: point.budget)
    upper = [(at.x(p.budget), at.y(p.high)) for p in points]
    lower = [(at.x(p.budget), at.y(p.low)) for p in reversed(points)]
    middle = [(at.x(p.budget), at.y(p.accuracy)) for p in points]
    if len(points) > 1:
        drawn = tag("path", class_="band", d=path(upper + lower) + "Z")
    else:
        drawn = tag("path", class_="whisker", d=path(upper + lower))
    drawn += tag("path", class_="line", d=path(middle))
    drawn += "".join(marker(series.style, x, y) for x, y in middle)
    ringed = (at for point, at in zip(points, middle, strict=True) if point.budget == series.ringed)
    drawn += "".join(tag("circle", class_="ring", cx=x, cy=y, r=8) for x, y in ringed)
    return tag("g", drawn, class_=f"series {series.style.css}", data_series=series.style.css)


def path(places: Sequence[tuple[float, float]]) -> str:
    """SVG path data of straight lines through `places`."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _end_labels(series: Sequence[Series], at: Frame) -> str:
    """Names at the right end of the lines, moved apart where lines end close together."""
    right = at.canvas.width - at.canvas.right
    ends = []
    for line in series:
        last = max(line.points, key=lambda point: point.budget)
        ends.append((at.y(last.accuracy), at.x(last.budget), line.style, fold(line.style.label)))
    ends.sort(key=lambda end: end[0])
    heights = [LABEL_LINE * len(lines) + 3 for *_, lines in ends]
    floor = at.canvas.height - at.canvas.bottom + 8.0
    tops = spread([end[0] for end in ends], heights, low=at.canvas.top - 10.0, high=floor)
    drawn = []
    for (y, x, style, lines), top, height in zip(ends, tops, heights, strict=True):
        middle = top + height / 2
        leader = path([(x + 7, y), (right + 4, y), (right + 14, middle), (right + 18, middle)])
        first = middle - LABEL_LINE * (len(lines) - 1) / 2 + 4
        words = "".join(
            text(line, right + 22, first + LABEL_LINE * index, css="name")
            for index, line in enumerate(lines)
        )
        drawn.append(
            tag(
                "g",
                tag("path", class_="leader", d=leader) + words,
                class_=f"end {style.css}",
                data_series=style.css,
            )
        )
    return "".join(drawn)


def fold(label: str) -> list[str]:
    """A label in one or two lines, broken after a comma or a space; what does not fit is cut."""
    if len(label) <= LABEL_WIDTH:
        return [label]
    breaks = [i + 1 for i, c in enumerate(label[:LABEL_WIDTH]) if c in ", "]
    cut = breaks[-1] if breaks else LABEL_WIDTH
    rest = label[cut:].strip()
    return [label[:cut].strip(), rest if len(rest) <= LABEL_WIDTH else rest[:23] + "\u2026"]


def spread(
    middles: Sequence[float], heights: Sequence[float], *, low: float, high: float
) -> list[float]:
    """Tops of boxes centred near the sorted `middles`, without overlap, within [low, high].

    Where there is too little room, boxes go on past `high`.
    """
    tops: list[float] = []
    edge = low
    for middle, height in zip(middles, heights, strict=True):
        tops.append(max(edge, middle - height / 2))
        edge = tops[-1] + height
    edge = max(high, low + sum(heights))
    for index in range(len(tops) - 1, -1, -1):
        tops[index] = min(tops[index], edge - heights[index])
        edge = tops[index]
    return tops


def columns(at: Frame, tips: Sequence[tuple[float, str, Sequence[Row]]]) -> str:
    """One area with a tooltip for each budget, reaching half-way to its neighbours.

    `tips` holds the budget, its name, and the tooltip's rows.
    """
    canvas = at.canvas
    places = [at.x(budget) for budget, *_ in tips]
    edges = [canvas.left - 4.0, *((a + b) / 2 for a, b in pairwise(places))]
    edges.append(canvas.width - canvas.right + 4.0)
    drawn = []
    for index, (_, title, rows) in enumerate(tips):
        place, bottom = places[index], canvas.height - canvas.bottom
        area = tag(
            "rect",
            x=edges[index],
            y=canvas.top - 6,
            width=edges[index + 1] - edges[index],
            height=bottom - canvas.top + 6,
        )
        guide = tag("line", class_="guide", x1=place, x2=place, y1=canvas.top - 6, y2=bottom)
        drawn.append(pointed(title, rows, guide + area, is_first=index == 0))
    return "".join(drawn)


def pointed(title: str, rows: Sequence[Row], drawing: str, *, is_first: bool) -> str:
    """An area that shows a tooltip when hovered, tapped or reached with the keyboard.

    The first of a figure can be reached with Tab, the others from it with the arrow keys.
    """
    values = "; ".join(f"{row.style.label} {row.text}" for row in rows)
    tip = [title, [[row.style.css, row.style.marker, row.style.label, row.text] for row in rows]]
    return tag(
        "g",
        drawing,
        class_="hit",
        role="img",
        tabindex=0 if is_first else -1,
        aria_label=f"{title}: {values}",
        data_tip=json.dumps(tip, ensure_ascii=False, separators=(",", ":")),
    )


def _column(budget: float, series: Sequence[Series]) -> list[Row]:
    pairs = [(p, s.style) for s in series for p in s.points if p.budget == budget]
    pairs.sort(key=lambda pair: -pair[0].accuracy)
    return [Row(style, measured(point)) for point, style in pairs]
