"""The Responses API: https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from outthink.gateway import asked as asking
from outthink.gateway import chat, refused, reply
from outthink.gateway.asked import Asked
from outthink.gateway.gateway import Gateway
from outthink.gateway.progress import Thought
from outthink.gateway.refused import unsupported, wrong
from outthink.gateway.reply import Head, Json
from outthink.gateway.stream import with_silence
from outthink.gateway.wire import ChatRequest, ResponseRequest


def _read(gateway: Gateway, body: dict[str, Any]) -> Asked:
    """A response is a chat whose turns have other names."""
    request = chat.checked(ResponseRequest, body)
    ignore = gateway.settings.ignore
    for name, fine in _REFUSED.items():
        value = getattr(request, name)
        if value is not None and value not in fine and name not in ignore:
            raise unsupported(name, "leave it out, or use the model's own answer alone")
    told = {
        "model": request.model,
        "messages": _messages(request),
        "stream": request.stream,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_completion_tokens": request.max_output_tokens,
        "reasoning_effort": effort_of(body),
        "tools": request.tools or None,
        "tool_choice": request.tool_choice if request.tools else None,
        "seed": request.seed,
        "outthink": request.outthink,
    }
    return asking.chat(
        chat.checked(ChatRequest, told), gateway.solver.name, gateway.settings.limits, ignore
    )


_REFUSED: dict[str, tuple[object, ...]] = {
    "store": (False,),
    "previous_response_id": (),
    "conversation": (),
    "background": (False,),
    "include": ([],),
    "text": ({"format": {"type": "text"}}, {}),
    "truncation": ("disabled",),
    "prompt": (),
    "top_logprobs": (0,),
    "max_tool_calls": (),
    "service_tier": ("auto", "default"),
}
"""What is not done, with the values that ask for nothing."""


def effort_of(body: dict[str, Any]) -> object:
    """The word of effort in a body."""
    reasoning = body.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, dict) else None


def _messages(request: ResponseRequest) -> list[Json]:
    turns = [] if request.instructions is None else [_turn("system", request.instructions)]
    if isinstance(request.input, str):
        return [*turns, _turn("user", request.input)]
    return [*turns, *(_of_item(item, n) for n, item in enumerate(request.input))]


def _turn(role: str, content: Any) -> Json:
    return {"role": role, "content": content}


def _of_item(item: Json, number: int) -> Json:
    if item.get("type", "message") != "message":
        raise unsupported(f"input[{number}]", f"an item of type {item['type']!r} is no message")
    content = item.get("content")
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else {} for part in content]
        known = ("input_text", "output_text")
        content = [{**one, "type": "text"} if one.get("type") in known else one for one in parts]
        content = [{"type": str(one.get("type")), "text": one.get("text")} for one in content]
    if not isinstance(item.get("role"), str):
        raise wrong(f"input[{number}] has no role", "input")
    return _turn(item["role"], content)


# What comes back ----------------------------------------------------------------------------------


def _response(head: Head, status: str, thought: Thought | None) -> Json:
    """The response object: without an answer while it is in progress."""
    told: Json = {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "status": status,
        "model": head.model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": False,
        "temperature": None,
        "tool_choice": "none",
        "tools": [],
        "top_p": None,
    }
    if thought is None:
        return {**told, "usage": None}
    if thought.truncated:
        told |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    output = {"output": [_message(head, thought)], "usage": _usage(thought)}
    return {**told, **output, "outthink": reply.about(thought)}


def _message(head: Head, thought: Thought | None) -> Json:
    content = [] if thought is None else [_part(thought.text)]
    status = "in_progress" if thought is None else "completed"
    told = {"id": head.id.replace("resp", "msg", 1), "type": "message", "role": "assistant"}
    return {**told, "status": status, "content": content}


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(thought: Thought) -> Json:
    told = reply.usage([thought])
    cached = told["prompt_tokens_details"]["cached_tokens"]
    hidden = told["completion_tokens_details"]["reasoning_tokens"]
    return {
        "input_tokens": told["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": told["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": hidden},
        "total_tokens": told["total_tokens"],
    }


def _whole(head: Head, thoughts: list[Thought]) -> Json:
    return _response(head, "completed", thoughts[0])


class _Events:
    """Events of a stream, numbered."""

    def __init__(self) -> None:
        self._number = 0

    def of(self, kind: str, **told: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **told}
        self._number += 1
        return f"event: {kind}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


async def _streamed(
    head: Head, asked: Asked, happening: AsyncGenerator[Any, None], silence_s: float
) -> AsyncGenerator[bytes, None]:
    """What is tried as the summary of the reasoning, then the answer."""
    events = _Events()
    begun = _response(head, "in_progress", None)
    yield events.of("response.created", response=begun)
    yield events.of("response.in_progress", response=begun)
    item = head.id.replace("resp", "rs", 1)
    where = {"item_id": item, "output_index": 0, "summary_index": 0}
    try:
        async with aclosing(happening), aclosing(with_silence(happening, silence_s)) as parts:
            async for part in parts:
                if part is None:
                    yield reply.KEEP_ALIVE
                elif isinstance(part[1], Thought):
                    for event in _said(events, head, part[1]):
                        yield event
                elif words := reply.in_words(part[1]):
                    yield events.of("response.reasoning_summary_text.delta", delta=words, **where)
    except Exception as error:
        told = refused.of(error)
        failed = {"code": told.code or "server_error", "message": told.message}
        yield events.of("response.failed", response={**begun, "status": "failed", "error": failed})


def _said(events: _Events, head: Head, thought: Thought) -> list[bytes]:
    message = _message(head, thought)
    item: Json = {"item_id": message["id"], "output_index": 0}
    where = {**item, "content_index": 0}
    lines = thought.text.splitlines(keepends=True)
    done = _response(head, "completed", thought)
    return [
        events.of("response.output_item.added", output_index=0, item=_message(head, None)),
        events.of("response.content_part.added", part=_part(""), **where),
        *(
            events.of("response.output_text.delta", delta=line, logprobs=[], **where)
            for line in lines
        ),
        events.of("response.output_text.done", text=thought.text, logprobs=[], **where),
        events.of("response.content_part.done", part=_part(thought.text), **where),
        events.of("response.output_item.done", output_index=0, item=message),
        events.of(f"response.{done['status']}", response=done),
    ]


RESPONSES = chat.Kind("/v1/responses", "resp", _read, _whole, _streamed, effort_of)
