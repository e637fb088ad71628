"""Where problems come from: a JSON Lines file, or the lab's generator.

problems.jsonl                  one object a line: prompt, and where known reference and id
lab:test?size=200&seed=0        the lab's task; streams test, calibration, train
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from outthink.errors import ProblemFileError, UsageError
from outthink.lab import task
from outthink.types import Problem

LAB = "lab:"
_KEYS = {"id", "prompt", "reference"}


def read(source: str) -> list[Problem]:
    """The problems a source names, in order. Raises `UsageError` naming what is wrong and where."""
    return _generated(source) if source.startswith(LAB) else _from_file(Path(source))


def digest(problems: Sequence[Problem]) -> str:
    """Sixteen hex digits that pin these problems in this order."""
    text = json.dumps([(problem.id, problem.prompt, problem.reference) for problem in problems])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _generated(source: str) -> list[Problem]:
    name, _, query = source.removeprefix(LAB).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    size, seed = options.pop("size", "200"), options.pop("seed", "0")
    if options or name not in list(task.Stream) or not (size.isdigit() and seed.isdigit()):
        raise UsageError(
            f"{source!r} names no problems; write lab:STREAM?size=200&seed=0 with a stream of "
            f"{', '.join(task.Stream)}"
        )
    if int(size) < 1:
        raise UsageError(f"{source!r} asks for no problems; give a size of at least 1")
    return task.problems(task.Stream(name), int(size), int(seed))


def _from_file(path: Path) -> list[Problem]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemFileError(
            f"{path}: cannot read problems ({error}); give a JSON Lines file"
        ) from error
    problems: dict[str, Problem] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        problem = _parse(f"{path}:{number}", line)
        if problem.id in problems:
            raise ProblemFileError(
                f"{path}:{number}: id {problem.id!r} was used before; give each problem its own"
            )
        problems[problem.id] = problem
    if not problems:
        raise ProblemFileError(f"{path}: no problems in it; write one JSON object a line")
    return list(problems.values())


def _parse(where: str, line: str) -> Problem:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ProblemFileError(
            f"{where}: not JSON ({error.msg} at column {error.colno})"
        ) from error
    if not isinstance(value, dict) or "prompt" not in value or not value.keys() <= _KEYS:
        raise ProblemFileError(
            f"{where}: expected an object with 'prompt' and optionally 'reference' and 'id', "
            f"saw {line[:60]!r}"
        )
    prompt, reference = value["prompt"], value.get("reference")
    if not isinstance(prompt, str) or not isinstance(reference, str | None):
        raise ProblemFileError(f"{where}: 'prompt' and 'reference' have to be text")
    return Problem(str(value.get("id", prompt)), prompt, reference)
