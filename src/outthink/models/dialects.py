"""The requests and responses of each kind of server.

    vLLM            /tokenize renders the chat and gives its ids; /v1/completions goes on from ids
                    and returns ids (`return_token_ids`, vLLM 0.10.2 and newer)
    llama.cpp       /apply-template renders, /tokenize gives ids, /completion goes on from them
    chat            any other OpenAI-compatible server: whole answers alone, as text

The first two continue a partial answer by its token ids: a chat template is applied to the first
turn once, and never to anything half written. Seeds of the rows of one request count up from the
first, which is what both do with `n` themselves, so a row is the same alone and among others.
Sampling is set in full: servers come with cut-offs (top-k, top-p, min-p) that are not of the model.

What a server wrote was paid for, so a response counts as a row even where it lacks an index
(`_rows`), a reason why it ended, which then counts as cut off (`_ending`), or counts, which are
then estimated from its length (`_counted`). Only a response without rows, and one that the server
aborted, are refused (`Malformed`).
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple, Protocol

from outthink.errors import ContextError
from outthink.grade import calls
from outthink.models.asking import ANSWER, QUESTION, Asking
from outthink.models.http import HttpClient, Malformed
from outthink.models.reread import Likely, Reread
from outthink.models.thinking import joined, parted


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str
    whole: str = ""
    """All of it as JSON, where it is more than its content."""


class Ending(Enum):
    """Why a completion ended."""

    STOP = "the string it was to stop at"
    END = "the model ended it"
    CUT = "it was cut off: no more tokens were allowed, or something was held back"


@dataclass(frozen=True, slots=True)
class Ask:
    """What rows of one request share."""

    messages: tuple[Message, ...]
    written: tuple[int, ...]
    """Token ids of the answer so far."""
    most_tokens: int
    temperature: float
    stop: str | None
    """Ends a step."""
    ends: tuple[str, ...] = ()
    """Ends an answer, or a thought; it stays in the row, or a part of it."""
    end_ids: tuple[int, ...] = ()
    """Tokens that do the same."""
    reply: str = ""
    """How the reply has to be made, as fields of a chat API in JSON. Chats alone can do it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One row of a response; counts are the server's own, where it counts."""

    tokens: tuple[int, ...]
    """Without the end mark: `ending` tells of it."""
    text: str
    ending: Ending
    prompt_tokens: int
    """Tokens of the prompt that were computed."""
    cached_tokens: int
    """Tokens of the prompt that were cached, or that another row of the request counts."""
    decoded_tokens: int
    """Tokens written, the end mark included."""
    pieces: tuple[bytes | None, ...] = field(default=(), repr=False)
    """The text of each token, where the server tells it."""
    likely: tuple[Likely, ...] | None = field(default=None, repr=False)
    """Log probabilities of the likeliest tokens at each place, where they were asked for; empty at
    a place for which the server gives none."""


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

    async def ids(self, text: str) -> tuple[int, ...]:
        """The token ids of a text inside an answer."""
        ...


_REMEMBERED = 4096
"""Prompts whose ids are kept, so that the template is applied once a problem."""


