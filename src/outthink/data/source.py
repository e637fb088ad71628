"""Where problems come from, and the grader that fits them.

problems.jsonl                                   a file: JSON Lines, JSON, CSV, TSV or Parquet
MATH/test                                        a folder with one problem a .json file
questions.csv?prompt=frage&reference=loesung     columns by name, where they have unusual ones
test.jsonl?size=200&seed=1                       200 problems of a file, the same ones every time
problems.jsonl?grader=math                       another grader than the one that seems to fit
lab:test?size=200&seed=0                         the lab's task; streams test, calibration, train
reasoning-gym:chain_sum?size=200&seed=1          a generator of reasoning-gym, with its options
test.jsonl?part=2/4                              the second of four parts of any of these, in order

A file whose first line is a problem of the lab's task is read as the lab's throughout. `layouts`
says how other files are understood.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload
from urllib.parse import parse_qsl

from outthink.data import gym, layouts, tables, task
from outthink.data.layouts import Columns, grader_named, recognised
from outthink.data.tables import Row
from outthink.errors import ProblemFileError, UsageError
from outthink.grade import EXACT, as_reference, grading, is_judge
from outthink.types import Problem

LAB = "lab:"
MOST = 1_000_000
"""Problems that may be asked of a generator at once."""
_KEYS = {"id", "prompt", "reference"}
_PART = re.compile(
    r"(?P<mark>[?&])part=(?P<part>[0-9]{1,9})/(?P<parts>[0-9]{1,9})(?P<rest>(&[^?]*)?)$"
)
_OPTIONS = {"prompt", "reference", "id", "grader", "size", "seed"}


@dataclass(frozen=True, slots=True)
class Problems(Sequence[Problem]):
    """Problems in order, and the name of the grader that fits them (`outthink.grade.grading`)."""

    problems: tuple[Problem, ...]
    grader: str
    layout: str
    """The layout of the source: `lab`, `table`, `gsm8k`, `math`, `humaneval`, `mbpp` or
    `reasoning-gym`."""

    def __len__(self) -> int:
        return len(self.problems)

    @overload
    def __getitem__(self, index: int) -> Problem: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...

    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        return self.problems[index]

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)


def read(spec: str) -> Problems:
    """The problems that `spec` names. Raises `UsageError` naming what is wrong and where."""
    whole, part, parts = _parted(spec)
    problems = _read(whole)
    if len(problems) < parts and not len(part_of(problems, part, parts)):
        raise UsageError(
            f"{spec!r}: no problem is in it; {len(problems)} do not make {parts} parts"
        )
    return part_of(problems, part, parts)


def part_of(problems: Problems, part: int, parts: int) -> Problems:
    """One of so many parts of nearly equal size, counted from 1, in order; none of them is empty
    where there are as many problems."""
    return between(problems, *places_of(len(problems), part, parts))


def places_of(count: int, part: int, parts: int) -> tuple[int, int]:
    """Where such a part of so many begins, and where the next one does."""
    return count * (part - 1) // parts, count * part // parts


def between(problems: Problems, first: int, end: int | None) -> Problems:
    """Those from one place up to another."""
    return replace(problems, problems=problems[first:end])


def joined(specs: Sequence[str]) -> str:
    """One name for the problems of several: that of the whole where these are all its parts."""
    distinct = list(dict.fromkeys(specs))
    parted = [_parted(spec) for spec in distinct]
    (whole, _, most), *_ = sorted(parted, key=lambda one: one[2])
    numbers = {part for _, part, parts in parted if parts == most}
    if {name for name, _, _ in parted} == {whole} and len(numbers) == most:
        return whole
    return " + ".join(distinct)


def _parted(spec: str) -> tuple[str, int, int]:
    """What a spec names without its part; the part, and how many there are."""
    match = _PART.search(spec)
    if match is None or Path(spec).exists():
        return spec, 1, 1
    part, parts = int(match["part"]), int(match["parts"])
    if not 1 <= part <= parts:
        raise UsageError(
            f"{spec!r}: part {part} of {parts} is none; give 1/{parts} to {parts}/{parts}"
        )
    rest = match["rest"].removeprefix("&")
    before = spec[: match.start()]
    return before + (match["mark"] + rest if rest else ""), part, parts


def _read(spec: str) -> Problems:
    if spec.startswith(LAB):
        return Problems(tuple(_generated(spec)), EXACT, "lab")
    if spec.startswith(gym.PREFIX):
        return _from_gym(spec)
    return _from_file(spec)


def worked(spec: str) -> list[tuple[str, str]]:
    """Questions of a whole file with their answers as they are written, worked where they are; a
    size in `spec` leaves nothing out. Raises `UsageError` where it is no file of such rows."""
    path, options = _options(spec)
    rows = list(tables.rows(path))
    columns = Columns(options.get("prompt"), options.get("reference"), options.get("id"))
    return layouts.worked(rows, columns)


def called(spec: str) -> str:
    """A name for files about these problems: `gsm8k` for gsm8k.jsonl, `lab-test` for lab:test."""
    plain = spec.partition("?")[0].rstrip("/")
    if plain.startswith(LAB):
        return plain.replace(":", "-")
    return Path(plain.rpartition(":")[2]).stem


def require_lab(problems: Problems, spec: str) -> None:
    """Raises `ProblemFileError` where the lab's models cannot read these problems."""
    if problems.layout != "lab":
        raise ProblemFileError(
            f"{spec}: the lab's models read problems of the lab's task alone; write lab:test, "
            "or name another model"
        )


