"""Several verifiers on the same samples, as a table."""

from __future__ import annotations

from outthink.report.data import Report
from outthink.report.format import DASH, measured
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section


def verifiers(report: Report, _: object) -> Section | None:
    """Nothing where one verifier alone scored the samples."""
    if not report.verifiers:
        return None
    budgets = [point.budget for point in report.verifiers[0].weighted]
    rows = [
        [one.verifier, how, auc, *map(measured, points)]
        for one in report.verifiers
        for how, auc, points in (
            ("weighted", DASH if one.auc is None else f"{one.auc:.3f}", one.weighted),
            ("plain", "", one.plain),
        )
    ]
    heads = ["verifier", "best-of-N", "AUC", *(f"N = {budget:g}" for budget in budgets)]
    said = (
        "All of them scored the same samples, so they differ by nothing but their scores. AUC: the "
        "chance that a right sample scores above a wrong one of the same problem."
    )
    body = tag("p", escape(said)) + table(heads, rows, caption="accuracy, 95 % interval")
    return Section("verifiers", "Verifiers", "Verifiers side by side", body)
