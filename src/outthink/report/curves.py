"""The sections that are line charts: accuracy, accuracy by bin, and the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from outthink.report import prose
from outthink.report.chart import NARROW, PANEL, WIDE, Series, accuracy_range, called, line_chart
from outthink.report.data import GENERATIONS, Axis, Cef, Comparison, Curve, Report
from outthink.report.factors import arrows, draw_arrows, factor_chart, largest_budget, reading_of
from outthink.report.format import (
    DASH,
    LEVEL,
    bin_name,
    counted,
    factor,
    generations,
    measured,
    percent,
    whole,
)
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section, figure, radio
from outthink.report.style import CHARGED, ORACLE, PREDICTED, Styles, legend

MOST_COLUMNS = 12
"""A table of more budgets than this has a row for each budget instead of a column."""
FACTOR_SIZES = (
    replace(WIDE, height=350, left=64, right=84, labelled=False),
    replace(NARROW, left=62),
)


# Accuracy against budget -------------------------------------------------------------------------


def accuracy(report: Report, styles: Styles) -> Section | None:
    """The curve of every strategy."""
    curves = prose.measured_ones(report.curves)
    if not curves:
        return None
    series = _series(curves, styles)
    drawn = [
        line_chart(series, canvas, description="Accuracy against budget for every strategy.")
        for canvas in (WIDE, NARROW)
    ]
    return Section(
        "accuracy",
        "Accuracy",
        "Accuracy against budget",
        figure(
            "figure-accuracy",
            legend([line.style for line in series], css="small-screens") + "".join(drawn),
            reading=prose.read_curves(curves, styles),
            basis=_basis(report.provenance.problems),
            numbers=curve_table(series, "Accuracy by strategy and budget"),
        ),
    )


def _series(curves: Sequence[Curve], styles: Styles) -> list[Series]:
    return [Series(styles[curve.strategy], curve.points) for curve in curves]


def _basis(problems: int) -> str:
    return f"{counted(problems, 'problem')}; bands are {LEVEL} intervals."


def curve_table(series: Sequence[Series], caption: str, x: Axis = GENERATIONS) -> str:
    """A table of all points of some lines, with their intervals."""
    budgets = sorted({point.budget for line in series for point in line.points})
    rows = []
    for line in series:
        points = {point.budget: measured(point) for point in line.points}
        rows.append([line.style.label, *(points.get(budget, DASH) for budget in budgets)])
    if len(budgets) > MOST_COLUMNS:
        long = (
            [line.style.label, called(x, point.budget), measured(point)]
            for line in series
            for point in line.points
        )
        return table(["", "", "share"], long, caption=caption)
    names = map(whole, budgets) if x == GENERATIONS else (called(x, budget) for budget in budgets)
    return table(["strategy", *names], rows, caption=caption)


# The same in each bin ----------------------------------------------------------------------------


def difficulty(report: Report, styles: Styles) -> Section | None:
    """A small chart for each bin, easiest first, on a common scale or on separate ones."""
    known = (replace(b, curves=prose.measured_ones(b.curves)) for b in report.bins)
    bins = sorted((bin for bin in known if bin.curves), key=lambda bin: bin.number)
    if not bins:
        return None
    panels = [
        Multiple(
            bin_name(bin.number, len(bins)).capitalize(),
            f"pass@1 {percent(bin.pass_at_1)}, {counted(bin.problems, 'problem')}",
            tuple(_series(bin.curves, styles)),
        )
        for bin in bins
    ]
    return Section(
        "difficulty",
        "By difficulty",
        "Accuracy by difficulty bin",
        figure(
            "figure-difficulty",
            small_multiples(panels),
            reading=prose.read_bins(bins, styles),
            basis=_basis(sum(bin.problems for bin in bins))
            + " Problems are sorted by difficulty and cut into bins of equal size.",
            numbers="".join(curve_table(bin.series, bin.title) for bin in panels),
            can_save=False,
        ),
    )


@dataclass(frozen=True, slots=True)
class Multiple:
    """One of several charts that are drawn side by side."""

    title: str
    sub: str
    series: tuple[Series, ...]


def small_multiples(
    panels: Sequence[Multiple],
    *,
    x: Axis = GENERATIONS,
    y: str = "accuracy (%)",
    choice: str = "scale",
    own: str = "each bin its own",
) -> str:
    """Charts side by side, on a common scale or on separate ones, with one legend."""
    points = [point for panel in panels for series in panel.series for point in series.points]
    shared = accuracy_range(points)
    drawn = ""
    for panel in panels:
        pictures = "".join(
            tag(
                "div",
                line_chart(
                    panel.series,
                    PANEL,
                    description=f"{panel.title}: {y} against {x.short}.",
                    x=x,
                    y=y,
                    y_range=scale,
                ),
                class_=css,
            )
            for scale, css in ((shared, "scale-shared"), (None, "scale-own"))
        )
        head = tag("h3", escape(panel.title)) + tag("p", escape(panel.sub), class_="sub")
        drawn += tag("div", head, pictures, class_="panel")
    key = legend(list(dict.fromkeys(series.style for panel in panels for series in panel.series)))
    # Where panels fill their rows the legend has one to itself.
    css = "panel key across" if len(panels) % 3 == 0 else "panel key"
    choices = tag(
        "fieldset",
        tag("legend", "Scale"),
        radio(choice, "shared", "the same for all", is_on=True),
        radio(choice, "own", own),
        class_="choice scale-choice",
        hidden=True,
    )
    return choices + tag("div", drawn, tag("div", key, class_=css), class_="panels")


# The policy against best-of-N --------------------------------------------------------------------


def comparison(report: Report, styles: Styles) -> Section | None:
    """The policy's curves with one factor drawn in, then a chart of all factors."""
    compared = report.comparison
    if not compared or not compared.baseline.points:
        return None
    body = versus(compared, report.provenance.problems, styles)
    base = styles[compared.baseline.strategy].label
    name = "Table" if report.sequential else "Policy"
    return Section("policy", name, f"Compute-optimal against {base}", body)