def digest(problems: Sequence[Problem]) -> str:
    """Sixteen hex digits that pin these problems in this order."""
    text = json.dumps([(problem.id, problem.prompt, problem.reference) for problem in problems])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


# Generators --------------------------------------------------------------------------------------


def _generated(source: str) -> list[Problem]:
    name, _, query = source.removeprefix(LAB).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    size, seed = options.pop("size", "200"), options.pop("seed", "0")
    numbers = all(re.fullmatch("[0-9]{1,18}", number) for number in (size, seed))
    if options or name not in list(task.Stream) or not numbers:
        raise UsageError(
            f"{source!r} names no problems; write lab:STREAM?size=200&seed=0 with a stream of "
            f"{', '.join(task.Stream)}"
        )
    return task.problems(task.Stream(name), _checked(source, size), int(seed))


def _from_gym(spec: str) -> Problems:
    name, _, query = spec.removeprefix(gym.PREFIX).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    size, seed = options.pop("size", "200"), options.pop("seed", "0")
    if not name or not all(re.fullmatch("[0-9]{1,18}", number) for number in (size, seed)):
        raise UsageError(
            f"{spec!r} names no problems; write {gym.PREFIX}GENERATOR?size=200&seed=0, "
            "with options of the generator after an '&'"
        )
    made = gym.problems(name, options, size=_checked(spec, size), seed=int(seed))
    return Problems(tuple(made), "reasoning-gym", "reasoning-gym")


def _checked(spec: str, size: str) -> int:
    if not 1 <= int(size) <= MOST:
        raise UsageError(f"{spec!r} asks for {size} problems; give a size of 1 to {MOST}")
    return int(size)


# Files -------------------------------------------------------------------------------------------


def _from_file(spec: str) -> Problems:
    path, options = _options(spec)
    rows = list(tables.rows(path))
    if not rows:
        raise ProblemFileError(f"{path}: no problems in it; write one JSON object a line")
    if _is_lab(rows[0]):
        problems = [_lab(row) for row in rows]
        grader = grader_named(options.get("grader"), EXACT)
        source = Problems(tuple(_distinct(problems, rows)), grader, "lab")
    else:
        columns = Columns(options.get("prompt"), options.get("reference"), options.get("id"))
        layout = recognised(rows, columns)
        problems = [
            Problem(_id(row, layout.id, number), *layout.problem(row))
            for number, row in enumerate(rows, 1)
        ]
        grader = grader_named(options.get("grader"), layout.grader)
        source = Problems(tuple(_distinct(problems, rows)), grader, layout.name)
    return _sampled(_open_ended(source) if is_judge(source.grader) else source, options, spec)


