"""The models that ship with the package, and engines around them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outthink.errors import WeightsError
from outthink.lab.engine import LabProposer, LabVerifier
from outthink.lab.gpt import GPT, load
from outthink.lab.tokenizer import CONTEXT, VOCABULARY, WRITER
from outthink.models.fingerprint import fingerprint

VARIANTS = ("prm-soft", "prm-hard", "prm-once", "revision-alone")
"""Verifiers that ablations need: the PRM on three kinds of labels, for a quarter of the steps; the
revision verifier without the history of a chain."""
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class LabModels:
    """A folder of lab weights, read when asked for."""

    weights: Path | None = None
    """`None` is what ships with the package."""

    @property
    def folder(self) -> Path:
        return self.weights or SHIPPED

    def proposer(self, which: str = "s") -> LabProposer:
        """`s`, `l` or `reviser`. Raises `WeightsError` for a file that is missing or unfit."""
        path = self.folder / f"{which}.safetensors"
        return LabProposer(_read(path, VOCABULARY), f"{WRITER}{which}-{fingerprint(path)}")

    def verifier(self, which: str = "prm") -> LabVerifier:
        """`prm`, `orm`, `revision`, or one of `VARIANTS`."""
        path = self.folder / f"{which}.safetensors"
        return LabVerifier(_read(path, VOCABULARY + 1), f"lab-{which}-{fingerprint(path)}")

    def facts(self, which: str) -> dict[str, str]:
        """What is written beside the weights: how they came about."""
        return load(self.folder / f"{which}.safetensors")[1]


def _read(path: Path, outputs: int) -> GPT:
    """The model in a file, which must be of the lab's task and of its role."""
    model, _ = load(path)
    shape = model.shape
    seen, wanted = (
        (shape.vocabulary, shape.outputs, shape.context),
        (VOCABULARY, outputs, CONTEXT),
    )
    if seen != wanted:
        raise WeightsError(
            f"{path}: a model with vocabulary, outputs and context {seen}, not {wanted}; "
            "language models and verifiers cannot stand in for each other"
        )
    return model
