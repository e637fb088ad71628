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
from outthink.gateway.progress import Thought
from outthink.gateway.refused import Refused, wrong
from outthink.gateway.stream import Stream, read_body, until_gone, with_silence
from outthink.gateway.wire import ChatRequest, CompletionRequest, Options

_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    sent: bytes
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What chat and text completions differ in."""

    path: str
    prefix: str
    """Of ids."""
    read: Callable[[Gateway, dict[str, Any]], Asked]
    whole: Callable[[reply.Head, list[Thought]], reply.Json]
    is_chat: bool = True


async def received(request: Request, gateway: Gateway) -> Received:
    """The JSON object of a request. Raises `Refused` for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"content type {kind or 'missing'!r}; send application/json")
    most = gateway.settings.limits.body_bytes
    sent = await read_body(request, most)
    if sent is None:
        raise Refused(413, f"a body of more than {most} bytes", code="too_large")
    try:
        body = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise wrong("the body is no JSON") from error
    if not isinstance(body, dict):
        raise wrong("the body is no JSON object")
    return Received(sent, body)


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
    return asking.chat(request, gateway.brain.name, settings.limits, settings.ignore)


def _read_text(gateway: Gateway, body: dict[str, Any]) -> Asked:
    settings = gateway.settings
    request = checked(CompletionRequest, body)
    return asking.completion(request, gateway.brain.name, settings.limits, settings.ignore)


CHAT = Kind("/v1/chat/completions", "chatcmpl", _read_chat, reply.chat)
TEXT = Kind("/v1/completions", "cmpl", _read_text, reply.completion, is_chat=False)


async def answer(kind: Kind, request: Request, gateway: Gateway, who: str) -> Response:
    """The response to one request. Raises `Refused`, `UsageError`, `RunError`."""
    began = time.monotonic()
    came = await received(request, gateway)
    if gateway.relay is not None and _passes(came.body, gateway):
        return await _passed(kind, came, gateway, who)
    asked = kind.read(gateway, came.body)
    gateway.brain.check(asked)
    head = reply.Head(gateway.new_id(kind.prefix), int(time.time()), asked.model)
    async with AsyncExitStack() as held:
        turn = await held.enter_async_context(gateway.turn(who))
        happening = gateway.think(head.id, who, asked, turn, began)
        if not asked.stream:
            doing = asyncio.create_task(_all(happening, asked.choices))
            thoughts = await until_gone(doing, request.receive)
            return (
                Response(status_code=499)
                if thoughts is None
                else JSONResponse(kind.whole(head, thoughts))
            )
        silence_s = gateway.settings.limits.keep_alive_s
        return Stream(_streamed(kind, head, asked, happening, silence_s), held.pop_all())


async def _all(happening: AsyncGenerator[Any, None], choices: int) -> list[Thought]:
    """What each choice came to."""
    thoughts: dict[int, Thought] = {}
    async with aclosing(happening):
        async for number, told in happening:
            if isinstance(told, Thought):
                thoughts[number] = told
    return [thoughts[number] for number in range(choices)]


async def _streamed(
    kind: Kind,
    head: reply.Head,
    asked: Asked,
    happening: AsyncGenerator[Any, None],
    silence_s: float,
) -> AsyncGenerator[bytes, None]:
    """A stream: what is tried as reasoning, then the answer, then what was spent."""
    thoughts: dict[int, Thought] = {}
    if kind.is_chat:
        for number in range(asked.choices):
            yield reply.sse(reply.chunk(head, number, {"role": "assistant", "content": ""}))
    try:
        async with aclosing(happening), aclosing(with_silence(happening, silence_s)) as parts:
            async for part in parts:
                if part is None:
                    yield reply.KEEP_ALIVE
                    continue
                number, told = part
                if isinstance(told, Thought):
                    thoughts[number] = told
                    for said in _said(kind, head, number, told):
                        yield reply.sse(said)
                elif kind.is_chat and (words := reply.in_words(told)):
                    yield reply.sse(reply.chunk(head, number, {"reasoning_content": words}))
    except Exception as error:
        # The status is sent already; clients read an error in an event of its own.
        yield reply.sse(refused.of(error).body)
        return
    if asked.tells_usage:
        yield reply.sse(reply.last_chunk(head, [thoughts[n] for n in range(asked.choices)]))
    yield reply.DONE


def _said(kind: Kind, head: reply.Head, number: int, thought: Thought) -> list[reply.Json]:
    """The answer in pieces, each a line, and why it ended."""
    lines = thought.text.splitlines(keepends=True)
    if not kind.is_chat:
        pieces = [reply.text_chunk(head, number, line) for line in lines]
        return [*pieces, reply.text_chunk(head, number, "", reply.reason(thought))]
    pieces = [reply.chunk(head, number, {"content": line}) for line in lines]
    last = reply.chunk(head, number, {}, reply.reason(thought))
    return [*pieces, {**last, "outthink": reply.about(thought)}]


# The model's own answer -------------------------------------------------------------------------


def _passes(body: dict[str, Any], gateway: Gateway) -> bool:
    """Whether a request is for the model's own answer."""
    model, effort = body.get("model"), body.get("reasoning_effort")
    if not isinstance(model, str):
        return False
    options = checked(Options, body["outthink"]) if "outthink" in body else Options()
    told = effort if isinstance(effort, str) else None
    if model == gateway.brain.name:
        told = None  # whatever the model makes of it
    way = asking.way_of(model, gateway.brain.name, options, told, gateway.settings.limits)
    return isinstance(way, Pass)


async def _passed(kind: Kind, came: Received, gateway: Gateway, who: str) -> Response:
    assert gateway.relay is not None
    async with AsyncExitStack() as held:
        await held.enter_async_context(gateway.turn(who))
        response = await gateway.relay.pass_on(kind.path, came.sent, came.body)
        response.hold(held.pop_all())
        return response