class _Prompts:
    """Token ids of the chats used last."""

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

    def __init__(
        self,
        client: HttpClient,
        model: str,
        *,
        context: int,
        most_rows: int = 16,
        asking: Asking = Asking(),  # noqa: B008 - frozen
    ) -> None:
        self._client = client
        self._model = model
        self._asking = asking
        self._context = context
        self.most_rows = most_rows
        self.likely = 0
        """Likeliest tokens asked for at each place."""
        self._prompts = _Prompts()

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        prompt = await self._prompt(ask.messages) + ask.written
        room = _room(self._client, self._context, prompt, ask)
        if room == 0:
            return [_FULL] * len(seeds)
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": room,
            "n": len(seeds),
            "seed": seeds[0],
            "temperature": ask.temperature,
            "top_p": _or(self._asking.top_p, 1.0),
            "top_k": _or(self._asking.top_k, -1),
            "min_p": _or(self._asking.min_p, 0.0),
            "repetition_penalty": 1.0,
            "logprobs": self.likely,
            "return_token_ids": True,
            **self._asking.fields,
        }
        if stop := _stops(ask):
            body |= {"stop": stop, "include_stop_str_in_output": True}
        if ask.end_ids:
            body["stop_token_ids"] = list(ask.end_ids)

        def read(value: Any) -> list[Completion]:
            choices = _rows(value["choices"], len(seeds), numbered=True)
            _require_own(choices[0].get("prompt_token_ids"), list(prompt))
            rows = [_vllm_row(row, ask, self.likely) for row in choices]
            return _counted(rows, value.get("usage"), len(prompt), each_its_own=True)

        return await self._client.post(
            "/v1/completions", body, read, rows=len(seeds), home=hash(ask.messages)
        )

    async def text(self, tokens: Sequence[int]) -> str:
        body = {"model": self._model, "tokens": list(tokens)}
        return await self._client.post("/detokenize", body, lambda value: _text(value["prompt"]))

    async def ids(self, text: str) -> tuple[int, ...]:
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return await self._client.post("/tokenize", body, lambda value: _ids(value["tokens"]))

    async def reread(
        self, messages: tuple[Message, ...], written: tuple[int, ...], top: int
    ) -> Reread:
        """Log probabilities of the `top` likeliest tokens at every place of an answer."""
        prompt = await self._prompt(messages) + written
        body = {
            "model": self._model,
            "prompt": prompt,
            # One token is asked for, since a request for none is refused.
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
            likeliest = tuple(_likeliest(place, top) for place in places[begun:])
            computed, cached = prompt_counts(value.get("usage"), len(prompt))
            return Reread(likeliest, computed + 1, cached)

        return await self._client.post("/v1/completions", body, read, home=hash(messages))

    async def _prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        ids = self._prompts.get(messages)
        if ids is None:
            body: dict[str, Any] = {"model": self._model}
            if self._asking.completion:
                body |= {"prompt": _plain(messages), "add_special_tokens": True}
            else:
                body |= {"messages": _turns(messages), "add_generation_prompt": True}
                body |= _template(self._asking)
            ids = await self._client.post("/tokenize", body, _prompt_ids)
            self._prompts.put(messages, ids)
        return ids


def _likeliest(place: Any, top: int) -> tuple[float, ...]:
    """Log probabilities of the `top` likeliest tokens; the server adds the token that was written,
    whatever its rank."""
    if not isinstance(place, dict):
        raise Malformed("no log probabilities")
    return tuple(_falling(place.values())[:top])


def _falling(told: Iterable[Any]) -> list[float]:
    """Log probabilities, falling; a server may write null for a probability of 0."""
    return sorted(float(entry["logprob"]) for entry in told if entry["logprob"] is not None)[::-1]


def _vllm_row(choice: Any, ask: Ask, top: int) -> _Said:
    ids, text = _ids(choice["token_ids"]), _text(choice["text"] or "")
    # Where it is the model that stops, the reason is nothing, or the id of an end mark.
    ending = _ending(choice.get("finish_reason"))
    # Nor does a model go on behind what it was to stop at, whether that is told or not.
    if ask.stop is not None and (
        choice.get("stop_reason") == ask.stop or (ending is Ending.END and text.endswith(ask.stop))
    ):
        ending = Ending.STOP
    told = choice.get("logprobs") or {}
    shown = told.get("tokens") or ()
    if len(shown) != len(ids):
        shown = [None] * len(ids)
    # A server may be told to name tokens by their ids (--return-tokens-as-token-ids).
    pieces = tuple(
        _text(piece).encode() if isinstance(piece, str) and piece != f"token:{token}" else None
        for piece, token in zip(shown, ids, strict=True)
    )
    decoded = len(ids)
    # It gives the id of the end mark too.
    if ending is Ending.END and ids and not (pieces[-1] and _ends(text, pieces[-1])):
        ids, pieces = ids[:-1], pieces[:-1]
    likely = _vllm_likely(told.get("top_logprobs"), top)[: len(ids)] if top else None
    return _Said(ending, ids, text, pieces, decoded, likely)


def _vllm_likely(places: Any, top: int) -> tuple[Likely, ...]:
    """Log probabilities of the `top` likeliest tokens at each place; the server adds the token that
    was written, whatever its rank. Tokens that read alike come as one, and are few."""
    told = [
        [float(value) for value in (place or {}).values() if value is not None]
        for place in places or ()
    ]
    return tuple(array("d", sorted(place, reverse=True)[:top]) for place in told)


def _ends(text: str, piece: bytes) -> bool:
    return text.endswith(piece.decode("utf-8", "replace"))


class LlamaCpp:
    """https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""

    continues = True

    def __init__(
        self,
        client: HttpClient,
        model: str,
        *,
        context: int,
        most_rows: int = 4,
        asking: Asking = Asking(),  # noqa: B008 - frozen
    ) -> None:
        self._client = client
        self._model = model
        self._asking = asking
        self._context = context
        self.most_rows = most_rows
        """Rows of one request: at most the server's slots."""
        self.likely = 1
        """Likeliest tokens asked for at each place; at least one, since the text of a token comes
        with it."""
        self._prompts = _Prompts()

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        prompt = await self._prompt(ask.messages) + ask.written
        room = _room(self._client, self._context, prompt, ask)
        if room == 0:
            return [_FULL] * len(seeds)
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": prompt,
            "n_predict": room,
            "seed": seeds[0],
            "temperature": ask.temperature,
            **_llama_sampling(self._asking),
            "cache_prompt": True,
            "return_tokens": True,
            "n_probs": self.likely,
            "stop": _stops(ask),
            **self._asking.fields,
        }
        if len(seeds) > 1:
            body["n_cmpl"] = len(seeds)

        def read(value: Any) -> list[Completion]:
            rows = _rows(value if isinstance(value, list) else [value], len(seeds), numbered=True)
            for row in rows:
                _require_seed(row.get("generation_settings"), seeds)
            first, *others = (_llama_row(row, len(prompt), ask) for row in rows)
            # Every row reports the prompt as computed; it was computed once, as /metrics says.
            return [first, *map(_prompt_shared, others)]

        return await self._client.post(
            "/completion", body, read, rows=len(seeds), home=hash(ask.messages)
        )

    async def text(self, tokens: Sequence[int]) -> str:
        body = {"tokens": list(tokens)}
        return await self._client.post("/detokenize", body, lambda value: _text(value["content"]))

    async def ids(self, text: str) -> tuple[int, ...]:
        body = {"content": text, "add_special": False, "parse_special": True}
        return await self._client.post("/tokenize", body, lambda value: _ids(value["tokens"]))

    async def reread(
        self,
        messages: tuple[Message, ...],
        written: tuple[int, ...],
        top: int,
        places: Sequence[int],
    ) -> Reread:
        """Log probabilities of the `top` likeliest tokens at some places of an answer. llama.cpp
        gives them only for tokens that it writes, so there is one request a place."""
        prompt = await self._prompt(messages)
        likeliest: list[Likely] = []
        computed = cached = 0
        for place in places:
            body = {
                "model": self._model,
                "prompt": prompt + written[:place],
                "n_predict": 1,
                "temperature": 0.0,
                "samplers": ["temperature"],
                "cache_prompt": True,
                "n_probs": top,
                # For a token of half a letter none are given, so another one is forced; the log
                # probabilities are the model's all the same.
                "logit_bias": [["0", 1000]],
            }
            likely, counts = await self._client.post(
                "/completion", body, _llama_likely, home=hash(messages)
            )
            new, old = _llama_prompt(counts, len(prompt) + place)
            likeliest.append(likely)
            computed += new + 1
            cached += old
        return Reread(tuple(likeliest), computed, cached)

    async def _prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        ids = self._prompts.get(messages)
        if ids is None:
            chat = await self._rendered(messages)
            body = {"content": chat, "add_special": True, "parse_special": True}
            ids = await self._client.post("/tokenize", body, _prompt_ids)
            self._prompts.put(messages, ids)
        return ids

    async def _rendered(self, messages: tuple[Message, ...]) -> str:
        if self._asking.completion:
            return _plain(messages)
        body = {"messages": _turns(messages), **_template(self._asking)}
        return await self._client.post(
            "/apply-template", body, lambda value: _text(value["prompt"])
        )


