"""outthink: finds, for each question and each compute budget, how a language model should think."""

from __future__ import annotations

from outthink.driver import Driver, Job, Result
from outthink.errors import OutthinkError, RunError, UsageError
from outthink.policy import Policy
from outthink.search import strategy
from outthink.select import AnswerAggregation, Selection, StepAggregation
from outthink.store import Store
from outthink.study import Plan, Study
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
    Verify,
)
from outthink.version import VERSION as __version__

__all__ = [
    "END",
    "STEP",
    "AnswerAggregation",
    "Budget",
    "Choice",
    "Driver",
    "Job",
    "Outcome",
    "OutthinkError",
    "Plan",
    "Policy",
    "Problem",
    "Propose",
    "Result",
    "RunError",
    "Scores",
    "Selection",
    "Solution",
    "StepAggregation",
    "Store",
    "Strategy",
    "Study",
    "Usage",
    "UsageError",
    "Verify",
    "__version__",
    "strategy",
]
