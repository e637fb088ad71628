"""Models of transformers, loaded into this process by the name of a folder or of the hub.

transformers and peft are an extra, imported when a model is first asked for: `Any` stands for what
is theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from outthink.costs import ModelShape
from outthink.errors import RunError, UsageError
from outthink.propose.openai import Setting, Wording

HF = "hf:"
"""How the name of a model in process begins; a folder or a name of the hub follows."""
ABOUT = "outthink.json"
"""In the folder of a model that was trained here: how it is asked, and what it was trained for."""
_FINGERPRINT = 64
"""Numbers of every tensor that a model's name depends on."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model that is ready to be asked."""

    name: str
    """The last part of its path, and eight digits of its weights."""
    model: Any
    tokenizer: Any
    setting: Setting
    """How it was trained to be asked; the usual way, where nobody says."""
    trained_for: str | None
    """What it was trained for here: prm, orm or revise."""

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
        return sum(each.numel() for each in self.model.parameters())

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
    name: str, *, scores: bool = False, train: bool = False, setting: Setting | None = None
) -> Loaded:
    """A model by its folder or its name of the hub: on the GPU in bfloat16 where there is one, else
    on the CPU in float32, which is also what it is trained in. With `scores`, one that classifies
    tokens as wrong and right: a verifier, whose head is new where the model has none.

    Raises `UsageError` where transformers is missing or the model cannot be loaded.
    """
    library = transformers()
    kind = library.AutoModelForTokenClassification if scores else library.AutoModelForCausalLM
    gpu = torch.cuda.is_available()
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(name)
        model = kind.from_pretrained(
            name,
            dtype=torch.bfloat16 if gpu and not train else torch.float32,
            **({"num_labels": 2} if scores else {}),
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__).strip()
        raise UsageError(
            f"{HF}{name}: cannot be loaded ({said}); give a folder with config.json, weights and "
            "tokenizer, or a name of the hub"
        ) from error
    about = _about(Path(name))
    return wrap(
        Path(name).name,
        model.to("cuda" if gpu else "cpu"),
        tokenizer,
        setting or about.setting,
        about.trained_for,
    )


def wrap(
    name: str,
    model: Any,
    tokenizer: Any,
    setting: Setting = Setting(),  # noqa: B008 - frozen
    trained_for: str | None = None,
) -> Loaded:
    """A model that is in memory already."""
    digest = fingerprint(model)
    return Loaded(f"{name}-{digest}", model.eval(), tokenizer, setting, trained_for)


def fingerprint(model: Any) -> str:
    """Eight digits that other weights do not share: of every tensor its name, shape and some
    numbers all over it."""
    digest = hashlib.blake2b(digest_size=4)
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().flatten()
        some = flat[:: max(1, flat.numel() // _FINGERPRINT)].float().cpu().numpy()
        digest.update(f"{name} {tuple(tensor.shape)} ".encode() + some.tobytes())
    return digest.hexdigest()


def transformers() -> Any:
    """The library, without its talk. Raises `UsageError` where it is not installed."""
    # A hub that cannot be reached must not hold up what is on disk.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import transformers as library
    except ImportError as error:
        raise UsageError(
            "models in process need transformers and peft, which are not installed; "
            "pip install 'outthink[transformers]'"
        ) from error
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
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


@dataclass(frozen=True, slots=True)
class About:
    """What the folder of a trained model says beside its weights."""

    setting: Setting = field(default_factory=Setting)
    trained_for: str | None = None


def write_about(folder: Path, about: About) -> None:
    """Raises `OSError` where that fails."""
    (folder / ABOUT).write_text(json.dumps(asdict(about), indent=2) + "\n")


def _about(folder: Path) -> About:
    path = folder / ABOUT
    if not path.is_file():
        return About()
    try:
        kept = json.loads(path.read_text())
        setting = kept["setting"]
        wording = Wording(**setting.pop("wording"))
        return About(replace(Setting(**setting), wording=wording), kept["trained_for"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); train the model again") from error