def _llama_sampling(asking: Asking) -> dict[str, Any]:
    """Cut-offs that were asked for; the temperature comes last."""
    asked = {"top_k": asking.top_k, "top_p": asking.top_p, "min_p": asking.min_p}
    told = {name: value for name, value in asked.items() if value is not None}
    return {"samplers": [*told, "temperature"], **told}


def _prompt_shared(row: Completion) -> Completion:
    whole = row.prompt_tokens + row.cached_tokens
    return replace(row, prompt_tokens=0, cached_tokens=whole)


_LLAMA_ENDINGS = {"eos": Ending.END, "word": Ending.STOP}


def _llama_row(row: Any, prompt: int, ask: Ask) -> Completion:
    ids, text = _ids(row["tokens"]), _text(row["content"])
    if text and not ids:
        raise Malformed("text without its token ids")
    ending = _LLAMA_ENDINGS.get(row["stop_type"], Ending.CUT)
    shown = _llama_shown(ids, row.get("completion_probabilities") or ())
    likely = tuple(() if place is None else _llama_place(place) for place in shown)
    pieces = tuple(None if place is None else bytes(place["bytes"]) for place in shown)
    decoded = len(ids)
    if ending is Ending.END:
        ids, pieces, likely = ids[:-1], pieces[:-1], likely[:-1]
    if ending is Ending.STOP and row.get("stopping_word", ask.stop) in ask.ends:
        ending = Ending.END
    fresh, cached = _llama_prompt(row, prompt)
    return Completion(ids, text, ending, fresh, cached, decoded, pieces, likely)


