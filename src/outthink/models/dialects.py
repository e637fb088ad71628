"""What servers say to each other's clients: the requests and responses of each kind of server.

    vLLM            /tokenize renders the chat and gives its ids; /v1/completions goes on from ids
                    and returns ids (`return_token_ids`, vLLM 0.10.2 and newer)
    llama.cpp       /apply-template renders, /tokenize gives ids, /completion goes on from them
    chat            any other OpenAI-compatible server: whole answers alone, as text

The first two continue a partial answer by its token ids: a chat template is applied to the first
turn once, and never to anything half written. Seeds of the rows of one request count up from the
first, which is what both do with `n` themselves, so a row is the same alone and among others.
Sampling is set in full: servers come with cut-offs (top-k, top-p, min-p) that are not of the model.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from outthink.errors import ContextError
from outthink.models.http import Malformed, Wire


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


class Ending(Enum):
    """Why a completion is over."""

    STOP = "the string it was to stop at"
    END = "the model ended it"
    LENGTH = "no more tokens were allowed"


@dataclass(frozen=True, slots=True)
class Ask:
    """What rows of one request share."""

    messages: tuple[Message, ...]
    written: tuple[int, ...]
    """Ids of the answer as far as it is there."""
    most_tokens: int
    temperature: float
    stop: str | None


Likely = Sequence[float]
"""Log probabilities of the likeliest tokens at one place, falling."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One row of a response; counts are the server's own."""

    tokens: tuple[int, ...]
    """Without the end mark: `ending` tells of it."""
    text: str
    ending: Ending
    prompt_tokens: int
    """Those of the prompt that were computed."""
    cached_tokens: int
    """Those that were not, or that another row of the request stands for."""
    decoded_tokens: int
    """The end mark included."""
    pieces: tuple[bytes, ...] | None = field(default=None, repr=False)
    """The text of each token, where the server tells it."""
    likely: tuple[Likely, ...] | None = field(default=None, repr=False)
    """What was likeliest at the place of each token, where that was asked for; nothing at a place
    that the server does not tell of."""


@dataclass(frozen=True, slots=True)
class Reread:
    """What a model made of an answer that was read to it again."""

    top_logprobs: tuple[Likely, ...]
    """At every place that was asked about."""
    computed_tokens: int
    cached_tokens: int
    shared_tokens: int = 0
    """Those of the computed tokens that every answer to this problem has."""


class Dialect(Protocol):
    """One kind of server."""

    most_rows: int
    """Rows of one request."""
    continues: bool
    """Whether it goes on from a partial answer."""

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        """One row a seed, which count up."""
        ...

    async def text(self, tokens: Sequence[int]) -> str: ...


_REMEMBERED = 4096
"""Prompts whose ids are kept, so that the template is applied once a problem."""


class _Prompts:
    """Ids of chats that were asked about lately."""

    def __init__(self) -> None:
        self._known: dict[tuple[Message, ...], tuple[int, ...]] = {}

    def get(self, messages: tuple[Message, ...]) -> tuple[int, ...] | None:
        return self._known.get(messages)

    def put(self, messages: tuple[Message, ...], ids: tuple[int, ...]) -> None:
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[messages] = ids


