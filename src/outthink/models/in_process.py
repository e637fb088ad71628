"""Makes engines in this process look like served ones: rows that wait share one call in a thread.

Served engines answer rows one by one, engines in this process answer all rows of a call at once.
`proposer` and `verifier` make the second kind look like the first, so that the runner knows a
single protocol; `in_flight` sends the rows of a served engine one by one. All engines in process
share one thread, so that one computes at a time. Knows nothing of searches or stores.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from outthink.errors import RunError
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

_Asked = TypeVar("_Asked")
_Row = TypeVar("_Row")

_TURNS = 8
"""Turns of the event loop that a call waits. Searches that were just sent rows ask for the next
ones within these turns, and their rows join the call."""


def proposer(engine: Proposer | BatchProposer) -> Proposer:
    """The engine itself, or an adapter to a proposer in this process."""
    # An engine that only draws need not have `decode`, so the method is looked for, not the type.
    if hasattr(engine, "propose_batch"):
        return InProcessProposer(cast(BatchProposer, engine))
    return engine


def verifier(engine: Verifier | BatchVerifier) -> Verifier:
    """The engine itself, or an adapter to a verifier in this process."""
    if hasattr(engine, "verify_batch"):
        return InProcessVerifier(cast(BatchVerifier, engine))
    return engine


class InProcessProposer:
    """A proposer in this process, asked for the rows of all searches that wait in one call."""

    def __init__(self, engine: BatchProposer) -> None:
        self.engine = engine
        self.name = engine.name
        self.asked: str = getattr(engine, "asked", "")
        self.reads_words: bool = getattr(engine, "reads_words", True)
        self.reader: str = getattr(engine, "reader", "")
        self.read: Callable[[str], str | None] | None = getattr(engine, "read", None)
        self._queue = EngineQueue(engine.name, engine.propose_batch)

    def propose(self, draws: Sequence[Draw]) -> CallRows[Drawn]:
        """Rows in the order asked, all at once."""
        return self._queue.rows(draws)

    async def text(self, tokens: Sequence[int]) -> str:
        """The text of these token ids."""
        return self.engine.decode(tokens)


class InProcessVerifier:
    """A verifier in this process; see `InProcessProposer`."""

    def __init__(self, engine: BatchVerifier) -> None:
        self.engine = engine
        self.name = engine.name
        self._queue = EngineQueue(engine.name, engine.verify_batch)

    def verify(self, solutions: Sequence[Solution]) -> CallRows[Verified]:
        """Rows in the order asked, all at once."""
        return self._queue.rows(solutions)


class EngineQueue(Generic[_Asked, _Row]):
    """Where rows for one engine in this process wait for its next call."""

    def __init__(self, name: str, ask: Callable[[Sequence[_Asked]], list[_Row]]) -> None:
        self.name = name
        self.ask = ask

    def rows(self, asked: Sequence[_Asked]) -> CallRows[_Row]:
        """The rows, in order, all at once; the seconds of the call are shared equally among its
        rows.

        Raises what the engine raised, and `RunError` where it returns another number of rows.
        Where it is cancelled in the turn of the event loop in which the rows came, it still yields
        them.
        """
        return CallRows(partial(self._submit, asked))

    def _submit(self, asked: Sequence[_Asked]) -> _Done:
        return _Dispatcher.here().submit(self, asked)


class CallRows(Generic[_Row]):
    """The rows of a call: one by one, or all of them by `batch`. They are asked for when the first
    is."""

    def __init__(self, submit: Callable[[], _Done]) -> None:
        self._submit = submit
        self._asked = False
        self._left: deque[Arrival[_Row]] = deque()
        self._cancelled: asyncio.CancelledError | None = None

    async def batch(self) -> list[Arrival[_Row]]:
        """All rows; none when called again."""
        if self._asked:
            cancelled, self._cancelled = self._cancelled, None
            if cancelled is not None:
                raise cancelled
            return []
        self._asked = True
        done = self._submit()
        try:
            await done
        except asyncio.CancelledError as error:
            if done.cancelled():
                raise
            self._cancelled = error
        rows, seconds = done.result()
        return [Arrival(index, row, seconds) for index, row in enumerate(rows)]

    def __aiter__(self) -> CallRows[_Row]:
        return self

    async def __anext__(self) -> Arrival[_Row]:
        if not self._left:
            self._left.extend(await self.batch())
        if not self._left:
            raise StopAsyncIteration
        return self._left.popleft()


class _Dispatcher:
    """Calls engines of one event loop one after the other, each with all the rows that wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, "outthink-engine")
        self._waiting: dict[EngineQueue[Any, Any], list[tuple[Sequence[Any], _Done]]] = {}
        self._worker: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> _Dispatcher:
        """The dispatcher of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in _dispatchers:
            _dispatchers[loop] = cls()
        return _dispatchers[loop]

    def submit(self, queue: EngineQueue[_Asked, _Row], asked: Sequence[_Asked]) -> _Done:
        done: _Done = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(queue, []).append((asked, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return done

    async def _work(self) -> None:
        try:
            while self._waiting:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                queue = next(iter(self._waiting))
                batch = [waiting for waiting in self._waiting.pop(queue) if not waiting[1].done()]
                if batch:
                    await self._call(queue, batch)
        finally:
            self._worker = None

    async def _call(
        self, queue: EngineQueue[Any, Any], batch: Sequence[tuple[Sequence[Any], _Done]]
    ) -> None:
        flat = [row for asked, _ in batch for row in asked]
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        try:
            rows = await loop.run_in_executor(self._threads, queue.ask, flat)
            if len(rows) != len(flat):
                raise RunError(
                    f"{queue.name} returned {len(rows)} rows for {len(flat)} asked; "
                    "an engine returns one row each, in order"
                )
        except Exception as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        seconds = (time.perf_counter() - began) / max(1, len(flat))
        start = 0
        for asked, done in batch:
            if not done.done():
                done.set_result((rows[start : start + len(asked)], seconds))
            start += len(asked)


_dispatchers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Dispatcher] = WeakKeyDictionary()
_Done = asyncio.Future[tuple[list[Any], float]]


class SharedTime:
    """Shares each second equally among the rows in flight, so that all rows together took as long
    as the engine was busy."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._active = 0
        self._last = 0.0
        self._share = 0.0
        """Seconds that a row in flight from the start would have been charged."""

    def enter(self) -> float:
        """To be called when a row is asked for; returns what `leave` needs."""
        self._advance()
        self._active += 1
        return self._share

    def leave(self, began: float) -> float:
        """To be called when the row has come or failed; returns its seconds."""
        self._advance()
        self._active -= 1
        return self._share - began

    def _advance(self) -> None:
        now = self._clock()
        if self._active:
            self._share += (now - self._last) / self._active
        self._last = now


