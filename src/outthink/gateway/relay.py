"""Passes a request on to the model's own server, and its reply back, byte by byte."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from outthink.gateway.refused import Refused
from outthink.gateway.stream import Stream
from outthink.models.http import HttpClient

_HEADERS = ("content-type", "retry-after", "x-request-id", "openai-processing-ms")
"""Of the server's reply, those that are a client's business."""


@dataclass(eq=False)
class Relay:
    """To one model of one server. Which server is said where the gateway is started, never by a
    request."""

    url: str
    model: str
    connect_s: float = 10.0
    request_s: float = 600.0
    _idle: list[httpx.AsyncClient] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = HttpClient(self.url)
        self._root, self._headers = known.root, known.headers

    async def pass_on(self, path: str, sent: bytes, body: dict[str, Any]) -> Stream:
        """The reply to a request whose body is `sent`, which says `body`.

        Raises `Refused` (502) where the server cannot be reached.
        """
        request_body = sent if body.get("model") == self.model else self._named(body)
        # As in `HttpClient`: one connection a client, since a pool goes through all of them.
        client = self._idle.pop() if self._idle else self._client()
        held = AsyncExitStack()
        try:
            reply = await client.send(self._request(client, path, request_body), stream=True)
        except httpx.HTTPError as error:
            await client.aclose()
            named = type(error).__name__
            raise Refused(
                502, f"the model's server cannot be reached ({named})", code="upstream"
            ) from error
        except BaseException:
            await client.aclose()
            raise
        held.push_async_callback(self._leave, client, reply)
        headers = {name: reply.headers[name] for name in _HEADERS if name in reply.headers}
        return Stream(_bytes(reply), held, status=reply.status_code, headers=headers)

    def _named(self, body: dict[str, Any]) -> bytes:
        """The request under the name that the server knows, without words of this program."""
        told = {**body, "model": self.model}
        told.pop("outthink", None)
        if told.get("reasoning_effort") == "none":
            del told["reasoning_effort"]
        if isinstance(told.get("reasoning"), dict) and told["reasoning"].get("effort") == "none":
            told["reasoning"] = {k: v for k, v in told["reasoning"].items() if k != "effort"}
        return json.dumps(told).encode()

    def _request(self, client: httpx.AsyncClient, path: str, content: bytes) -> httpx.Request:
        headers = {**self._headers, "Content-Type": "application/json"}
        return client.build_request("POST", self._root + path, content=content, headers=headers)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            # Bytes are passed on as they come, so they must not come packed.
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self.request_s, connect=self.connect_s),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            trust_env=httpx.URL(self._root).host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def _leave(self, client: httpx.AsyncClient, reply: httpx.Response) -> None:
        whole = reply.is_stream_consumed
        await reply.aclose()
        if whole:
            self._idle.append(client)
        else:
            await client.aclose()  # and with its connection the server's work

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._idle = self._idle, []
        for client in clients:
            await client.aclose()


async def _bytes(reply: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for part in reply.aiter_raw():
        yield part
