"""The verifier that knows the answer: what the best of all verifiers would make of a pool.

An upper bound for reports and tests, never for a question that is to be answered: it reads the
reference. A step of an unfinished solution, and a problem without a reference, have no score.
"""

from __future__ import annotations

from collections.abc import Sequence

from outthink.types import Grader, Scores, Solution, Verified


class Exact:
    """1 for a solution with the right answer, 0 for any other that ended."""

    name = "exact"

    def __init__(self, grader: Grader) -> None:
        self._grader = grader

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order; no tokens are read."""
        return [Verified(self._scores(each), 0, 0) for each in solutions]

    def _scores(self, solution: Solution) -> Scores:
        reference = solution.problem.reference
        if not solution.steps or reference is None or solution.is_open:
            return Scores()
        right = solution.answer is not None and self._grader(solution.answer, reference)
        return Scores((None,) * (solution.steps - 1) + (float(right),))
