"""Several servers of one model that look like one.

Requests about one problem go to one server, whose prefix cache has what they begin with; a new
problem goes to the server with the fewest rows in flight, so a slow one gets fewer. A problem moves
where its server has far more to do than another. A server that fails rests, longer each time, and
what it was asked for is asked of the others.

After prefix-affine, load-aware routing as in SGLang's router (Zheng et al. 2024, arXiv 2312.07104).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from outthink.errors import ServerRefused
from outthink.models.capabilities import Capabilities, examine
from outthink.models.http import REQUESTS_IN_FLIGHT, HttpClient, RetryPolicy, status

_FAR_MORE = 2.0
"""Times the rows of the server with the fewest, and `_ROWS` on top, from which a problem moves."""
_ROWS = 32
_REST_S, _LONGEST_REST_S = 1.0, 60.0
"""How long a server rests after it failed: twice as long each time, until it answers."""
_PROBLEMS = 65_536
"""Problems whose server is remembered."""


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
        self._rows = [0] * len(self.servers)
        """In flight at each server."""
        self._rests = [0.0] * len(self.servers)
        """Seconds of the last rest of each."""
        self._until = [0.0] * len(self.servers)
        self._homes: dict[int, int] = {}

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
        place = self._place(home)
        self._rows[place] += rows
        try:
            response = await self.servers[place]._send(method, path, body, rows)
        except (httpx.RequestError, TimeoutError):
            self._rest(place)
            raise
        finally:
            self._rows[place] -= rows
        if status(response) >= 500:
            self._rest(place)
        else:
            self._rests[place] = 0.0
        return response

    def _place(self, home: int | None) -> int:
        """The server for a request about `home`."""
        now = self._clock()
        awake = [place for place, until in enumerate(self._until) if until <= now]
        # Where all rest, the one that has rested longest is tried.
        awake = awake or [min(range(len(self._until)), key=self._until.__getitem__)]
        least = min(awake, key=self._rows.__getitem__)
        if home is None:
            return least
        place = self._homes.pop(home, least)
        if place not in awake or self._rows[place] > _FAR_MORE * self._rows[least] + _ROWS:
            place = least
        if len(self._homes) >= _PROBLEMS:
            del self._homes[next(iter(self._homes))]
        self._homes[home] = place
        return place

    def _rest(self, place: int) -> None:
        """Leave a server alone for a while."""
        rest = min(max(_REST_S, 2 * self._rests[place]), _LONGEST_REST_S)
        # Requests that fail together are one failure.
        if self._until[place] <= self._clock():
            self._rests[place] = rest
            self._until[place] = self._clock() + rest


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
