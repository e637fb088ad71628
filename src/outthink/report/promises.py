"""Policies that were run live, beside what they promised."""

from __future__ import annotations

from outthink.report import sequential_prose as prose
from outthink.report.data import Report
from outthink.report.format import DASH, LEVEL, percent, span
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section
from outthink.report.sequential_data import Estimate, Promise
from outthink.report.style import Styles

SAID = (
    "A policy promises a mean cost and an accuracy when it is fitted, from problems that it was "
    "not fitted on. Here it was run. A promise holds where the mean that came is inside the "
    "promised interval; both are of a limited number of problems, so that some fail by chance. "
    "The calibration error is how far the probability that came with an answer is from the share "
    "that was right, in points; in brackets what luck alone makes of that on so many problems. "
    f"All intervals are {LEVEL}."
)


def promises(report: Report, _: Styles) -> Section | None:
    """A row for every policy that was run."""
    if not report.promises:
        return None
    head = ["policy", "cost promised", "came", "accuracy promised", "came", "holds", "calibration"]
    rows = [_row(promise) for promise in report.promises]
    return Section(
        "promises",
        "Promises",
        "Did the policy keep its promise?",
        tag("p", escape(SAID), class_="reading")
        + table(head, rows, caption="What policies promised, and what came"),
    )


def _row(promise: Promise) -> list[str]:
    error = promise.calibration_error
    return [
        f"{promise.strategy} at {promise.budget}",
        f"{prose.costs(promise.promised_cost)} {promise.currency}",
        prose.costs(promise.cost),
        _share(promise.promised_accuracy),
        _share(promise.accuracy),
        _holds(promise),
        DASH if error is None else f"{100 * error:.1f} ({100 * (promise.chance_error or 0):.1f})",
    ]


def _holds(promise: Promise) -> str:
    if promise.is_capped:
        return "another cap"
    return "yes" if promise.holds else "no"


def _share(share: Estimate) -> str:
    return f"{percent(share.mean)} {span(share.low, share.high)}"
