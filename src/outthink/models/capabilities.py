"""What a server can do, found out by trying it: a few requests of a few tokens each.

What a server says of itself (`owned_by`, `/version`) gives its name alone; what it can do is what
it did when it was tried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from outthink.errors import ServerRefused
from outthink.models.dialects import content, counted, known_ending, told
from outthink.models.http import HttpClient, Malformed, status


class Kind(Enum):
    """Which API a server speaks; see `dialects`."""

    VLLM = "vllm"
    LLAMA_CPP = "llama.cpp"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do; False for what was not tried."""

    url: str
    server: str
    """The server's name for itself, with its version where it gives one."""
    kind: Kind
    model: str
    models: tuple[str, ...]
    weights: str
    """What the server says of the weights, to tell two models of one name apart."""
    context: int | None
    """Tokens of prompt and answer together."""
    slots: int
    """Requests it works on at once, where it says so; else 0."""
    chat: bool
    completions: bool
    token_ids_in: bool
    token_ids_out: bool
    several: bool
    """`n` answers of one request."""
    seed: bool
    """It accepts a seed."""
    seed_kept: bool | None
    """The same seed drew the same again; `None` where that cannot be told, since another seed drew
    the same too, or nothing was written."""
    logprobs: bool
    stop_kept: bool
    """The token ids include the string that it stopped at."""
    cached_counts: bool
    """It says how many tokens of a prompt were cached."""
    metrics: bool
    """It has metrics of its prefix cache at /metrics."""
    embeddings: bool
    pooling: bool
    length_field: str = "max_tokens"
    temperatures: tuple[float, ...] = (0.0, 1.0)
    """Which of these temperatures it accepts."""
    top_p: bool = True
    """Takes one."""
    counts: bool = True
    """It says how many tokens it read and wrote."""
    endings: bool = True
    """It tells an answer that the model ended from one that was cut off."""
    tools: bool = True
    """Not seen to leave tools out: llama.cpp does, where a chat template has no place for them."""


async def of_chats(client: HttpClient, server: Capabilities) -> Capabilities:
    """What a server can do that is asked for whole chats alone. Raises `ServerRefused` where it has
    none."""
    if not server.chat:
        raise ServerRefused(
            f"{server.url}: answers no chats, which tools and formats of a reply need; serve the "
            "model with its chat template"
        )
    # Of the others, several answers were tried at a path of their own.
    several = server.several and server.kind is Kind.CHAT
    tools = await _Examination(client).reads_tools(server)
    return replace(server, kind=Kind.CHAT, several=several, tools=tools)


_TOOL = {
    "type": "function",
    "function": {
        "name": "random_number",
        "description": "A random number of so many digits.",
        "parameters": {"type": "object", "properties": {"digits": {"type": "integer"}}},
    },
}
_HELLO = [{"role": "user", "content": "Write random numbers of six digits, one on each line."}]
_FEW = 12
_EXTRAS = {"/v1/embeddings", "/pooling"}
"""Not needed: some servers answer these with a server error where they do not offer them."""


async def examine(client: HttpClient, model: str | None = None) -> Capabilities:
    """Find out what a server can do. Raises `ServerRefused` where it offers nothing that can be
    used, and says what would help; `ServerError` where it fails."""
    return await _Examination(client).run(model)


