"""Chat and text completions: one request from its body to the last byte of its answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from outthink.gateway import asked as asking
from outthink.gateway import refused, reply
from outthink.gateway.asked import Asked, Pass
from outthink.gateway.gateway import Gateway
from outthink.gateway.overheard import Overheard
from outthink.gateway.progress import Thought
from outthink.gateway.refused import Refused, wrong
from outthink.gateway.stream import GONE, Stream, read_body, until_gone, with_silence
from outthink.gateway.wire import ChatRequest, CompletionRequest, Options

_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    sent: bytes
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What the ways of asking differ in."""

    path: str
    prefix: str
    """Of ids."""
    read: Callable[[Gateway, dict[str, Any]], Asked]
    whole: Callable[[reply.Head, list[Thought]], reply.Json]
    streamed: Callable[
        [reply.Head, Asked, AsyncGenerator[Any, None], float], AsyncGenerator[bytes, None]
    ]
    effort: Callable[[dict[str, Any]], object] = lambda body: body.get("reasoning_effort")
    """The word of effort in a body."""


async def received(request: Request, gateway: Gateway) -> Received:
    """The JSON object of a request. Raises `Refused` for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"content type {kind or 'missing'!r}; send application/json")
    sent = await read_body(request, gateway.settings.limits.body_bytes)
    try:
        body = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise wrong("the body is no JSON") from error
    if not isinstance(body, dict):
        raise wrong("the body is no JSON object")
    return Received(sent, body)


def _require_whole_characters(came: Received) -> None:
    """Raises `Refused` for half a surrogate pair, which JSON can write and UTF-8 cannot."""
    if b"\\ud" in came.sent.lower():
        try:
            json.dumps(came.body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start : error.end]
            raise wrong(f"a text has {half!r} in it, which is half a character") from error


def checked(kind: type[_Body], body: dict[str, Any]) -> _Body:
    """A body as it is meant. Raises `Refused`, which names the first field that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        said = "is not known here; leave it out" if unknown else first["msg"]
        code = "unknown_parameter" if unknown else "invalid_value"
        raise wrong(f"'{name}' {said}" if unknown else f"'{name}': {said}", name, code) from error


def _read_chat(gateway: Gateway, body: dict[str, Any]) -> Asked:
    settings = gateway.settings
    request = checked(ChatRequest, body)
    return asking.chat(request, gateway.solver.name, settings.limits, settings.ignore)


def _read_text(gateway: Gateway, body: dict[str, Any]) -> Asked:
    settings = gateway.settings
    request = checked(CompletionRequest, body)
    return asking.completion(request, gateway.solver.name, settings.limits, settings.ignore)


async def answer(kind: Kind, request: Request, gateway: Gateway, who: str) -> Response:
    """The response to one request. Raises `Refused`, `UsageError`, `RunError`.

    A client that goes, while it waits in line too, gives its place to others."""
    began = time.monotonic()
    came = await received(request, gateway)
    making = (
        _passed(kind, came, gateway, who)
        if gateway.relay is not None and _passes(kind, came.body, gateway)
        else _thought_about(kind, came, gateway, who, began)
    )
    response = await until_gone(asyncio.create_task(making), request.receive)
    return Response(status_code=GONE) if response is None else response


async def _thought_about(
    kind: Kind, came: Received, gateway: Gateway, who: str, began: float
) -> Response:
    _require_whole_characters(came)
    asked = kind.read(gateway, came.body)
    gateway.solver.check(asked)
    head = reply.Head(gateway.new_id(kind.prefix), int(time.time()), asked.model)
    async with AsyncExitStack() as held:
        turn = await held.enter_async_context(gateway.turn(who))
        happening = gateway.think(head.id, who, asked, turn, began)
        if not asked.stream:
            return JSONResponse(kind.whole(head, await _all(happening, asked.choices)))
        silence_s = gateway.settings.limits.keep_alive_s
        return Stream(kind.streamed(head, asked, happening, silence_s), held.pop_all())


async def _all(happening: AsyncGenerator[Any, None], choices: int) -> list[Thought]:
    """What each choice came to."""
    thoughts: dict[int, Thought] = {}
    async with aclosing(happening):
        async for number, told in happening:
            if isinstance(told, Thought):
                thoughts[number] = told
    return [thoughts[number] for number in range(choices)]


