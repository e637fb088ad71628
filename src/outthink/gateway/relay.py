"""Passes a request on to the model's own server, and its reply back, byte by byte."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.responses import Response

from outthink.gateway import refused
from outthink.gateway.refused import Refused
from outthink.gateway.reply import sse
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
MOST_BYTES = 64 << 20
"""Of a reply that is no stream."""
LOG = logging.getLogger("outthink.gateway")


@dataclass(slots=True)
class _Asked:
    """A request that is under way."""

    client: httpx.AsyncClient
    reply: httpx.Response
    is_read: bool = False
    """To its end: the connection can take another request."""


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
        # Made once: reading the certificates takes longer than a request.
        secure = self._root.startswith("https")
        self._verify = httpx.create_ssl_context() if secure else False

    async def pass_on(self, path: str, sent: bytes, body: dict[str, Any]) -> Response:
        """The reply to a request whose body is `sent`, which says `body`; an error of the request's
        own is passed on as well.

        A stream is passed on as it comes, anything else once all of it is there, so that half a
        reply is an error and not an answer. Raises `Refused` for every other error, and where the
        server cannot be reached.
        """
        request_body = sent if body.get("model") == self.model else self._named(body)
        async with AsyncExitStack() as held:
            asked = await self._ask(path, request_body, held)
            reply = asked.reply
            headers = _of_clients(reply.headers)
            if _is_stream(reply):
                return Stream(self._events(asked), held.pop_all(), headers=headers)
            content = await self._whole(asked)
        if 200 <= reply.status_code < 300 and _is_answer(content):
            return Response(content, reply.status_code, headers)
        said = httpx.Response(reply.status_code, headers=headers, content=content)
        told, content = self._error(path, said)
        return Response(content, told.status, headers | _JSON)

    async def _ask(self, path: str, content: bytes, held: AsyncExitStack) -> _Asked:
        """A reply whose head has come; `held` keeps its connection."""
        # As in `HttpClient`: one connection a client, since a pool goes through all of them.
        client = self._idle.pop() if self._idle else self._client()
        try:
            reply = await client.send(self._request(client, path, content), stream=True)
        except httpx.HTTPError as error:
            await client.aclose()
            raise self._failed(error) from error
        except BaseException:
            await client.aclose()
            raise
        asked = _Asked(client, reply)
        held.push_async_callback(self._leave, asked)
        return asked

    def _failed(self, error: httpx.HTTPError) -> Refused:
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return Refused(504, f"no answer within {self.request_s:g} s", code="deadline")
        LOG.warning("%s cannot be reached (%s)", self._root, type(error).__name__)
        return refused.upstream(None, is_own=True)

    async def _whole(self, asked: _Asked) -> bytes:
        """All of a reply. Raises `Refused` where it breaks off, or does not end."""
        parts, length = [], 0
        try:
            async for part in asked.reply.aiter_bytes():
                length += len(part)
                if length > MOST_BYTES:
                    raise Refused(
                        502, f"an answer of more than {MOST_BYTES} bytes", code="upstream"
                    )
                parts.append(part)
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        asked.is_read = True
        return b"".join(parts)

    async def _events(self, asked: _Asked) -> AsyncGenerator[bytes, None]:
        """A stream as it comes; where it breaks off, its last event is an error."""
        try:
            async for part in asked.reply.aiter_bytes():
                yield part
            asked.is_read = True
        except httpx.HTTPError as error:
            # What came may have ended within an event.
            yield b"\n\n" + sse(self._failed(error).body)

    def _error(self, path: str, reply: httpx.Response) -> tuple[Refused, bytes]:
        """An error that is about the request itself, and its words in OpenAI's shape and without a
        key. Raises `Refused` for every other one."""
        said = self._server.told(reply)
        if said.status < 400:
            LOG.warning("%s answers %s with nonsense", self._root, path)
            raise refused.upstream(None, is_own=True)
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
            return told, self._server.without_key(reply.text).encode()
        return told, json.dumps(told.body).encode()

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
            verify=self._verify,
            trust_env=httpx.URL(self._root).host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def _leave(self, asked: _Asked) -> None:
        if asked.is_read:
            await asked.reply.aclose()
            self._idle.append(asked.client)
        else:
            await asked.client.aclose()  # and with its connection the server's work

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._idle = self._idle, []
        for client in clients:
            await client.aclose()


def _of_clients(headers: httpx.Headers) -> dict[str, str]:
    told = {name: headers[name] for name in _HEADERS if name in headers}
    return {name: value for name, value in told.items() if value.isascii()}


def _is_stream(reply: httpx.Response) -> bool:
    kind: str = reply.headers.get("content-type", "")
    return reply.status_code == 200 and kind.startswith("text/event-stream")


def _is_answer(content: bytes) -> bool:
    """Whether it is an object of JSON, and not an error under the status of an answer."""
    value = _read(content)
    return isinstance(value, dict) and not (value.get("error") and not value.get("choices"))


def _is_error(content: bytes) -> bool:
    value = _read(content)
    return isinstance(value, dict) and isinstance(value.get("error"), dict)


def _read(content: bytes) -> object:
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value
