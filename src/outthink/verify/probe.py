"""A probe: a small head on the hidden states of the model that wrote the solution.

    outthink train probe problems.jsonl --model hf:my-model -o my-probe
    --verifier probe:my-probe

A step is read at its last token, in the chat in which the model wrote it, after the layer that the
probe was fitted at: layers above it are never computed. What the file holds is the head alone, and
which weights it belongs to; a probe on other weights is refused. Knows nothing of how it was
fitted (`outthink.train.probe`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from outthink import whole
from outthink.errors import UsageError, WeightsError
from outthink.models.fingerprint import configuration, fingerprint
from outthink.models.openai import Setting, Wording
from outthink.verify.checkpoint import Checkpoint, widened
from outthink.verify.families import Encoder, Family, Layout, Piece, Tokenizer, Value
from outthink.verify.reader import KEPT_BYTES, TOKENS_AT_ONCE, Reader

NAME = "probe.safetensors"
_PROMPTS = 1024
"""Prompts whose text is kept."""
_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
"""What the norm behind the last layer is called."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A linear head, and what it is read from."""

    weight: Tensor
    """[width] of the hidden state."""
    bias: float
    layer: int
    """Layers below it; its states are taken through the model's last norm."""
    base: str
    """The folder or hub name of the model."""
    digits: str
    """The fingerprint of the model's weights, in `dtype`."""
    dtype: str
    setting: Setting
    """How the model was asked: the chat in which its solutions are read."""

    def save(self, path: Path) -> None:
        """Raises `OSError` where that fails."""
        told = {name: getattr(self, name) for name in ("base", "digits", "dtype")}
        told |= {"layer": str(self.layer), "setting": json.dumps(asdict(self.setting))}
        bias = torch.tensor([self.bias])
        with whole.written(path) as part:
            save_file({"weight": self.weight[None].contiguous(), "bias": bias}, part, metadata=told)

    @classmethod
    def read(cls, name: str) -> Probe:
        """The probe of a file, or of a folder with one. Raises `UsageError` where there is none."""
        path = Path(name) / NAME if Path(name).is_dir() else Path(name)
        try:
            with safe_open(path, framework="pt") as file:
                told, weight = file.metadata() or {}, file.get_tensor("weight")[0]
                bias = float(file.get_tensor("bias")[0])
            kept = json.loads(told["setting"])
            setting = replace(Setting(**kept), wording=Wording(**kept["wording"]))
            layer, base, digits = int(told["layer"]), told["base"], told["digits"]
            return cls(weight, bias, layer, base, digits, told["dtype"], setting)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"{name}: no probe that can be read ({error}); name what 'outthink train probe' "
                "made"
            ) from error


def row(setting: Setting) -> Family:
    """How a probe is read: the chat up to the answer, then the answer, at the last token of each
    step."""
    return Family("probe", _layout(setting.wording), Value())


def _layout(wording: Wording) -> Layout:
    known: dict[str, str] = {}

    def prompt(tokenizer: Tokenizer, problem: str) -> str:
        if problem not in known:
            if len(known) >= _PROMPTS:
                known.clear()
            known[problem] = rendered(tokenizer, problem)
        return known[problem]

    def rendered(tokenizer: Tokenizer, problem: str) -> str:
        turns = wording.messages(problem)
        if not getattr(tokenizer, "chat_template", None):
            return "".join(f"{turn.content}\n\n" for turn in turns)
        chat = [{"role": turn.role, "content": turn.content} for turn in turns]
        asked = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return str(asked)

    def layout(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
        text, marks = "", []
        for step in steps:
            text += step
            marks.append((len(text) - 1, len(text)))
        asked = prompt(tokenizer, problem)
        return [Piece(asked, lead=len(asked)), Piece(text, tuple(marks))]

    return layout


def backbone(name: str, *, device: str | None = None, dtype: str | None = None) -> Backbone:
    """The model that a probe reads. Raises as `Checkpoint.open`, and `UsageError` for a model whose
    layers cannot be told."""
    checkpoint = Checkpoint.open(name, device=device, dtype=dtype)
    model = checkpoint.backbone()
    return Backbone(checkpoint, model, fingerprint(model.state_dict(), configuration(model)))


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A model without its language head."""

    checkpoint: Checkpoint
    model: PreTrainedModel
    digits: str

    @property
    def dtype(self) -> str:
        return str(self.checkpoint.dtype).removeprefix("torch.")

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self._stack[1])

    def norm(self, states: Tensor) -> Tensor:
        """States after any layer as the model would hand them to its language head."""
        name = next((name for name in _NORMS if hasattr(self.model, name)), None)
        if name is None:
            raise UsageError(
                f"{self.checkpoint.name}: its last norm cannot be told (none of {_NORMS}); a probe "
                "reads models such as Llama, Qwen, Mistral or GPT-2"
            )
        normed: Tensor = getattr(self.model, name)(states)
        return normed

    def cut(self, layer: int) -> PreTrainedModel:
        """The model up to a layer, its last norm behind it."""
        name, layers = self._stack
        setattr(self.model, name, layers[:layer])
        self.model.config.num_hidden_layers = layer
        return self.model

    @property
    def _stack(self) -> tuple[str, nn.ModuleList]:
        count = self.model.config.num_hidden_layers
        for name, module in self.model.named_children():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return name, module
        raise UsageError(
            f"{self.checkpoint.name}: its {count} layers cannot be told; a probe reads models such "
            "as Llama, Qwen, Mistral or GPT-2"
        )


def load(
    name: str,
    model: str | None = None,
    *,
    device: str | None = None,
    tokens_at_once: int = TOKENS_AT_ONCE,
    kept_bytes: int = KEPT_BYTES,
) -> Reader:
    """The probe of that file or folder, on `model`; by default on the one that it was fitted on.

    Raises `UsageError` where either is not there, `WeightsError` where the model has other weights.
    """
    probe = Probe.read(name)
    base = backbone(model or probe.base, device=device, dtype=probe.dtype)
    if base.digits != probe.digits:
        raise WeightsError(
            f"{name}: was fitted on weights {probe.digits}, and {base.checkpoint.name} has "
            f"{base.digits}; name its own model (?model=DIR), or fit a probe of this one"
        )
    family = row(probe.setting)
    encoder = Encoder(name, family, base.checkpoint.tokenizer, base.checkpoint.longest)
    head = head_of(probe).to(base.checkpoint.device)
    about = repr((probe.digits, probe.layer, probe.setting))
    return Reader(
        f"probe-{fingerprint(head.state_dict(), about)}",
        family,
        encoder,
        base.cut(probe.layer),
        widened(head),
        tokens_at_once=tokens_at_once,
        kept_bytes=kept_bytes,
    )


def head_of(probe: Probe) -> Any:
    """The head as a layer."""
    layer = nn.Linear(probe.weight.numel(), 1)
    with torch.no_grad():
        layer.weight.copy_(probe.weight.float()[None])
        layer.bias.fill_(probe.bias)
    return layer.requires_grad_(False)
