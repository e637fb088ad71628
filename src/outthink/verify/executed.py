"""Feedback by running programs: which given test one fails, and what happened.

It answers `Ask` in the role `tests`, in the place of a model's critique, and writes no token: what
a search spends is its refinements. Unit-test feedback of Chen et al. 2023 (Self-Debug, arXiv
2304.05128, section 3.2). The tests are those of the verifier `tests(run=yes,file=...)`; those of a
reference are the grader's, and are never read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from outthink.errors import UsageError
from outthink.grade import code
from outthink.models.in_process import SharedTime, in_flight
from outthink.types import TESTS, Arrival, Draw, Drawn, Solution
from outthink.verify.tests import Tests, feedback
from outthink.verify.written import TextVerifier

PASSES = "The program passes all tests.\nJudgement: right"
NO_PROGRAM = "There is no complete program to run.\nJudgement: wrong"


class Executed:
    """Runs the program that a prompt ends with. Its token ids are the bytes of what it says."""

    def __init__(self, name: str, tests: Mapping[str, Sequence[str]]) -> None:
        """Tests by problem id."""
        self.name = name
        self._tests = tests
        self._time = SharedTime()

    def propose(self, draws: Sequence[Draw]) -> AsyncIterator[Arrival[Drawn]]:
        """Raises `UsageError` for a problem without tests, `RunError` where there is no sandbox."""
        return in_flight(self._said, draws, self._time)

    async def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode()

    async def _said(self, draw: Draw) -> Drawn:
        problem = draw.prefix.problem
        if problem.id not in self._tests:
            raise UsageError(f"tests: the file has none of problem {problem.id!r}; add them")
        said = await asyncio.to_thread(_run, problem.prompt, self._tests[problem.id])
        tokens = tuple(said.encode())
        solution = Solution(problem, tokens, (len(tokens),), finished=True)
        return Drawn(solution, prompt_tokens=0, cached_tokens=0, decoded_tokens=0)


def executed(verifier: object) -> Executed:
    """The feedback of a verifier's given tests. Raises `UsageError` for any other verifier."""
    scorer = verifier.scorer if isinstance(verifier, TextVerifier) else None
    if not isinstance(scorer, Tests) or scorer.given is None:
        raise UsageError(
            f"by={TESTS} runs programs against given tests; name them, "
            "--verifier 'tests(run=yes,file=tests.jsonl)'"
        )
    return Executed(f"{scorer.name}-feedback", scorer.given)


def _run(written: str, tests: Sequence[str]) -> str:
    program = code.answer(written)
    if program is None:
        return NO_PROGRAM
    failed = feedback(program, tests)
    return PASSES if failed is None else f"{failed}\nJudgement: wrong"