def _llama_shown(ids: Sequence[int], told: Sequence[Any]) -> list[Any]:
    """What the server gives for each token; `None` for a token that ends inside a letter, and for
    what it stopped at."""
    shown: list[Any] = []
    left = iter(told)
    following = next(left, None)
    for token in ids:
        here = following is not None and following["id"] == token
        shown.append(following if here else None)
        following = next(left, None) if here else following
    return shown if following is None else [None] * len(ids)


def _llama_prompt(row: Any, prompt: int) -> tuple[int, int]:
    """Tokens of the prompt that were computed, and cached."""
    timings = row.get("timings") or {}
    whole = told(row, "tokens_evaluated")
    return _parted(prompt if whole is None else whole, told(timings, "cache_n"))


def _llama_place(shown: Any) -> Likely:
    """Packed, since thousands of places are kept at once."""
    return array("d", _falling(shown.get("top_logprobs") or ()))


def _llama_likely(value: Any) -> tuple[Likely, Any]:
    """Log probabilities at one place, and the response, which has the counts."""
    shown = value.get("completion_probabilities") or ()
    return (_llama_place(shown[0]) if shown else ()), value


class Chat:
    """https://platform.openai.com/docs/api-reference/chat

    It gives no token ids, so the bytes of the text stand for them: lossless, but about four times
    as many. Counts are the server's all the same. An answer can be sent back as a turn of the chat,
    but a partial answer cannot be continued.
    """

    continues = False

    def __init__(
        self,
        client: HttpClient,
        model: str,
        *,
        most_rows: int = 1,
        seed: bool = True,
        length_field: str = "max_tokens",
        temperatures: Sequence[float] = (0.0, 1.0),
        top_p: bool = True,
        asking: Asking = Asking(),  # noqa: B008 - frozen
    ) -> None:
        """`temperatures`: which of 0 and 1 the server accepts; 1 stands for any above 0. One that
        it does not accept is not sent."""
        self._client = client
        self._model = model
        self.most_rows = most_rows
        self._seed = seed
        self._length_field = length_field
        self._temperatures = temperatures
        self._top_p = top_p
        self._asking = asking

    async def complete(self, ask: Ask, seeds: Sequence[int]) -> list[Completion]:
        assert not ask.written and ask.stop is None and not ask.end_ids
        body: dict[str, Any] = {
            "model": self._model,
            "messages": _turns(ask.messages),
            self._length_field: ask.most_tokens,
        }
        if (1.0 if ask.temperature > 0 else 0.0) in self._temperatures:
            body["temperature"] = ask.temperature
        if self._top_p:
            body["top_p"] = _or(self._asking.top_p, 1.0)
        if self._asking.reasoning_effort is not None:
            body["reasoning_effort"] = self._asking.reasoning_effort
        if ask.ends:
            body["stop"] = list(ask.ends)
        if self._seed:
            body["seed"] = seeds[0]
        if len(seeds) > 1:
            body["n"] = len(seeds)
        body |= self._asking.fields
        reply = json.loads(ask.reply) if ask.reply else {}
        body |= reply

        def read(value: Any) -> list[Completion]:
            rows = [
                _chat_row(row, tools="tools" in reply)
                for row in _rows(value["choices"], len(seeds))
            ]
            return _counted(
                rows, value.get("usage"), guessed(*(message.content for message in ask.messages))
            )

        return await self._client.post("/v1/chat/completions", body, read, home=hash(ask.messages))

    async def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")

    async def ids(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())


