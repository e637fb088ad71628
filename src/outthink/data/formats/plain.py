"""Plain tables with a row a sample: JSON Lines, JSON, CSV, Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outthink.data.samples import COLUMNS, Reading, Sample, sample
from outthink.data.tables import Row, rows
from outthink.errors import ProblemFileError


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The sample of each row. Raises `ProblemFileError` for a column that is not there."""
    for row in rows(path):
        _require_version(row)
        columns = _columns(row, reading)
        yield sample(row.where, {name: row.values[key] for name, key in columns.items()}, reading)


VERSION = "outthink samples 1"
"""Of the tables that `outthink export` writes, and that are read."""
_OURS = "outthink "


def _require_version(row: Row) -> None:
    version = row.values.get("format")
    if not isinstance(version, str) or not version.startswith(_OURS) or version == VERSION:
        return
    if version.startswith("outthink searches"):
        raise ProblemFileError(
            f"{row.where}: everything that searches drew, which no pool can be read from; export "
            "without --searches"
        )
    raise ProblemFileError(
        f"{row.where}: written in format {version!r}, and {VERSION!r} is read; use the outthink "
        "that wrote it"
    )


def _columns(row: Row, reading: Reading) -> dict[str, str]:
    """By what they hold, the columns of a row."""
    there = row.values
    for name, theirs in reading.columns.items():
        if theirs not in there:
            raise ProblemFileError(
                f"{row.where}: no column {theirs!r} for {name}; there are {', '.join(there)}"
            )
    known = {
        name: next((one for one in names if one in there), None) for name, names in COLUMNS.items()
    }
    columns = {name: key for name, key in known.items() if key is not None} | dict(reading.columns)
    if not {"problem_id", "problem"} & set(columns):
        raise _lacks(row, "problem_id")
    if not {"text", "answer", "correct", "steps"} & set(columns):
        raise _lacks(row, "answer")
    return columns


def _lacks(row: Row, name: str) -> ProblemFileError:
    return ProblemFileError(
        f"{row.where}: no column for {name} ({', '.join(COLUMNS[name])}); there are "
        f"{', '.join(row.values)}: name one with --column {name}=THEIRS"
    )
