"""Recordings of crucible-ttc, https://github.com/satchmakua/crucible-ttc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outthink.data.samples import Reading, Sample, an_object, sample
from outthink.data.tables import rows
from outthink.errors import ProblemFileError

_COLUMNS = {"score": "prm_score", "text": "text", "tokens": "tokens", "correct": "correct"}


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The traces of each record. Raises `ProblemFileError` for a record without traces."""
    for row in rows(path):
        for one in row.values["records"]:
            record = an_object(str(path), one, "a record")
            where = f"{path}: record {record.get('problem_id')!r}"
            shared = {"problem_id": record.get("problem_id"), "target": record.get("gold")}
            if not isinstance(record.get("traces"), list):
                there = ", ".join(record)
                raise ProblemFileError(
                    f"{where}: no list of traces; there are {there}: a recording of another version"
                )
            for traced in record["traces"]:
                trace = an_object(where, traced, "a trace")
                mine = {name: trace.get(key) for name, key in _COLUMNS.items()}
                yield sample(where, {**shared, **mine}, reading)
