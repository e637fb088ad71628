"""Passes a request on to the model's own server, and its reply back, byte by byte."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from outthink.gateway import refused
from outthink.gateway.refused import Refused
from outthink.gateway.stream import Stream
from outthink.models.http import HttpClient

_HEADERS = (
    *("content-type", "retry-after", "retry-after-ms"),
    *("x-request-id", "openai-processing-ms"),
)
"""Of the server's reply, those that are a client's business."""
_JSON = {"content-type": "application/json"}
_CHAT = "/v1/chat/completions"
"""What every server has."""
LOG = logging.getLogger("outthink.gateway")


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
        self._server = HttpClient(self.url)
        self._root, self._headers = self._server.root, self._server.headers

    async def pass_on(self, path: str, sent: bytes, body: dict[str, Any]) -> Stream:
        """The reply to a request whose body is `sent`, which says `body`; an error of the request's
        own is passed on as well.

        Raises `Refused` for every other error, and where the server cannot be reached.
        """
        request_body = sent if body.get("model") == self.model else self._named(body)
        # As in `HttpClient`: one connection a client, since a pool goes through all of them.
        client = self._idle.pop() if self._idle else self._client()
        held = AsyncExitStack()
        try:
            reply = await client.send(self._request(client, path, request_body), stream=True)
        except httpx.HTTPError as error:
            await client.aclose()
            if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
                raise Refused(
                    504, f"no answer within {self.request_s:g} s", code="deadline"
                ) from error
            LOG.warning("%s cannot be reached (%s)", self._root, type(error).__name__)
            raise refused.upstream(None, is_own=True) from error
        except BaseException:
            await client.aclose()
            raise
        held.push_async_callback(self._leave, client, reply)
        headers = {name: reply.headers[name] for name in _HEADERS if name in reply.headers}
        if reply.status_code < 400:
            return Stream(_bytes(reply), held, status=reply.status_code, headers=headers)
        async with held:
            content = await self._error(path, reply)
        parts = _once(content)
        return Stream(parts, AsyncExitStack(), status=reply.status_code, headers=headers | _JSON)

    async def _error(self, path: str, reply: httpx.Response) -> bytes:
        """An error that is about the request itself, in OpenAI's shape and without a key. Raises
        `Refused` for every other one."""
        try:
            await reply.aread()
        except httpx.HTTPError as error:
            raise refused.upstream(None, is_own=True) from error
        said = self._server.told(reply)
        if said.status == 404 and path != _CHAT:
            raise Refused(
                404,
                f"the model's server has nothing at {path}; ask at {_CHAT}",
                code="upstream_not_offered",
            )
        told = refused.upstream(said, is_own=True)
        if told.code != "upstream_refused":
            LOG.warning("%s answers %s with status %d", self._root, path, said.status)
            raise told
        if _is_error(reply.content):
            return self._server.without_key(reply.text).encode()
        return json.dumps(told.body).encode()

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


def _is_error(content: bytes) -> bool:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("error"), dict)


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


async def _bytes(reply: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for part in reply.aiter_raw():
        yield part
