"""The sizes of a model that decide its cost, read from its config file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outthink.errors import UsageError


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a model that decide its cost."""

    name: str
    parameters: int
    """All weights, as published; a table used twice (tied embeddings) counts once."""
    multiplied_parameters: int
    """Those that every token is multiplied with: the N of the cost models."""
    layers: int
    width: int
    """Of the residual stream."""
    heads: int
    """Of queries."""
    kv_heads: int
    """Of keys and values: fewer than `heads` where groups of them share (GQA)."""
    head_dim: int
    """heads * head_dim need not be `width`."""
    element_bytes: int = 2
    """Of one number in the cache of keys and values."""

    def __post_init__(self) -> None:
        for field in _COUNTED:
            if getattr(self, field) < 1:
                raise UsageError(
                    f"model {self.name!r}: {field} is {getattr(self, field)}; give 1 or more"
                )
        if self.heads % self.kv_heads:
            raise UsageError(
                f"model {self.name!r}: {self.heads} heads cannot share {self.kv_heads} key and "
                "value heads evenly; give a kv_heads that divides heads"
            )

    @property
    def attended_flops(self) -> int:
        """FLOPs a token attended to: its key times the query, its value times the weight."""
        return 4 * self.layers * self.heads * self.head_dim

    @property
    def kv_elements(self) -> int:
        """Numbers cached a token: D of Sadhukhan et al."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        name: str | None = None,
        head_parameters: int | None = None,
    ) -> ModelShape:
        """The shape of a decoder from its `config.json`, as Hugging Face writes it.

        Counts every weight exactly for llama, mistral, qwen2, qwen3 and gemma: embeddings, grouped
        attention, gated perceptron, biases and norms. A model with another output head than one row
        a token of the vocabulary, such as a reward model, needs the size of its head in
        `head_parameters`. `element_bytes` is that of the weights' type, 2 where none is named.

        Raises `UsageError` for another family, a sliding window, or a field missing or malformed.
        """
        kind = config.get("model_type")
        family = _FAMILIES.get(str(kind))
        called = name or str(config.get("_name_or_path") or kind)
        if family is None:
            raise UsageError(
                f"config of {called!r}: model_type {kind!r} is none of {', '.join(_FAMILIES)}; "
                "count its weights and give them to ModelShape"
            )
        read = _Config(called, config)
        read.refuse_window(family)
        for architecture in config.get("architectures") or ():
            if head_parameters is None and not architecture.endswith("ForCausalLM"):
                raise UsageError(
                    f"config of {called!r}: {architecture} has an output head of its own; "
                    "give its number of weights as head_parameters"
                )
        width, inner = read.count("hidden_size"), read.count("intermediate_size")
        layers, heads = read.count("num_hidden_layers"), read.count("num_attention_heads")
        kv_heads = read.count("num_key_value_heads", heads if family.ungrouped else None)
        head_dim = read.count("head_dim", family.head_dim or width // heads)
        if config.get("head_dim") is None and family.head_dim is None and width % heads:
            raise UsageError(
                f"config of {called!r}: hidden_size {width} over {heads} heads is no whole number; "
                "give head_dim"
            )
        queries, keys = heads * head_dim, kv_heads * head_dim
        layer = 2 * width * queries + 2 * width * keys + 3 * width * inner + 2 * width
        if family.qkv_bias or read.flag("attention_bias"):
            layer += queries + 2 * keys
        if read.flag("attention_bias"):
            layer += width
        if read.flag("mlp_bias"):
            layer += 2 * inner + width
        if family.head_norms:
            layer += 2 * head_dim
        table = read.count("vocab_size") * width
        # A head of another kind multiplies with weights of its own, whatever is tied.
        tied = head_parameters is None and read.flag("tie_word_embeddings", family.tied)
        head = table if head_parameters is None else head_parameters
        body = layers * layer + width
        return cls(
            name=called,
            parameters=body + head + (0 if tied else table),
            multiplied_parameters=body + head,
            layers=layers,
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            element_bytes=read.element_bytes(),
        )


_COUNTED = (
    "parameters",
    "multiplied_parameters",
    "layers",
    "width",
    "heads",
    "kv_heads",
    "head_dim",
    "element_bytes",
)


@dataclass(frozen=True, slots=True)
class _Family:
    """How model types differ where their config does not say so."""

    tied: bool = False
    """Whether embeddings are tied where the config leaves it open."""
    qkv_bias: bool = False
    """Queries, keys and values have biases, though the output has none."""
    head_norms: bool = False
    """Queries and keys are normed head by head."""
    head_dim: int | None = None
    """Where the config leaves it open; `None` for hidden_size over heads."""
    ungrouped: bool = False
    """A config without key and value heads has as many as heads: it is older than grouping."""
    slides: bool = False
    """A `sliding_window` in the config is in use."""


_FAMILIES = {
    "llama": _Family(ungrouped=True),
    "mistral": _Family(slides=True),
    "qwen2": _Family(qkv_bias=True),
    "qwen3": _Family(head_norms=True, head_dim=128),
    "gemma": _Family(tied=True, head_dim=256),
}


_ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class _Config:
    """A config, read with errors that name it."""

    name: str
    fields: Mapping[str, Any]

    def count(self, field: str, default: int | None = None) -> int:
        value = self.fields.get(field)
        if value is None:
            value = default
        if value is None:
            raise UsageError(
                f"config of {self.name!r} has no {field}; give the whole config.json of the model"
            )
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(
                f"config of {self.name!r}: {field} is {value!r}, not a whole number above 0"
            )
        return value

    def flag(self, field: str, default: bool = False) -> bool:
        value = self.fields.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UsageError(f"config of {self.name!r}: {field} is {value!r}, not true or false")
        return value

    def refuse_window(self, family: _Family) -> None:
        window = self.fields.get("sliding_window")
        if window is not None and self.flag("use_sliding_window", family.slides):
            raise UsageError(
                f"config of {self.name!r}: attention slides over {window} tokens, which no cost "
                "model here knows; set sliding_window to null to count it as full attention"
            )

    def element_bytes(self) -> int:
        # Newer files call it dtype.
        kind = self.fields.get("dtype") or self.fields.get("torch_dtype") or "bfloat16"
        if kind not in _ELEMENT_BYTES:
            raise UsageError(
                f"config of {self.name!r}: type {kind!r} is none of {', '.join(_ELEMENT_BYTES)}; "
                "name the one that keys and values are cached in"
            )
        return _ELEMENT_BYTES[kind]
