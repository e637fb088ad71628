"""Lets go of connections that hold a place and ask for nothing.

uvicorn closes a connection that is silent between two requests, but waits for ever for the rest of
a head that has begun, and for a client that does not read the end of its reply. What a request's
body and the parts of a stream may take is the business of `stream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from outthink.gateway.stream import SENDS_S

_EVERY_S = 1.0


class Dawdlers:
    """The connections of a server that asked for nothing when it last looked."""

    def __init__(self, slow_s: float) -> None:
        self._slow_s = slow_s
        self._since: dict[Any, tuple[object, float]] = {}
        """By connection: its last request, and when it was first seen to be over."""

    def look(self, connections: Collection[Any], now: float) -> None:
        """Close whatever has been idle for too long, and break off what does not let itself be
        closed. `now` in seconds, by any clock."""
        idle = [one for one in connections if _asks_for_nothing(one)]
        before, self._since = self._since, {}
        for one in idle:
            request, since = before.get(one, (one.cycle, now))
            if request is not one.cycle:
                since = now
            self._since[one] = one.cycle, since
            if now - since > 2 * self._slow_s:
                one.transport.abort()
            elif now - since > self._slow_s:
                one.transport.close()


def _asks_for_nothing(connection: Any) -> bool:
    cycle = connection.cycle
    return cycle is None or cycle.response_complete or connection.transport.is_closing()


async def let_go(connections: Collection[Any]) -> None:
    """Look at them again and again, for as long as they are served."""
    known, loop = Dawdlers(SENDS_S), asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_EVERY_S)
        known.look(connections, loop.time())
