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


def scored(samples: Sequence[Sample], verifier: str) -> list[Sample]:
    """The samples with a verifier's scores of their steps in place of those they had; samples
    without a text stay as they are. Loads or connects.

    Raises `UsageError` as `require`, and where the verifier cannot be had.
    """
    require(verifier)
    return asyncio.run(_scored(samples, verifier))


async def _scored(samples: Sequence[Sample], name: str) -> list[Sample]:
    written = _Written()
    made: Verifier | BatchVerifier = named(name, written) if is_named(name) else own(name, written)
    engine = in_process.verifier(made)
    result = list(samples)
    wanted = [place for place, sample in enumerate(samples) if _steps(sample)]
    try:
        with Progress("scoring", len(wanted), "solutions") as bar:
            for start in range(0, len(wanted), _AT_ONCE):
                places = wanted[start : start + _AT_ONCE]
                solutions = [written.solution(samples[place]) for place in places]
                async for index, row, _ in engine.verify(solutions):
                    place = places[index]
                    steps = _steps(samples[place])
                    result[place] = replace(samples[place], steps=steps, scores=row.scores.steps)
                    bar.advance(1)
    finally:
        if isinstance(engine, Closes):
            await engine.aclose()
    return result


def _steps(sample: Sample) -> tuple[str, ...]:
    if sample.steps is not None:
        return sample.steps
    return tuple(filter(None, _PARAGRAPH.split(sample.text or "")))


class _Written:
    """Stands for the proposer of recorded texts: each step is a token."""

    name = "recorded"

    def __init__(self) -> None:
        self._texts: list[str] = []

    def solution(self, sample: Sample) -> Solution:
        """A sample as a verifier is given it."""
        first = len(self._texts)
        self._texts += _steps(sample)
        ids = tuple(range(first, len(self._texts)))
        ends = tuple(range(1, len(ids) + 1))
        problem = Problem(sample.problem_id, sample.prompt or sample.problem_id, sample.target)
        return Solution(problem, ids, ends, finished=True)

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        raise UsageError("recorded texts cannot be drawn again; name a verifier that reads text")

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._texts[token] for token in tokens)
