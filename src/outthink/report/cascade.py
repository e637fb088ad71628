"""The exchange of one store: a smaller model alone, a larger one alone, and the cascade of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from outthink.policy.cascade import DEARER, Cascade, Crossing, Way
from outthink.report.chart import NARROW, WIDE, Series, line_chart
from outthink.report.data import Axis, Point
from outthink.report.format import LEVEL, counted, listed, percent, span
from outthink.report.markup import escape, table, tag
from outthink.report.page import document, save
from outthink.report.section import Section, figure
from outthink.report.sequential_prose import amount
from outthink.report.style import Style, legend, numbered

CASCADE = Style("cascade of both", "predicted", 0)
SMALL, LARGE = numbered("smaller model alone", 1), numbered("larger model alone", 2)
TITLE = "The smaller model, the larger one, or both?"


def write(result: Cascade, path: Path) -> None:
    """The page. Raises `RunError` where it cannot be written."""
    head, *told = sentences(result)
    header = tag("p", escape(told[0]), class_="verdict") + tag("p", escape(head))
    save(document(TITLE, header, [_costs(result), _ratios(result, told)]), path)


def _costs(result: Cascade) -> Section:
    return Section("frontier", "Frontier", "What accuracy costs", _figure(result))


def _figure(result: Cascade) -> str:
    series = [
        Series(LARGE, _points([result.large])),
        Series(SMALL, _points(result.small)),
        Series(CASCADE, _points(result.both)),
    ]
    title = f"mean cost a problem in {result.currency} (log scale)"
    axis = Axis(title, f"mean {result.currency} a problem", scale="tens", noun=result.currency)
    drawn = [
        line_chart(
            series,
            canvas,
            description="Accuracy against mean cost of each model alone and of the cascade.",
            x=replace(axis, title=axis.short) if canvas is NARROW else axis,
        )
        for canvas in (WIDE, NARROW)
    ]
    return figure(
        "figure-exchange",
        "".join(drawn) + legend([line.style for line in reversed(series)]),
        reading="Of the smaller model the best of all fixed strategies and of its own policy is "
        "shown, of the cascade the policy at falling prices.",
        basis=f"{counted(result.problems, 'problem')}, on which no policy was fitted that was "
        f"played on it; bands are {LEVEL} intervals over problems.",
        numbers=table(*way_rows(result), caption="Mean cost and accuracy of every way"),
    )


def _points(ways: Sequence[Way]) -> tuple[Point, ...]:
    return tuple(
        Point(way.cost.mean, way.accuracy.mean, way.accuracy.low, way.accuracy.high) for way in ways
    )


def _ratios(result: Cascade, told: Sequence[str]) -> Section:
    said = "".join(tag("li", escape(sentence)) for sentence in told)
    how = (
        "Every way is priced at any ratio: its samples of the smaller model, and the ratio times "
        "how often it asks the larger one. Policies are fitted at the ratio of the store, and "
        f"where the larger model is {listed([f'{times:g}' for times in DEARER])} times dearer."
    )
    body = tag("ul", said) + tag("p", escape(how), class_="basis")
    return Section("ratios", "Price ratio", "From which price ratio each wins", body)


def way_rows(result: Cascade) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of all ways."""
    head = ["", result.currency, "accuracy, %", "samples", "asks larger", "less the larger, points"]
    parts = (("smaller", result.small), ("larger", [result.large]), ("cascade", result.both))
    return head, [_row(name, way) for name, ways in parts for way in ways]


def _row(name: str, way: Way) -> list[str]:
    gap = way.difference
    return [
        f"{name}: {way.name}",
        amount(way.cost.mean),
        f"{100 * way.accuracy.mean:.1f} {span(way.accuracy.low, way.accuracy.high)}",
        f"{way.samples:.1f}",
        f"{100 * way.asked:.0f} %",
        f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]",
    ]


def sentences(result: Cascade) -> list[str]:
    """What was compared; then from which price ratio each of the three wins."""
    small, large = result.names
    points = counted(100 * result.within, "point")
    good = f"To be as good as the larger model alone, within {points},"
    return [
        f"{counted(result.problems, 'problem')}; the smaller model is {small}, the larger {large}, "
        f"{percent(result.large.accuracy.mean)} right alone, whose answer costs "
        f"{result.ratio:.1f} samples of the smaller in {result.currency}.",
        _sentence(f"{good} the cascade is cheaper than it", result.both_over_large),
        _sentence(f"{good} the smaller model alone is cheaper than it", result.small_over_large),
        _sentence(
            f"{good} the smaller model alone is cheaper than the cascade", result.small_over_both
        ),
    ]


def _sentence(what: str, crossing: Crossing) -> str:
    ends = f"[{_ratio(crossing.low)}, {_ratio(crossing.high)}]"
    if not math.isfinite(crossing.ratio):
        return f"{what} at no price of the larger model's answer {ends}."
    return f"{what} where its answer costs more than {_ratio(crossing.ratio)} {ends} samples."


def _ratio(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "never"
