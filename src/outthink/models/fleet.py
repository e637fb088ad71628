"""Several servers of one model that look like one.

Requests about one problem go to one server, whose prefix cache has what they begin with; a new
problem goes where it will wait least, by what is in flight there and how long answers took. A
problem moves where its server would keep it far longer than another. A server that fails rests,
longer each time; what it was asked for is asked of another one at once, and after its rest it is
tried with one request.

After prefix-affine, load-aware routing as in SGLang's router (Zheng et al. 2024, arXiv 2312.07104).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from outthink.errors import ServerRefused
from outthink.models.capabilities import Capabilities, examine
from outthink.models.http import REQUESTS_IN_FLIGHT, HttpClient, RetryPolicy, status

_FAR_MORE, _AND_S = 2.0, 0.5
"""Times the seconds to wait at the best server, and seconds on top, from which a problem moves."""
_SHARE = 0.1
"""What the last answer counts in the mean of how long answers take."""
_SLOWER = 1.02
"""By how much the quickest answer of a server is forgotten with each of its answers."""
_REST_S, _LONGEST_REST_S = 1.0, 60.0
"""How long a server rests after it failed: twice as long each time, until it answers."""
_PROBLEMS = 65_536
"""Problems whose server is remembered."""


@dataclass(slots=True)
class _Server:
    """One server, as its answers show it."""

    client: HttpClient
    rows: int = 0
    """In flight."""
    pace_s: float | None = None
    """Seconds that an answer took, by the rows that were in flight with it; a mean of the last."""
    quickest_s: float = 0.0
    rest_s: float = 0.0
    """Of the last rest; 0 where the last request was answered."""
    until_s: float = 0.0
    """When the rest ends, by the clock."""

    def wait_s(self, rows: int, usual_s: float) -> float:
        """Seconds until it will have answered a request of so many rows, by Little's law; at the
        usual pace where it has not answered any."""
        pace_s = usual_s if self.pace_s is None else self.pace_s
        return max(self.quickest_s, pace_s * (self.rows + rows))

    def answered(self, seconds: float, rows: int) -> None:
        """Take in an answer, and how many rows were in flight when it was asked for."""
        self.rest_s = 0.0
        pace_s = seconds / rows
        if self.pace_s is None:
            self.pace_s, self.quickest_s = pace_s, seconds
        self.pace_s += _SHARE * (pace_s - self.pace_s)
        self.quickest_s = min(seconds, _SLOWER * self.quickest_s)

    def is_awake(self, now: float) -> bool:
        """Whether it may be asked: after a rest, for one answer that shows that it is back."""
        return self.until_s <= now and not (self.rest_s and self.rows)

    def rest(self, now: float) -> None:
        """Be left alone for a while. Requests that fail together are one failure."""
        if self.until_s <= now:
            self.rest_s = min(max(_REST_S, 2 * self.rest_s), _LONGEST_REST_S)
            self.until_s = now + self.rest_s


class Fleet(HttpClient):
    """Requests to servers of one model. Raises what `HttpClient` does, and tries again on other
    servers first."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        requests_in_flight: int = REQUESTS_IN_FLIGHT,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        """`requests_in_flight` is of each server; `options` as `HttpClient` has them."""
        super().__init__(urls[0], requests_in_flight=requests_in_flight, retry=retry, **options)
        self.servers = [
            HttpClient(url, requests_in_flight=requests_in_flight, retry=retry, **options)
            for url in urls
        ]
        self.root = ", ".join(server.root for server in self.servers)
        self._clock = clock
        self._loads = [_Server(client) for client in self.servers]
        self._homes: dict[int, _Server] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        for server in self.servers:
            await server.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        rows: int = 1,
        home: int | None = None,
    ) -> httpx.Response:
        for _ in self.servers[1:]:
            server = self._place(rows, home)
            try:
                response = await self._asked(server, method, path, body, rows)
            except httpx.RequestError:
                continue
            if status(response) < 500:
                return response
        return await self._asked(self._place(rows, home), method, path, body, rows)

    async def _asked(
        self, server: _Server, method: str, path: str, body: dict[str, Any] | None, rows: int
    ) -> httpx.Response:
        """One request of one server, and what it shows of it."""
        server.rows += rows
        began, together = self._clock(), server.rows
        try:
            response = await server.client._send(method, path, body, rows)
        except (httpx.RequestError, TimeoutError):
            server.rest(self._clock())
            raise
        finally:
            server.rows -= rows
        if status(response) >= 500:
            server.rest(self._clock())
        else:
            server.answered(self._clock() - began, together)
        return response

    def _place(self, rows: int, home: int | None) -> _Server:
        """The server for a request about `home`."""
        now = self._clock()
        awake = [server for server in self._loads if server.is_awake(now)]
        # Where all rest, the one that has rested longest is tried.
        awake = awake or [min(self._loads, key=lambda server: server.until_s)]
        usual_s = min((one.pace_s for one in self._loads if one.pace_s is not None), default=0.0)
        waits = {id(server): server.wait_s(rows, usual_s) for server in awake}
        # Of two that are alike the one that was never asked, or its pace would never be known.
        least = min(awake, key=lambda one: (waits[id(one)], one.pace_s is not None, one.rows))
        if home is None:
            return least
        server = self._homes.pop(home, least)
        if waits.get(id(server), math.inf) > _FAR_MORE * waits[id(least)] + _AND_S:
            server = least
        if len(self._homes) >= _PROBLEMS:
            del self._homes[next(iter(self._homes))]
        self._homes[home] = server
        return server


async def examined(client: HttpClient, model: str | None = None) -> Capabilities:
    """What a server can do (`capabilities.examine`), and all servers of a fleet: each is tried.

    Raises `ServerRefused` where one cannot be reached, or is not as the others are.
    """
    if not isinstance(client, Fleet):
        return await examine(client, model)
    told = [await examine(server, model) for server in client.servers]
    first = told[0]
    for other in told[1:]:
        if _pinned(other) != _pinned(first):
            raise ServerRefused(
                f"{other.url} is not as {first.url} is: {_difference(first, other)}; several "
                "addresses stand for one model on servers of one kind"
            )
    return first


_PINNED = ("kind", "model", "weights", "context", "token_ids_in", "token_ids_out", "logprobs")
"""In these servers of one model have to be alike."""


def _pinned(server: Capabilities) -> dict[str, Any]:
    return {name: getattr(server, name) for name in _PINNED}


def _difference(first: Capabilities, other: Capabilities) -> str:
    name = next(name for name in _PINNED if getattr(first, name) != getattr(other, name))
    return f"{name} is {getattr(other, name)!r} there, and {getattr(first, name)!r} here"


def client(
    url: str,
    *,
    requests_in_flight: int = REQUESTS_IN_FLIGHT,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
) -> HttpClient:
    """A client of one server, or of several: addresses with commas between them."""
    urls = [part.strip() for part in url.split(",") if part.strip()]
    if len(urls) > 1:
        return Fleet(urls, requests_in_flight=requests_in_flight, retry=retry)
    return HttpClient(url, requests_in_flight=requests_in_flight, retry=retry)
