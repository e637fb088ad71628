"""The sections that are line charts: accuracy, the same by bin, and the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from outthink.report import sentences as say
from outthink.report.chart import NARROW, PANEL, WIDE, Series, accuracy_range, line_chart
from outthink.report.data import Bin, Cef, Comparison, Curve, Report
from outthink.report.factors import arrows, draw_arrows, factor_chart, largest_budget, reading_of
from outthink.report.look import CHARGED, ORACLE, PREDICTED, Looks, legend
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section, figure, radio
from outthink.report.words import DASH, LEVEL, bin_name, counted, factor, measured, percent, whole

FACTOR_SIZES = (replace(WIDE, height=350, right=84, labelled=False), NARROW)


# Accuracy against budget -------------------------------------------------------------------------


def accuracy(report: Report, looks: Looks) -> Section | None:
    """Every strategy's curve."""
    curves = say.measured_ones(report.curves)
    if not curves:
        return None
    series = _series(curves, looks)
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
            legend([each.look for each in series], css="small-screens") + "".join(drawn),
            reading=say.read_curves(curves, looks),
            basis=_basis(report.provenance.problems),
            numbers=_curve_table(series, "Accuracy by strategy and budget"),
        ),
    )


def _series(curves: Sequence[Curve], looks: Looks) -> list[Series]:
    return [Series(looks[curve.strategy], curve.points) for curve in curves]


def _basis(problems: int) -> str:
    return f"{counted(problems, 'problem')}; bands are {LEVEL} intervals."


def _curve_table(series: Sequence[Series], caption: str) -> str:
    budgets = sorted({point.budget for each in series for point in each.points})
    rows = []
    for each in series:
        points = {point.budget: measured(point) for point in each.points}
        rows.append([each.look.label, *(points.get(budget, DASH) for budget in budgets)])
    return table(["strategy", *map(whole, budgets)], rows, caption=caption)


# The same in each bin ----------------------------------------------------------------------------


def difficulty(report: Report, looks: Looks) -> Section | None:
    """A small chart for each bin, easiest first, on one scale or each on its own."""
    known = (replace(b, curves=say.measured_ones(b.curves)) for b in report.bins)
    bins = sorted((each for each in known if each.curves), key=lambda each: each.number)
    if not bins:
        return None
    points = [point for each in bins for curve in each.curves for point in curve.points]
    panels = "".join(_panel(each, len(bins), looks, accuracy_range(points)) for each in bins)
    names = dict.fromkeys(curve.strategy for each in bins for curve in each.curves)
    key = legend([looks[name] for name in names])
    choices = tag(
        "fieldset",
        tag("legend", "Scale"),
        radio("scale", "shared", "the same for all bins", is_on=True),
        radio("scale", "own", "each bin its own"),
        class_="choice scale-choice",
        hidden=True,
    )
    numbers = "".join(
        _curve_table(_series(each.curves, looks), bin_name(each.number, len(bins)).capitalize())
        for each in bins
    )
    return Section(
        "difficulty",
        "By difficulty",
        "The same, by difficulty",
        figure(
            "figure-difficulty",
            choices + tag("div", panels, tag("div", key, class_="panel key"), class_="panels"),
            reading=say.read_bins(bins, looks),
            basis=_basis(sum(each.problems for each in bins))
            + " Bins hold equal numbers of problems, by pass@1.",
            numbers=numbers,
            can_save=False,
        ),
    )


def _panel(each: Bin, bins: int, looks: Looks, shared: tuple[float, float]) -> str:
    series = _series(each.curves, looks)
    name = bin_name(each.number, bins).capitalize()
    description = f"{name}: accuracy against budget."
    return tag(
        "div",
        tag("h3", escape(name)),
        tag(
            "p",
            escape(f"pass@1 {percent(each.pass_at_1)}, {counted(each.problems, 'problem')}"),
            class_="sub",
        ),
        tag(
            "div",
            line_chart(series, PANEL, description=description, y_range=shared),
            class_="scale-shared",
        ),
        tag("div", line_chart(series, PANEL, description=description), class_="scale-own"),
        class_="panel",
    )


# The policy against best-of-N --------------------------------------------------------------------


def comparison(report: Report, looks: Looks) -> Section | None:
    """The policy's curves with a factor marked, then the factors by themselves."""
    compared = report.comparison
    if not compared or not compared.baseline.points:
        return None
    body = _comparison_figure(compared, report.provenance.problems, looks)
    if compared.cefs:
        body += _factor_figure(compared, report.provenance.problems)
    return Section("policy", "Policy", "Compute-optimal against best-of-N", body)


def _comparison_figure(compared: Comparison, problems: int, looks: Looks) -> str:
    readings = (
        (PREDICTED, compared.predicted),
        (CHARGED, compared.charged),
        (ORACLE, compared.oracle),
    )
    series = [Series(looks[compared.baseline.strategy], compared.baseline.points)]
    series += [Series(look, curve.points) for look, curve in readings if curve and curve.points]
    largest = largest_budget(compared)
    drawn = arrows(compared)
    shown = _first_arrow(compared, [arrow.cef for arrow in drawn])
    overlay = draw_arrows(drawn, shown=shown, largest=largest)
    pictures = [
        line_chart(
            series,
            canvas,
            description="Accuracy against budget: compute-optimal policy and best-of-N.",
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
        " The arrow runs from a policy's point to the budget at which best-of-N is as accurate."
        if drawn
        else ""
    )
    oracle = " Oracle bins are made from the labels: an upper bound." if compared.oracle else ""
    return figure(
        "figure-policy",
        legend([each.look for each in series], css="small-screens")
        + "".join(pictures)
        + (chooser if drawn else ""),
        reading=say.read_comparison(compared, looks),
        basis=_basis(problems) + arrow + oracle,
        numbers=_curve_table(series, "Accuracy of the policy and of best-of-N"),
    )


def _first_arrow(compared: Comparison, cefs: Sequence[Cef]) -> int:
    budget = say.headline(compared)
    _, bins = say.leading(compared)
    if budget is not None:
        cef = say.find_cef(cefs, budget, bins=bins)
        return cefs.index(cef) if cef else 0
    return 0


def _arrow_name(cef: Cef, largest: float) -> str:
    return f"{reading_of(cef).label}, {whole(cef.budget)}: {factor(cef, largest=largest)}"


def _factor_figure(compared: Comparison, problems: int) -> str:
    largest = largest_budget(compared)
    looks = list(dict.fromkeys(reading_of(cef) for cef in compared.cefs))
    drawn = [factor_chart(compared.cefs, canvas, largest=largest) for canvas in FACTOR_SIZES]
    rows = [
        [reading_of(cef).label, whole(cef.budget), factor(cef, largest=largest)]
        for cef in compared.cefs
    ]
    heading = tag("h3", "Compute-equivalence factor")
    return heading + figure(
        "figure-factor",
        legend(looks) + "".join(drawn),
        reading=say.read_factors(compared.cefs),
        basis=f"{counted(problems, 'problem')}; whiskers are {LEVEL} intervals. An arrowhead marks "
        "a value or interval that runs past the largest budget measured.",
        numbers=table(
            ["policy", "generations", "factor"], rows, caption="Compute-equivalence factors"
        ),
    )
