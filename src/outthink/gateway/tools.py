"""What a chat asks of its reply: tools that may be called, and the format of an answer.

Both go to the model's server as they came. Here they are checked as far as a vote needs it, so that
what nobody could compare is refused before anything is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from outthink.gateway.refused import unsupported, wrong
from outthink.gateway.wire import ChatRequest, Message
from outthink.grade import TOOLS
from outthink.types import Framing

_FORMATS = ("json_object", "json_schema")


def reply(request: ChatRequest, ignore: Collection[str] = ()) -> str:
    """The fields of a request that say how its reply is made, as JSON; empty for text. Raises
    `Refused` for what cannot be compared."""
    told = {} if "tools" in ignore else _tools(request)
    if "response_format" not in ignore:
        told |= _format(request.response_format)
    return json.dumps(told, sort_keys=True) if told else ""


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        if request.tool_choice not in (None, "none", "auto"):
            raise wrong("tool_choice names a tool, and there are no tools", "tool_choice")
        return {}
    for number, tool in enumerate(request.tools):
        if tool.get("type") != "function":
            raise unsupported("tools", f"make tools[{number}] one of type 'function'")
        if not isinstance(tool.get("function"), dict) or not tool["function"].get("name"):
            raise wrong(f"tools[{number}] has no function with a name", "tools")
    told = {"tool_choice": request.tool_choice, "parallel_tool_calls": request.parallel_tool_calls}
    given = {name: value for name, value in told.items() if value is not None}
    return {"tools": request.tools, **given}


def _format(told: Mapping[str, Any] | None) -> dict[str, Any]:
    kind = "text" if told is None else told.get("type")
    if kind == "text":
        return {}
    if kind not in _FORMATS:
        raise wrong(
            f"response_format of type {kind!r}; write text, {' or '.join(_FORMATS)}",
            "response_format",
        )
    return {"response_format": dict(told or {})}


def is_more_than_text(told: Message) -> bool:
    """Whether a message calls tools, or says what came of a call."""
    return told.role == "tool" or bool(told.tool_calls)


_NOT_SENT = {"content", "annotations", "reasoning_content"}


def message(told: Message, text: str) -> str:
    """Such a message as JSON, with its text as one."""
    kept = told.model_dump(exclude_none=True, exclude=_NOT_SENT)
    return json.dumps({**kept, "content": text or None if told.tool_calls else text})


def reading(framing: Framing, words: str | None) -> str | None:
    """The grader that compares such replies; `None` where nothing is asked of them. `words` reads
    replies without a call."""
    asked = json.loads(framing.reply) if framing.reply else {}
    words = words or ("json" if "response_format" in asked else None)
    if "tools" not in asked:
        return words
    return "tools" if words is None else f"{TOOLS}{words}"


def named(framing: Framing) -> str:
    """The parameter that asks for what only a chat API can do."""
    asked = json.loads(framing.reply) if framing.reply else {}
    return next((name for name in ("tools", "response_format") if name in asked), "messages")
