"""Answers that call tools: two are equal that call the same functions with the same arguments.

A reply that calls tools is kept as one text: its words, then its calls as a chat API has them,
between marks. `joined` writes it and `parted` reads it. Calls of one reply have no order, and
arguments are compared as JSON (`structured`). Replies in words alone are one answer: to call
nothing. `tools-NAME` compares their words too, as the grader NAME does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from outthink.grade import structured, text

OPEN, CLOSE = "<tool_calls>", "</tool_calls>"
WORDS = "in words"
"""The answer of a reply that calls nothing."""

Call = dict[str, Any]
"""As https://platform.openai.com/docs/api-reference/chat/object has it."""


@dataclass(frozen=True, slots=True)
class Parted:
    """A reply in its parts."""

    words: str
    calls: tuple[Call, ...]


def joined(words: str, calls: Sequence[Call]) -> str:
    """Words and calls as one text, which `parted` takes apart. Words that end as calls do stay
    words."""
    if not calls and CLOSE not in words:
        return words
    told = json.dumps(list(calls), separators=(",", ":")).replace("<", "\\u003c")
    return f"{words}{OPEN}{told}{CLOSE}"


def parted(reply: str) -> Parted:
    """The words of a reply, and its calls."""
    at = reply.rfind(OPEN)
    if at < 0 or not reply.endswith(CLOSE):
        return Parted(reply, ())
    try:
        calls = json.loads(reply[at + len(OPEN) : -len(CLOSE)])
    except ValueError:
        return Parted(reply, ())
    return Parted(reply[:at], tuple(calls))


def answer(reply: str) -> str | None:
    """The calls of a reply in their canonical form, or `WORDS`; `None` where it says nothing, or
    calls something with arguments that are no JSON object."""
    return _answer(reply, lambda words: WORDS)


def reading(words: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """As `answer`, but replies without a call are read by `words`."""
    return lambda reply: _answer(reply, words)


def _answer(reply: str, words: Callable[[str], str | None]) -> str | None:
    said = parted(text.whole(reply) or "")
    if said.calls:
        return _calls(said.calls)
    return words(said.words) if said.words.strip() else None


def _calls(calls: Sequence[Call]) -> str | None:
    told = [_call(one) for one in calls]
    names = [one for one in told if one is not None]
    return f"[{','.join(sorted(names))}]" if len(names) == len(told) else None


def _call(one: Call) -> str | None:
    function = one.get("function") if isinstance(one, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    given = function.get("arguments") or "{}"
    arguments = structured.canonical(given) if isinstance(given, str) else ""
    if not arguments.startswith("{"):
        return None
    return f'{{"name":{json.dumps(function["name"])},"arguments":{arguments}}}'
