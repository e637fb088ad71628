"""ProcessBench: a solution a row, with the number of its first wrong step.

    {"id": "gsm8k-0", "problem": ..., "steps": [...], "final_answer_correct": false, "label": 1}

`label` is -1 where no step is wrong. Steps may have `step_scores`. Zheng et al. 2024,
https://arxiv.org/abs/2412.06559
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from outthink.data.samples import Reading, Sample, sample
from outthink.data.tables import Row, rows
from outthink.errors import ProblemFileError


def is_labelled(values: Mapping[str, Any]) -> bool:
    """Whether a row is of this format."""
    return isinstance(values.get("steps"), list) and "label" in values


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The solution of each row. Raises `ProblemFileError` for a label that is no step."""
    for row in rows(path):
        values = row.values
        known = {
            "problem_id": values.get("id"),
            "problem": values.get("problem"),
            "target": values.get("target"),
            "steps": values.get("steps"),
            "step_scores": values.get("step_scores"),
            "step_labels": _labels(row),
            "correct": values.get("final_answer_correct"),
        }
        yield sample(row.where, known, reading)


def _labels(row: Row) -> tuple[bool | None, ...]:
    steps, label = row.values.get("steps"), row.values.get("label")
    count = len(steps) if isinstance(steps, list) else 0
    if not count:
        raise ProblemFileError(f"{row.where}: no steps; write a solution step by step")
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < count:
        raise ProblemFileError(
            f"{row.where}: label {label!r} of {count} steps; write the number of the first wrong "
            "step from 0, or -1 for none"
        )
    if label == -1:
        return (True,) * count
    return (*(True,) * label, False, *(None,) * (count - label - 1))
