"""Samples written as a plain table with a row a sample, which `data.samples` reads again.

A file's ending says of which kind it is, and each row of which version its columns are. What is
not known of a sample is null, never 0.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from outthink import whole
from outthink.data.formats import lm_eval, plain
from outthink.data.samples import COLUMNS, Sample
from outthink.errors import UsageError

_ROWS = 5_000
"""Rows of one row group of a Parquet file; bounds memory."""


SEARCHES = "outthink searches 1"
"""The same of a table of everything that searches drew."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One solution of a search, or a prefix of one, with what it belongs to."""

    problem_id: str
    strategy: str
    budget: int
    stream: str
    """Empty, but for samples that difficulty is estimated from."""
    number: int
    """Of the solution in its search, in the order in which they were drawn."""
    parent: int
    """Number of the one that it goes on from, or revises; -1 is the start."""
    chosen: bool
    """Whether the search answered with it."""
    text: str | None
    """All of it, that of its parent included where it goes on from there."""
    answer: str | None
    correct: bool | None
    tokens: int | None
    """That it added."""
    step_scores: tuple[float | None, ...] | None
    finished: bool
    truncated: bool
    critique: bool = False
    """It is about solutions, and none itself."""


def require(path: Path) -> None:
    """Raises `UsageError` for an ending that nothing is written for, or without pyarrow."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"{path}: cannot tell its format; end its name in {', '.join(_WRITERS)}")
    if path.suffix.lower() == ".parquet":
        _arrow()


def write(path: Path, samples: Iterable[Sample]) -> int:
    """Write a table; how many samples it has. The file appears when it is whole, in the place of
    one of this name.

    Raises `UsageError` as `require`, `RunError` where it cannot be written.
    """
    return _write(path, ("format", *COLUMNS), map(_row, samples))


def write_searches(path: Path, searched: Iterable[Searched]) -> int:
    """The same for solutions of searches."""
    names = tuple(field.name for field in fields(Searched))
    return _write(path, ("format", *names), ({"format": SEARCHES, **asdict(s)} for s in searched))


def write_lm_eval(path: Path, problems: Iterable[Sequence[Sample]]) -> int:
    """Write the samples of each problem as lm-eval logs its documents, the repeats of one together;
    how many samples there are.

    Raises `UsageError` for an ending other than .jsonl and for a sample without a text, `RunError`
    where the file cannot be written.
    """
    if path.suffix.lower() != ".jsonl":
        raise UsageError(f"{path}: lm-eval logs JSON Lines; end its name in .jsonl")
    counts: list[int] = []

    def documents() -> Iterator[dict[str, Any]]:
        for number, samples in enumerate(problems):
            counts.append(len(samples))
            yield lm_eval.document(number, samples)

    _write(path, (), documents())
    return sum(counts)


def _write(path: Path, columns: Sequence[str], rows: Iterator[dict[str, Any]]) -> int:
    require(path)
    with whole.saved(path) as part:
        return _WRITERS[path.suffix.lower()](part, columns, rows)


def _row(sample: Sample) -> dict[str, Any]:
    """The columns of a sample, in the order of `COLUMNS`."""
    scores = sample.scores
    known = {
        "problem_id": sample.problem_id,
        "problem": sample.prompt,
        "target": sample.target,
        "text": sample.text,
        "answer": sample.answer,
        "correct": sample.right,
        "tokens": sample.tokens,
        "score": scores[-1] if scores else None,
        "steps": None if sample.steps is None else list(sample.steps),
        "step_scores": None if scores is None else list(scores),
        "step_labels": None if sample.labels is None else list(sample.labels),
        "finished": sample.finished,
    }
    return {"format": plain.VERSION, **{name: known[name] for name in COLUMNS}}


def _json_lines(path: Path, _: Sequence[str], rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            count += 1
    return count


def _csv(path: Path, columns: Sequence[str], rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(columns), lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({name: _field(value) for name, value in row.items()})
            count += 1
    return count


def _field(value: Any) -> Any:
    """Lists and truths as JSON; what is null is an empty field."""
    return json.dumps(value) if isinstance(value, (bool, list, tuple)) else value


def _parquet(path: Path, columns: Sequence[str], rows: Iterator[dict[str, Any]]) -> int:
    arrow, parquet = _arrow()
    kinds = {
        "correct": arrow.bool_(),
        "tokens": arrow.int64(),
        "score": arrow.float64(),
        "steps": arrow.list_(arrow.string()),
        "step_scores": arrow.list_(arrow.float64()),
        "step_labels": arrow.list_(arrow.bool_()),
        "finished": arrow.bool_(),
        "truncated": arrow.bool_(),
        "chosen": arrow.bool_(),
        "critique": arrow.bool_(),
        **dict.fromkeys(("budget", "number", "parent"), arrow.int64()),
    }
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in columns])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow; install it with `pip install 'outthink[parquet]'`"
        ) from None


_WRITERS: Mapping[str, Callable[[Path, Sequence[str], Iterator[dict[str, Any]]], int]] = {
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
