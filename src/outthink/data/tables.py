"""Rows of a file: JSON Lines, JSON, CSV, tab-separated values, Parquet, or a folder of JSON files.

A row has the values of its columns and its place in the file, which errors name. A file's ending
says of which kind it is, in front of `.gz` or `.xz` where it is compressed. JSON Lines, CSV and
Parquet are read row by row, so that a file may be larger than memory. Knows nothing of problems.
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from outthink.errors import ProblemFileError, UsageError

KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    where: str
    """`FILE:LINE`, or what comes nearest to it."""
    line: str
    """How the place is called within its file, such as `line 3`."""
    values: dict[str, Any]
    text: str = ""
    """The row as it is written, where the file is text."""


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file in order. Raises `ProblemFileError` naming the place and the way out.

    A file of an unknown ending is read as JSON Lines.
    """
    if path.is_dir():
        return _folder(path)
    readers = {".json": _json, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    return readers.get(_kind(path), _json_lines)(path)


def _kind(path: Path) -> str:
    """The ending of a file without that of its compression."""
    inner = Path(path.stem) if path.suffix.lower() in _OPENERS else path
    return inner.suffix.lower()


def plain(column: str) -> str:
    """A column's name without case, and with spaces for the signs that stand for them."""
    return re.sub(r"[\s_-]+", " ", column).strip().lower()


def parse(where: str, line: str) -> Any:
    """A JSON value. Raises `ProblemFileError` naming the place where it is none."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ProblemFileError(
            f"{where}: not JSON ({error.msg} at column {error.colno}); write one object a line"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, lists without end
        raise ProblemFileError(f"{where}: not a problem; write one object a line") from error


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            yield _row(f"{path}:{number}", f"line {number}", parse(f"{path}:{number}", line), line)


def _json(path: Path) -> Iterator[Row]:
    text = _text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON Lines by another name
            yield from _json_lines(path)
            return
        raise ProblemFileError(
            f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno}); "
            "write a list of objects"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ProblemFileError(
            f"{path}: not a list of problems; write a list of objects"
        ) from error
    for number, one in enumerate(value if isinstance(value, list) else [value], 1):
        yield _row(f"{path}: entry {number}", f"entry {number}", one, json.dumps(one))


def _folder(path: Path) -> Iterator[Row]:
    """One problem a file, as the MATH data set comes."""
    files = sorted(path.rglob("*.json"))
    if not files:
        raise ProblemFileError(
            f"{path}: cannot read problems (a folder without .json files); give a file, "
            "or a folder with one problem a .json file"
        )
    for file in files:
        for row in _json(file):
            name = str(file.relative_to(path).with_suffix(""))
            yield Row(row.where, name, {"id": name, **row.values}, row.text)


def _row(where: str, line: str, value: Any, text: str) -> Row:
    if not isinstance(value, dict):
        raise ProblemFileError(
            f"{where}: expected an object with one entry a column, saw {text[:60]!r}"
        )
    return Row(where, line, value, text)


def _csv(path: Path) -> Iterator[Row]:
    delimiter = "\t" if _kind(path) == ".tsv" else ","
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for fields in reader:
            where, line = f"{path}:{reader.line_num}", f"line {reader.line_num}"
            if not fields:
                continue
            if header is None:
                header = [name.strip() for name in fields]
                if len(set(header)) < len(header) or not all(header):
                    raise ProblemFileError(
                        f"{where}: the first line has to name every column once, saw {header}"
                    )
                continue
            if len(fields) != len(header):
                raise ProblemFileError(
                    f"{where}: {len(fields)} fields for {len(header)} columns "
                    f"({', '.join(header)}); quote fields that hold a {delimiter!r}"
                )
            values = {name: field or None for name, field in zip(header, fields, strict=True)}
            yield Row(where, line, values)
    except csv.Error as error:
        raise ProblemFileError(
            f"{path}:{reader.line_num}: not CSV ({error}); save it with quotes around text"
        ) from error


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"{path}: reading Parquet needs pyarrow; install it with: "
            "pip install 'outthink[parquet]'"
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}: row {number}", f"row {number}", values)
    except pyarrow.ArrowInvalid as error:
        reason = str(error).split("\n")[0]
        raise ProblemFileError(f"{path}: not Parquet ({reason}); save it anew") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _text(path: Path) -> str:
    return "".join(_lines(path))


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, with what ends them."""
    number = 0
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ProblemFileError(
                    f"{path}:{number}: not UTF-8; save the file as UTF-8"
                ) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with _OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            yield file
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise ProblemFileError(
            f"{path}: cannot be unpacked ({error}); copy it again, or unpack it yourself"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
_BATCH = 1_000
"""Rows of a Parquet file that are in memory at once."""


def _unreadable(path: Path, error: OSError) -> ProblemFileError:
    return ProblemFileError(
        f"{path}: cannot read problems ({error.strerror or error}); give a JSON Lines file, "
        "or lab:test for the lab's own"
    )
