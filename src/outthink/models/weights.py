"""Models of transformers, loaded into this process by the name of a folder or of the hub.

transformers and peft are an extra, imported when a model is first asked for: `Any` stands for what
is theirs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from outthink.errors import UsageError, WeightsError
from outthink.models.about import require
from outthink.models.fingerprint import configuration, fingerprint
from outthink.models.openai import Setting
from outthink.models.shape import ModelShape

HF = "hf:"
"""How the name of a model in process begins; a folder or a name of the hub follows."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in memory, its tokenizer, and how it is asked."""

    name: str
    """The last part of its path, and eight digits of its weights."""
    model: Any
    tokenizer: Any
    setting: Setting
    """How it is asked; by default as in its training."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device  # type: ignore[no-any-return]

    @property
    def context(self) -> int:
        """Most tokens it can read."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 1 << 30))

    @property
    def parameters_count(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def shape(self) -> ModelShape:
        """For the cost models."""
        config = self.model.config.get_text_config()
        heads = config.num_attention_heads
        total = self.parameters_count
        table = self.model.get_input_embeddings().weight
        head = self.model.get_output_embeddings()
        looked_up = 0 if head is not None and head.weight is table else table.numel()
        return ModelShape(
            self.name,
            parameters=total,
            multiplied_parameters=total - looked_up,
            layers=config.num_hidden_layers,
            width=config.hidden_size,
            heads=heads,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            element_bytes=table.element_size(),
        )


def load(
    name: str, *, outputs: int | None = None, train: bool = False, setting: Setting | None = None
) -> Loaded:
    """A model by its folder or its name of the hub: on the GPU in bfloat16 where there is one, else
    on the CPU in float32, which is also what it is trained in. With `outputs`, one that gives so
    many numbers at every token: a verifier to be trained, whose head is new.

    Raises `UsageError` where transformers is missing or the model cannot be loaded, `WeightsError`
    where weights are missing.
    """
    library = transformers()
    told = require(name, ("revise",))
    kind = (
        library.AutoModelForCausalLM if outputs is None else library.AutoModelForTokenClassification
    )
    gpu = torch.cuda.is_available()
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(name)
        model, info = kind.from_pretrained(
            name,
            dtype=torch.bfloat16 if gpu and not train else torch.float32,
            output_loading_info=True,
            **({} if outputs is None else {"num_labels": outputs}),
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__).strip()
        raise UsageError(
            f"{HF}{name}: cannot be loaded ({said}); give a folder with config.json, weights and "
            "tokenizer, or a name of the hub"
        ) from error
    lacking = sorted(key for key in info["missing_keys"] if not (outputs and is_head(key)))
    if lacking:
        raise WeightsError(
            f"{HF}{name}: {len(lacking)} weights are not there, such as {lacking[0]}; give a "
            "language model with all its weights"
        )
    return wrap(
        Path(name).name, model.to("cuda" if gpu else "cpu"), tokenizer, setting or told.setting
    )


def is_head(name: str) -> bool:
    """Whether a weight or a module belongs to the head that classifies tokens."""
    return name.split(".")[0] in ("score", "classifier")


def wrap(
    name: str,
    model: Any,
    tokenizer: Any,
    setting: Setting = Setting(),  # noqa: B008 - frozen
) -> Loaded:
    """A model that is in memory already."""
    digits = fingerprint(model.state_dict(), configuration(model))
    return Loaded(f"{name}-{digits}", model.eval(), tokenizer, setting)


def transformers() -> Any:
    """The library, with its warnings and progress bars off. Raises `UsageError` where it is not
    installed."""
    # A hub that cannot be reached must not hold up what is on disk.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import transformers as library
    except ImportError as error:
        raise UsageError(
            "models in process need transformers and peft, which are not installed; "
            "pip install 'outthink[transformers]'"
        ) from error
    talk: Any = library.utils.logging
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    return library


def peft() -> Any:
    """The library of low-rank adapters. Raises `UsageError` where it is not installed."""
    try:
        import peft as library
    except ImportError as error:
        raise UsageError(
            "low-rank training needs peft, which is not installed; "
            "pip install 'outthink[transformers]', or give --lora 0"
        ) from error
    return library
