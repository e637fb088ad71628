"""A store as Parquet tables, for other tools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from outthink import whole
from outthink.errors import RunError, UsageError
from outthink.run.store.read import View
from outthink.run.store.write import Store
from outthink.types import Usage

_EXPORT_ROWS = 20_000
"""Rows of one row group of a file; bounds memory."""


def export_parquet(store: Store, view: View, folder: str | os.PathLike[str]) -> list[Path]:
    """Write problems.parquet, outcomes.parquet and solutions.parquet; returns their paths.

    A solution comes as one row, with all its tokens, and its text where it is held. Files of these
    names are replaced. Raises `UsageError` without pyarrow, `RunError` where the folder cannot be
    written.
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow; install it with `pip install 'outthink[parquet]'`"
        ) from None
    folder = Path(folder)
    tables: dict[str, Iterator[tuple[Any, ...]]] = {
        "problems": ((one.id, one.prompt, one.reference) for one in store.problems()),
        "outcomes": _outcome_rows(view),
        "solutions": _solution_rows(view),
    }
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            schema = arrow.schema(
                [(column, _arrow_type(arrow, kind)) for column, kind in _COLUMNS[name]]
            )
            path = folder / f"{name}.parquet"
            with (
                whole.written(path) as part,
                parquet.ParquetWriter(part, schema, compression="zstd") as writer,
            ):
                while batch := list(islice(rows, _EXPORT_ROWS)):
                    columns = map(arrow.array, zip(*batch, strict=True), schema.types)
                    writer.write_table(arrow.table(list(columns), schema=schema))
            written.append(path)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return written


def _outcome_rows(view: View) -> Iterator[tuple[Any, ...]]:
    for stream in view.streams():
        for outcome in view.outcomes(stream=stream):
            usage = (getattr(outcome.usage, field.name) for field in fields(Usage))
            job = (outcome.problem_id, outcome.strategy, outcome.budget, stream)
            yield *job, outcome.answer, outcome.right, outcome.chosen, *usage


def _solution_rows(view: View) -> Iterator[tuple[Any, ...]]:
    for stream in view.streams():
        for outcome in view.outcomes(stream=stream):
            job = (outcome.problem_id, outcome.strategy, outcome.budget, stream)
            for node in view.tree(*job).nodes:
                yield (
                    *job,
                    node.number,
                    node.parent,
                    node.tokens,
                    node.step_ends,
                    node.finished,
                    node.truncated,
                    node.answer,
                    node.prompt_tokens,
                    node.cached_tokens,
                    node.decoded_tokens,
                    node.scores and node.scores.steps,
                    node.verifier_tokens,
                    node.verifier_cached_tokens,
                    None if node.texts is None else "".join(node.texts),
                )


_JOB_COLUMNS = (
    ("problem_id", "string"),
    ("strategy", "string"),
    ("budget", "int64"),
    ("stream", "string"),
)
_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "problems": (("id", "string"), ("prompt", "string"), ("reference", "string")),
    "outcomes": (
        *_JOB_COLUMNS,
        ("answer", "string"),
        ("right", "bool_"),
        ("chosen", "int64"),
        *((cost.name, "float64" if cost.name == "seconds" else "int64") for cost in fields(Usage)),
    ),
    "solutions": (
        *_JOB_COLUMNS,
        ("number", "int64"),
        ("parent", "int64"),
        ("tokens", "list uint32"),
        ("step_ends", "list uint32"),
        ("finished", "bool_"),
        ("truncated", "bool_"),
        ("answer", "string"),
        ("prompt_tokens", "int64"),
        ("cached_tokens", "int64"),
        ("decoded_tokens", "int64"),
        ("scores", "list float64"),
        ("verifier_tokens", "int64"),
        ("verifier_cached_tokens", "int64"),
        ("text", "string"),
    ),
}


def _arrow_type(arrow: Any, name: str) -> Any:
    *is_list, kind = name.split()
    return arrow.list_(getattr(arrow, kind)()) if is_list else getattr(arrow, kind)()
