"""The colour, marker and name of a strategy, the same in every figure.

The eight colours differ under the common kinds of colour blindness too (smallest distance 0.12 in
OKLab under simulated deuteranopia and protanopia). They are CSS classes here; the style sheet has a
light and a dark set. The first eight strategies have different markers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outthink.report.data import Label, Report
from outthink.report.markup import escape, tag

COLOURS = 8

MARKERS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",  # circle
    "M-3.6,-3.6h7.2v7.2h-7.2z",  # square
    "M0,-4.9L4.6,3.4H-4.6z",  # triangle
    "M0,-5.2L4.6,0L0,5.2L-4.6,0z",  # diamond
    "M0,4.9L4.6,-3.4H-4.6z",  # triangle pointing down
    "M-4.2,-2.2L-2.2,-4.2L0,-2L2.2,-4.2L4.2,-2.2L2,0L4.2,2.2L2.2,4.2L0,2L-2.2,4.2L-4.2,2.2L-2,0z",
    "M-1.5,-4.6h3v3.1h3.1v3h-3.1v3.1h-3v-3.1h-3.1v-3h3.1z",  # plus
    "M0,-4.8L4.6,-1.5L2.8,3.9H-2.8L-4.6,-1.5z",  # pentagon
)


@dataclass(frozen=True, slots=True)
class Style:
    """How one series is drawn, and its label."""

    label: str
    css: str
    marker: int


PREDICTED = Style("compute-optimal, predicted bins", "predicted", 0)
CHARGED = Style("compute-optimal, difficulty charged", "charged", 1)
ORACLE = Style("compute-optimal, oracle bins (upper bound)", "oracle", 3)


class Styles:
    """Styles by strategy name, assigned in the order in which strategies appear in the report."""

    def __init__(self, names: Iterable[str], labels: Iterable[Label]) -> None:
        known = {label.strategy: label.label for label in labels}
        self._styles = {
            name: numbered(known.get(name, name), index)
            for index, name in enumerate(dict.fromkeys(names))
        }

    @classmethod
    def of(cls, report: Report) -> Styles:
        return cls(_strategies(report), report.labels)

    def __getitem__(self, strategy: str) -> Style:
        return self._styles[strategy]

    def __contains__(self, strategy: str) -> bool:
        return strategy in self._styles

    def __iter__(self) -> Iterator[str]:
        return iter(self._styles)


SHADES = 9
"""Colours of the ramp for series that have an order."""


def numbered(label: str, index: int) -> Style:
    """The style of series number `index`, from 0."""
    return Style(label, _css(index), index % len(MARKERS))


def shaded(label: str, place: int, count: int) -> Style:
    """The style of one of `count` series that have an order, such as bins."""
    shade = round((SHADES - 1) * place / max(1, count - 1))
    return Style(label, f"ramp{shade}", place % len(MARKERS))


def _css(index: int) -> str:
    """From the ninth series on, colours repeat with dashed lines."""
    return f"s{index % COLOURS}" + (" again" if index >= COLOURS else "")


def _strategies(report: Report) -> Iterator[str]:
    yield from (curve.strategy for curve in report.curves)
    if report.sequential:
        yield from (line.name for line in report.sequential.lines if line.kind == "fixed")
    if report.comparison:
        yield report.comparison.baseline.strategy
        yield from (curve.strategy for curve in report.comparison.others)
    yield from (curve.strategy for bin in report.bins for curve in bin.curves)
    yield from (cell.strategy for policy in report.policies for cell in policy.cells)
    yield from (spending.strategy for spending in report.spending)
    yield from (tree.strategy for tree in report.trees)


def glyph(style: Style) -> str:
    """The small picture of a series in a legend."""
    return tag(
        "svg",
        tag("path", class_="line", d="M1,7H29"),
        tag("path", class_="mark", d=MARKERS[style.marker], transform="translate(15,7)"),
        class_=f"glyph {style.css}",
        viewBox="0 0 30 14",
        width=30,
        height=14,
        aria_hidden="true",
    )


def legend(styles: list[Style], *, css: str = "") -> str:
    """A list of the series; pressing an entry shows its series only."""
    items = (
        tag(
            "li",
            tag(
                "button",
                glyph(style),
                tag("span", escape(style.label)),
                type="button",
                data_series=style.css,
                aria_pressed="false",
                title="Show this line only",
            ),
        )
        for style in styles
    )
    return tag("ul", *items, class_=f"legend {css}".strip(), aria_label="Legend")