def versus(compared: Comparison, problems: int, styles: Styles, *, id: str = "") -> str:
    """Two figures: the curves of a policy and its baseline, and the factors between them."""
    drawn = _comparison_figure(compared, problems, styles, id)
    return drawn + (_factor_figure(compared, problems, id) if compared.cefs else "")


def _comparison_figure(compared: Comparison, problems: int, styles: Styles, id: str) -> str:
    base = styles[compared.baseline.strategy].label
    readings = (
        (PREDICTED, compared.predicted),
        (CHARGED, compared.charged),
        (ORACLE, compared.oracle),
    )
    series = [Series(styles[compared.baseline.strategy], compared.baseline.points)]
    series += _series(compared.others, styles)
    series += [Series(style, curve.points) for style, curve in readings if curve and curve.points]
    largest = largest_budget(compared)
    drawn = arrows(compared)
    shown = _first_arrow(compared, [arrow.cef for arrow in drawn])
    overlay = draw_arrows(drawn, shown=shown, largest=largest)
    pictures = [
        line_chart(
            series,
            canvas,
            description=f"Accuracy against budget: compute-optimal policy and {base}.",
            overlay=overlay,
        )
        for canvas in (WIDE, NARROW)
    ]
    options = "".join(
        tag("option", escape(_arrow_name(arrow.cef, largest)), value=index, selected=index == shown)
        for index, arrow in enumerate(drawn)
    )
    chooser = tag(
        "p",
        tag("label", "Arrow: ", tag("select", options, class_="arrow-choice")),
        class_="choice",
        hidden=True,
    )
    arrow = (
        f" The arrow runs from a point of the policy to the budget at which {base} is as accurate."
        if drawn
        else ""
    )
    oracle = " Oracle bins use the reference answers: an upper bound." if compared.oracle else ""
    return figure(
        f"figure-policy{id}",
        legend([line.style for line in series], css="small-screens")
        + "".join(pictures)
        + (chooser if drawn else ""),
        reading=prose.read_comparison(compared, styles),
        basis=_basis(problems) + arrow + oracle,
        numbers=curve_table(series, f"Accuracy of the policy and of {base}"),
    )


def _first_arrow(compared: Comparison, cefs: Sequence[Cef]) -> int:
    budget = prose.headline(compared)
    _, bins = prose.leading(compared)
    if budget is not None:
        cef = prose.find_cef(cefs, budget, bins=bins)
        return cefs.index(cef) if cef else 0
    return 0


def _arrow_name(cef: Cef, largest: float) -> str:
    at = generations(cef.budget)
    return f"{reading_of(cef).label}, {at}: {factor(cef, largest=largest)}"


def _factor_figure(compared: Comparison, problems: int, id: str) -> str:
    largest = largest_budget(compared)
    styles = list(dict.fromkeys(reading_of(cef) for cef in compared.cefs))
    drawn = [factor_chart(compared.cefs, canvas, largest=largest) for canvas in FACTOR_SIZES]
    rows = [
        [reading_of(cef).label, whole(cef.budget), factor(cef, largest=largest)]
        for cef in compared.cefs
    ]
    heading = tag("h3", "Compute-equivalence factor")
    return heading + figure(
        f"figure-factor{id}",
        legend(styles) + "".join(drawn),
        reading=prose.read_factors(compared.cefs),
        basis=f"{counted(problems, 'problem')}; whiskers are {LEVEL} intervals. An arrowhead means "
        "that the value or interval goes beyond the largest budget measured.",
        numbers=table(
            ["policy", "generations", "factor"], rows, caption="Compute-equivalence factors"
        ),
    )
