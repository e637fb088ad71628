"""The models that ship with the package, and engines around them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from outthink.lab.engine import LabProposer, LabVerifier
from outthink.lab.gpt import load

SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class LabModels:
    """A folder of lab weights, read when asked for."""

    folder: Path = SHIPPED

    def proposer(self, which: str = "s") -> LabProposer:
        """`s` or `l`. Raises `WeightsError` where the file is missing or does not fit."""
        path = self.folder / f"{which}.safetensors"
        model, _ = load(path)
        return LabProposer(model, f"lab-{which}-{fingerprint(path)}")

    def verifier(self, which: str = "prm") -> LabVerifier:
        """`prm` or `orm`."""
        path = self.folder / f"{which}.safetensors"
        model, _ = load(path)
        return LabVerifier(model, f"lab-{which}-{fingerprint(path)}")

    def facts(self, which: str) -> dict[str, str]:
        """What is written beside the weights: how they came about."""
        return load(self.folder / f"{which}.safetensors")[1]


def fingerprint(path: Path) -> str:
    """Eight hex digits that pin a file's content."""
    return hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()
