"""The head of the page: the figures one remembers, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from outthink.report.data import Comparison, Provenance, Report
from outthink.report.format import AT_LEAST, THIN, TIMES, percent, ratio, ratio_span, span, whole
from outthink.report.markup import escape, tag
from outthink.report.prose import at_budget, charged_cef, find_cef, headline, leading
from outthink.report.style import Styles


def tiles(report: Report) -> str:
    """Up to six figures, each with its interval or what it stands on."""
    found = []
    if report.comparison:
        found += _policy_tiles(report.comparison, Styles.of(report))
    if report.calibrations and (auc := report.calibrations[0].auc) is not None:
        found.append((f"{auc:.2f}", "AUC of the verifier", report.calibrations[0].verifier))
    if report.agreement and report.agreement.spearman is not None:
        found.append((f"{report.agreement.spearman:.2f}", "Spearman", "predicted against oracle"))
    found.append((whole(report.provenance.problems), "problems", report.provenance.data))
    return tile_row(found[:6])


def tile_row(found: Sequence[tuple[str, str, str]]) -> str:
    """Figures in a row: each a value, its name, and a note."""
    return tag("dl", *(_tile(*each) for each in found), class_="tiles")


def _tile(value: str, name: str, note: str) -> str:
    return tag(
        "div",
        tag("dt", escape(name)),
        tag("dd", escape(value), class_="big"),
        tag("dd", escape(note), class_="note"),
    )


def _policy_tiles(comparison: Comparison, styles: Styles) -> list[tuple[str, str, str]]:
    policy, bins = leading(comparison)
    budget = headline(comparison)
    if policy is None or budget is None:
        return []
    ours, theirs = at_budget(policy, budget), at_budget(comparison.baseline, budget)
    assert ours and theirs  # `headline` gives only budgets both have
    name = styles[comparison.baseline.strategy].label
    at = f"at N = {whole(budget)}"
    found = [
        (percent(ours.accuracy), f"policy, {bins} bins", f"{span(ours.low, ours.high)} {at}"),
        (percent(theirs.accuracy), name, f"{span(theirs.low, theirs.high)} {at}"),
    ]
    largest = max(point.budget for point in comparison.baseline.points)
    plain = find_cef(comparison.cefs, budget, bins=bins)
    charged = charged_cef(comparison, budget)
    for cef, label in ((plain, "compute equivalence"), (charged, "difficulty charged")):
        if cef:
            sign = f"{AT_LEAST}{THIN}" if cef.at_least else ""
            shown = f"{sign}{TIMES}{ratio(cef.value)}"
            where = f"at N = {whole(cef.budget)}"
            found.append((shown, label, f"{ratio_span(cef, largest=largest)} {where}"))
    return found


def provenance(found: Provenance) -> str:
    """What was run, on what, and how to run it again."""
    rows = [
        ("Proposer", escape(found.proposer)),
        ("Verifier", escape(", ".join(found.verifiers))),
        ("Data", escape(found.data)),
        ("Problems", whole(found.problems)),
        ("Seed", escape(found.seed)),
        ("Version", escape(found.version)),
        ("Made", escape(found.created)),
        ("Command", tag("code", escape(found.command)) if found.command else ""),
    ]
    entries = (tag("div", tag("dt", name), tag("dd", value)) for name, value in rows if value)
    return tag("dl", *entries, class_="provenance")
