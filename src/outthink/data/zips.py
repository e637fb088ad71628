"""JSON files in a zip, also one that is compressed with Zstandard, which zipfile reads from Python
3.14 on."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from outthink.errors import ProblemFileError, UsageError

_ZSTANDARD = 93
_HEADER = 30
"""Bytes of the header in front of a member, without its name and what is extra."""


@contextmanager
def members(path: Path) -> Iterator[zipfile.ZipFile]:
    """An opened zip. Raises `ProblemFileError` for a file that is none, or is cut off."""
    try:
        with zipfile.ZipFile(path) as zipped:
            yield zipped
    except OSError as error:
        raise ProblemFileError(
            f"{path}: cannot be read ({error.strerror or error}); name a file of samples"
        ) from error
    except zipfile.BadZipFile as error:
        raise ProblemFileError(
            f"{path}: no whole zip ({error}); copy it again, or wait until its tool is done"
        ) from error


def read(path: Path, zipped: zipfile.ZipFile, name: str) -> dict[str, Any]:
    """The object in a member. Raises `ProblemFileError` where it holds none, `UsageError` without
    the package that unpacks it."""
    info = zipped.getinfo(name)
    packed = info.compress_type == _ZSTANDARD
    try:
        value = json.loads(_unpacked(path, info) if packed else zipped.read(info))
    except (ValueError, zlib.error, struct.error) as error:
        raise ProblemFileError(f"{path}: {name} is not JSON ({error}); copy it again") from error
    if not isinstance(value, dict):
        raise ProblemFileError(f"{path}: {name} holds no object; give a log as its tool wrote it")
    return value


def _unpacked(path: Path, info: zipfile.ZipInfo) -> bytes:
    try:
        zstandard: Any = import_module("zstandard")
    except ImportError as error:
        raise UsageError(
            f"{path}: reading this log needs zstandard; install it with: "
            "pip install 'outthink[inspect]'"
        ) from error
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<HH", file.read(_HEADER)[26:])
        file.seek(name + extra, 1)
        packed = file.read(info.compress_size)
    try:
        data: bytes = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if zlib.crc32(data) != info.CRC:
        raise ValueError("its checksum differs")
    return data
