"""What rows mean: which columns hold the question and the answer, and which grader fits.

The first row decides the layout, and every row has to have it. Known are HumanEval's
(Chen et al. 2021) and MBPP's (Austin et al. 2021) programs with tests, GSM8K's answers after
`####` (Cobbe et al. 2021), MATH's boxed solutions (Hendrycks et al. 2021), questions with options
to choose from (`choices`), and any table with a column of questions and one of answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from outthink.data import choices
from outthink.data.tables import Row, plain
from outthink.errors import ProblemFileError
from outthink.grade import code, extract, number

PROMPTS = ("question", "problem", "prompt", "query", "instruction", "input", "text")
"""Names of a column of questions, the likeliest first; case does not count."""
REFERENCES = (
    "answer", "reference", "solution", "final_answer", "correct_answer", "expected_answer",
    "gold_answer", "ground_truth", "reference_answer", "target", "gold", "label", "output",
)  # fmt: skip
"""Names of a column of answers."""
IDS = ("id", "task_id", "unique_id", "problem_id", "question_id", "record_id", "uid")
NONE = "none"
"""What a caller writes for the column of answers where a table has none."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that the caller named; a column that is `None` is recognised by its name."""

    prompt: str | None = None
    reference: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row becomes a problem, and the grader that fits."""

    name: str
    grader: str
    problem: Callable[[Row], tuple[str, str | None]]
    """Prompt and reference of a row."""
    id: str | None
    """The column of names; `None` where rows have none."""


def recognised(rows: Sequence[Row], columns: Columns) -> Layout:
    """The layout of these rows. Raises `ProblemFileError` listing the columns there are."""
    first = rows[0]
    names = tuple(first.values)
    ids = _column(first, columns.id, IDS, "id", needed=False)
    if columns.prompt is None and columns.reference is None:
        if {"prompt", "test", "entry_point"} <= set(names):
            return Layout("humaneval", "code", _humaneval, ids)
        if "test_list" in names and {"text", "prompt"} & set(names):
            return Layout("mbpp", "code", _mbpp, ids)
    prompt = _column(first, columns.prompt, PROMPTS, "prompt")
    assert prompt is not None
    if columns.reference == NONE and NONE not in first.values:
        return _table(rows, prompt, None, ids)
    if read := choices.recognised(first, columns.reference):
        return Layout("choices", "choice", lambda row: read(row, _needed(row, prompt)), ids)
    reference = _column(
        first,
        columns.reference,
        REFERENCES,
        "reference",
        needed=bool(first.values.keys() - {prompt, ids}),
        other=prompt,
    )
    return _table(rows, prompt, reference, ids)


def worked(rows: Sequence[Row], columns: Columns) -> list[tuple[str, str]]:
    """Questions and answers as they are written. Raises `ProblemFileError` where rows have none."""
    if not rows:
        return []
    prompt = _column(rows[0], columns.prompt, PROMPTS, "prompt")
    # MATH's worked answers are in a column of their own beside short ones.
    likely = ("solution", *REFERENCES)
    reference = _column(rows[0], columns.reference, likely, "reference", other=prompt)
    assert prompt is not None and reference is not None
    return [(_needed(row, prompt), _needed(row, reference)) for row in rows]


def _column(
    row: Row,
    named: str | None,
    likely: Sequence[str],
    option: str,
    *,
    needed: bool = True,
    other: str | None = None,
) -> str | None:
    """The column `named`, or else the first of the `likely` names that the row has, but not
    `other`."""
    if named is not None:
        if named not in row.values:
            raise ProblemFileError(
                f"{row.where}: no column {named!r}; it has {_listed(row)}, so write "
                f"FILE?{option}=COLUMN with one of them"
            )
        return named
    named_so = {plain(name): name for name in reversed(row.values) if name != other}
    column = next((named_so[plain(name)] for name in likely if plain(name) in named_so), None)
    if column is None and needed:
        without = f", or FILE?{option}={NONE} where none does" if option == "reference" else ""
        raise ProblemFileError(
            f"{row.where}: none of its columns is called {', '.join(likely[:3])}; it has "
            f"{_listed(row)}, so write FILE?{option}=COLUMN with the one that holds the {option}"
            f"{without}"
        )
    return column


def _listed(row: Row) -> str:
    return ", ".join(map(repr, row.values)) or "no columns"


# Tables ------------------------------------------------------------------------------------------


def _table(rows: Sequence[Row], prompt: str, reference: str | None, name: str | None) -> Layout:
    references = [_text(row, reference) for row in rows] if reference is not None else []
    known = [text for text in references if text is not None]

    def as_it_is(row: Row) -> tuple[str, str | None]:
        return _needed(row, prompt), None if reference is None else _text(row, reference)

    def hashed(row: Row) -> tuple[str, str | None]:
        assert reference is not None
        text = _text(row, reference)
        return _needed(row, prompt), None if text is None else _after_hashes(row, reference, text)

    def boxed(row: Row) -> tuple[str, str | None]:
        assert reference is not None
        text = _text(row, reference)
        return _needed(row, prompt), None if text is None else _in_box(row, reference, text)

    if known and _HASHES.search(known[0]):
        return Layout("gsm8k", "number", hashed, name)
    if known and r"\boxed" in known[0]:
        return Layout("math", "math", boxed, name)
    return Layout("table", _fitting(known), as_it_is, name)


def _fitting(references: Sequence[str]) -> str:
    """The grader that can judge all of these."""
    if all(re.fullmatch(r"\(?[A-J]\)?", text.strip()) for text in references) and references:
        return "choice"
    if all(number.number(text) is not None for text in references):
        return "number"
    return "math"


_HASHES = re.compile(r"####[ \t]*([^\n#]+?)\s*\Z")


def _after_hashes(row: Row, column: str, text: str) -> str:
    match = _HASHES.search(text)
    if match is None:
        raise ProblemFileError(
            f"{row.where}: {column!r} does not end in '#### ANSWER' as in the rows before, "
            f"saw {text[-40:]!r}"
        )
    return re.sub(r"(?<=\d),(?=\d{3})", "", match[1])


def _in_box(row: Row, column: str, text: str) -> str:
    answer = extract.boxed(text)
    if answer is None:
        raise ProblemFileError(
            f"{row.where}: {column!r} has no \\boxed{{...}} as in the rows before, "
            f"saw {text[-40:]!r}"
        )
    return answer


def _needed(row: Row, column: str) -> str:
    text = _text(row, column)
    if text is None or not text.strip():
        raise ProblemFileError(f"{row.where}: {column!r} is empty; give every problem a question")
    return text


def _text(row: Row, column: str) -> str | None:
    """What a column holds, as text; numbers are welcome."""
    if column not in row.values:
        raise ProblemFileError(
            f"{row.where}: no column {column!r} as in the rows before; it has {_listed(row)}"
        )
    value = row.values[column]
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProblemFileError(
            f"{row.where}: {column!r} has to be text or a number, saw {str(value)[:40]!r}"
        )
    return str(value)


# Programs ----------------------------------------------------------------------------------------


def _humaneval(row: Row) -> tuple[str, str | None]:
    prompt, test, entry = (_source(row, name) for name in ("prompt", "test", "entry_point"))
    return prompt, code.humaneval(prompt, test, entry).dump()


def _mbpp(row: Row) -> tuple[str, str | None]:
    asked = _needed(row, "text" if "text" in row.values else "prompt")
    tests = _sources(row, "test_list")
    if not tests:
        raise ProblemFileError(f"{row.where}: 'test_list' is empty; give every problem a test")
    setup = row.values.get("test_setup_code") or ""
    imports = _sources(row, "test_imports") if "test_imports" in row.values else []
    # The prompt shows a test, since only the tests say how the function is called.
    prompt = f"{asked.strip()}\nYour code should pass this test:\n{tests[0].strip()}"
    return prompt, code.mbpp(tests, setup, imports).dump()


def _source(row: Row, column: str) -> str:
    value = row.values.get(column)
    if not isinstance(value, str) or not value.strip():
        raise ProblemFileError(f"{row.where}: {column!r} has to be source text, saw {value!r:.40}")
    return value


def _sources(row: Row, column: str) -> list[str]:
    value: Any = row.values.get(column)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ProblemFileError(
            f"{row.where}: {column!r} has to be a list of source texts, saw {value!r:.40}"
        )
    return value


def grader_named(name: str | None, fitting: str) -> str:
    """The grader that the caller named, or else `fitting`. Raises `UsageError` for an unknown
    name, or a module that cannot be imported."""
    if name is None:
        return fitting
    from outthink.grade import grading, is_judge

    # A judge is a model, which is not asked yet.
    return name if is_judge(name) else grading(name).name
