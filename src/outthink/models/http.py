"""One server over HTTP: a bounded pool of connections, retries that back off, clear errors.

It knows paths and JSON, not what they mean. A response counts once it was read whole and made
sense; one that did not is asked for again, up to `RetryPolicy.tries` times, and then is a
`ServerError`. An error under a status of 200 is an error: proxies begin to answer before the model
does. What would fail for every request is a `ServerRefused`. A key is sent to the server
it is for and shows up nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from outthink.errors import ContextError, Said, ServerError, ServerRefused
from outthink.models.room import Room

OPENAI_HOST = "api.openai.com"
KEY = "OUTTHINK_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
"""Sent to OpenAI alone; every other server gets `OUTTHINK_API_KEY`, where there is one."""

REQUESTS_IN_FLIGHT = 64
"""Most requests at once, each on a connection of its own. More would only wait in the server: vLLM
and llama.cpp run fewer at once."""

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_SHOWN = 200
"""Characters of a server's message that an error repeats."""

_DAY_S = 86_400.0
LARGEST_REPLY = 1 << 30
"""Bytes of one response; more is a server gone wild, and would fill the memory."""
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}
"""Headers that say how a body came, and nothing of what it is."""

_T = TypeVar("_T")


class Malformed(Exception):
    """A response that is not what was asked for; says how."""