async def _streamed_chat(
    head: reply.Head, asked: Asked, happening: AsyncGenerator[Any, None], silence_s: float
) -> AsyncGenerator[bytes, None]:
    """What is tried as reasoning, then the answer, then what was spent."""
    for number in range(asked.choices):
        yield reply.sse(reply.chunk(head, number, {"role": "assistant", "content": ""}))
    thoughts: dict[int, Thought] = {}
    try:
        async with aclosing(happening), aclosing(with_silence(happening, silence_s)) as parts:
            async for part in parts:
                for said in _said_in_chat(head, part, thoughts):
                    yield said
    except Exception as error:
        # The status is sent already; clients read an error in an event of its own.
        yield reply.sse(refused.of(error).body)
        return
    if asked.tells_usage:
        yield reply.sse(reply.last_chunk(head, [thoughts[n] for n in range(asked.choices)]))
    yield reply.DONE


def _said_in_chat(head: reply.Head, part: Any, thoughts: dict[int, Thought]) -> list[bytes]:
    """What is sent of one thing that happened, or of silence; `thoughts` gets what is done."""
    if part is None:
        return [reply.KEEP_ALIVE]
    number, told = part
    if not isinstance(told, Thought):
        words = reply.in_words(told)
        return [reply.sse(reply.chunk(head, number, {"reasoning_content": words}))] if words else []
    thoughts[number] = told
    lines = told.text.splitlines(keepends=True)
    deltas = [*({"content": line} for line in lines), *reply.called(told)]
    pieces = [reply.chunk(head, number, delta) for delta in deltas]
    last = reply.chunk(head, number, {}, reply.reason(told))
    return [*map(reply.sse, pieces), reply.sse({**last, "outthink": reply.about(told)})]


async def _streamed_text(
    head: reply.Head, asked: Asked, happening: AsyncGenerator[Any, None], silence_s: float
) -> AsyncGenerator[bytes, None]:
    """The answer, since a text completion has no place for reasoning; then what was spent."""
    thoughts: dict[int, Thought] = {}
    try:
        async with aclosing(happening), aclosing(with_silence(happening, silence_s)) as parts:
            async for part in parts:
                if part is None:
                    yield reply.KEEP_ALIVE
                elif isinstance(part[1], Thought):
                    number, thought = part
                    thoughts[number] = thought
                    for line in thought.text.splitlines(keepends=True):
                        yield reply.sse(reply.text_chunk(head, number, line))
                    yield reply.sse(reply.text_chunk(head, number, "", reply.reason(thought)))
    except Exception as error:
        yield reply.sse(refused.of(error).body)
        return
    if asked.tells_usage:
        told = reply.completion(head, [thoughts[n] for n in range(asked.choices)])
        yield reply.sse({**told, "choices": []})
    yield reply.DONE


CHAT = Kind("/v1/chat/completions", "chatcmpl", _read_chat, reply.chat, _streamed_chat)
TEXT = Kind("/v1/completions", "cmpl", _read_text, reply.completion, _streamed_text)


# The model's own answer -------------------------------------------------------------------------


def _passes(kind: Kind, body: dict[str, Any], gateway: Gateway) -> bool:
    """Whether a request is for the model's own answer."""
    model, effort = body.get("model"), kind.effort(body)
    if not isinstance(model, str):
        return False
    options = checked(Options, body["outthink"]) if "outthink" in body else Options()
    told = effort if isinstance(effort, str) else None
    if model == gateway.solver.name:
        told = None  # whatever the model makes of it
    way = asking.way_of(model, gateway.solver.name, options, told, gateway.settings.limits)
    return isinstance(way, Pass)


async def _passed(kind: Kind, came: Received, gateway: Gateway, who: str) -> Response:
    assert gateway.relay is not None
    async with AsyncExitStack() as held:
        turn = await held.enter_async_context(gateway.turn(who))
        heard = Overheard(len(came.sent))
        try:
            response = await gateway.relay.pass_on(kind.path, came.sent, came.body)
        except asyncio.CancelledError:
            gateway.charge(who, turn, heard.take())
            raise
        if isinstance(response, Stream):
            response.hold(held.pop_all())
            response.overheard_by(heard.hear, lambda: gateway.charge(who, turn, heard.take()))
        elif response.status_code < 400:
            heard.hear(bytes(response.body))
            gateway.charge(who, turn, heard.take())
        return response