class _Examination:
    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._model = ""
        self._length_field = "max_tokens"
        self._refused = ""
        """The server's answer to a chat that it refused."""

    async def run(self, model: str | None) -> Capabilities:
        listed = await self._listed(model)
        self._model = _chosen(self._client, [name for name, _ in listed], model)
        about = dict(listed).get(self._model, {})
        props = await self._try("/props")
        version = await self._try("/version")
        found = await self._llama(props) if props and "total_slots" in props else None
        found = found or await self._vllm(about)
        chat = await self._chat()
        if found is None and not chat:
            raise ServerRefused(
                f"{self._client.root}: answers neither chat nor completions for {self._model!r} "
                f"({self._refused}); check the model's name, and that it is a chat model"
            )
        found = found or await self._chat_alone()
        return Capabilities(
            url=self._client.root,
            server=_called(str(about.get("owned_by", "")), version, props),
            kind=found.kind,
            model=self._model,
            models=tuple(name for name, _ in listed),
            weights=_weights(about),
            context=found.context or about.get("max_model_len"),
            slots=found.slots,
            chat=bool(chat),
            completions=await self._answers("/v1/completions", prompt="1, 2,", max_tokens=1),
            token_ids_in=found.kind is not Kind.CHAT,
            token_ids_out=found.kind is not Kind.CHAT,
            several=found.several or bool(chat and await self._several()),
            seed=found.seed,
            seed_kept=found.seed_kept,
            logprobs=found.logprobs or await self._logprobs(),
            stop_kept=found.stop_kept,
            cached_counts=found.cached_counts or bool(chat and _cached(chat)),
            metrics=await self._metrics(),
            embeddings=await self._answers("/v1/embeddings", input="one"),
            pooling=await self._answers("/pooling", input="one"),
            length_field=self._length_field,
            temperatures=found.temperatures,
            top_p=found.top_p,
            counts=found.counts or bool(chat and counted(chat.get("usage"))),
            endings=found.endings or bool(chat and known_ending(chat["choices"][0])),
        )

    async def _listed(self, model: str | None) -> list[tuple[str, dict[str, Any]]]:
        """The models that the server says it has; none where it lists none and one was named."""
        answer = await self._client.once("/v1/models")
        if answer is None:
            raise ServerRefused(
                f"{self._client.root}: no server answers there; start one, or check the address"
            )
        unlisted = model is not None and answer.status_code in (404, 405, 501)
        return [] if unlisted else await self._client.get("/v1/models", _models)

    async def _answers(self, path: str, **asked: Any) -> bool:
        return bool(await self._try(path, {"model": self._model, **asked}))

    async def _vllm(self, about: dict[str, Any]) -> _Found | None:
        """Findings where the server renders a chat as ids, continues from ids and returns ids."""
        chat = {"model": self._model, "messages": _HELLO, "add_generation_prompt": True}
        rendered = await self._try("/tokenize", chat)
        if not rendered or not isinstance(rendered.get("tokens"), list):
            return None
        body = {
            "model": self._model,
            "prompt": rendered["tokens"],
            "max_tokens": _FEW,
            "seed": 1,
            "logprobs": 0,
            "temperature": 1.0,
            "stop": ["\n"],
            "include_stop_str_in_output": True,
            "return_token_ids": True,
        }
        first = await self._try("/v1/completions", body)
        again = await self._try("/v1/completions", body)
        other = await self._try("/v1/completions", {**body, "seed": 2})
        several = await self._try("/v1/completions", {**body, "n": 2})
        try:
            choice = first["choices"][0]
            ids = choice["token_ids"]
            if not isinstance(ids, list):
                return None
            return _Found(
                Kind.VLLM,
                context=int(rendered.get("max_model_len") or about["max_model_len"]),
                several=bool(several and len(several["choices"]) == 2),
                seed=True,
                seed_kept=_kept(
                    *(row and row["choices"][0]["token_ids"] for row in (first, again, other))
                ),
                logprobs=bool(choice.get("logprobs")),
                stop_kept=choice.get("stop_reason") != "\n" or choice["text"].endswith("\n"),
                cached_counts=_cached(first),
            )
        except (KeyError, IndexError, TypeError, ValueError):
            return None

    async def _llama(self, props: dict[str, Any]) -> _Found | None:
        rendered = await self._try("/apply-template", {"messages": _HELLO})
        text = str((rendered or {}).get("prompt", ""))
        ids = await self._try(
            "/tokenize", {"content": text, "add_special": True, "parse_special": True}
        )
        if not text or not ids:
            return None
        body = {
            "model": self._model,
            "prompt": ids.get("tokens"),
            "n_predict": _FEW,
            "seed": 1,
            "n_probs": 1,
            "temperature": 1.0,
            "stop": ["\n"],
            "return_tokens": True,
        }
        first = await self._try("/completion", body)
        again = await self._try("/completion", body)
        other = await self._try("/completion", {**body, "seed": 2})
        several = await self._try("/completion", {**body, "n_cmpl": 2}, rows=True)
        try:
            tokens = first["tokens"]
            word = first["stop_type"] == "word"
            return _Found(
                Kind.LLAMA_CPP,
                context=int(props["default_generation_settings"]["n_ctx"]),
                slots=int(props["total_slots"]),
                several=isinstance(several, list) and len(several) == 2,
                seed=True,
                seed_kept=_kept(*(row and row["tokens"] for row in (first, again, other))),
                logprobs=bool(first.get("completion_probabilities")),
                stop_kept=not word or len(tokens) == first["tokens_predicted"],
                cached_counts="cache_n" in first["timings"],
            )
        except (KeyError, IndexError, TypeError, ValueError):
            return None

    async def _chat(self) -> dict[str, Any] | None:
        """One short chat. Reasoning models of OpenAI call the limit by another name."""
        for field in ("max_tokens", "max_completion_tokens"):
            self._length_field = field
            if answer := await self._takes({}):
                return answer
        self._length_field = "max_tokens"
        return None

    async def _chat_alone(self) -> _Found:
        """Findings for a server that offers chat alone; some accept one temperature only."""
        own = tuple([t for t in (0.0, 1.0) if await self._takes({"temperature": t})])
        sampling = {"temperature": own[-1]} if own else {}
        seeds = [await self._takes({"seed": seed, **sampling}) for seed in (1, 1, 2)]
        return _Found(
            Kind.CHAT,
            seed=any(seeds),
            seed_kept=_kept(*map(_said, seeds)),
            temperatures=own,
            top_p=bool(await self._takes({"top_p": 1.0, **sampling})),
            counts=False,
            endings=False,
        )

    async def _takes(self, more: dict[str, Any]) -> dict[str, Any] | None:
        """The response to a chat with these fields; `None` where it was refused."""
        body = {"model": self._model, "messages": _HELLO, self._length_field: _FEW, **more}
        answer: dict[str, Any] | None = await self._try("/v1/chat/completions", body)
        rows = answer and answer.get("choices")
        return answer if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None

    async def reads_tools(self, server: Capabilities) -> bool:
        """Whether a prompt is longer with tools. True where the server refuses them for now, since
        it then says so, and where it does not count."""
        self._model, self._length_field = server.model, server.length_field
        answers = [await self._takes({}), await self._takes({"tools": [_TOOL]})]
        lengths = [told(one.get("usage"), "prompt_tokens") if one else None for one in answers]
        return None in lengths or lengths[0] != lengths[1]

    async def _several(self) -> bool:
        answer = await self._takes({"n": 2})
        return bool(answer and len(answer["choices"]) == 2)

    async def _logprobs(self) -> bool:
        answer = await self._takes({"logprobs": True})
        try:
            return bool(answer and answer["choices"][0]["logprobs"]["content"])
        except (KeyError, IndexError, TypeError):
            return False

    async def _metrics(self) -> bool:
        response = await self._client.once("/metrics")
        if response is None or response.status_code != 200:
            return False
        return any(name in response.text for name in ("prefix_cache", "cache_hit", "cached"))

    async def _try(
        self, path: str, body: dict[str, Any] | None = None, *, rows: bool = False
    ) -> Any:
        """The JSON of a response; `None` where there is none. Raises `ServerRefused` where a key is
        refused."""
        response = await self._client.once(path, body, tries=1 if path in _EXTRAS else 3)
        if response is None:
            return None
        code = status(response)
        if code in (401, 403) and path.startswith("/v1/chat"):
            await self._client.post(path, body or {}, _json_object)  # raises, saying what to do
        if path.startswith("/v1/chat"):
            self._refused = self._client.said(response)
        try:
            value = self._client.json(response) if code == 200 else None
        except Malformed:
            return None
        return value if isinstance(value, list if rows else dict) else None


