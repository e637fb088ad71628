"""The frontier: mean cost against accuracy, for the policy and all that it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from outthink.report import sequential_prose as prose
from outthink.report.chart import NARROW, WIDE, Row, Series, fold, line_chart
from outthink.report.data import Axis, Point, Report
from outthink.report.format import LEVEL, TIMES, measured, percent, span
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section, figure
from outthink.report.sequential_data import CostLine, Factor, Member, Sequential
from outthink.report.style import Style, Styles, legend

POLICY = Style("sequential policy", "predicted", 0)
LABEL_ROOM = 20
"""Height that a label at the end of a line needs."""
_APART = 1.25
"""Ratio of costs from which a fixed strategy's budget has values of its own to point at."""


def frontier(report: Report, styles: Styles) -> Section | None:
    """The figure, and the members of the policy as a table."""
    policy = report.sequential
    if policy is None:
        return None
    return Section(
        "frontier",
        "Frontier",
        "What accuracy costs",
        frontier_figure(policy, styles)
        + tag("h3", "The policy at every price")
        + members(policy, styles),
    )


def frontier_figure(policy: Sequential, styles: Styles, id: str = "frontier") -> str:
    """Accuracy against mean cost, with its caption and its numbers."""
    series = _series(policy, styles)
    labels = sum(2 if len(fold(line.style.label)) > 1 else 1 for line in series)
    axis = _axis(policy.currency)
    wide = replace(WIDE, height=max(WIDE.height, 90 + LABEL_ROOM * labels))
    drawn = [
        line_chart(
            series,
            canvas,
            description="Accuracy against mean cost of the policy, of fixed strategies and rules.",
            x=replace(axis, title=axis.short) if canvas is NARROW else axis,
            tips=_tips(policy, series),
        )
        for canvas in (wide, NARROW)
    ]
    return figure(
        f"figure-{id}",
        "".join(drawn) + legend([line.style for line in reversed(series)]),
        reading=prose.read_frontier(policy),
        basis=prose.frontier_basis(policy),
        numbers=_numbers(series, policy.currency),
    )


def _axis(currency: str) -> Axis:
    scale = "doubling" if currency == "generations" else "tens"
    title = f"mean cost a problem in {currency} (log scale)"
    return Axis(title, f"mean {currency} a problem", scale=scale, noun=currency.removesuffix("s"))  # type: ignore[arg-type]


def _series(policy: Sequential, styles: Styles) -> list[Series]:
    """Bounds first, the policy last, which is drawn above all others."""
    order = ("bound", "rule", "fixed", "policy")
    lines = sorted(policy.lines, key=lambda line: order.index(line.kind))
    counts = dict.fromkeys(order, 0)
    drawn = []
    for line in lines:
        style = _style(line, counts[line.kind], styles)
        counts[line.kind] += 1
        ringed = None
        if line.kind == "policy":
            ringed = policy.members[policy.chosen].cost.mean
        drawn.append(Series(style, _points(line), ringed))
    return drawn


def _style(line: CostLine, number: int, styles: Styles) -> Style:
    if line.kind == "policy":
        return POLICY
    if line.kind == "fixed":
        style = styles[line.name]
        return replace(style, css=f"{style.css} thin")
    if line.kind == "bound":
        return Style(f"{line.name} (bound)", f"bound b{number}", number)
    return Style(line.name, f"rule r{number}", number)


def _points(line: CostLine) -> tuple[Point, ...]:
    """Without intervals but for the policy: so many bands hide one another."""
    return tuple(
        Point(p.cost.mean, p.accuracy.mean, p.accuracy.low, p.accuracy.high)
        if line.kind == "policy"
        else Point(p.cost.mean, p.accuracy.mean, p.accuracy.mean, p.accuracy.mean)
        for p in line.points
    )


def _tips(policy: Sequential, series: Sequence[Series]) -> list[tuple[float, str, list[Row]]]:
    """At every cost of the policy, and at what fixed strategies cost beyond and between them."""
    places = sorted(member.cost.mean for member in policy.members)
    fixed = {p.cost.mean for line in policy.lines if line.kind == "fixed" for p in line.points}
    for cost in sorted(fixed):
        if all(max(cost / place, place / cost) > _APART for place in places):
            places.append(cost)
    return [
        (cost, f"{prose.amount(cost)} {policy.currency} a problem", _rows(cost, series))
        for cost in sorted(places)
    ]


def _rows(cost: float, series: Sequence[Series]) -> list[Row]:
    found = [(value, line) for line in series if (value := _at(line, cost)) is not None]
    found.sort(key=lambda pair: -pair[0])
    rows = []
    for value, line in found:
        own = next((p for p in line.points if line.style is POLICY and p.budget == cost), None)
        rows.append(Row(line.style, measured(own) if own else percent(value)))
    return rows


def _at(line: Series, cost: float) -> float | None:
    """Accuracy at a cost, linear in its logarithm between points; `None` outside."""
    points = sorted(line.points, key=lambda point: point.budget)
    for point in points:
        if point.budget == cost:
            return point.accuracy
    for one, two in pairwise(points):
        if one.budget < cost < two.budget:
            share = math.log(cost / one.budget) / math.log(two.budget / one.budget)
            return one.accuracy + share * (two.accuracy - one.accuracy)
    return None


def _numbers(series: Sequence[Series], currency: str) -> str:
    rows = [
        [
            line.style.label,
            prose.amount(point.budget),
            measured(point) if line.style is POLICY else percent(point.accuracy),
        ]
        for line in reversed(series)
        for point in line.points
    ]
    head = ["", f"mean {currency}", "accuracy"]
    return table(head, rows, caption="Mean cost and accuracy of every line")


def members(policy: Sequential, styles: Styles) -> str:
    """A row for each member, by rising cost."""
    unit = policy.currency.removesuffix("s")
    rows = [
        _member(member, styles, is_chosen=n == policy.chosen)
        for n, member in enumerate(policy.members)
    ]
    head = [
        "price",
        f"mean {policy.currency}",
        "accuracy",
        f"{TIMES} {styles[policy.baseline].label}",
        f"{TIMES} strongest fixed",
        "at equal cost",
    ]
    said = (
        "One dial: the price, that is how many points of accuracy one more "
        f"{unit} must buy. The lower it is, the longer the policy goes on. {TIMES} is how many "
        "times its cost the fixed strategy needs to be as accurate; the last column says how "
        "many points it is above the best fixed strategy that costs as much. * marks the member "
        "that the page speaks of, and never stands where no fixed strategy gets there at any "
        "cost that was run. "
        f"All with {LEVEL} intervals."
    )
    return tag("p", escape(said), class_="reading") + table(
        head, rows, caption="Members of the policy, by rising cost"
    )


def _member(member: Member, styles: Styles, *, is_chosen: bool) -> list[str]:
    difference = member.difference
    accuracy = member.accuracy
    return [
        f"{100 * member.price:.2g}{' *' if is_chosen else ''}",
        prose.costs(member.cost),
        f"{percent(accuracy.mean)} {span(accuracy.low, accuracy.high)}",
        prose.factor_text(member.baseline),
        f"{prose.factor_text(member.strongest)} {_named(member.strongest, styles)}",
        f"{100 * difference.mean:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]",
    ]


def _named(factor: Factor, styles: Styles) -> str:
    return styles[factor.strategy].label