class Vllm:
    """https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""

    continues = True

    def __init__(self, wire: Wire, model: str, *, context: int, most_rows: int = 16) -> None:
        self._wire = wire
        self._model = model
        self._context = context
        self.most_rows = most_rows
        self._prompts = _Prompts()

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        prompt = await self._prompt(ask.messages) + ask.written
        room = _room(self._wire, self._context, prompt, ask)
        if room == 0:
            return [_FULL] * len(seeds)
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": room,
            "n": len(seeds),
            "seed": seeds[0],
            "temperature": ask.temperature,
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "logprobs": 0,
            "return_token_ids": True,
        }
        if ask.stop is not None:
            body |= {"stop": [ask.stop], "include_stop_str_in_output": True}

        def read(value: Any) -> list[Completion]:
            rows = [_vllm_row(each, ask.stop) for each in _in_order(value["choices"], len(seeds))]
            return _counted(rows, value["usage"], [len(row[1]) for row in rows], each_its_own=True)

        return await self._wire.post("/v1/completions", body, read)

    async def text(self, tokens: Sequence[int]) -> str:
        body = {"model": self._model, "tokens": list(tokens)}
        return await self._wire.post("/detokenize", body, lambda value: _text(value["prompt"]))

    async def reread(
        self, messages: tuple[Message, ...], written: tuple[int, ...], top: int
    ) -> Reread:
        """How likely the `top` tokens were at every place of what is written."""
        prompt = await self._prompt(messages) + written
        body = {
            "model": self._model,
            "prompt": prompt,
            # Nothing is to be written, but a request for no tokens is refused.
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": top,
        }

        def read(value: Any) -> Reread:
            (choice,) = value["choices"]
            places = choice["prompt_logprobs"]
            if len(places) != len(prompt):
                raise Malformed(f"{len(places)} places of {len(prompt)} tokens")
            begun = len(prompt) - len(written)
            found = tuple(_likeliest(place, top) for place in places[begun:])
            usage = value["usage"]
            details = usage.get("prompt_tokens_details") or {}
            whole, cached = _count(usage["prompt_tokens"]), _count(details.get("cached_tokens", 0))
            if cached > whole:
                raise Malformed(f"{cached} cached of {whole} prompt tokens")
            return Reread(found, whole - cached + _count(usage["completion_tokens"]), cached)

        return await self._wire.post("/v1/completions", body, read)

    async def _prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        ids = self._prompts.get(messages)
        if ids is None:
            body = {
                "model": self._model,
                "messages": _turns(messages),
                "add_generation_prompt": True,
            }
            ids = await self._wire.post("/tokenize", body, lambda value: _ids(value["tokens"]))
            self._prompts.put(messages, ids)
        return ids


def _likeliest(place: Any, top: int) -> tuple[float, ...]:
    """Log probabilities of the likeliest tokens; the token that stands there is told beside them,
    whatever its rank."""
    if not isinstance(place, dict):
        raise Malformed("no log probabilities")
    return tuple(sorted((float(each["logprob"]) for each in place.values()), reverse=True)[:top])


def _vllm_row(choice: Any, stop: str | None) -> tuple[Ending, tuple[int, ...], str, Any]:
    ids, text = _ids(choice["token_ids"]), _text(choice["text"])
    reason, at = choice["finish_reason"], choice.get("stop_reason")
    if reason == "length":
        ending = Ending.LENGTH
    elif reason == "stop":
        # Where it is the model that stops, the reason is nothing, or the id of an end mark.
        ending = Ending.STOP if stop is not None and at == stop else Ending.END
    else:
        raise Malformed(f"finish_reason {reason!r}")
    logprobs = choice.get("logprobs")
    pieces = None
    if logprobs and len(logprobs.get("tokens", ())) == len(ids):
        pieces = tuple(_text(piece).encode() for piece in logprobs["tokens"])
    return ending, ids, text, pieces


class LlamaCpp:
    """https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""

    continues = True

    def __init__(self, wire: Wire, model: str, *, context: int, most_rows: int = 4) -> None:
        self._wire = wire
        self._model = model
        self._context = context
        self.most_rows = most_rows
        """At most its slots: more are refused."""
        self.likely = 1
        """Tokens at each place whose log probabilities it is asked for: one brings the text."""
        self._prompts = _Prompts()

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        prompt = await self._prompt(ask.messages) + ask.written
        room = _room(self._wire, self._context, prompt, ask)
        if room == 0:
            return [_FULL] * len(seeds)
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": prompt,
            "n_predict": room,
            "seed": seeds[0],
            "temperature": ask.temperature,
            "samplers": ["temperature"],
            "cache_prompt": True,
            "return_tokens": True,
            "n_probs": self.likely,
            "stop": [] if ask.stop is None else [ask.stop],
        }
        if len(seeds) > 1:
            body["n_cmpl"] = len(seeds)

        def read(value: Any) -> list[Completion]:
            rows = value if isinstance(value, list) else [value]
            first, *others = (_llama_row(each) for each in _in_order(rows, len(seeds)))
            # They report the prompt of the first as theirs; it was computed once, as /metrics says.
            return [first, *map(_prompt_shared, others)]

        return await self._wire.post("/completion", body, read)

    async def text(self, tokens: Sequence[int]) -> str:
        body = {"tokens": list(tokens)}
        return await self._wire.post("/detokenize", body, lambda value: _text(value["content"]))

    async def reread(
        self,
        messages: tuple[Message, ...],
        written: tuple[int, ...],
        top: int,
        places: Sequence[int],
    ) -> Reread:
        """How likely the `top` tokens were at some places of what is written. It tells this of
        tokens that it writes alone, so there is a request for each place."""
        prompt = await self._prompt(messages)
        found: list[Likely] = []
        computed = cached = 0
        for place in places:
            body = {
                "model": self._model,
                "prompt": prompt + written[:place],
                "n_predict": 1,
                "temperature": 0.0,
                "samplers": ["temperature"],
                "cache_prompt": True,
                "return_tokens": True,
                "n_probs": top,
            }
            row = await self._wire.post("/completion", body, _llama_likely)
            assert row.likely is not None
            found.append(row.likely[0])
            computed += row.prompt_tokens + row.decoded_tokens
            cached += row.cached_tokens
        return Reread(tuple(found), computed, cached)

    async def _prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        ids = self._prompts.get(messages)
        if ids is None:
            chat = await self._wire.post(
                "/apply-template",
                {"messages": _turns(messages)},
                lambda value: _text(value["prompt"]),
            )
            body = {"content": chat, "add_special": True, "parse_special": True}
            ids = await self._wire.post("/tokenize", body, lambda value: _ids(value["tokens"]))
            self._prompts.put(messages, ids)
        return ids