@dataclass(frozen=True, slots=True)
class _Found:
    """What a dialect's own requests showed."""

    kind: Kind
    context: int | None = None
    slots: int = 0
    several: bool = False
    seed: bool = False
    seed_kept: bool | None = False
    logprobs: bool = False
    stop_kept: bool = False
    cached_counts: bool = False
    temperatures: tuple[float, ...] = (0.0, 1.0)
    top_p: bool = True
    counts: bool = True
    endings: bool = True


def _kept(first: Any, again: Any, other: Any) -> bool | None:
    """Whether a seed is kept, by what it gave twice, and what another gave."""
    if not first or not again or (first == again and (not other or other == first)):
        return None
    return bool(first == again)


def _chosen(client: HttpClient, names: list[str], wanted: str | None) -> str:
    if wanted is not None:
        if names and wanted not in names:
            raise ServerRefused(f"{client.root}: has no model {wanted!r}; it has {_listed(names)}")
        return wanted
    if len(names) != 1:
        raise ServerRefused(
            f"{client.root}: has {_listed(names)}; name one, as in {client.root}#MODEL"
            if names
            else f"{client.root}: lists no models; name one, as in {client.root}#MODEL"
        )
    return names[0]


def _called(owner: str, version: dict[str, Any] | None, props: dict[str, Any] | None) -> str:
    """The server's name, with its version where it tells one."""
    named = {"vllm": "vLLM", "llamacpp": "llama.cpp", "sglang": "SGLang"}.get(owner, owner)
    told = [(version or {}).get("version"), (props or {}).get("build_info")]
    words = [named or "OpenAI-compatible", *(each for each in told if isinstance(each, str))]
    return " ".join(words[:2])


def _weights(about: dict[str, Any]) -> str:
    """What is listed of the model itself, not of how it is served."""
    meta = about.get("meta")
    meta = {k: v for k, v in meta.items() if k != "n_ctx"} if isinstance(meta, dict) else None
    return json.dumps([about.get("root"), meta], sort_keys=True)


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _models(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Names and what is said of them; some servers give the list alone, or nothing for none."""
    listed = value if isinstance(value, list) else value["data"] or []
    return [(str(entry["id"]), dict(entry)) for entry in listed]


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("no object")
    return value


def _cached(value: Any) -> bool:
    usage = value.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return isinstance(details, dict) and details.get("cached_tokens") is not None


def _said(value: Any) -> str:
    try:
        return content(value["choices"][0])
    except (Malformed, TypeError, AttributeError):
        return ""
