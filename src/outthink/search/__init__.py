"""The searches, one algorithm a file, and how an answer is chosen from what they drew.

A search is a generator: it yields what it wants drawn and scored, and is sent the result. It knows
nothing of models, batches, files or other problems. `run` advances it.

Stands on: errors, plugin, types.
"""

from outthink.search.beam import beam
from outthink.search.best_of_n import best_of_n
from outthink.search.budget_forcing import budget_forcing
from outthink.search.describe import describe
from outthink.search.greedy import greedy
from outthink.search.lookahead import lookahead
from outthink.search.majority import majority
from outthink.search.revise import revise
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.search.strategy import SEARCHES, strategy

__all__ = [
    "SEARCHES",
    "AnswerAggregation",
    "Selection",
    "StepAggregation",
    "beam",
    "best_of_n",
    "budget_forcing",
    "describe",
    "greedy",
    "lookahead",
    "majority",
    "revise",
    "strategy",
]