def _prompt_shared(row: Completion) -> Completion:
    held = row.prompt_tokens + row.cached_tokens
    return replace(row, prompt_tokens=0, cached_tokens=held)


_LLAMA_ENDINGS = {"eos": Ending.END, "word": Ending.STOP, "limit": Ending.LENGTH}


def _llama_row(row: Any) -> Completion:
    ids, timings = _ids(row["tokens"]), row["timings"]
    if row["stop_type"] not in _LLAMA_ENDINGS:
        raise Malformed(f"stop_type {row['stop_type']!r}")
    ending = _LLAMA_ENDINGS[row["stop_type"]]
    decoded = _count(row["tokens_predicted"])
    if decoded != len(ids):
        raise Malformed(f"{decoded} tokens counted and {len(ids)} sent")
    fresh, cached = _count(timings["prompt_n"]), _count(timings["cache_n"])
    if fresh + cached != _count(row["tokens_evaluated"]):
        raise Malformed(f"{fresh} + {cached} prompt tokens of {row['tokens_evaluated']}")
    shown = row.get("completion_probabilities")
    pieces = likely = None
    if shown and len(shown) == len(ids):
        pieces = tuple(bytes(each["bytes"]) for each in shown)
        likely = tuple(map(_llama_place, shown))
    elif shown is not None and ending is Ending.STOP and len(shown) == len(ids) - 1:
        likely = (*map(_llama_place, shown), ())  # it does not tell of what it stopped at
    if ending is Ending.END:
        ids, pieces, likely = ids[:-1], pieces and pieces[:-1], likely and likely[:-1]
    return Completion(ids, _text(row["content"]), ending, fresh, cached, decoded, pieces, likely)


def _llama_place(shown: Any) -> Likely:
    """Thousands of places are held at once, so they are packed."""
    likely = (float(each["logprob"]) for each in shown.get("top_logprobs", ()))
    return array("d", sorted(likely, reverse=True))


def _llama_likely(value: Any) -> Completion:
    """A row of one token with what was likely in its place, the end mark included."""
    (shown,) = value["completion_probabilities"]
    return replace(_llama_row(value), likely=(_llama_place(shown),))


class Chat:
    """https://platform.openai.com/docs/api-reference/chat

    Gives no token ids, so those of a solution are the bytes of its text: lossless, but four times
    as many, and no other model's. Counts are the server's all the same. What it wrote can go back
    as a turn of a chat, but no answer can be continued.
    """

    continues = False

    def __init__(
        self,
        wire: Wire,
        model: str,
        *,
        most_rows: int = 1,
        seed: bool = True,
        length_field: str = "max_tokens",
    ) -> None:
        self._wire = wire
        self._model = model
        self.most_rows = most_rows
        self._seed = seed
        self._length_field = length_field

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        assert not ask.written and ask.stop is None
        body: dict[str, Any] = {
            "model": self._model,
            "messages": _turns(ask.messages),
            self._length_field: ask.most_tokens,
            "temperature": ask.temperature,
            "top_p": 1.0,
        }
        if self._seed:
            body["seed"] = seeds[0]
        if len(seeds) > 1:
            body["n"] = len(seeds)

        def read(value: Any) -> list[Completion]:
            rows = [_chat_row(each) for each in _in_order(value["choices"], len(seeds))]
            return _counted(rows, value["usage"], None)

        return await self._wire.post("/v1/chat/completions", body, read)

    async def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")


