"""A study of a real model that ships: its store, packed. `recorded/README.md` says whose."""

from __future__ import annotations

import lzma
import shutil
from importlib.resources import files
from pathlib import Path

from outthink import whole
from outthink.errors import StoreError
from outthink.study.sweep import make_place


def unpack(path: Path) -> None:
    """Make the store at `path`; one that is there already stays as it is.

    Raises `StoreError` where it cannot be written.
    """
    make_place(path)
    if path.exists():
        return
    packed = files("outthink.study").joinpath("recorded", "gsm8k.store.xz")
    try:
        with (
            packed.open("rb") as source,
            lzma.open(source) as unpacked,
            whole.written(path) as part,
            part.open("wb") as store,
        ):
            shutil.copyfileobj(unpacked, store)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error}); name a place with --store"
        ) from error
