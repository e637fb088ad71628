"""Rows of a file: JSON Lines, JSON, CSV, tab-separated values, Parquet, or a folder of JSON files.

A row has the values of its columns and its place in the file, which errors name. A file's ending
says of which kind it is. Knows nothing of problems.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    return readers.get(path.suffix.lower(), _json_lines)(path)


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
    for number, line in enumerate(_text(path).split("\n"), 1):
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
    text = _text(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
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
    try:
        table = pyarrow.parquet.read_table(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except pyarrow.ArrowInvalid as error:
        reason = str(error).split("\n")[0]
        raise ProblemFileError(f"{path}: not Parquet ({reason}); save it anew") from error
    for number, values in enumerate(table.to_pylist(), 1):
        yield Row(f"{path}: row {number}", f"row {number}", values)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ProblemFileError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from error


def _unreadable(path: Path, error: OSError) -> ProblemFileError:
    return ProblemFileError(
        f"{path}: cannot read problems ({error.strerror or error}); give a JSON Lines file, "
        "or lab:test for the lab's own"
    )
