"""Samples that other tools recorded, as values: what a file holds of each, and nothing made up.

Plain tables with a row a sample, search-and-learn tables with a row a problem, and recordings of
crucible-ttc. Knows nothing of stores or models; answers are read and judged by whoever asks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outthink.data.tables import Row, parse, rows
from outthink.errors import ProblemFileError, UsageError

PLAIN, SEARCH_AND_LEARN, CRUCIBLE = "plain", "search-and-learn", "crucible"
FORMATS = (PLAIN, SEARCH_AND_LEARN, CRUCIBLE)
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


def recording(path: Path) -> Recording:
    """Name, digest and format of a file. Raises `ProblemFileError` where it cannot be read."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ProblemFileError(
            f"{path}: cannot be read ({error.strerror or error}); name a file of samples"
        ) from error
    return Recording(path.name, digest, _format(path))


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The samples of a file, in order. Raises `ProblemFileError` naming the place."""
    read: Mapping[str, Callable[[Path, Reading], Iterator[Sample]]] = {
        PLAIN: _plain,
        SEARCH_AND_LEARN: _search_and_learn,
        CRUCIBLE: _crucible,
    }
    return read[_format(path)](path, reading)


def _format(path: Path) -> str:
    first = next(rows(path), None)
    if first is None:
        raise ProblemFileError(f"{path}: holds no samples; give a file with one row a sample")
    if isinstance(first.values.get("records"), list):
        return CRUCIBLE
    return SEARCH_AND_LEARN if isinstance(first.values.get("completions"), list) else PLAIN


def _plain(path: Path, reading: Reading) -> Iterator[Sample]:
    for row in rows(path):
        columns = _columns(row, reading)
        yield _sample(row.where, {name: row.values[key] for name, key in columns.items()}, reading)


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


def _search_and_learn(path: Path, reading: Reading) -> Iterator[Sample]:
    for row in rows(path):
        values = row.values
        texts: list[Any] = values["completions"]
        scores = _as_many(row, "scores", len(texts))
        tokens = values.get("completion_tokens")
        counts = tokens if isinstance(tokens, list) else [None] * len(texts)
        shared = {
            "problem_id": values.get("unique_id", values.get("problem_id")),
            "problem": values.get("problem"),
            "target": values.get("answer"),
        }
        for text, score, count in zip(texts, scores, counts, strict=True):
            # Theirs are -1 or 0 where a search did not count.
            known = count if isinstance(count, int) and count > 0 else None
            mine = {**shared, "text": text, "step_scores": score, "tokens": known}
            yield _sample(row.where, mine, reading)


def _as_many(row: Row, name: str, count: int) -> list[Any]:
    column = row.values.get(name)
    if column is None:
        return [None] * count
    if not isinstance(column, list) or len(column) != count:
        raise ProblemFileError(f"{row.where}: {name} is not a list of {count}, one a completion")
    return column


def _crucible(path: Path, reading: Reading) -> Iterator[Sample]:
    for row in rows(path):
        for record in row.values["records"]:
            where = f"{path}: record {record.get('problem_id')!r}"
            shared = {"problem_id": record.get("problem_id"), "target": record.get("gold")}
            if not isinstance(record.get("traces"), list):
                there = ", ".join(record)
                raise ProblemFileError(
                    f"{where}: no list of traces; there are {there}: a recording of another version"
                )
            for trace in record["traces"]:
                columns = {"score": "prm_score", "text": "text", "tokens": "tokens"}
                mine = {name: trace.get(key) for name, key in columns.items()}
                yield _sample(where, {**shared, **mine, "correct": trace.get("correct")}, reading)


def _sample(where: str, values: Mapping[str, Any], reading: Reading) -> Sample:
    prompt = _text(values.get("problem"))
    id = _text(values.get("problem_id")) or prompt
    if id is None:
        raise ProblemFileError(f"{where}: neither a problem's id nor its text is there; give one")
    steps = _list(where, values.get("steps"))
    given = _list(where, values.get("step_scores"))
    scores = given if given is not None else _single(values.get("score"))
    text = _text(values.get("text"))
    return Sample(
        where,
        id,
        prompt,
        _text(values.get("target")),
        "".join(map(str, steps)) if text is None and steps is not None else text,
        _text(values.get("answer")),
        _truth(where, values.get("correct")),
        _count(where, values.get("tokens")),
        _truth(where, values.get("finished")),
        None if steps is None else tuple(map(str, steps)),
        None if scores is None else tuple(_score(where, one, reading.scale) for one in scores),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _single(value: Any) -> list[Any] | None:
    return None if value is None else [value]


def _list(where: str, value: Any) -> list[Any] | None:
    """A list, as JSON where the file is CSV."""
    known = parse(where, value) if isinstance(value, str) else value
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


def by_problem(recorded: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by problem. Raises `ProblemFileError` where two differ on its text or target."""
    problems: dict[str, list[Sample]] = {}
    known: dict[tuple[str, str], Sample] = {}
    for sample in recorded:
        problems.setdefault(sample.problem_id, []).append(sample)
        for name in ("prompt", "target"):
            value = getattr(sample, name)
            first = (
                known.setdefault((sample.problem_id, name), sample) if value is not None else sample
            )
            if getattr(first, name) != value:
                raise ProblemFileError(
                    f"{sample.where}: problem {sample.problem_id!r} has {name} {value[:60]!r}, and "
                    f"{getattr(first, name)[:60]!r} in {first.where}; give one of them another id"
                )
    return problems
