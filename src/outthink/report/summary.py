"""The head of the page: its key figures, and what was run to get them."""

from __future__ import annotations

from collections.abc import Sequence

from outthink.report.data import Comparison, KeyFigure, Provenance, Report
from outthink.report.format import (
    AT_LEAST,
    THIN,
    TIMES,
    generations,
    percent,
    ratio,
    ratio_span,
    span,
    whole,
)
from outthink.report.markup import escape, tag
from outthink.report.prose import at_budget, charged_cef, find_cef, headline, leading
from outthink.report.sequential_data import Sequential
from outthink.report.sequential_prose import amount, factor_span, factor_value
from outthink.report.style import Styles


def summary(report: Report) -> str:
    """Up to six key figures."""
    figures = []
    if report.sequential:
        figures += _of_sequential(report.sequential, Styles.of(report))
    elif report.comparison:
        figures += _of_policy(report.comparison, Styles.of(report))
    if report.calibrations and (auc := report.calibrations[0].auc) is not None:
        name = report.calibrations[0].verifier
        figures.append(KeyFigure(f"{auc:.2f}", "AUC of the verifier", name))
    if report.agreement and report.agreement.spearman is not None:
        correlation = f"{report.agreement.spearman:.2f}"
        note = "Spearman correlation with oracle difficulty"
        figures.append(KeyFigure(correlation, "predicted difficulty", note))
    figures.append(KeyFigure(whole(report.provenance.problems), "problems", report.provenance.data))
    return key_figures(figures[:6])


def key_figures(figures: Sequence[KeyFigure]) -> str:
    """Figures in a row."""
    return tag("dl", *map(_key_figure, figures), class_="key-figures")


def _key_figure(figure: KeyFigure) -> str:
    return tag(
        "div",
        tag("dt", escape(figure.name)),
        tag("dd", escape(figure.value), class_="big"),
        tag("dd", escape(figure.note), class_="note"),
    )


def _of_sequential(policy: Sequential, styles: Styles) -> list[KeyFigure]:
    member = policy.members[policy.chosen]
    accuracy = member.accuracy
    at = f"at {amount(member.cost.mean)} {policy.currency}"
    figures = [
        KeyFigure(
            factor_value(factor),
            f"cost {styles[name].label} needs to match it",
            f"{factor_span(factor)} {note}",
        )
        for factor, name, note in (
            (member.baseline, policy.baseline, at),
            (member.strongest, member.strongest.strategy, "the strongest fixed strategy"),
        )
    ]
    shown = span(accuracy.low, accuracy.high)
    figures.append(KeyFigure(percent(accuracy.mean), "sequential policy", f"{shown} {at}"))
    if policy.calibration_error is not None:
        error = f"{100 * policy.calibration_error:.1f}{THIN}%"
        figures.append(KeyFigure(error, "calibration error", "of the probability to be right"))
    return figures


def _of_policy(comparison: Comparison, styles: Styles) -> list[KeyFigure]:
    policy, bins = leading(comparison)
    budget = headline(comparison)
    if policy is None or budget is None:
        return []
    ours, theirs = at_budget(policy, budget), at_budget(comparison.baseline, budget)
    assert ours and theirs  # `headline` gives only budgets both have
    name = styles[comparison.baseline.strategy].label
    at = f"at {generations(budget)}"
    figures = [
        KeyFigure(
            percent(ours.accuracy), f"policy, {bins} bins", f"{span(ours.low, ours.high)} {at}"
        ),
        KeyFigure(percent(theirs.accuracy), name, f"{span(theirs.low, theirs.high)} {at}"),
    ]
    largest = max(point.budget for point in comparison.baseline.points)
    plain = find_cef(comparison.cefs, budget, bins=bins)
    charged = charged_cef(comparison, budget)
    for cef, label in (
        (plain, f"budget {name} needs to match it"),
        (charged, "the same, difficulty charged"),
    ):
        if cef:
            sign = f"{AT_LEAST}{THIN}" if cef.at_least else ""
            shown = f"{sign}{TIMES}{ratio(cef.value)}"
            note = f"{ratio_span(cef, largest=largest)} at {generations(cef.budget)}"
            figures.append(KeyFigure(shown, label, note))
    return figures


def provenance(origin: Provenance) -> str:
    """What was run, on what, and how to run it again."""
    rows = [
        ("Proposer", escape(origin.proposer)),
        ("Verifier", escape(", ".join(origin.verifiers))),
        ("Data", escape(origin.data)),
        ("Problems", whole(origin.problems)),
        ("Seed", escape(origin.seed)),
        ("Version", escape(origin.version)),
        ("Made", escape(origin.created)),
        ("Command", tag("code", escape(origin.command)) if origin.command else ""),
    ]
    entries = (tag("div", tag("dt", name), tag("dd", value)) for name, value in rows if value)
    return tag("dl", *entries, class_="provenance")
