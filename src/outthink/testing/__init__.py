"""Contract suites: what every search, proposer, verifier and grader is held to, in one line each.

    check_search("my_module:my_search(width=3)")
    check_verifier(my_verifier, solutions(of=my_problems))
    check_grader("my_module:my_grader", right=[("1/2", "0.5")], wrong=[("2", "0.5")])

Each raises `AssertionError` with what was seen. They need no model: a scripted proposer writes,
well and badly. They know nothing of stores or policies. A user's tests call them.

Stands on: grade, models, run, search, types.
"""

from outthink.testing.engines import check_proposer, check_verifier, solutions
from outthink.testing.graders import check_grader
from outthink.testing.searches import BUDGETS, check_search

__all__ = [
    "BUDGETS",
    "check_grader",
    "check_proposer",
    "check_search",
    "check_verifier",
    "solutions",
]