def _chat_row(choice: Any) -> tuple[Ending, tuple[int, ...], str, Any]:
    reason = choice["finish_reason"]
    if reason not in ("stop", "length"):
        raise Malformed(f"finish_reason {reason!r}")
    text = _text(choice["message"]["content"])
    data = text.encode()
    pieces = tuple(data[i : i + 1] for i in range(len(data)))
    return (Ending.END if reason == "stop" else Ending.LENGTH), tuple(data), text, pieces


# Reading -----------------------------------------------------------------------------------------

_FULL = Completion((), "", Ending.LENGTH, 0, 0, 0, ())


def _room(wire: Wire, context: int, prompt: tuple[int, ...], ask: Ask) -> int:
    """Tokens that may still be written. Raises `ContextError` where not even a first one fits."""
    room = context - len(prompt)
    if room <= 0 and not ask.written:
        raise ContextError(
            f"{wire.root}: a prompt of {len(prompt)} tokens for a model that reads {context}; "
            "shorten it, or serve the model with a longer context"
        )
    return max(0, min(room, ask.most_tokens))


def _counted(
    rows: Sequence[tuple[Ending, tuple[int, ...], str, Any]],
    usage: Any,
    lengths: Sequence[int] | None,
    *,
    each_its_own: bool = False,
) -> list[Completion]:
    """Rows with their part of a usage that counts all of them, and their prompt once.

    vLLM looks the prompt up for each row on its own, computes what is not in a whole block of its
    cache, and tells of the row alone that ended last (0.32; seen beside its /metrics). That stands
    for all of them: exact where they found the same, and right in the mean where the first did not.
    """
    prompt, decoded = _count(usage["prompt_tokens"]), _count(usage["completion_tokens"])
    details = usage.get("prompt_tokens_details") or {}
    cached = _count(details.get("cached_tokens") or 0)
    if cached > prompt:
        raise Malformed(f"{cached} cached of {prompt} prompt tokens")
    if lengths is None:
        lengths = _shares(decoded, [len(row[1]) for row in rows])
    if sum(lengths) != decoded:
        raise Malformed(f"{decoded} tokens counted and {sum(lengths)} sent")
    found = []
    for number, ((ending, ids, text, pieces), length) in enumerate(zip(rows, lengths, strict=True)):
        # A server that gives ids gives that of the end mark too.
        if ending is Ending.END and length == len(ids) and ids and pieces is not None:
            last = pieces[-1].decode("utf-8", "replace")
            if not last or not text.endswith(last):
                ids, pieces = ids[:-1], pieces[:-1]
        told = number == 0 or each_its_own
        fresh, held = (prompt - cached, cached) if told else (0, prompt)
        found.append(Completion(ids, text, ending, fresh, held, length, pieces))
    return found


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """A total that was not told by row, split in proportion; exact in sum."""
    whole, shares, seen, given = max(1, sum(weights)), [], 0, 0
    for weight in weights[:-1]:
        seen += weight
        shares.append(total * seen // whole - given)
        given += shares[-1]
    return [*shares, total - given]


def _in_order(rows: Any, count: int) -> list[Any]:
    if not isinstance(rows, list) or len(rows) != count:
        raise Malformed(f"{len(rows) if isinstance(rows, list) else 'no'} rows for {count} asked")
    ordered = sorted(rows, key=lambda row: int(row["index"]))
    if [row["index"] for row in ordered] != list(range(count)):
        raise Malformed("rows out of count")
    return ordered


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": each.role, "content": each.content} for each in messages]


def _ids(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(each) is int and each >= 0 for each in value):
        raise Malformed("no list of token ids")
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed("no text")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Malformed(f"{value!r} is no count")
    return value
