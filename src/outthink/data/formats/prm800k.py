"""PRM800K: a labelled solution a line, with ratings of each step's completions.

The steps are those that were chosen; where none was, as at the end, the first that was labelled.
A rating of 0 or 1 is right, as in the paper's best variant, -1 is wrong. A solution whose labels
end before it does is cut off. Lightman et al. 2023, https://github.com/openai/prm800k
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from outthink.data.samples import Reading, Sample, sample
from outthink.data.tables import Row, rows
from outthink.errors import ProblemFileError

_ANSWER = "\n\n# Answer\n\n"


def is_labelled(values: Mapping[str, Any]) -> bool:
    """Whether a row is of this format."""
    return isinstance(values.get("question"), dict) and isinstance(values.get("label"), dict)


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The solution of each line. Raises `ProblemFileError` for one of another form."""
    for row in rows(path):
        question, label = row.values["question"], row.values["label"]
        steps = label.get("steps")
        if not isinstance(steps, list) or "finish_reason" not in label:
            raise ProblemFileError(
                f"{row.where}: no steps and finish_reason in label; give a file of prm800k/data"
            )
        chosen = [_chosen(row, step) for step in steps]
        texts = [text for text, _ in chosen]
        known = {
            "problem": question.get("problem"),
            "target": question.get("ground_truth_answer"),
            "steps": texts,
            "step_scores": row.values.get("step_scores"),
            "step_labels": tuple(right for _, right in chosen),
            "answer": texts[-1].partition(_ANSWER)[2] or None if texts else None,
            "finished": label["finish_reason"] == "solution",
        }
        yield sample(row.where, known, reading)


def _chosen(row: Row, step: Any) -> tuple[str, bool | None]:
    """The text of a step, and whether it is right."""
    try:
        completions, chosen = step["completions"] or [], step["chosen_completion"]
        if chosen is None and (written := step.get("human_completion")) is not None:
            return _written(written), True
        one = completions[chosen or 0]
        rating = one["rating"]
        return str(one["text"]), None if rating is None else rating >= 0
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ProblemFileError(
            f"{row.where}: a step without completions and chosen_completion; give a file of "
            "prm800k/data"
        ) from error


def _written(completion: Any) -> str:
    """What a labeller wrote."""
    return str(completion["text"] if isinstance(completion, dict) else completion)