def _chat_row(choice: Any, *, tools: bool) -> _Said:
    text = content(choice, tools=tools)
    data = text.encode()
    pieces = tuple(data[i : i + 1] for i in range(len(data)))
    reason = choice.get("finish_reason")
    called = tools and _word(reason) in _CALLED and calls.parted(text).calls
    ending = Ending.END if called else _ending(reason)
    return _Said(ending, tuple(data), text, pieces, None)


def content(choice: Any, *, tools: bool = False) -> str:
    """The text of an answer in a chat, its thought before it and, where it may call `tools`, its
    calls behind it (`grade.calls`); empty where there is none."""
    message = choice.get("message") or {}
    text = _content(message.get("content")) or _content(choice.get("text"))
    if tools:
        text = calls.joined(text, _calls(message.get("tool_calls")))
    thought = _content(message.get("reasoning_content")) or _content(message.get("reasoning"))
    if thought and not parted(text).thought:
        return joined(thought, text)
    return text or _content(message.get("refusal"))


def _calls(told: Any) -> list[calls.Call]:
    """Calls of tools; some servers give arguments as an object, which is a text."""
    if told is None:
        return []
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise Malformed("tool_calls that are no list of objects")
    return [_call(one) for one in told]


def _call(one: calls.Call) -> calls.Call:
    function = one.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
        return one
    return {**one, "function": {**function, "arguments": json.dumps(function["arguments"])}}


def _content(value: Any) -> str:
    """A turn's text: a string, or parts of which some are text."""
    if isinstance(value, list):
        return "".join(_content(part.get("text")) for part in value if isinstance(part, dict))
    return "" if value is None else _text(value)


# Reading -----------------------------------------------------------------------------------------


class _Said(NamedTuple):
    """A row of a response, before its tokens are counted."""

    ending: Ending
    tokens: tuple[int, ...]
    text: str
    pieces: tuple[bytes | None, ...]
    decoded: int | None
    """Tokens written, where the row has them all."""
    likely: tuple[Likely, ...] | None = None


