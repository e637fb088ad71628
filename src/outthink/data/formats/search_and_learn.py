"""Tables of search-and-learn: a row a problem, with its completions and the scores of their steps.

Beeching et al. 2024, https://github.com/huggingface/search-and-learn
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outthink.data.samples import Reading, Sample, sample
from outthink.data.tables import Row, rows
from outthink.errors import ProblemFileError


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The completions of each row, in order. Raises `ProblemFileError` where lengths differ."""
    for row in rows(path):
        values = row.values
        texts: list[Any] = _many(row, "completions")
        scores = _as_many(row, "scores", len(texts))
        tokens = values.get("completion_tokens")
        counts = (
            _as_many(row, "completion_tokens", len(texts))
            if isinstance(tokens, list)
            else [None] * len(texts)
        )
        shared = {
            "problem_id": values.get("unique_id", values.get("problem_id")),
            "problem": values.get("problem"),
            "target": values.get("answer"),
        }
        for text, score, count in zip(texts, scores, counts, strict=True):
            # Theirs are -1 or 0 where a search did not count.
            known = count if isinstance(count, int) and count > 0 else None
            mine = {**shared, "text": text, "step_scores": score, "tokens": known}
            yield sample(row.where, mine, reading)


def _many(row: Row, name: str) -> list[Any]:
    column = row.values.get(name)
    if not isinstance(column, list):
        raise ProblemFileError(f"{row.where}: {name} is no list; write one entry a sample")
    return column


def _as_many(row: Row, name: str, count: int) -> list[Any]:
    if row.values.get(name) is None:
        return [None] * count
    column = _many(row, name)
    if len(column) != count:
        raise ProblemFileError(
            f"{row.where}: {len(column)} {name} for {count} completions; write one a completion"
        )
    return column
