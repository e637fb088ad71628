"""What a server can do, found out by trying it: a few requests of a few tokens each.

What a server says of itself (`owned_by`, `/version`) names it; what it can do is what it did.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httpx

from outthink.errors import ServerRefused
from outthink.models.http import Malformed, Wire


class Kind(Enum):
    """Which of the dialects is spoken."""

    VLLM = "vllm"
    LLAMA_CPP = "llama.cpp"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Findings; what was not tried is False."""

    url: str
    server: str
    """As it says, with its version where it tells one."""
    kind: Kind
    model: str
    models: tuple[str, ...]
    weights: str
    """What the server says of the weights; for telling two apart."""
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
    """Takes one. `seed_kept`: and gives the same again."""
    seed_kept: bool
    logprobs: bool
    stop_kept: bool
    """The string it stopped at is in the token ids."""
    cached_counts: bool
    """Says how much of a prompt it had in its cache."""
    metrics: bool
    """Prefix cache metrics at /metrics."""
    embeddings: bool
    pooling: bool
    length_field: str = "max_tokens"


_HELLO = [{"role": "user", "content": "Write the numbers from 1 to 9, one on each line."}]
_FEW = 12
_EXTRAS = {"/v1/embeddings", "/pooling"}
"""Nice to have: some servers fail here where they mean no."""


async def examine(wire: Wire, model: str | None = None) -> Capabilities:
    """Try the server out. Raises `ServerRefused` where there is nothing to use, with what would do;
    `ServerError` where it fails."""
    return await _Examination(wire).run(model)


class _Examination:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._model = ""
        self._length_field = "max_tokens"

    async def run(self, model: str | None) -> Capabilities:
        wire = self._wire
        if await wire.once("/v1/models") is None:
            raise ServerRefused(
                f"{wire.root}: no server answers there; start one, or check the address"
            )
        listed = await wire.get("/v1/models", _models)
        self._model = _chosen(wire, [name for name, _ in listed], model)
        about = dict(listed).get(self._model, {})
        owner = str(about.get("owned_by", ""))
        props = await self._try("/props")
        version = await self._try("/version")
        found = await self._llama(props) if props and "total_slots" in props else None
        found = found or await self._vllm(about)
        chat = await self._chat()
        if found is None and not chat:
            raise ServerRefused(
                f"{wire.root}: answers neither chat nor completions for {self._model!r}; check the "
                "model's name, and that it is a chat model"
            )
        found = found or _Found(Kind.CHAT)
        server = {"vllm": "vLLM", "llamacpp": "llama.cpp", "sglang": "SGLang"}.get(
            owner, owner or "OpenAI-compatible"
        )
        if version and isinstance(version.get("version"), str):
            server += f" {version['version']}"
        elif props and isinstance(props.get("build_info"), str):
            server += f" {props['build_info']}"
        return Capabilities(
            url=wire.root,
            server=server,
            kind=found.kind,
            model=self._model,
            models=tuple(name for name, _ in listed),
            weights=_weights(about),
            context=found.context or about.get("max_model_len"),
            slots=found.slots,
            chat=bool(chat),
            completions=bool(
                await self._try(
                    "/v1/completions", {"model": self._model, "prompt": "1, 2,", "max_tokens": 1}
                )
            ),
            token_ids_in=found.kind is not Kind.CHAT,
            token_ids_out=found.kind is not Kind.CHAT,
            several=found.several or bool(chat and await self._several()),
            seed=found.seed or bool(chat and await self._takes({"seed": 1})),
            seed_kept=found.seed_kept or bool(chat and await self._seed_kept()),
            logprobs=found.logprobs or await self._logprobs(),
            stop_kept=found.stop_kept,
            cached_counts=found.cached_counts or bool(chat and _cached(chat)),
            metrics=await self._metrics(),
            embeddings=bool(
                await self._try("/v1/embeddings", {"model": self._model, "input": "one"})
            ),
            pooling=bool(await self._try("/pooling", {"model": self._model, "input": "one"})),
            length_field=self._length_field,
        )

    async def _vllm(self, about: dict[str, Any]) -> _Found | None:
        """Renders a chat as ids, goes on from ids, gives ids back."""
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
                seed_kept=bool(again and again["choices"][0]["token_ids"] == ids),
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
                seed_kept=bool(again and again["tokens"] == tokens),
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
            found: dict[str, Any] | None = await self._takes({})
            if found and found.get("choices"):
                return found
        self._length_field = "max_tokens"
        return None

    async def _takes(self, more: dict[str, Any]) -> dict[str, Any] | None:
        body = {"model": self._model, "messages": _HELLO, self._length_field: _FEW, **more}
        found: dict[str, Any] | None = await self._try("/v1/chat/completions", body)
        return found

    async def _several(self) -> bool:
        found = await self._takes({"n": 2})
        return bool(found and len(found.get("choices", ())) == 2)

    async def _seed_kept(self) -> bool:
        first = await self._takes({"seed": 1, "temperature": 1.0})
        again = await self._takes({"seed": 1, "temperature": 1.0})
        return _said(first) is not None and _said(first) == _said(again)

    async def _logprobs(self) -> bool:
        found = await self._takes({"logprobs": True})
        try:
            return bool(found and found["choices"][0]["logprobs"]["content"])
        except (KeyError, IndexError, TypeError):
            return False

    async def _metrics(self) -> bool:
        response = await self._wire.once("/metrics")
        if response is None or response.status_code != 200:
            return False
        return any(name in response.text for name in ("prefix_cache", "cache_hit", "cached"))

    async def _try(
        self, path: str, body: dict[str, Any] | None = None, *, rows: bool = False
    ) -> Any:
        """The object a request is answered with; `None` where it is not. A refused key ends all."""
        response = await self._wire.once(path, body, tries=1 if path in _EXTRAS else 3)
        if response is None:
            return None
        if response.status_code in (401, 403) and path.startswith("/v1/chat"):
            await self._wire.post(path, body or {}, _json_object)  # raises, in the right words
        return _json(response, rows=rows)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a dialect's own requests showed."""

    kind: Kind
    context: int | None = None
    slots: int = 0
    several: bool = False
    seed: bool = False
    seed_kept: bool = False
    logprobs: bool = False
    stop_kept: bool = False
    cached_counts: bool = False


def _chosen(wire: Wire, names: list[str], wanted: str | None) -> str:
    if wanted is not None:
        if names and wanted not in names:
            raise ServerRefused(f"{wire.root}: has no model {wanted!r}; it has {_listed(names)}")
        return wanted
    if len(names) != 1:
        raise ServerRefused(
            f"{wire.root}: has {_listed(names)}; name one, as in {wire.root}#MODEL"
            if names
            else f"{wire.root}: lists no models; name one, as in {wire.root}#MODEL"
        )
    return names[0]


def _weights(about: dict[str, Any]) -> str:
    """What is listed of the model itself, not of how it is served."""
    meta = about.get("meta")
    meta = {k: v for k, v in meta.items() if k != "n_ctx"} if isinstance(meta, dict) else None
    return json.dumps([about.get("root"), meta], sort_keys=True)


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _models(value: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(str(each["id"]), dict(each)) for each in value["data"]]


def _json(response: httpx.Response, *, rows: bool = False) -> Any:
    if response.status_code != 200:
        return None
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list if rows else dict) else None


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("no object")
    return value


def _cached(value: Any) -> bool:
    details = (value.get("usage") or {}).get("prompt_tokens_details") or {}
    return "cached_tokens" in details


def _said(value: Any) -> str | None:
    try:
        return str(value["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError):
        return None
