"""Files of samples by format: which one a file is in, and what reads it.

A format is a file of this folder and a line below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from outthink.data.formats import (
    autotts,
    crucible,
    inspect_ai,
    lm_eval,
    plain,
    prm800k,
    process_bench,
    search_and_learn,
)
from outthink.data.samples import Reading, Recording, Sample
from outthink.data.tables import rows
from outthink.errors import ProblemFileError

_Reader = Callable[[Path, Reading], Iterator[Sample]]


def _inspect_json(path: Path, reading: Reading) -> Iterator[Sample]:
    for row in rows(path):
        yield from inspect_ai.log(path, row.values, reading)


_ARCHIVE = "inspect_ai .eval"
_READERS: Mapping[str, _Reader] = {
    _ARCHIVE: inspect_ai.archive,
    "inspect_ai .json": _inspect_json,
    "lm-eval": lm_eval.samples,
    "crucible-ttc": crucible.samples,
    "AutoTTS": autotts.samples,
    "ProcessBench": process_bench.samples,
    "PRM800K": prm800k.samples,
    "search-and-learn": search_and_learn.samples,
    "plain": plain.samples,
}
FORMATS = tuple(_READERS)

_SIGNS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "inspect_ai .json": inspect_ai.is_log,
    "lm-eval": lm_eval.is_log,
    "crucible-ttc": lambda values: isinstance(values.get("records"), list),
    "AutoTTS": lambda values: "each_branch" in values,
    "ProcessBench": process_bench.is_labelled,
    "PRM800K": prm800k.is_labelled,
    "search-and-learn": lambda values: isinstance(values.get("completions"), list),
}
"""By format, what shows in its first row; a file that shows none of it is a plain table."""


def recording(path: Path) -> Recording:
    """Name, digest and format of a file. Raises `ProblemFileError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProblemFileError(
            f"{path}: cannot be read ({error.strerror or error}); name a file of samples"
        ) from error
    return Recording(path.name, digest, _format(path))


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The samples of a file, in order. Raises `ProblemFileError` naming the place."""
    return _READERS[_format(path)](path, reading)


def _format(path: Path) -> str:
    if path.suffix.lower() == ".eval":
        return _ARCHIVE
    first = next(rows(path), None)
    if first is None:
        raise ProblemFileError(f"{path}: holds no samples; give a file with one row a sample")
    return next((name for name, shows in _SIGNS.items() if shows(first.values)), "plain")
