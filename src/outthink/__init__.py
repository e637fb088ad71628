"""outthink: finds, for each question and each compute budget, how a language model should think."""

from __future__ import annotations

from outthink.api import fit, run, solve, sweep, write_report
from outthink.errors import OutthinkError, RunError, UsageError
from outthink.policy.results import FitResult, Reported, Solved, VersusBaseline
from outthink.policy.table import Policy
from outthink.run.journal import Job, Result
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import describe, strategy
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.study.models import Models
from outthink.study.plan import Plan
from outthink.study.read import Study
from outthink.study.results import Accuracies, Accuracy
from outthink.types import (
    END,
    STEP,
    Budget,
    Choice,
    Outcome,
    Problem,
    Propose,
    Scores,
    Solution,
    Strategy,
    Usage,
    Verified,
    Verify,
)
from outthink.version import VERSION as __version__

__all__ = [
    "END",
    "STEP",
    "Accuracies",
    "Accuracy",
    "AnswerAggregation",
    "Budget",
    "Choice",
    "FitResult",
    "Job",
    "Models",
    "Outcome",
    "OutthinkError",
    "Plan",
    "Policy",
    "Problem",
    "Propose",
    "Reported",
    "Result",
    "RunError",
    "Runner",
    "Scores",
    "Selection",
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
    "run",
    "solve",
    "strategy",
    "sweep",
    "write_report",
]
