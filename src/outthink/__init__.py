"""outthink: finds, for each question and each compute budget, how a language model should think."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from outthink.api import fit, fit_table, run, solve, sweep, write_report
from outthink.errors import OutthinkError, RunError, UsageError
from outthink.run.journal import Job, Result
from outthink.search import describe, strategy
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.study.plan import Plan
from outthink.types import (
    END,
    STEP,
    Ask,
    Budget,
    Choice,
    Outcome,
    Problem,
    Propose,
    Purpose,
    Reply,
    Scores,
    Solution,
    Strategy,
    Usage,
    Verified,
    Verify,
)
from outthink.version import VERSION as __version__

if TYPE_CHECKING:
    from outthink.policy.family import Family
    from outthink.policy.results import FitResult, Reported, SequentialFit, Solved, VersusBaseline
    from outthink.policy.table import Policy
    from outthink.run.runner import Runner
    from outthink.run.store import Store
    from outthink.run.team import Team
    from outthink.study.models import Models
    from outthink.study.read import Study
    from outthink.study.results import Accuracies, Accuracy

_LATER = {
    "Accuracies": "study.results",
    "Accuracy": "study.results",
    "Family": "policy.family",
    "FitResult": "policy.results",
    "Models": "study.models",
    "Policy": "policy.table",
    "Reported": "policy.results",
    "Runner": "run.runner",
    "SequentialFit": "policy.results",
    "Solved": "policy.results",
    "Store": "run.store",
    "Study": "study.read",
    "Team": "run.team",
    "VersusBaseline": "policy.results",
}
"""Names that are imported when they are asked for, by module. They need numpy and more, which takes
longer than a command's help."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"outthink.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_LATER]


__all__ = [
    "END",
    "STEP",
    "Accuracies",
    "Accuracy",
    "AnswerAggregation",
    "Ask",
    "Budget",
    "Choice",
    "Family",
    "FitResult",
    "Job",
    "Models",
    "Outcome",
    "OutthinkError",
    "Plan",
    "Policy",
    "Problem",
    "Propose",
    "Purpose",
    "Reply",
    "Reported",
    "Result",
    "RunError",
    "Runner",
    "Scores",
    "Selection",
    "SequentialFit",
    "Solution",
    "Solved",
    "StepAggregation",
    "Store",
    "Strategy",
    "Study",
    "Team",
    "Usage",
    "UsageError",
    "Verified",
    "Verify",
    "VersusBaseline",
    "__version__",
    "describe",
    "fit",
    "fit_table",
    "run",
    "solve",
    "strategy",
    "sweep",
    "write_report",
]
