"""How rows reach an engine: served ones one by one, in-process ones in batches.

Both ports fill a list that the caller owns, row by row, so that what came back before a failure is
there to be counted. They know nothing of searches, counting or journals.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeGuard, TypeVar

from outthink.errors import RunError
from outthink.types import AnyProposer, AnyVerifier, AsyncProposer, AsyncVerifier

_Asked = TypeVar("_Asked")
_Ask = TypeVar("_Ask", contravariant=True)
_Row = TypeVar("_Row")

Clock = Callable[[], float]
Came = Callable[[int], None]
"""Told how many rows have come, as they come."""


def _untold(rows: int) -> None:
    """For whom it is enough to have all of them."""


class Port(Protocol[_Ask, _Row]):
    """Where the rows of one engine go in."""

    async def fill(
        self, asked: Sequence[_Ask], rows: list[_Row | None], came: Came = _untold
    ) -> float:
        """Put the row for `asked[i]` at `rows[i]`; returns the engine seconds they took.

        Raises what the engine raised first; rows that were in flight beside it are cancelled.
        """
        ...


def is_served_proposer(engine: AnyProposer) -> TypeGuard[AsyncProposer]:
    """Whether its rows are requests."""
    return inspect.iscoroutinefunction(engine.propose)


def is_served_verifier(engine: AnyVerifier) -> TypeGuard[AsyncVerifier]:
    """The same of a verifier."""
    return inspect.iscoroutinefunction(engine.verify)


class Served(Generic[_Asked, _Row]):
    """One request a row, all in flight at once as far as there is room."""

    def __init__(
        self,
        ask: Callable[[_Asked], Awaitable[_Row]],
        room: asyncio.Semaphore,
        clock: Clock,
    ) -> None:
        self._ask = ask
        self._room = room
        self._time = _SharedTime(clock)

    async def fill(
        self, asked: Sequence[_Asked], rows: list[_Row | None], came: Came = _untold
    ) -> float:
        seconds = 0.0

        async def one(index: int) -> None:
            nonlocal seconds
            async with self._room:
                began = self._time.enter()
                try:
                    rows[index] = await self._ask(asked[index])
                finally:
                    seconds += self._time.leave(began)
                came(1)

        try:
            async with asyncio.TaskGroup() as group:
                for index in range(len(asked)):
                    group.create_task(one(index))
        except BaseExceptionGroup as failed:
            # One that a row cannot help, such as a wrong key, says more than what it dragged along.
            raise next(
                (each for each in failed.exceptions if not isinstance(each, RunError)),
                failed.exceptions[0],
            ) from None
        return seconds


class _SharedTime:
    """Shares each second equally among the rows in flight, so that all rows together took as long
    as the engine was busy."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active = 0
        self._last = 0.0
        self._each = 0.0
        """Seconds that a row in flight from the start would have been charged."""

    def enter(self) -> float:
        self._advance()
        self._active += 1
        return self._each

    def leave(self, began: float) -> float:
        self._advance()
        self._active -= 1
        return self._each - began

    def _advance(self) -> None:
        now = self._clock()
        if self._active:
            self._each += (now - self._last) / self._active
        self._last = now


class Batched(Generic[_Asked, _Row]):
    """One call for all rows that wait, in a thread; while it runs, those of the next one gather."""

    def __init__(
        self,
        name: str,
        ask: Callable[[Sequence[_Asked]], list[_Row]],
        threads: ThreadPoolExecutor,
        clock: Clock,
    ) -> None:
        self._name = name
        self._ask = ask
        self._threads = threads
        self._clock = clock
        self._waiting: list[tuple[Sequence[_Asked], list[_Row | None], asyncio.Future[float]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def fill(
        self, asked: Sequence[_Asked], rows: list[_Row | None], came: Came = _untold
    ) -> float:
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, rows, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        seconds = await done
        came(len(asked))
        return seconds

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whoever is ready now comes along
                batch, self._waiting = self._waiting, []
                batch = [each for each in batch if not each[2].done()]
                flat = [row for asked, _, _ in batch for row in asked]
                began = self._clock()
                try:
                    found = await loop.run_in_executor(self._threads, self._ask, flat)
                    one_each(self._name, found, flat)
                except Exception as error:
                    for _, _, done in batch:
                        if not done.done():
                            done.set_exception(error)
                    continue
                seconds = (self._clock() - began) / max(1, len(flat))
                at = 0
                for asked, rows, done in batch:
                    rows[:] = found[at : at + len(asked)]
                    at += len(asked)
                    if not done.done():
                        done.set_result(seconds * len(asked))
        finally:
            self._worker = None


def one_each(name: str, rows: list[_Row], asked: Sequence[object]) -> list[_Row]:
    """The rows, if there is one for each asked. Raises `RunError` where not."""
    if len(rows) != len(asked):
        raise RunError(
            f"{name} returned {len(rows)} rows for {len(asked)} asked; "
            "an engine returns one row each, in order"
        )
    return rows