async def in_flight(
    ask: Callable[[_Asked], Awaitable[_Row]], asked: Sequence[_Asked], time: SharedTime
) -> AsyncIterator[Arrival[_Row]]:
    """One request a row, all in flight at once; rows as they come.

    A `RunError` of one row is raised once the others have come, since they are paid for. Any other
    error, or being cancelled, ends it at once: it still yields the rows that have come, and cancels
    the requests in flight.
    """
    arrived: asyncio.Queue[Arrival[_Row] | BaseException] = asyncio.Queue()

    async def one(index: int) -> None:
        began, seconds = time.enter(), 0.0
        try:
            row = await ask(asked[index])
        except Exception as error:
            arrived.put_nowait(error)
            return
        finally:
            seconds = time.leave(began)
        arrived.put_nowait(Arrival(index, row, seconds))

    tasks = [asyncio.create_task(one(index)) for index in range(len(asked))]
    failed: RunError | None = None
    ending: BaseException | None = None
    left = len(tasks)
    try:
        while left and (ending is None or not arrived.empty()):
            try:
                arrival = await arrived.get()
            except asyncio.CancelledError as cancelled:
                ending = cancelled
                continue
            left -= 1
            if isinstance(arrival, RunError):
                failed = failed or arrival
            elif isinstance(arrival, BaseException):
                ending = ending or arrival
            else:
                yield arrival
        if ending is not None:
            raise ending
        if failed is not None:
            raise failed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
