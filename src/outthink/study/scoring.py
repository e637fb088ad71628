"""Scores of recorded solutions by a verifier that reads text.

The steps of a sample are those that it was recorded with, or its paragraphs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

from outthink.data.samples import Sample
from outthink.errors import UsageError
from outthink.models import in_process
from outthink.plugin import is_plugin
from outthink.run.progress import Progress
from outthink.types import BatchVerifier, Closes, Draw, Drawn, Problem, Solution, Verifier
from outthink.verify.named import check, is_named, named, own

_AT_ONCE = 256
"""Solutions that a verifier is given in one request."""
_PARAGRAPH = re.compile(r"(?<=\n\n)(?!\n)")


def require(name: str) -> None:
    """Raises `UsageError` for a name that is no verifier of text, before anything is loaded."""
    if name == "confidence" or name.startswith("confidence?"):
        raise UsageError("confidence is that of the model that wrote; name a verifier of text")
    if not is_plugin(name) or is_named(name):
        check(name)


class Scoring:
    """A verifier of text at work. `close` lets go of it.

    Raises `UsageError` as `require`, and where the verifier cannot be had.
    """

    def __init__(self, name: str) -> None:
        require(name)
        self._written = _Written()
        made: Verifier | BatchVerifier = (
            named(name, self._written) if is_named(name) else own(name, self._written)
        )
        self._engine = in_process.verifier(made)
        self._loop = asyncio.Runner()

    def of(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples with scores of their steps in place of those they had; samples without a text
        stay as they are."""
        return self._loop.run(self._scored(samples))

    async def _scored(self, samples: Sequence[Sample]) -> list[Sample]:
        result, written = list(samples), self._written
        written.forget()
        wanted = [place for place, sample in enumerate(samples) if _steps(sample)]
        with Progress("scoring", len(wanted), "solutions") as bar:
            for start in range(0, len(wanted), _AT_ONCE):
                places = wanted[start : start + _AT_ONCE]
                solutions = [written.solution(samples[place]) for place in places]
                async for index, row, _ in self._engine.verify(solutions):
                    one = samples[places[index]]
                    scores = row.scores.steps
                    result[places[index]] = replace(one, steps=_steps(one), scores=scores)
                    bar.advance(1)
        return result

    def close(self) -> None:
        """Let go of the verifier."""
        if isinstance(self._engine, Closes):
            self._loop.run(self._engine.aclose())
        self._loop.close()


def _steps(sample: Sample) -> tuple[str, ...]:
    if sample.steps is not None:
        return sample.steps
    return tuple(filter(None, _PARAGRAPH.split(sample.text or "")))


class _Written:
    """Stands for the proposer of recorded texts: each step is a token."""

    name = "recorded"

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._next = 0

    def forget(self) -> None:
        """Let go of the texts; their ids are not given again."""
        self._texts.clear()

    def solution(self, sample: Sample) -> Solution:
        """A sample as a verifier is given it."""
        steps = _steps(sample)
        ids = tuple(range(self._next, self._next + len(steps)))
        self._next += len(steps)
        self._texts.update(zip(ids, steps, strict=True))
        ends = tuple(range(1, len(ids) + 1))
        problem = Problem(sample.problem_id, sample.prompt or sample.problem_id, sample.target)
        return Solution(problem, ids, ends, finished=True)

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        raise UsageError("recorded texts cannot be drawn again; name a verifier that reads text")

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._texts[token] for token in tokens)
