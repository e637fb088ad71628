"""What a solution says, step by step: the text that verifiers read which are not the proposer.

A proposer gives the text of token ids, at once or after a request. The text of a step is what the
text of the prefix up to its end has more than that up to its beginning: tokens do not end where
letters do. Nothing is rendered or tokenized here.

A revision was written by a model that saw earlier answers. A verifier that was trained on such
solutions reads them too, behind the problem and as part of it, so that every layout has a place for
them; any other reads the revision alone.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from outthink.models.texts import cut as _cut
from outthink.run.queues import Batched
from outthink.types import AnyProposer, AnyVerifier, Scores, Solution, Verified

_REMEMBERED = 16384
"""Prefixes whose text is kept."""


@dataclass(frozen=True, slots=True)
class Written:
    """A solution and the text of its complete steps."""

    solution: Solution
    steps: tuple[str, ...]
    earlier: tuple[str, ...] = ()
    """The answers that it revises, oldest first, where its verifier is to see them."""

    @property
    def problem(self) -> str:
        """The problem, with the earlier answers behind it."""
        return self.solution.problem.prompt + "".join(
            f"{_EARLIER}{each.strip()}" for each in self.earlier
        )


_EARLIER = "\n\nAn earlier answer, which may be wrong:\n"


class Scorer(Protocol):
    """A verifier that reads text: what is behind `reading`."""

    name: str

    def score(self, written: Sequence[Written]) -> list[Verified]:
        """One row each; every solution has at least one step."""
        ...


class AsyncScorer(Protocol):
    """The same, served."""

    name: str

    async def score(self, written: Written) -> Verified: ...

    async def aclose(self) -> None: ...


NOTHING = Verified(Scores(), 0, 0)
"""For a solution without a complete step."""


def reading(
    scorer: Scorer | AsyncScorer, proposer: AnyProposer, *, earlier: bool = False
) -> AnyVerifier:
    """A verifier of what this proposer writes; `earlier`: with the answers that a revision saw,
    which is another verifier, so it has another name."""
    text = proposer.text
    if inspect.iscoroutinefunction(scorer.score):
        return _Served(scorer, _as_async(text), earlier)  # type: ignore[arg-type]
    if inspect.iscoroutinefunction(text):
        return _Gathered(scorer, text, earlier)  # type: ignore[arg-type]
    return _InProcess(scorer, text, earlier)  # type: ignore[arg-type]


def written(solution: Solution, text: Text, *, earlier: bool = False) -> Written:
    """What a solution says, for a proposer in process whose `text` this is."""
    wanted = solution.history if earlier else ()
    steps = _cut([text(prefix) for prefix in _prefixes(solution)])
    return Written(solution, steps, tuple(text(tokens) for tokens in wanted))


def _titled(name: str, earlier: bool) -> str:
    return f"{name}-earlier" if earlier else name


Text = Callable[[Sequence[int]], str]
AsyncText = Callable[[Sequence[int]], Awaitable[str]]


def _as_async(text: Text | AsyncText) -> AsyncText:
    if inspect.iscoroutinefunction(text):
        return text

    async def at_once(tokens: Sequence[int]) -> str:
        found = text(tokens)
        assert isinstance(found, str)
        return found

    return at_once


class _Memory:
    """Texts of prefixes, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def get(self, tokens: tuple[int, ...]) -> str | None:
        return self._known.get(tokens)

    def put(self, tokens: tuple[int, ...], text: str) -> None:
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[tokens] = text


def _prefixes(solution: Solution) -> list[tuple[int, ...]]:
    return [solution.tokens[:end] for end in solution.step_ends]


class _InProcess:
    """Proposer and verifier in process."""

    def __init__(self, scorer: Scorer, text: Text, earlier: bool) -> None:
        self.name = _titled(scorer.name, earlier)
        self.scorer = scorer
        self._text = text
        self._earlier = earlier
        self._memory = _Memory()

    def verify(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order."""
        rows = [
            written(each, self._of, earlier=self._earlier) for each in solutions if each.step_ends
        ]
        scored = iter(self.scorer.score(rows) if rows else [])
        return [next(scored) if each.step_ends else NOTHING for each in solutions]

    def _of(self, tokens: Sequence[int]) -> str:
        prefix = tuple(tokens)
        text = self._memory.get(prefix)
        if text is None:
            text = self._text(prefix)
            self._memory.put(prefix, text)
        return text


class _Asking:
    """Asks a served proposer for texts."""

    def __init__(self, text: AsyncText, earlier: bool) -> None:
        self._text = text
        self._earlier = earlier
        self._memory = _Memory()

    async def written(self, solution: Solution) -> Written:
        wanted = solution.history if self._earlier else ()
        texts = await asyncio.gather(*map(self._of, (*wanted, *_prefixes(solution))))
        return Written(solution, _cut(texts[len(wanted) :]), tuple(texts[: len(wanted)]))

    async def _of(self, prefix: tuple[int, ...]) -> str:
        text = self._memory.get(prefix)
        if text is None:
            text = await self._text(prefix)
            self._memory.put(prefix, text)
        return text


class _Gathered:
    """A served proposer, a verifier in process: rows that wait are scored in one call."""

    def __init__(self, scorer: Scorer, text: AsyncText, earlier: bool) -> None:
        self.name = _titled(scorer.name, earlier)
        self.scorer = scorer
        self._asking = _Asking(text, earlier)
        self._threads: ThreadPoolExecutor | None = None
        self._port: Batched[Written, Verified] | None = None

    async def verify(self, solution: Solution) -> Verified:
        """One row; others that wait go with it."""
        if not solution.step_ends:
            return NOTHING
        written = await self._asking.written(solution)
        if self._port is None:
            self._threads = ThreadPoolExecutor(1, "outthink-verifier")
            self._port = Batched(self.name, self.scorer.score, self._threads, time.perf_counter)
        rows: list[Verified | None] = [None]
        await self._port.fill([written], rows)
        (row,) = rows
        assert row is not None
        return row

    async def aclose(self) -> None:
        """Let go of the thread; the next row makes another."""
        if self._threads is not None:
            self._threads.shutdown()
        self._threads = self._port = None


class _Served:
    """A served verifier, whatever the proposer is."""

    def __init__(self, scorer: AsyncScorer, text: AsyncText, earlier: bool) -> None:
        self.name = _titled(scorer.name, earlier)
        self.scorer = scorer
        self._asking = _Asking(text, earlier)

    async def verify(self, solution: Solution) -> Verified:
        """One row."""
        if not solution.step_ends:
            return NOTHING
        return await self.scorer.score(await self._asking.written(solution))

    async def aclose(self) -> None:
        """Let go of all connections."""
        await self.scorer.aclose()
