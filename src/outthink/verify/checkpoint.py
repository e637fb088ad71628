"""Weights of reward models, from a folder or the Hugging Face hub, without code that comes with
them.

Every family is a backbone that transformers knows and a small head: rows of a language model's
output layer, or one or two linear layers under a name of their own. A head that is not there, or a
backbone with a weight missing, is an error: a model that scores with random weights says nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as talk
from transformers.utils.hub import cached_file

from outthink.errors import UsageError, WeightsError
from outthink.models.fingerprint import configuration, fingerprint
from outthink.verify.families import Classes, MeanLogit, Readout, Value, Words

HEADS = ("v_head.summary", "value_head.summary", "v_head", "score", "classifier", "rm_head")
"""Names of a reward model's head among its weights; the first that is there is used."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's folder or name on the hub, and its configuration."""

    name: str
    config: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def open(cls, name: str, *, device: str | None = None, dtype: str | None = None) -> Checkpoint:
        """Raises `UsageError` where `name` is no model that transformers can read."""
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # On a CPU most operations in bf16 are slower, not faster.
        kind = dtype or ("bfloat16" if where.type == "cuda" else "float32")
        number_type = getattr(torch, kind, None)
        if not isinstance(number_type, torch.dtype):
            raise UsageError(f"unknown dtype {kind!r}; write float32, bfloat16 or float16")
        with _as_usage(name):
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        return cls(name, config, tokenizer(name), where, number_type)

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(getattr(self.config, "architectures", None) or ())

    @property
    def longest(self) -> int:
        """Tokens the model can read."""
        return int(getattr(self.config, "max_position_embeddings", None) or 1 << 30)

    def title(self, backbone: PreTrainedModel, head: nn.Module, about: str) -> str:
        """The model's name, and eight digits of everything that decides its scores: its weights,
        its configuration, and `about`, how it is read."""
        weights = {**backbone.state_dict(prefix="backbone."), **head.state_dict(prefix="head.")}
        digits = fingerprint(weights, repr((about, configuration(backbone))))
        return f"{Path(self.name).name}-{digits}"

    def language_model(self, row_ids: Sequence[int] | None) -> tuple[PreTrainedModel, nn.Module]:
        """The backbone and a head: the output layer's rows for these tokens, or the mean of all
        rows where `row_ids` is `None`."""
        model = self._loaded(AutoModelForCausalLM)
        output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        weight = output.weight.detach()
        bias = getattr(output, "bias", None)
        if row_ids is None:
            rows = weight.float().mean(0, keepdim=True)
            offset = None if bias is None else bias.detach().float().mean(0, keepdim=True)
        else:
            rows = weight[list(row_ids)].float()
            offset = None if bias is None else bias.detach()[list(row_ids)].float()
        backbone = cast(PreTrainedModel, model.base_model)
        return backbone, _linear(rows, offset).to(self.device)

    def classifier(self) -> tuple[PreTrainedModel, nn.Module]:
        """The backbone and its own head, of one or two layers."""
        return self._loaded(AutoModel), self._head().to(self.device)

    def backbone(self) -> PreTrainedModel:
        """The model without any head."""
        return self._loaded(AutoModel)

    def _loaded(self, kind: Any) -> PreTrainedModel:
        with _as_usage(self.name), _quiet():
            model, info = kind.from_pretrained(
                self.name,
                config=self.config,
                dtype=self.dtype,
                trust_remote_code=False,
                output_loading_info=True,
                # As checkpoints of TRL's value models have it.
                key_mapping={r"^pretrained_model\.": ""},
            )
        lacking = sorted(info["missing_keys"])
        if lacking:
            raise WeightsError(
                f"{self.name}: {len(lacking)} weights are not there, such as {lacking[0]}; name "
                "the family it is of (?family=NAME), or another model"
            )
        loaded: PreTrainedModel = model.to(self.device)
        return loaded

    def _head(self) -> nn.Module:
        tensors = self._tensors(lambda key: not key.startswith(("model.layers", "lm_head")))
        for name in HEADS:
            layers = {
                key.removeprefix("pretrained_model.")[len(name) + 1 :]: tensor
                for key, tensor in tensors.items()
                if key.removeprefix("pretrained_model.").startswith(f"{name}.")
            }
            if "weight" in layers:
                return _linear(layers["weight"], layers.get("bias"))
            if "0.weight" in layers and "2.weight" in layers:
                # Qwen2.5-Math-PRM and -RM
                return nn.Sequential(
                    _linear(layers["0.weight"], layers.get("0.bias")),
                    nn.ReLU(),
                    _linear(layers["2.weight"], layers.get("2.bias")),
                )
        raise WeightsError(
            f"{self.name}: no head of a reward model among its weights ({', '.join(HEADS)}); name "
            "the family it is of (?family=NAME), or another model"
        )

    def _tensors(self, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        with _as_usage(self.name):
            for path in self._files():
                if path.endswith(".safetensors"):
                    with safe_open(path, framework="pt") as file:
                        for key in filter(wanted, file.keys()):
                            tensors[key] = file.get_tensor(key)
                else:
                    state = torch.load(path, map_location="cpu", weights_only=True)
                    tensors |= {key: state[key] for key in filter(wanted, state)}
        return tensors

    def _files(self) -> Iterator[str]:
        for whole, index in (
            ("model.safetensors", "model.safetensors.index.json"),
            ("pytorch_model.bin", "pytorch_model.bin.index.json"),
        ):
            path = self._file(whole)
            if path is not None:
                yield path
                return
            listed = self._file(index)
            if listed is not None:
                names = json.loads(Path(listed).read_text("utf-8"))["weight_map"].values()
                for name in sorted(set(names)):
                    part = self._file(name)
                    if part is not None:
                        yield part
                return

    def _file(self, name: str) -> str | None:
        path = cached_file(
            self.name,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if path is None else os.fspath(path)


def tokenizer(name: str) -> Any:
    """The tokenizer of a model, which tells where in a text its tokens stand."""
    with _as_usage(name):
        loaded = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    if not getattr(loaded, "is_fast", False):
        raise UsageError(
            f"{name}: its tokenizer cannot tell where in a text a token stands; save it as a fast "
            "tokenizer (tokenizer.json)"
        )
    return loaded


def head_of(readout: Readout, checkpoint: Checkpoint, words: tuple[int, int] | None) -> Any:
    """Backbone and head for what a family reads."""
    if isinstance(readout, Words):
        return checkpoint.language_model(words)
    if isinstance(readout, MeanLogit):
        return checkpoint.language_model(None)
    backbone, head = checkpoint.classifier()
    has = outputs_of(head)
    fits = has == 1 if isinstance(readout, Value) else has > 1
    if not fits:
        raise WeightsError(
            f"{checkpoint.name}: its head gives {has} numbers, which is not what its family reads; "
            "name the family it is of (?family=NAME)"
        )
    return backbone, head


def outputs_of(head: nn.Module) -> int:
    """How many outputs a head has."""
    layers = [module for module in head.modules() if isinstance(module, nn.Linear)]
    return layers[-1].out_features


def readout_of(head: nn.Module) -> Readout:
    """The readout of a head: a value for one output, classes for several."""
    return Value() if outputs_of(head) == 1 else Classes(1)


class _Widened(nn.Module):
    """A head in single precision, whatever the backbone's: it is small, and its scores are
    compared."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.float()

    def forward(self, hidden: Tensor) -> Tensor:
        outputs: Tensor = self.inner(hidden.float())
        return outputs


def widened(head: nn.Module) -> nn.Module:
    """The head, for hidden states of any precision."""
    return _Widened(head)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.size(1), weight.size(0), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight.float())
        if bias is not None:
            layer.bias.copy_(bias.float())
    return layer.requires_grad_(False)


@contextlib.contextmanager
def _as_usage(name: str) -> Iterator[None]:
    """Turn what transformers raises for a missing model into a `UsageError` of one line."""
    try:
        yield
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{name}: no model that transformers can read ({said}); name a folder with its "
            "weights, or a model of the hub"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bars, and its warnings about weights that are not used;
    missing weights are an error here."""
    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()  # type: ignore[no-untyped-call]
    talk.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()  # type: ignore[no-untyped-call]
