"""A response that is sent as it is made, and ends its making when the client has gone.

A client has its time for what it sends and takes: one that dawdles is let go, since it holds a
place that others wait for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from outthink.gateway.refused import Refused

LOG = logging.getLogger("outthink.gateway")
_T = TypeVar("_T")
EVENTS = "text/event-stream; charset=utf-8"
SENDS_S, TAKES_S = 30.0, 30.0
"""For a body to be sent whole, and for a part of a response to be taken."""
GONE = 499
"""The status, which nobody is there to read, of a request whose client has gone (nginx's)."""


class Stream(Response):
    """Bytes of a generator. `held` is let go when all is sent, or the client has gone."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        held: AsyncExitStack,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        given = {"content-type": EVENTS, "cache-control": "no-store", "x-accel-buffering": "no"}
        self.status_code = status
        self.background = None
        self.body = b""
        self.init_headers(given if headers is None else headers)
        # No length is known.
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        self._parts = parts
        self._held = held
        self._hear: Callable[[bytes], None] = lambda part: None
        self._end: Callable[[], None] = lambda: None

    def overheard_by(self, hear: Callable[[bytes], None], end: Callable[[], None]) -> None:
        """Tell somebody of every part before it is sent, and of the end: before the client is told
        of it, or when the client has gone, and maybe twice."""
        self._hear, self._end = hear, end
        self._held.callback(end)

    def hold(self, more: AsyncExitStack) -> None:
        """Let go of this too."""
        self._held.push_async_exit(more)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held, aclosing(self._parts):
            sending = asyncio.create_task(self._send(send))
            try:
                await until_gone(sending, receive)
            except TimeoutError:
                LOG.warning("a client took no part of its response for %g s", TAKES_S)

    async def _send(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async for part in self._parts:
            self._hear(part)
            async with asyncio.timeout(TAKES_S):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        self._end()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_gone(doing: asyncio.Task[_T], receive: Receive) -> _T | None:
    """The result of a task; `None`, and the task is cancelled, where the client goes first."""
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, gone):
            task.cancel()
        await asyncio.gather(doing, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def with_silence(parts: AsyncIterator[_T], seconds: float) -> AsyncGenerator[_T | None, None]:
    """The same, and `None` whenever nothing came for so long."""
    waiting: asyncio.Future[_T] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(_next(parts))
            await asyncio.wait({waiting}, timeout=seconds)
            if not waiting.done():
                yield None
                continue
            done, waiting = waiting, None
            try:
                part = done.result()
            except _Ended:
                return
            yield part
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


class _Ended(Exception):
    """A `StopAsyncIteration` cannot be the result of a task."""


async def _next(parts: AsyncIterator[_T]) -> _T:
    try:
        return await anext(parts)
    except StopAsyncIteration:
        raise _Ended from None


async def read_body(request: Request, most: int) -> bytes:
    """The body of a request. Raises `Refused` for one that is longer than `most` bytes, that takes
    too long, or whose client goes."""
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > most:
        raise _too_long(most)
    try:
        async with asyncio.timeout(SENDS_S):
            return await _read(request, most)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {SENDS_S:g} s", code="slow") from None
    except ClientDisconnect:
        raise Refused(GONE, "the client has gone", code="gone") from None


async def _read(request: Request, most: int) -> bytes:
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise _too_long(most)
        parts.append(part)
    return b"".join(parts)


def _too_long(most: int) -> Refused:
    return Refused(413, f"a body of more than {most} bytes", code="too_large")