_ENDED = {"stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "completed"}
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length"}
_CALLED = {"tool_calls", "function_call"}
_FAILED = {"abort", "aborted", "cancelled", "canceled", "error"}
"""The server aborted the row; another try may succeed."""


def known_ending(choice: Any) -> bool:
    """Whether a response says if the model ended an answer or it was cut off."""
    return _word(choice.get("finish_reason")) in _ENDED | _CUT


def _ending(reason: Any) -> Ending:
    """Why a row ended. A reason that does not say that the model ended it counts as cut off: a
    filter, a tool call, an unknown word, none. Raises `Malformed` where the server aborted the
    row."""
    word = _word(reason)
    if word in _FAILED:
        raise Malformed(f"finish_reason {word!r}")
    return Ending.END if word in _ENDED else Ending.CUT


def _word(reason: Any) -> str:
    # SGLang: {"type": "stop", "matched": ...}
    return str(reason.get("type") if isinstance(reason, dict) else reason).casefold()


_FULL = Completion((), "", Ending.CUT, 0, 0, 0, ())


def _room(client: HttpClient, context: int, prompt: tuple[int, ...], ask: Ask) -> int:
    """Tokens that may still be written. Raises `ContextError` where not even a first one fits."""
    room = context - len(prompt)
    if room <= 0 and not ask.written:
        raise ContextError(
            f"{client.root}: a prompt of {len(prompt)} tokens for a model that reads {context}; "
            "shorten it, or serve the model with a longer context"
        )
    return max(0, min(room, ask.most_tokens))


def _counted(
    rows: Sequence[_Said], usage: Any, prompt: int, *, each_its_own: bool = False
) -> list[Completion]:
    """Rows with their shares of a usage that counts all of them; the prompt is counted once, and
    `prompt` is its length where the usage does not say.

    vLLM looks the prompt up for each row on its own, computes what is not in a whole block of its
    cache, and reports the row alone that ended last (0.32; seen beside its /metrics). That stands
    for all rows: exact where the same part was cached for all, and right on average where less was
    for the first.
    """
    computed, cached = prompt_counts(usage, prompt)
    decoded = counted(usage) or guessed(*(row.text for row in rows))
    shares = _shares(decoded, [len(row.text) for row in rows])
    completions = []
    for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
        first = number == 0 or each_its_own
        fresh, kept = (computed, cached) if first else (0, computed + cached)
        length = share if row.decoded is None else row.decoded
        completions.append(
            Completion(
                row.tokens, row.text, row.ending, fresh, kept, length, row.pieces, row.likely
            )
        )
    return completions


def prompt_counts(usage: Any, prompt: int) -> tuple[int, int]:
    """Tokens of a prompt that were computed, and cached, as a server's usage has them; `prompt` is
    their number where it does not say."""
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    whole = told(usage, "prompt_tokens", "input_tokens") or prompt
    return _parted(whole, told(details, "cached_tokens"))


def counted(usage: Any) -> int | None:
    """Tokens that were written, where a server's usage says."""
    return told(usage, "completion_tokens", "output_tokens")


_MOST_COUNTED = 1 << 24
"""Tokens of one response, more than any context has. A count beyond is none: products of counts,
summed over a search, would not fit where they are kept."""


def told(counts: Any, *names: str) -> int | None:
    """The first of these that is a count; `None` where none is."""
    for name in names:
        value: Any = counts.get(name) if isinstance(counts, dict) else None
        if type(value) in (int, float) and 0 <= value < _MOST_COUNTED:
            return int(value)
    return None


def _parted(whole: int, cached: int | None) -> tuple[int, int]:
    kept = min(cached or 0, whole)
    return whole - kept, kept


def guessed(*texts: str) -> int:
    """An estimate of the tokens of texts: one for four bytes, as in English."""
    return -(-sum(len(text.encode()) for text in texts) // 4)


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """A total split over rows in proportion to their weights; the shares add up to it."""
    whole, shares, seen, given = max(1, sum(weights)), [], 0, 0
    for weight in weights[:-1]:
        seen += weight
        shares.append(total * seen // whole - given)
        given += shares[-1]
    return [*shares, total - given]


def _require_own(echoed: Any, prompt: list[int]) -> None:
    """Raises `Malformed` where a server repeats a prompt that is not the one it was given."""
    if isinstance(echoed, list) and echoed != prompt:
        raise Malformed("an answer to another request")


def _require_seed(settings: Any, seeds: Sequence[int]) -> None:
    """The same of a server that repeats the seed of each row."""
    seed = settings.get("seed") if isinstance(settings, dict) else None
    if type(seed) is int and not seeds[0] <= seed <= seeds[-1]:
        raise Malformed("an answer to another request")


def _rows(rows: Any, count: int, *, numbered: bool = False) -> list[Any]:
    """The rows of a response: at least one, at most `count`, by their index where they have one.
    Where the server is known to number its rows, one that came twice is one."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise Malformed(f"no rows for {count} asked")
    if numbered and all(type(row.get("index")) is int for row in rows):
        once = list({row["index"]: row for row in rows}.values())
        # Different rows of one number are not numbered at all.
        if len(once) > 1 or all(row == rows[0] for row in rows):
            rows = once
    by_index = {str(row.get("index")): row for row in rows}
    names = [str(number) for number in range(len(rows))]
    return ([by_index[name] for name in names] if by_index.keys() == {*names} else rows)[:count]


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [
        json.loads(message.whole)
        if message.whole
        else {"role": message.role, "content": message.content}
        for message in messages
    ]


def _plain(messages: Sequence[Message]) -> str:
    """A chat without its template, for a base model: up to where the next answer begins."""
    labels = {"user": f"{QUESTION} ", "assistant": f"{ANSWER} "}
    turns = [f"{labels.get(message.role, '')}{message.content}\n\n" for message in messages]
    return "".join([*turns, ANSWER])


def _template(asking: Asking) -> dict[str, Any]:
    options = asking.template_options
    return {"chat_template_kwargs": options} if options else {}


def _stops(ask: Ask) -> list[str]:
    return [*([] if ask.stop is None else [ask.stop]), *ask.ends]


def before(
    completion: Completion, pieces: Sequence[bytes], ask: Ask
) -> tuple[Completion, list[bytes]]:
    """A row up to what ended it, and its pieces. Of a token that holds the end of a thought and the
    beginning of its mark nothing is kept."""
    at = len(completion.tokens)
    said = b"".join(pieces)
    places = [place for end in ask.ends if (place := said.find(end.encode())) >= 0]
    if places:
        at = _tokens_within(pieces, min(places))
    marks = [place for place, token in enumerate(completion.tokens[:at]) if token in ask.end_ids]
    at = min([at, *marks])
    if at == len(completion.tokens):
        return completion, list(pieces)
    kept = list(pieces[:at])
    text = b"".join(kept).decode("utf-8", "ignore")
    # The first token of a row may come without the space in front of it.
    blank = completion.text[: len(completion.text) - len(completion.text.lstrip(" "))]
    text = text if text.startswith(blank) else blank + text
    likely = None if completion.likely is None else completion.likely[:at]
    short = replace(
        completion,
        tokens=completion.tokens[:at],
        text=text,
        ending=Ending.END,
        pieces=tuple(kept),
        likely=likely,
    )
    return short, kept


def _tokens_within(pieces: Sequence[bytes], length: int) -> int:
    """How many whole pieces are within the first `length` bytes."""
    whole = 0
    for count, piece in enumerate(pieces):
        whole += len(piece)
        if whole > length:
            return count
    return len(pieces)


def _or(value: float | None, usual: float) -> float:
    return usual if value is None else value


def _ids(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(
        type(token) is int and 0 <= token < _IDS for token in value
    ):
        raise Malformed("no list of token ids")
    return tuple(value)


def _prompt_ids(value: Any) -> tuple[int, ...]:
    """The token ids of a prompt; none is empty, and a server may say how many there are."""
    ids, count = _ids(value["tokens"]), value.get("count")
    if not ids or (type(count) is int and count != len(ids)):
        raise Malformed(f"{len(ids)} token ids of a prompt")
    return ids


_IDS = 1 << 31
"""More than any vocabulary has."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed("no text")
    return value.encode("utf-8", "replace").decode()  # half an emoji may be in it, and is no text
