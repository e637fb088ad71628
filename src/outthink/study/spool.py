"""Samples on their way into a store, on disk: a file of them may be larger than memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, replace
from pathlib import Path

from outthink.data.samples import Sample
from outthink.errors import RunError


class Spool:
    """Samples by problem, in the order in which they came."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._places: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Spool]:
        """An empty one in a file of that name, which is gone afterwards.

        Raises `RunError` where it cannot be written.
        """
        path.unlink(missing_ok=True)
        try:
            # One transaction, which is never committed: the file is for this process alone.
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA synchronous = OFF")
                database.execute("PRAGMA journal_mode = OFF")
                database.execute("CREATE TABLE sample (problem INTEGER, json TEXT)")
                database.execute("CREATE INDEX of_problem ON sample (problem)")
                yield cls(database)
        except sqlite3.Error as error:
            raise RunError(f"{path}: cannot be written: {error}") from error
        finally:
            path.unlink(missing_ok=True)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many samples each problem has, in the order in which problems came."""
        return self._counts

    def add(self, sample: Sample) -> None:
        """Keep one."""
        id = sample.problem_id
        place = self._places.setdefault(id, len(self._places))
        self._counts[id] = self._counts.get(id, 0) + 1
        self._db.execute("INSERT INTO sample VALUES (?, ?)", (place, json.dumps(astuple(sample))))

    def of(self, problem_id: str, size: int) -> list[Sample]:
        """The first `size` samples of a problem."""
        rows = self._db.execute(
            "SELECT json FROM sample WHERE problem = ? ORDER BY rowid LIMIT ?",
            (self._places[problem_id], size),
        )
        return [_sample(text) for (text,) in rows]


def _sample(text: str) -> Sample:
    kept = Sample(*json.loads(text))
    return replace(
        kept,
        steps=None if kept.steps is None else tuple(kept.steps),
        scores=None if kept.scores is None else tuple(kept.scores),
        labels=None if kept.labels is None else tuple(kept.labels),
    )
