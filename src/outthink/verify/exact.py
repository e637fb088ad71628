"""The verifier that knows the right answer: the best that any verifier could do.

It reads the reference, so it is an upper bound for reports and tests, and never answers a question.
A step of an unfinished solution, and a problem without a reference, have no score.
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
        return [Verified(self._scores(solution), 0, 0) for solution in solutions]

    def _scores(self, solution: Solution) -> Scores:
        reference = solution.problem.reference
        if not solution.steps or reference is None or solution.is_open:
            return Scores()
        right = solution.answer is not None and self._grader(solution.answer, reference)
        return Scores((None,) * (solution.steps - 1) + (float(right),))
