"""The file that a training goes on from: written whole or not at all, never taken for another's."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from outthink import whole
from outthink.errors import RunError, WeightsError

IDENTITY = "identity"
"""The entry that tells which training it is of."""


def write(path: Path, kept: dict[str, Any]) -> None:
    """Replace the checkpoint; killed at any moment, the earlier one is still there.

    Raises `RunError` where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole.written(path) as part:
            torch.save(kept, part)
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{path}: cannot write the checkpoint ({error}); free some space and run the "
            "same command again, it goes on from the last one written"
        ) from error


def read(path: Path, identity: object) -> dict[str, Any]:
    """What `write` kept, on the CPU.

    Raises `WeightsError` for a file that cannot be read, or one of another identity.
    """
    try:
        kept: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{path}: cannot read the checkpoint ({reason}); delete it to start again"
        ) from error
    if kept[IDENTITY] != identity:
        raise WeightsError(
            f"{path}: a checkpoint of another recipe or shape; give another --out folder "
            "or delete it"
        )
    return kept