_SENSELESS = (Malformed, KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed request is sent again, and how long each wait is."""

    tries: int = 6
    first_wait_s: float = 0.5
    """Doubles with each try; half of it is random, so that clients do not return together."""
    longest_wait_s: float = 60.0
    """Also bounds the wait that a server asks for (`Retry-After`)."""
    patience_s: float = math.inf
    """All waits of one request together; one that would go beyond ends the tries."""
    request_s: float = 600.0
    """From sending a request to the last byte of its response."""
    connect_s: float = 10.0

    def wait_s(self, number: int, rng: random.Random, told: float = 0.0) -> float:
        """Seconds after `number` tries that failed: twice as long each time, never less than the
        server says (`told`)."""
        wait = self.first_wait_s * 2.0 ** (number - 1) * (0.5 + rng.random() / 2)
        return min(max(wait, told), self.longest_wait_s)


class HttpClient:
    """Requests to one server. `aclose` closes its connections; the next request opens new ones, in
    whatever event loop it is made."""

    def __init__(
        self,
        url: str,
        *,
        requests_in_flight: int = REQUESTS_IN_FLIGHT,
        retry: RetryPolicy = RetryPolicy(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        """Raises `ServerRefused` for what is no address of a server."""
        self.root = _root(url)
        self._requests_in_flight = requests_in_flight
        self._retry = retry
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._all: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._closing: set[asyncio.Future[None]] = set()
        self._verify: ssl.SSLContext | bool | None = None
        self._open = asyncio.Semaphore(requests_in_flight)
        self._room = Room(retry.request_s)
        self._loop: asyncio.AbstractEventLoop | None = None
        variable = OPENAI_KEY if httpx.URL(self.root).host == OPENAI_HOST else KEY
        self._variable = variable
        self._key = os.environ.get(variable, "").strip()
        self.headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        """Headers of every request."""

    def __repr__(self) -> str:
        return f"HttpClient({self.root!r})"

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[Any], _T],
        *,
        rows: int = 1,
        home: int | None = None,
    ) -> _T:
        """What `read` makes of the JSON in the response; `read` raises `Malformed`, `KeyError`,
        `TypeError`, `ValueError`, `IndexError` or `AttributeError` where it cannot. `rows` is how
        many the server has to write for it; requests of one `home` begin alike, and go to one
        server where there are several (`models.fleet`).

        Raises `ServerError`, `ContextError`, `ServerRefused`.
        """
        return await self._ask("POST", path, body, read, rows, home)

    async def get(self, path: str, read: Callable[[Any], _T]) -> _T:
        """As `post`, without a body."""
        return await self._ask("GET", path, None, read)

    async def once(
        self, path: str, body: dict[str, Any] | None = None, *, tries: int = 1
    ) -> httpx.Response | None:
        """The response, whatever its status; `None` where none came. For finding out what a server
        can do: `tries` bounds how often it is asked where it fails or is busy."""
        response = None
        for number in range(tries):
            if number:
                await self._sleep(self._retry.wait_s(number, self._rng))
            try:
                response = await self._send("GET" if body is None else "POST", path, body)
            except (httpx.RequestError, TimeoutError):
                response = None
            if response is not None and status(response) not in _AGAIN:
                break
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._all, self._idle = self._all, [], []
        for client in clients:
            await client.aclose()
        await asyncio.gather(*self._closing)

    async def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        read: Callable[[Any], _T],
        rows: int = 1,
        home: int | None = None,
    ) -> _T:
        retry, trouble, waited = self._retry, "", 0.0
        cause: Exception | None = None
        said: Said | None = None
        tries = 0
        while tries < retry.tries:
            if tries:
                wait_s = retry.wait_s(tries, self._rng, said.wait_s if said else 0.0)
                waited += wait_s
                if waited > retry.patience_s:
                    break
                await self._sleep(wait_s)
            tries += 1
            said = None
            try:
                response = await self._send(method, path, body, rows, home)
            except httpx.RequestError as error:
                trouble, cause = _named(error), error
                continue
            except TimeoutError as error:
                trouble, cause = f"no response within {retry.request_s:g} s", error
                continue
            if status(response) in _AGAIN:
                self._check_quota(response)
                said = self.told(response)
                trouble, cause = said.text, None
                continue
            self._check(path, response)
            try:
                return read(self.json(response))
            except ServerRefused:
                raise
            except _SENSELESS as error:
                trouble, cause = f"a response that makes no sense ({_short(_named(error))})", error
        raise ServerError(
            f"{self.root}{path}: {trouble}, {_times(tries)}; check the server and give the "
            "same command again",
            said,
        ) from cause

    async def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        rows: int = 1,
        home: int | None = None,
    ) -> httpx.Response:
        """One request, sent once fewer than `requests_in_flight` are open and there is room for its
        rows."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Connections of a loop that has ended cannot be closed any more, only forgotten.
            self._loop = loop
            self._open = asyncio.Semaphore(self._requests_in_flight)
            self._room = Room(self._retry.request_s)
            self._idle, self._all, self._closing = [], [], set()
        async with self._open, self._room.take(rows), asyncio.timeout(self._retry.request_s):
            client = self._idle.pop() if self._idle else self._client()
            try:
                response = await _whole(client, method, self.root + path, body)
            except BaseException as error:
                # Its connection may be in the middle of a response, above all where it was
                # cancelled.
                self._all = [other for other in self._all if other is not client]
                closing = asyncio.ensure_future(client.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
                if isinstance(error, httpx.ReadTimeout):
                    raise TimeoutError from error
                raise
            if client in self._all:
                self._idle.append(client)
            return response

    def _client(self) -> httpx.AsyncClient:
        """A client for one request at a time.

        httpx has a pool of its own, but goes through all of its connections with every request: at
        64 of them that takes several times as long as the request.
        """
        if self._verify is None:
            secure = self.root.startswith("https")
            self._verify = httpx.create_ssl_context() if secure else False
        client = httpx.AsyncClient(
            headers=self.headers,
            timeout=httpx.Timeout(self._retry.request_s, connect=self._retry.connect_s),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            verify=self._verify,
            # A proxy that the environment names is not meant for servers on this machine.
            trust_env=httpx.URL(self.root).host not in _THIS_MACHINE,
        )
        self._all.append(client)
        return client

    def _check(self, path: str, response: httpx.Response) -> None:
        """Raises the error of a status that another try would not change."""
        code = status(response)
        if code == 200:
            return
        told = self.told(response)
        said = told.text
        if code in (401, 403):
            have = "was refused" if self._key else "is needed"
            raise ServerRefused(f"{self.root}: a key {have} ({said}); set {self._variable}", told)
        self._check_quota(response)
        if _is_about_context(response):
            raise ContextError(
                f"{self.root}: the prompt is longer than the model reads ({said}); shorten it, "
                "or serve the model with a longer context",
                told,
            )
        if code == 404 or 300 <= code < 400:
            raise ServerRefused(
                f"{self.root}{path}: not found ({said}); check the address, and the model's name "
                "with 'outthink doctor'",
                told,
            )
        if code in (405, 501):
            raise ServerRefused(
                f"{self.root}{path}: not offered ({said}); use another server", told
            )
        raise ServerError(
            f"{self.root}{path}: refused ({said}); 'outthink doctor' tests the server", told
        )

    def _check_quota(self, response: httpx.Response) -> None:
        told = self.told(response)
        if told.has_no_quota:
            raise ServerRefused(
                f"{self.root}: the account behind the key has nothing left "
                f"({told.text}); add to it, or set another {self._variable}",
                told,
            )

    def told(self, response: httpx.Response) -> Said:
        """What a response says that is no answer."""
        code = status(response)
        has_no_quota = code == 402 or "insufficient_quota" in response.text
        return Said(self.root, code, self.said(response), _retry_after(response), has_no_quota)

    def said(self, response: httpx.Response) -> str:
        """A status and the server's message, on one line, without the key."""
        text = response.text
        try:
            error = json.loads(text)
            error = error.get("error", error)
            text = error if isinstance(error, str) else str(error.get("message", error))
        except (ValueError, AttributeError, RecursionError):
            pass
        text = self.without_key(text)
        code = status(response)
        return _short(f"{code}: {text}" if text.strip() else f"{code}")

    def without_key(self, text: str) -> str:
        """A text of the server that may repeat the key, without it, nor halves of characters."""
        text = text.encode("utf-8", "replace").decode()
        return text.replace(self._key, "***") if self._key else text

    def json(self, response: httpx.Response) -> Any:
        """The JSON of a response. Raises `Malformed` where it is none, `ServerRefused` where it is
        a stream."""
        try:
            # What is no number is none, wherever it stands.
            return json.loads(response.content, parse_constant=lambda _: None)
        except RecursionError as error:
            raise Malformed("nested without end") from error
        except ValueError as error:
            text = response.text.strip()
            if text.startswith(("data:", "event:", ": ")):
                raise ServerRefused(
                    f"{self.root}: streams what it was asked for whole; turn that off, or put a "
                    "proxy before it that gathers it",
                    self.told(response),
                ) from error
            if text[:1] == "<":
                raise Malformed("a web page; is this the address of a model server?") from error
            raise Malformed(f"not JSON: {text[:40]!r}") from error


async def _whole(
    client: httpx.AsyncClient, method: str, url: str, body: dict[str, Any] | None
) -> httpx.Response:
    """A response, read to its end. Raises `httpx.ReadError` for one that has none."""
    async with client.stream(method, url, json=body) as response:
        came = bytearray()
        async for some in response.aiter_bytes():
            came += some
            if len(came) > LARGEST_REPLY:
                raise httpx.ReadError(f"a response of more than {LARGEST_REPLY} bytes")
    headers = [
        (name, value) for name, value in response.headers.items() if name not in _OF_THE_WIRE
    ]
    return httpx.Response(response.status_code, headers=headers, content=bytes(came))


def _root(url: str) -> str:
    """An address without the `/v1` that clients of OpenAI give."""
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ServerRefused(f"{url!r} is no address; write http://HOST:PORT") from error
    if parsed.userinfo:
        raise ServerRefused(f"an address with a password in it; leave it out and set {KEY}")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query:
        raise ServerRefused(f"{url!r} is no address of a server; write http://HOST:PORT")
    return str(parsed.copy_with(fragment=None)).rstrip("/").removesuffix("/v1").rstrip("/")


def status(response: httpx.Response) -> int:
    """The status of a response; under 200, that of the error which it holds in place of an
    answer."""
    if response.status_code != 200 or b'"error"' not in response.content:
        return response.status_code
    try:
        value = json.loads(response.content)
        error = None if value.get("choices") else value.get("error")
    except (ValueError, AttributeError, RecursionError):
        return 200
    if not error:
        return 200
    told = error if isinstance(error, dict) else {}
    code = told.get("code")
    if type(code) is int and 400 <= code < 600:
        return code
    return 400 if "invalid" in str(told.get("type")) else 500


def _is_about_context(response: httpx.Response) -> bool:
    if status(response) not in (400, 413, 422):
        return False
    text = response.text
    return any(
        mark in text
        for mark in ("context_length_exceeded", "exceed_context_size", "maximum context length")
    )


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks for: a number of them, or a date; no more than a day."""
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text)
    return min(max(0.0, seconds), _DAY_S) if math.isfinite(seconds) else 0.0


def _until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _named(error: Exception) -> str:
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