def _open_ended(source: Problems) -> Problems:
    """The problems as a judge grades them: each stands in place of its reference."""
    grader = grading(source.grader).name
    problems = (
        replace(one, reference=as_reference(one.prompt, one.reference)) for one in source.problems
    )
    return Problems(tuple(problems), grader, source.layout)


def _options(spec: str) -> tuple[Path, dict[str, str]]:
    """The file, and what is said about it after a '?'."""
    path = Path(spec)
    if "?" not in spec or path.exists():
        return path, {}
    name, _, query = spec.rpartition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = options.keys() - _OPTIONS
    if unknown or not options:
        raise UsageError(
            f"{spec!r}: unknown option {', '.join(sorted(unknown)) or query!r}; a file takes "
            f"{', '.join(sorted(_OPTIONS))}"
        )
    return Path(name), options


def _sampled(problems: Problems, options: dict[str, str], spec: str) -> Problems:
    """`size` problems: the first ones, or with a seed any, in the order of the file."""
    size, seed = options.get("size"), options.get("seed")
    if not all(
        re.fullmatch("[0-9]{1,18}", number) for number in (size, seed) if number is not None
    ):
        raise UsageError(f"{spec!r}: size and seed have to be whole numbers")
    if size is None:
        if seed is not None:
            raise UsageError(f"{spec!r}: a seed without a size chooses nothing; add size=200")
        return problems
    wanted = _checked(spec, size)
    if wanted > len(problems):
        raise UsageError(f"{spec!r} asks for {wanted} problems; there are {len(problems)}")
    places = range(wanted)
    if seed is not None:
        places = sorted(random.Random(int(seed)).sample(range(len(problems)), wanted))  # type: ignore[assignment]
    return Problems(tuple(problems[place] for place in places), problems.grader, problems.layout)


def _id(row: Row, column: str | None, number: int) -> str:
    """The row's name, or its number in the file."""
    value = row.values.get(column) if column is not None else None
    if value is None:
        return str(number)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ProblemFileError(
            f"{row.where}: 'id' has to be text or a whole number, saw {str(value)[:40]!r}"
        )
    return str(value)


def _distinct(problems: Sequence[Problem], rows: Sequence[Row]) -> Iterator[Problem]:
    """The same problems. Raises `ProblemFileError` where two have one id."""
    lines: dict[str, str] = {}
    for problem, row in zip(problems, rows, strict=True):
        if problem.id in lines:
            raise ProblemFileError(
                f"{row.where}: id {problem.id!r} was used on {lines[problem.id]}; "
                "give each problem its own"
            )
        lines[problem.id] = row.line
        yield problem


def _is_lab(row: Row) -> bool:
    prompt = row.values.get("prompt")
    if not isinstance(prompt, str) or not row.values.keys() <= _KEYS:
        return False
    try:
        task.parse(prompt)
    except UsageError:
        return False
    return True


def _lab(row: Row) -> Problem:
    value = row.values
    if "prompt" not in value or not value.keys() <= _KEYS:
        raise ProblemFileError(
            f"{row.where}: expected an object with 'prompt' and optionally 'reference' and 'id', "
            f"saw {row.text[:60]!r}"
        )
    prompt, reference, name = value["prompt"], value.get("reference"), value.get("id")
    if not isinstance(prompt, str) or not isinstance(reference, str | None):
        raise ProblemFileError(f"{row.where}: 'prompt' and 'reference' have to be text")
    if isinstance(name, bool) or not isinstance(name, str | int | None):
        raise ProblemFileError(f"{row.where}: 'id' has to be text or a whole number, saw {name!r}")
    try:
        task.parse(prompt)
    except UsageError as error:
        raise ProblemFileError(f"{row.where}: {error}") from error
    if reference is not None and not re.fullmatch(f"[0-9]{{{task.DIGITS}}}", reference):
        raise ProblemFileError(
            f"{row.where}: reference {reference!r} is no answer; write {task.DIGITS} digits, "
            "such as '04883'"
        )
    return Problem(prompt if name is None else str(name), prompt, reference)
