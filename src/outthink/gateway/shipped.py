"""What is served where nothing is named: models that are installed, and their policy."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from outthink.models.local import LOCAL
from outthink.study.models import Models

_LAB = Path(__file__).with_name("lab.json")
"""Fitted on 400 calibration problems, `lab:calibration?size=400`."""


def usual() -> dict[str, str]:
    """The models that are there without a server or a download, as `Models.of` reads them."""
    return {} if find_spec("torch") is not None else {"model": LOCAL}


def shipped(models: Models) -> Path | None:
    """The policy that goes with these models; `None` where none was fitted on them."""
    return _LAB if models == Models() else None
