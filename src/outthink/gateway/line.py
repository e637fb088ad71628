"""Who is next: requests wait in a line for each key, and the key that had least is served first.

What a key has had is counted in tokens, when an answer is there; until then a request counts as
what requests came to so far. A key that asks for nothing saves nothing up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from outthink.gateway.refused import Refused

_KEPT = 0.9
"""Of the mean, when another request is done."""


@dataclass(slots=True)
class Turn:
    """A request that is served; whoever has it says what it came to."""

    tokens: int = 0


@dataclass(eq=False)
class Line:
    """`async with line.turn(key) as turn: ...; turn.tokens = spent`."""

    at_once: int
    waiting: int
    clock: Callable[[], float] = time.monotonic
    running: int = 0
    _lines: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)
    _had: dict[str, float] = field(default_factory=dict)
    """Tokens of what is done, by key."""
    _expected: dict[str, float] = field(default_factory=dict)
    """Of what is under way, by key."""
    _under_way: dict[str, int] = field(default_factory=dict)
    _mean_tokens: float = 1.0
    _mean_s: float = 1.0

    @property
    def length(self) -> int:
        """Requests that wait."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[Turn]:
        """A turn for a request of this key. Raises `Refused` (429) where too many wait."""
        await self._wait(key)
        guess, began, turn = self._mean_tokens, self.clock(), Turn()
        self._expected[key] = self._expected.get(key, 0.0) + guess
        try:
            yield turn
        finally:
            self._expected[key] -= guess
            self._had[key] += turn.tokens
            self._mean_tokens = _KEPT * guess + (1 - _KEPT) * max(1, turn.tokens)
            self._mean_s = _KEPT * self._mean_s + (1 - _KEPT) * (self.clock() - began)
            self._leave(key)

    async def _wait(self, key: str) -> None:
        if self._idle(key):
            # It begins where those are that are served now: nothing is saved up.
            others = [self._had[other] for other in self._busy()]
            self._had[key] = max(self._had.get(key, 0.0), min(others, default=0.0))
        if self.running < self.at_once and not self.length:
            self._enter(key)
            return
        self._refuse_where_full(key)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(key, deque())
        line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(key)
            elif place in line:
                line.remove(place)
                self._forget(key)
            raise

    def _refuse_where_full(self, key: str) -> None:
        """A key alone may have the whole line; beside others, its share."""
        mine = len(self._lines.get(key, ()))
        share = self.waiting / (len(self._busy() | {key}))
        if self.length >= self.waiting or mine >= max(1.0, share):
            seconds = math.ceil(max(1.0, self._mean_s * (self.length + 1) / self.at_once))
            raise Refused(
                429,
                f"{self.length} requests wait already; try again in {seconds} s",
                code="too_many_requests",
                retry_after_s=seconds,
            )

    def _busy(self) -> set[str]:
        return set(self._under_way) | set(self._lines)

    def _idle(self, key: str) -> bool:
        return key not in self._under_way and key not in self._lines

    def _comes_to(self, key: str) -> float:
        return self._had[key] + self._expected.get(key, 0.0)

    def _enter(self, key: str) -> None:
        self.running += 1
        self._under_way[key] = self._under_way.get(key, 0) + 1

    def _leave(self, key: str) -> None:
        self.running -= 1
        self._under_way[key] -= 1
        if not self._under_way[key]:
            del self._under_way[key]
        while self.running < self.at_once and self._lines:
            first = min(self._lines, key=self._comes_to)
            place = self._lines[first].popleft()
            self._forget(first)
            if not place.done():
                self._enter(first)
                place.set_result(None)

    def _forget(self, key: str) -> None:
        if key in self._lines and not self._lines[key]:
            del self._lines[key]
