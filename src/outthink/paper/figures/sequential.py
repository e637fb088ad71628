"""The sequential policy beside the paper's: what it costs to be right, menu by menu."""

from __future__ import annotations

from outthink.paper.figures.parts import short_names
from outthink.paper.findings import Findings
from outthink.report import reproduction_data as shown
from outthink.report.sequential_study import sequential as policy_of

MENUS = {
    "searches": "Samples and beams of S",
    "all": "Samples, beams and revisions of S",
    "cascade": "All of these, and the greedy answer of L, in FLOPs",
}
"""By the name of a menu, its title."""


def sequential(findings: Findings) -> shown.Part:
    """The section with a frontier for every menu."""
    return shown.Part(
        "sequential-policy",
        "Decide after every look",
        "A policy that looks at every answer before it buys the next",
        "Where the paper fixes a strategy by difficulty, this policy runs a stage, looks at what "
        "came, and answers or goes on. It keeps everything that it drew, needs no estimate of "
        "difficulty, and pays for all of it. It is measured on problems that it was not fitted on.",
        _menus(findings) or (_not_run(),),
    )


def _menus(findings: Findings) -> tuple[shown.Item, ...]:
    problems, names = findings.evidence.main.problems, short_names()
    return tuple(
        shown.Adaptive(
            f"frontier-{name}",
            MENUS[name],
            "not in the paper",
            policy_of(fitted, problems, labels=lambda strategy: names.get(strategy, strategy)),
        )
        for name, fitted in findings.sequential.items()
    )


def _not_run() -> shown.NotRun:
    why = "no stages were run, or on too few problems."
    return shown.NotRun("frontier-all", "The frontier", "not in the paper", why)
