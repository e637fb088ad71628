"""How many rows a server is asked for at one time.

A server runs some rows and lets the others wait, and says neither. Rows that wait cost nothing
until a request is given up for taking too long: what was written of it is lost, and is written
again. So a server gets few at first, and more as it answers in time, as TCP does with packets (RFC
5681): twice as many with every round of quick answers, half as many after a request given up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

FIRST = 128
"""Rows at the start: as many as a small server runs at once."""
_QUICK = 0.25
"""An answer within this share of the time a request may take shows that there is room for more."""


class Room:
    """Of one event loop. `async with room.take(rows):` around a request waits for its turn; turns
    come in the order in which they were asked for."""

    def __init__(
        self, patience_s: float, *, first: int = FIRST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`patience_s` is how long a request may take."""
        self.limit = first
        """Rows at one time. A request of more goes alone."""
        self._patience_s = patience_s
        self._clock = clock
        self._taken = 0
        self._halved = -math.inf
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, rows: int) -> AsyncIterator[None]:
        """Room for a request of so many rows; it is given back at the end."""
        await self._turn(rows)
        began, full = self._clock(), bool(self._waiting)
        try:
            yield
        except TimeoutError:
            # Those that were sent together are given up together, and show one thing.
            if began >= self._halved:
                self.limit = max(1, min(self.limit, self._taken) // 2)
                self._halved = self._clock()
            raise
        else:
            # Room that nobody waits for tells nothing.
            if full and self._clock() - began < _QUICK * self._patience_s:
                self.limit += rows
        finally:
            self._taken -= rows
            self._admit()

    async def _turn(self, rows: int) -> None:
        if not self._waiting and self._fits(rows):
            self._taken += rows
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = rows, turn
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._taken -= rows
            else:
                self._waiting.remove(place)
            self._admit()
            raise

    def _fits(self, rows: int) -> bool:
        return self._taken == 0 or self._taken + rows <= self.limit

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            rows, turn = self._waiting.popleft()
            self._taken += rows
            turn.set_result(None)
