"""Answers as clients of OpenAI read them: dictionaries, made here alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from outthink.gateway.progress import Decided, Judged, Progress, Thought, Wrote
from outthink.types import Usage
from outthink.version import VERSION

Json = dict[str, Any]
FINGERPRINT = f"outthink-{VERSION}"


@dataclass(frozen=True, slots=True)
class Head:
    """What all chunks of one answer begin with."""

    id: str
    created: int
    model: str

    def of(self, kind: str) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def chat(head: Head, thoughts: Sequence[Thought]) -> Json:
    """`chat.completion`; beside OpenAI's fields `outthink`, which says what was done."""
    choices = [_choice(number, thought, len(thoughts)) for number, thought in enumerate(thoughts)]
    told = {"choices": choices, "usage": usage(thoughts), "outthink": about(thoughts[0])}
    return {**head.of("chat.completion"), **told}


def _choice(number: int, thought: Thought, of: int) -> Json:
    text = thought.text if thought.text or not thought.calls else None
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if thought.calls:
        message["tool_calls"] = calls(thought)
    if thought.reasoning:
        message["reasoning_content"] = thought.reasoning
    own = {"outthink": about(thought)} if of > 1 else {}
    told = {"index": number, "message": message, "logprobs": None, "finish_reason": reason(thought)}
    return {**told, **own}


def reason(thought: Thought) -> str:
    """Why the answer ended."""
    return "length" if thought.truncated else "tool_calls" if thought.calls else "stop"


def calls(thought: Thought) -> list[Json]:
    """The calls of an answer as the model made them; one without an id is given one."""
    return [
        {**one, "id": one.get("id") or f"call_{thought.number}_{place}", "type": "function"}
        for place, one in enumerate(thought.calls)
    ]


def called(thought: Thought) -> list[Json]:
    """The deltas of a stream that make these calls: the name of each, then its arguments."""
    deltas: list[Json] = []
    for place, one in enumerate(calls(thought)):
        function = one["function"]
        arguments = function.get("arguments") or ""
        named = {**one, "index": place, "function": {**function, "arguments": ""}}
        said = {"index": place, "function": {"arguments": arguments}}
        deltas += [{"tool_calls": [named]}, {"tool_calls": [said]}]
    return deltas


def chunk(head: Head, number: int, delta: Json, finish: str | None = None) -> Json:
    """`chat.completion.chunk` with one piece of one choice."""
    choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**head.of("chat.completion.chunk"), "choices": [choice]}


def last_chunk(head: Head, thoughts: Sequence[Thought]) -> Json:
    """The chunk that tells what was spent."""
    told = {"choices": [], "usage": usage(thoughts), "outthink": about(thoughts[0])}
    return {**head.of("chat.completion.chunk"), **told}


def completion(head: Head, thoughts: Sequence[Thought]) -> Json:
    """`text_completion`."""
    choices = [
        {"index": n, "text": one.text, "logprobs": None, "finish_reason": reason(one)}
        for n, one in enumerate(thoughts)
    ]
    told = {"choices": choices, "usage": usage(thoughts), "outthink": about(thoughts[0])}
    return {**head.of("text_completion"), **told}


def text_chunk(head: Head, number: int, text: str, finish: str | None = None) -> Json:
    choice = {"index": number, "text": text, "logprobs": None, "finish_reason": finish}
    return {**head.of("text_completion"), "choices": [choice]}


def usage(thoughts: Sequence[Thought]) -> Json:
    """Everything that was spent, hidden calls and verifiers included. Tokens that were written and
    are not in the answer count as reasoning."""
    spent = sum((thought.usage for thought in thoughts), Usage())
    cached = spent.cached_tokens + spent.verifier_cached_tokens
    read = total(spent) - spent.decoded_tokens
    shown = sum(thought.answer_tokens for thought in thoughts)
    return {
        "prompt_tokens": read,
        "completion_tokens": spent.decoded_tokens,
        "total_tokens": read + spent.decoded_tokens,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": max(0, spent.decoded_tokens - shown),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def total(spent: Usage) -> int:
    """All tokens of a usage: read, from a cache or not, and written."""
    read = spent.prompt_tokens + spent.cached_tokens
    return read + spent.verifier_tokens + spent.verifier_cached_tokens + spent.decoded_tokens


def about(thought: Thought) -> Json:
    """What was done for an answer, in words of this program."""
    return {
        "answer": thought.answer,
        "probability": thought.chance,
        "strategy": thought.strategy,
        "late": thought.late,
        "currency": thought.currency,
        "usage": asdict(thought.usage),
        "decisions": [decided(Decided(one)) for one in thought.decisions],
        **({"trace": [event(one) for one in thought.trace]} if thought.trace else {}),
    }


def decided(made: Decided) -> Json:
    one = made.decision
    return {
        "stage": None if one.stage is None else one.stage.name,
        "answer": one.answer,
        "probability": one.chance if one.spent else None,
        "worth": one.worth,
        "expected_cost": one.spent,
        "generations": None if one.usage is None else one.usage.generations,
        "tokens": None if one.usage is None else one.usage.decoded_tokens,
    }


def event(told: Progress) -> Json:
    """Progress as the live page reads it."""
    if isinstance(told, Wrote):
        return {"kind": "wrote", **asdict(told)}
    if isinstance(told, Judged):
        steps = list(told.scores.steps)
        return {"kind": "judged", "number": told.number, "role": told.role, "steps": steps}
    if isinstance(told, Decided):
        return {"kind": "decided", **decided(told)}
    return {"kind": "spent", **asdict(told.usage)}


def in_words(told: Progress) -> str:
    """One line of reasoning for a stream; empty for what is not worth one."""
    if isinstance(told, Wrote):
        return f"#{told.number} answers {told.answer}\n" if told.finished and told.answer else ""
    if isinstance(told, Judged):
        last = told.scores.last
        return "" if last is None else f"#{told.number} scores {last:.2f}\n"
    if isinstance(told, Decided):
        return _decision(told)
    return ""


def _decision(told: Decided) -> str:
    one = told.decision
    right = "" if one.chance is None else f", right with {one.chance:.2f}"
    stands = f"{one.answer or 'no answer'}{right}; " if one.spent else ""
    if one.stage is None:
        return f"{stands}answers\n"
    worth = "" if one.worth is None else f", worth {one.worth:+.3f}"
    return f"{stands}runs {one.stage.name}{worth}\n"


def sse(value: Mapping[str, Any] | str) -> bytes:
    """An event of a stream."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


KEEP_ALIVE = b": thinking\n\n"
"""A comment, which clients leave out."""
DONE = sse("[DONE]")
