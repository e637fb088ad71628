"""The Responses API: https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection
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
        "tools": None if request.tools is None else [_tool(one) for one in request.tools],
        "tool_choice": _choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
        "response_format": _format(request.text or {}, ignore),
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
    for number, item in enumerate(request.input):
        turn = _of_item(item, number)
        if "tool_calls" in turn and turns and turns[-1]["role"] == "assistant":
            # What a reply says and what it calls are items here, and one message there.
            called = [*turns[-1].get("tool_calls", ()), *turn["tool_calls"]]
            turns[-1] = {**turns[-1], "tool_calls": called}
        else:
            turns.append(turn)
    return turns


def _turn(role: str, content: Any) -> Json:
    return {"role": role, "content": content}


def _of_item(item: Json, number: int) -> Json:
    kind = item.get("type", "message")
    if kind == "function_call":
        return {**_turn("assistant", None), "tool_calls": [_called(item)]}
    if kind == "function_call_output":
        told = _content(item.get("output"), number)
        return {**_turn("tool", told), "tool_call_id": item.get("call_id")}
    if kind != "message":
        raise unsupported(f"input[{number}]", f"an item of type {kind!r} is no message")
    if not isinstance(item.get("role"), str):
        raise wrong(f"input[{number}] has no role", "input")
    return _turn(item["role"], _content(item.get("content"), number))


def _content(told: Any, number: int) -> Any:
    return told if isinstance(told, str) else _parts(told, number)


def _parts(content: Any, number: int) -> list[Json]:
    if not isinstance(content, list):
        raise wrong(f"input[{number}] has no text", "input")
    parts = [part if isinstance(part, dict) else {} for part in content]
    known = ("input_text", "output_text")
    kinds = ["text" if one.get("type") in known else str(one.get("type")) for one in parts]
    return [{"type": kind, "text": one.get("text")} for kind, one in zip(kinds, parts, strict=True)]


def _called(item: Json) -> Json:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _tool(tool: Json) -> Json:
    """A tool as a chat has it: its function apart."""
    if tool.get("type") != "function":
        return tool
    function = {name: tool[name] for name in tool if name != "type" and tool[name] is not None}
    return {"type": "function", "function": function}


def _choice(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    if told.get("type") != "function":
        raise unsupported("tool_choice", "write none, auto, required, or one function")
    return {"type": "function", "function": {"name": told.get("name")}}


def _format(text: Json, ignore: Collection[str]) -> Json | None:
    """The format of an answer as a chat has it."""
    if (other := text.keys() - {"format"}) and "text" not in ignore:
        raise unsupported(f"text.{min(other)}", "leave it out")
    told = text.get("format")
    if not isinstance(told, dict) or told.get("type") != "json_schema":
        return told
    schema = {name: value for name, value in told.items() if name != "type" and value is not None}
    return {"type": "json_schema", "json_schema": schema}


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
    output = {"output": _items(head, thought), "usage": _usage(thought)}
    return {**told, **output, "outthink": reply.about(thought)}


def _items(head: Head, thought: Thought) -> list[Json]:
    """What an answer says, then what it calls."""
    said = [_message(head, thought)] if thought.text or not thought.calls else []
    return [*said, *_calls(head, thought)]


def _calls(head: Head, thought: Thought) -> list[Json]:
    return [
        {
            "id": f"{head.id.replace('resp', 'fc', 1)}_{place}",
            "type": "function_call",
            "call_id": one["id"],
            "name": one["function"].get("name"),
            "arguments": one["function"].get("arguments") or "",
            "status": "incomplete" if thought.truncated else "completed",
        }
        for place, one in enumerate(reply.calls(thought))
    ]


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
    done = _response(head, "completed", thought)
    told: list[bytes] = []
    for place, item in enumerate(done["output"]):
        written = _words if item["type"] == "message" else _arguments
        told += written(events, head, item, place)
        told.append(events.of("response.output_item.done", output_index=place, item=item))
    return [*told, events.of(f"response.{done['status']}", response=done)]


def _words(events: _Events, head: Head, item: Json, place: int) -> list[bytes]:
    [part] = item["content"]
    where: Json = {"item_id": item["id"], "output_index": place, "content_index": 0}
    begun = _message(head, None)
    return [
        events.of("response.output_item.added", output_index=place, item=begun),
        events.of("response.content_part.added", part=_part(""), **where),
        *(
            events.of("response.output_text.delta", delta=line, logprobs=[], **where)
            for line in part["text"].splitlines(keepends=True)
        ),
        events.of("response.output_text.done", text=part["text"], logprobs=[], **where),
        events.of("response.content_part.done", part=part, **where),
    ]


def _arguments(events: _Events, head: Head, item: Json, place: int) -> list[bytes]:
    where: Json = {"item_id": item["id"], "output_index": place}
    said, kind = item["arguments"], "response.function_call_arguments"
    begun = {**item, "arguments": "", "status": "in_progress"}
    return [
        events.of("response.output_item.added", output_index=place, item=begun),
        events.of(f"{kind}.delta", delta=said, **where),
        events.of(f"{kind}.done", arguments=said, name=item["name"], **where),
    ]


RESPONSES = chat.Kind("/v1/responses", "resp", _read, _whole, _streamed, effort_of)
