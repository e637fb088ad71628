"""Engines that wrap an engine: `Retrying` asks again for rows that failed, `Cached` remembers rows.

    Retrying(engine)    Cached(engine)    Retrying(Cached(engine))

Both take a proposer or a verifier, served or in this process, and are one themselves. Whatever else
the engine has (`asked`, `reader`, `rescore`, `aclose`) they have too.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from outthink.errors import ContextError, RunError, UsageError
from outthink.models import in_process
from outthink.models.http import RetryPolicy
from outthink.types import (
    Arrival,
    BatchProposer,
    BatchVerifier,
    Draw,
    Drawn,
    Proposer,
    Solution,
    Verified,
    Verifier,
)

Engine = Proposer | BatchProposer | Verifier | BatchVerifier

_Ask = Callable[[Sequence[Any]], AsyncIterator[Arrival[Any]]]


class _Wrapper(ABC):
    """Wraps an engine, with its name and its attributes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.name
        self._inner = _adapted(engine)

    def propose(self, draws: Sequence[Draw]) -> AsyncIterator[Arrival[Drawn]]:
        """As `Proposer.propose`."""
        return self._rows(self._inner.propose, draws)

    def verify(self, solutions: Sequence[Solution]) -> AsyncIterator[Arrival[Verified]]:
        """As `Verifier.verify`."""
        return self._rows(self._inner.verify, solutions)

    async def text(self, tokens: Sequence[int]) -> str:
        """As `Proposer.text`."""
        text: str = await self._inner.text(tokens)
        return text

    @abstractmethod
    def _rows(self, ask: _Ask, asked: Sequence[Any]) -> AsyncIterator[Arrival[Any]]: ...

    def __getattr__(self, name: str) -> Any:
        # A call to the engine's own batches would go past the wrapper.
        if name in ("engine", "propose_batch", "verify_batch") or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.engine, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.engine!r})"


def _adapted(engine: Engine) -> Any:
    """The engine, with the protocol of served engines."""
    if isinstance(engine, BatchProposer) and isinstance(engine, BatchVerifier):
        raise UsageError(
            f"{engine.name} writes and scores; wrap in_process.InProcessProposer(engine) or "
            "in_process.InProcessVerifier(engine)"
        )
    if isinstance(engine, BatchProposer):
        return in_process.proposer(engine)
    return in_process.verifier(engine) if isinstance(engine, BatchVerifier) else engine


class Retrying(_Wrapper):
    """Asks again for the rows that did not come, and for no others.

    `policy` says how often, and how long it waits in between. A `RunError` is raised after the last
    try; a prompt that is too long, and a `UsageError`, at once.
    """

    def __init__(
        self,
        engine: Engine,
        policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(engine)
        self._policy = policy
        self._sleep = sleep
        self._rng = rng or random.Random()

    async def _rows(self, ask: _Ask, asked: Sequence[Any]) -> AsyncIterator[Arrival[Any]]:
        missing = list(range(len(asked)))
        for number in range(1, self._policy.tries + 1):
            places, came = missing, set[int]()
            try:
                async for arrival in ask([asked[place] for place in places]):
                    place = places[arrival.place]
                    came.add(place)
                    yield arrival._replace(place=place)
                return
            except ContextError:
                raise
            except RunError:
                missing = [place for place in places if place not in came]
                if number == self._policy.tries or not missing:
                    raise
            await self._sleep(self._policy.wait_s(number, self._rng))


class Cached(_Wrapper):
    """Remembers the last `most` rows, and asks the engine for all others.

    A row is given again as it was, with what it cost, and takes no time. What the engine had cached
    of its tokens is not kept: going on from it, an engine reads them again.
    """

    def __init__(self, engine: Engine, *, most: int = 65536) -> None:
        super().__init__(engine)
        if most < 1:
            raise UsageError(f"a cache of {most} rows keeps nothing; give at least 1")
        self._most = most
        self._known: dict[Hashable, Drawn | Verified] = {}

    async def _rows(self, ask: _Ask, asked: Sequence[Any]) -> AsyncIterator[Arrival[Any]]:
        wanted: dict[Hashable, list[int]] = {}
        for place, row in enumerate(asked):
            wanted.setdefault(_key(row), []).append(place)
        known = {key: self._known[key] for key in wanted if key in self._known}
        unknown = [(key, places) for key, places in wanted.items() if key not in known]
        for key, row in known.items():
            for place in wanted[key]:
                yield Arrival(place, row, 0.0)
        if not unknown:
            return
        async for arrival in ask([asked[places[0]] for _, places in unknown]):
            key, (first, *others) = unknown[arrival.place]
            row = self._keep(key, arrival.row)
            yield arrival._replace(place=first)
            for place in others:
                yield Arrival(place, row, 0.0)

    def _keep(self, key: Hashable, row: Drawn | Verified) -> Drawn | Verified:
        if isinstance(row, Drawn):
            row = replace(row, solution=replace(row.solution, state=None))
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[key] = row
        return row


def _key(row: Draw | Solution) -> Hashable:
    """All that decides what an engine answers."""
    if isinstance(row, Draw):
        # Greedy follows no seed.
        seed = row.seed if row.temperature > 0 else None
        return (*_content(row.prefix), row.until, row.temperature, seed, row.force)
    return (*_content(row), row.finished, row.truncated)


def _content(solution: Solution) -> tuple[Hashable, ...]:
    return (solution.problem, solution.history, solution.tokens, solution.step_ends)
