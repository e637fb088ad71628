"""Samples that other tools recorded, as values: what a file holds of each, and nothing made up.

`outthink.data.formats` reads them from files. Knows nothing of stores or models; answers are read
and judged by whoever asks.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outthink.data.tables import parse
from outthink.errors import ProblemFileError, UsageError

PROBABILITY, LOGIT = "probability", "logit"
SCALES = (PROBABILITY, LOGIT)

COLUMNS = {
    "problem_id": ("problem_id", "id", "unique_id"),
    "problem": ("problem", "prompt", "question", "input"),
    "target": ("target", "reference", "gold", "gold_answer"),
    "text": ("text", "completion", "output", "response"),
    "answer": ("answer", "pred"),
    "correct": ("correct", "is_correct", "right"),
    "tokens": ("tokens", "token_usage", "completion_tokens"),
    "score": ("score", "prm_score"),
    "steps": ("steps",),
    "step_scores": ("step_scores",),
    "step_labels": ("step_labels",),
    "finished": ("finished",),
}
"""What is read of a sample, and the names of columns that it is looked for under."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded solution; what a file does not say is `None`."""

    where: str
    problem_id: str
    prompt: str | None
    target: str | None
    text: str | None = None
    answer: str | None = None
    right: bool | None = None
    tokens: int | None = None
    finished: bool | None = None
    steps: tuple[str, ...] | None = None
    scores: tuple[float | None, ...] | None = None
    """One a step, or one of the whole."""
    labels: tuple[bool | None, ...] | None = None
    """Whether each step is right; `None` for a step of which nobody said."""
    failed: bool = False
    """Whether its tool could not draw it: no fault of the model's."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Where samples come from."""

    file: str
    digest: str
    """SHA-256, in hex."""
    format: str

    @property
    def sentence(self) -> str:
        return f"Imported from {self.file} ({self.format}, sha256 {self.digest})."


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read."""

    columns: Mapping[str, str]
    """By what they hold (`COLUMNS`), those that are named otherwise."""
    scale: str = PROBABILITY

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise UsageError(f"nothing is called {name!r}; write one of {', '.join(COLUMNS)}")


def sample(
    where: str,
    values: Mapping[str, Any],
    reading: Reading,
    *,
    failed: bool = False,
) -> Sample:
    """A sample of what is known by the names of `COLUMNS`; what is left out or `None` is unknown.

    Raises `ProblemFileError` naming `where` for a value that cannot be meant.
    """
    prompt = _text(where, values, "problem")
    id = _text(where, values, "problem_id") or prompt
    if id is None:
        raise ProblemFileError(f"{where}: neither a problem's id nor its text is there; give one")
    steps = _list(where, values.get("steps"))
    given = _list(where, values.get("step_scores"))
    scores = given if given is not None else _single(values.get("score"))
    labels = _list(where, values.get("step_labels"))
    _require_as_many(where, values.get("steps"), given, labels)
    text = _text(where, values, "text")
    return Sample(
        where,
        id,
        prompt,
        _target(_text(where, values, "target")),
        "".join(map(str, steps)) if text is None and steps is not None else text,
        _text(where, values, "answer"),
        _truth(where, values.get("correct")),
        _count(where, values.get("tokens")),
        _truth(where, values.get("finished")),
        None if steps is None else tuple(map(str, steps)),
        None if scores is None else tuple(_score(where, one, reading.scale) for one in scores),
        None if labels is None else tuple(_truth(where, label) for label in labels),
        failed,
    )


def an_object(where: str, value: Any, what: str) -> Mapping[str, Any]:
    """A part of a row as an object; one that is not there is empty.

    Raises `ProblemFileError` naming `where` for anything else.
    """
    if value is not None and not isinstance(value, dict):
        raise ProblemFileError(
            f"{where}: {what} is {json.dumps(value)[:60]} and no object; give a file as its tool "
            "wrote it"
        )
    return value or {}


def a_list(where: str, value: Any, what: str) -> Sequence[Any]:
    """A part of a row as a list; one that is not there is empty. Raises as `an_object`."""
    if value is not None and not isinstance(value, list):
        raise ProblemFileError(
            f"{where}: {what} is {json.dumps(value)[:60]} and no list; give a file as its tool "
            "wrote it"
        )
    return value or []


def _text(where: str, values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if isinstance(value, (list, dict)):
        raise ProblemFileError(f"{where}: {name} is {json.dumps(value)[:60]}; write text")
    return None if value is None else str(value)


def _require_as_many(
    where: str, steps: Any, scores: Sequence[Any] | None, labels: Sequence[Any] | None
) -> None:
    """Raises `ProblemFileError` where steps have labels, and not as many as there are steps or
    scores of steps."""
    if labels is None:
        return
    for name, those in (("steps", steps), ("step_scores", scores)):
        if isinstance(those, (list, tuple)) and len(those) != len(labels):
            raise ProblemFileError(
                f"{where}: {len(labels)} labels for {len(those)} {name}; write one a step"
            )


_HASHES = re.compile(r"####[ \t]*([^\n#]+?)\s*\Z")


def _target(text: str | None) -> str | None:
    """A target; of a worked solution of GSM8K what stands after its `####`."""
    worked = None if text is None else _HASHES.search(text)
    return worked[1] if worked else text


def _single(value: Any) -> list[Any] | None:
    return None if value is None else [value]


def _list(where: str, value: Any) -> Sequence[Any] | None:
    """A list, as JSON where the file is CSV."""
    known = parse(where, value) if isinstance(value, str) else value
    if isinstance(known, tuple):
        return known
    if known is not None and not isinstance(known, list):
        raise ProblemFileError(
            f"{where}: {json.dumps(known)[:60]} is no list; write one entry a step"
        )
    return known


_WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def _truth(where: str, value: Any) -> bool | None:
    if value is None:
        return None
    known = _WORDS.get(str(value).strip().lower())
    if known is None:
        raise ProblemFileError(f"{where}: {value!r} is neither true nor false; write one of them")
    return known


def _number(where: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ProblemFileError(f"{where}: {value!r} is not a number; leave out what is not known")
    return number


def _count(where: str, value: Any) -> int | None:
    if value is None:
        return None
    number = _number(where, value)
    if number < 0 or number != int(number):
        raise ProblemFileError(f"{where}: {value!r} tokens; leave out what is not known")
    return int(number)


def _score(where: str, value: Any, scale: str) -> float | None:
    if value is None:
        return None
    number = _number(where, value)
    if scale == LOGIT:
        return 0.5 * (1.0 + math.tanh(0.5 * number))
    if not 0 <= number <= 1:
        raise ProblemFileError(
            f"{where}: score {number:g} is outside [0, 1]; give --scores logit if scores are logits"
        )
    return number


class Agreement:
    """What is known of each problem: its first text and target, which all its samples share."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def check(self, sample: Sample) -> None:
        """Raises `ProblemFileError` where a sample differs from an earlier one of its problem."""
        for name in ("prompt", "target"):
            value: str | None = getattr(sample, name)
            if value is None:
                continue
            known = self._known.setdefault((sample.problem_id, name), (value, sample.where))
            if known[0] != value:
                raise ProblemFileError(
                    f"{sample.where}: problem {sample.problem_id!r} has {name} {value[:60]!r}, and "
                    f"{known[0][:60]!r} in {known[1]}; give one of them another id"
                )
