"""The text of a solution, step by step, for verifiers that do not read the proposer's token ids.

A proposer gives the text of token ids. The text of a step is the text of the prefix up to its end,
less that of the prefix up to its beginning: a letter may be split over two tokens. Nothing is
rendered or tokenized here.

A revision was written by a model that saw earlier answers. A verifier that was trained on such
solutions reads them too, behind the problem and as part of it, so that every layout has a place for
them; any other reads the revision alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from outthink.models import in_process
from outthink.models.in_process import EngineQueue, SharedTime, in_flight
from outthink.models.texts import cut as _cut
from outthink.types import (
    Arrival,
    BatchProposer,
    Closes,
    Proposer,
    Scores,
    Solution,
    Verified,
    Verifier,
)

_REMEMBERED = 16384
"""Prefixes whose text is kept."""


@dataclass(frozen=True, slots=True)
class SolutionText:
    """A solution and the text of its complete steps."""

    solution: Solution
    steps: tuple[str, ...]
    earlier: tuple[str, ...] = ()
    """The answers that it revises, oldest first, where its verifier is to see them."""

    @property
    def problem(self) -> str:
        """The problem, with the earlier answers behind it."""
        return self.solution.problem.whole + "".join(
            f"{_EARLIER}{answer.strip()}" for answer in self.earlier
        )


_EARLIER = "\n\nAn earlier answer, which may be wrong:\n"


@runtime_checkable
class BatchScorer(Protocol):
    """A verifier in this process that reads text; `reading` makes a `Verifier` of it."""

    name: str

    def score_batch(self, texts: Sequence[SolutionText]) -> list[Verified]:
        """One row each; every solution has at least one step."""
        ...


class Scorer(Protocol):
    """The same, served."""

    name: str

    async def score(self, text: SolutionText) -> Verified: ...

    async def aclose(self) -> None: ...


NOTHING = Verified(Scores(), 0, 0)
"""For a solution without a complete step."""

Decode = Callable[[Sequence[int]], str]


def reading(
    scorer: Scorer | BatchScorer, proposer: Proposer | BatchProposer, *, earlier: bool = False
) -> Verifier:
    """A verifier of this proposer's solutions. With `earlier` it reads the answers that a revision
    saw as well; its name says so, since its scores differ."""
    return TextVerifier(scorer, in_process.proposer(proposer), earlier=earlier)


def solution_text(solution: Solution, decode: Decode, *, earlier: bool = False) -> SolutionText:
    """The text of a solution of a proposer in this process, which decodes its tokens."""
    wanted = solution.history if earlier else ()
    steps = _cut([decode(prefix) for prefix in _prefixes(solution)])
    return SolutionText(solution, steps, tuple(decode(tokens) for tokens in wanted))


def _prefixes(solution: Solution) -> list[tuple[int, ...]]:
    return [solution.tokens[:end] for end in solution.step_ends]


class TextVerifier:
    """A verifier of text, whatever its proposer is: in this process or served."""

    def __init__(
        self, scorer: Scorer | BatchScorer, proposer: Proposer, *, earlier: bool = False
    ) -> None:
        self.name = f"{scorer.name}-earlier" if earlier else scorer.name
        self.scorer = scorer
        self._proposer = proposer
        self._earlier = earlier
        self._known: dict[tuple[int, ...], str] = {}
        """Texts of prefixes, the oldest forgotten first."""
        self._time = SharedTime()
        self._queue: EngineQueue[SolutionText, Verified] | None = None
        if isinstance(scorer, BatchScorer):
            self._queue = EngineQueue(scorer.name, scorer.score_batch)

    async def verify(self, solutions: Sequence[Solution]) -> AsyncIterator[Arrival[Verified]]:
        """Rows as they come; those of a verifier in this process all at once."""
        places = [place for place, solution in enumerate(solutions) if solution.step_ends]
        for place in range(len(solutions)):
            if not solutions[place].step_ends:
                yield Arrival(place, NOTHING, 0.0)
        wanted = [solutions[place] for place in places]
        if self._queue is None:
            async for index, row, seconds in in_flight(self._score, wanted, self._time):
                yield Arrival(places[index], row, seconds)
        elif wanted:
            texts = await asyncio.gather(*map(self._written, wanted))
            async for index, row, seconds in self._queue.rows(texts):
                yield Arrival(places[index], row, seconds)

    async def _score(self, solution: Solution) -> Verified:
        assert not isinstance(self.scorer, BatchScorer)
        return await self.scorer.score(await self._written(solution))

    async def _written(self, solution: Solution) -> SolutionText:
        earlier = solution.history if self._earlier else ()
        texts = [await self._text(tokens) for tokens in (*earlier, *_prefixes(solution))]
        steps = _cut(texts[len(earlier) :])
        return SolutionText(solution, steps, tuple(texts[: len(earlier)]))

    async def _text(self, tokens: tuple[int, ...]) -> str:
        text = self._known.get(tokens)
        if text is None:
            text = await self._proposer.text(tokens)
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[tokens] = text
        return text

    async def aclose(self) -> None:
        """Let go of all connections."""
        if isinstance(self.scorer, Closes):
            await self.scorer.aclose()
