"""How often a grader agrees with verdicts that others published, and where it does not.

A file holds one JSON object a line: `reference`, `right` (or `verdict`), and `solution` (a text to
extract the answer from) or `answer`; `id` where there is one. HumanEval's and MBPP's files are read
as they come: the solution that each problem brings has to pass its tests. Every disagreement is
kept, so that each can be judged: the published verdict is not always the one that is right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outthink.errors import ProblemFileError
from outthink.grade import Grading, code

_Z = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A solution that somebody has judged."""

    id: str
    reference: str
    right: bool
    answer: str | None
    """As extracted; `None` where there is none."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A solution that the grader judges otherwise than was published."""

    graded: Graded
    ours: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a grader agrees, with Wilson's interval (95 %)."""

    solutions: int
    agreed: int
    disagreements: tuple[Disagreement, ...]

    @property
    def share(self) -> float:
        return self.agreed / self.solutions

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.agreed, self.solutions)

    @property
    def undeclared(self) -> int:
        """Solutions published as right that declare no answer."""
        return sum(disagreement.graded.answer is None for disagreement in self.disagreements)

    @property
    def too_strict(self) -> int:
        """Solutions published as right that the grader takes for wrong."""
        return sum(not disagreement.ours for disagreement in self.disagreements)

    @property
    def too_lenient(self) -> int:
        """Solutions published as wrong that the grader takes for right."""
        return sum(disagreement.ours for disagreement in self.disagreements)


def measure(
    path: Path, grading: Grading, *, advance: Callable[[float], None] = lambda count: None
) -> Agreement:
    """Grade a file of published verdicts. Raises `ProblemFileError` for a line it cannot read."""
    return agreement(read(path, grading), grading, advance=advance)


def agreement(
    solutions: Iterable[Graded],
    grading: Grading,
    *,
    advance: Callable[[float], None] = lambda count: None,
) -> Agreement:
    """Compare a grader with verdicts. An unanswered solution is wrong."""
    total = 0
    disagreements: list[Disagreement] = []
    for graded in solutions:
        ours = graded.answer is not None and grading.grade(graded.answer, graded.reference)
        total += 1
        if ours is not graded.right:
            disagreements.append(Disagreement(graded, ours))
        advance(1)
    return Agreement(total, total - len(disagreements), tuple(disagreements))


def read(path: Path, grading: Grading) -> Iterator[Graded]:
    """The judged solutions of a file. Raises `ProblemFileError` naming a line it cannot read."""
    empty = True
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    empty = False
                    yield _parse(f"{path}:{number}", line, grading)
    except OSError as error:
        raise ProblemFileError(
            f"{path}: cannot read verdicts ({error.strerror}); give a JSON Lines file"
        ) from error
    if empty:
        raise ProblemFileError(f"{path}: no verdicts in it; write one JSON object a line")


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; it stays inside [0, 1] and is not empty at the ends."""
    share = successes / trials
    scale = 1 + _Z**2 / trials
    middle = share + _Z**2 / (2 * trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def summary(result: Agreement) -> dict[str, Any]:
    """The result as an object for JSON."""
    low, high = result.interval
    return {
        "solutions": result.solutions,
        "agreed": result.agreed,
        "share": result.share,
        "low": low,
        "high": high,
        "undeclared": result.undeclared,
        "disagreements": [
            {
                "id": one.graded.id,
                "answer": one.graded.answer,
                "reference": one.graded.reference,
                "published": one.graded.right,
                "ours": one.ours,
            }
            for one in result.disagreements
        ],
    }


def report(result: Agreement) -> Iterator[str]:
    """Lines for a reader: the share with its interval, then every disagreement."""
    low, high = result.interval
    yield (
        f"{result.agreed} of {result.solutions} verdicts agree: {result.share:.2%} "
        f"(95 % interval {low:.2%} to {high:.2%}); "
        f"{result.too_strict} right by the file alone, {result.undeclared} of them without a "
        f"declared answer, {result.too_lenient} right by us alone"
    )
    for disagreement in summary(result)["disagreements"]:
        yield json.dumps(disagreement, ensure_ascii=False)


def _parse(where: str, line: str, grading: Grading) -> Graded:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ProblemFileError(f"{where}: not JSON; write one object a line") from error
    if isinstance(value, dict) and (own := _own_program(where, value)):
        if grading.name != "code":
            raise ProblemFileError(
                f"{where}: a program with its tests, which {grading.name!r} cannot judge; "
                "write --grader code"
            )
        return own
    right = value.get("right", value.get("verdict")) if isinstance(value, dict) else None
    if not isinstance(right, bool) or not isinstance(value.get("reference"), str):
        raise ProblemFileError(
            f"{where}: expected an object with 'reference' (text), 'right' (true or false) and "
            f"'solution' or 'answer', saw {line[:60].strip()!r}"
        )
    written, text = value.get("answer"), value.get("solution")
    if not isinstance(text if text is not None else written, str):
        raise ProblemFileError(f"{where}: 'solution' or 'answer' has to be text")
    answer = grading.extract(text) if text is not None else written
    return Graded(str(value.get("id", where)), value["reference"], right, answer)


def _own_program(where: str, value: dict[str, Any]) -> Graded | None:
    """The solution that a problem of HumanEval or MBPP brings; `None` for another row."""
    prompt, setup = value.get("prompt", ""), value.get("test_setup_code") or ""
    imports = value.get("test_imports") or ()
    if {"test", "entry_point", "canonical_solution"} <= value.keys():
        answer, sources = value["canonical_solution"], [value["test"], value["entry_point"]]
    elif {"test_list", "code"} <= value.keys():
        answer, sources = value["code"], value["test_list"]
    else:
        return None
    texts = [*sources, *imports, answer, prompt, setup] if isinstance(sources, list) else [None]
    if not sources or not all(isinstance(text, str) for text in texts):
        raise ProblemFileError(
            f"{where}: not a problem as HumanEval and MBPP have them; take the file as published"
        )
    if "entry_point" in value:
        suite = code.humaneval(prompt, *sources)
    else:
        suite = code.mbpp(sources, setup, imports)
    return Graded(str(value.get("task_id", where)), suite.dump(), True, answer)
