"""Graders by name: how an answer is extracted, written in a canonical form, and judged.

    grading = outthink.grade.grading("math")
    answer = grading.extract(solution)          # None where it declares none
    grading.canonical(answer)                   # what votes are counted by; itself an answer
    grading.grade(answer, reference)            # right or wrong
    grading.read(solution)                      # extracted and canonical: what a proposer does

`exact` is for answers with one way to be written, `text` for those that are all of a text, `number`
for GSM8K and its kin, `math` for MATH, `choice` for letters, `code` for programs judged by tests,
`reasoning-gym` for its generators, `judge(rubric=FILE,model=URL)` for tasks without a reference,
`json` for JSON, `tools` for calls of tools; `tools-NAME` reads replies without a call as NAME does.

It knows nothing of models or stores. `data` names the grader of a problem, `study` asks it.

Stands on: errors, plugin, types.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from outthink.errors import UsageError
from outthink.grade import (
    calls,
    choice,
    code,
    extract,
    gym,
    math,
    number,
    sandbox,
    structured,
    text,
    worker,
)
from outthink.plugin import is_plugin, load
from outthink.types import Grader

__all__ = [
    "EXACT",
    "RECORDED",
    "TOOLS",
    "Extractor",
    "Grading",
    "GradingCost",
    "as_reference",
    "extractor",
    "grader",
    "grading",
    "is_judge",
    "names",
]

EXACT = "exact"
"""The grader of the lab's task, and of stores that name none."""
RECORDED = "recorded-"
"""How a grader's name begins whose verdicts came with imported samples; it reads and judges new
answers as the grader whose name follows."""
TOOLS = "tools-"
"""How a grader's name begins that compares calls of tools, and words as the grader whose name
follows."""


class Extractor(Protocol):
    """Extracts the answer from a finished solution's text; `None` where it has none."""

    def __call__(self, text: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class GradingCost:
    """What verdicts of a model cost."""

    verdicts: int
    tokens: int
    """Computed."""
    written_tokens: int
    """Those of them that it wrote."""


@dataclass(frozen=True, slots=True)
class Grading:
    """How one kind of answer is extracted, written in a canonical form, and judged."""

    name: str
    grade: Grader
    extract: Extractor
    canonical: Callable[[str], str]
    """Makes the same text of equal answers; the text is graded as the answer is."""
    require: Callable[[], None] = lambda: None
    """Raises `UsageError` or `RunError` where something is missing without which nothing can be
    judged: a package, a sandbox. To be asked before anything is spent."""
    spent: Callable[[], GradingCost | None] = lambda: None
    """What verdicts cost since this was asked last, of a grader that is a model."""

    def read(self, text: str) -> str | None:
        """The answer of a finished solution in its canonical form, so that equal answers vote
        together; `None` where it declares none."""
        answer = self.extract(text)
        return None if answer is None else self.canonical(answer) or None


def _mathematics(text: str) -> str | None:
    return extract.answer(text, math.grade)


_GRADINGS = {
    grader.name: grader
    for grader in (
        Grading(EXACT, text.exact, text.answer, text.canonical),
        Grading("text", text.exact, text.whole, text.canonical),
        Grading("number", number.grade, extract.answer, number.canonical),
        Grading("math", math.grade, _mathematics, math.canonical, worker.require),
        Grading("choice", choice.grade, choice.answer, choice.canonical),
        Grading("code", code.grade, code.answer, code.canonical, sandbox.require),
        Grading("reasoning-gym", gym.grade, gym.answer, gym.canonical, gym.require),
        Grading("json", structured.equal, structured.answer, structured.canonical),
        Grading("tools", text.exact, calls.answer, text.canonical),
    )
}


def _tools(name: str) -> Grading:
    """Calls of tools, and replies in words as another grader reads them."""
    words = grading(name.removeprefix(TOOLS))

    def grade(answer: str, reference: str) -> bool:
        return text.exact(answer, reference) or words.grade(answer, reference)

    return Grading(name, grade, calls.reading(words.read), text.canonical, words.require)


def _own(name: str) -> Grading:
    """A user's own: its function may have attributes `extract` and `canonical` of its own."""
    judge = load(name)
    return Grading(
        name,
        judge,
        getattr(judge, "extract", extract.answer),
        getattr(judge, "canonical", str.strip),
    )


def grading(name: str) -> Grading:
    """The grading of this name, or of a function MODULE:FUNCTION of (answer, reference).

    Raises `UsageError` for an unknown one, or a module that cannot be imported.
    """
    if name.startswith(RECORDED):
        return replace(grading(name.removeprefix(RECORDED)), name=name)
    if is_judge(name):
        # Of a room that stands on this one: it speaks to a model.
        judged: Grading = load("outthink.verify.open_ended:grading")(name)
        return judged
    if name.startswith(TOOLS):
        return _tools(name)
    if is_plugin(name):
        return _own(name)
    if name not in _GRADINGS:
        raise UsageError(
            f"unknown grader {name!r}; write one of {', '.join(names())}, "
            "judge(rubric=FILE,model=URL), or one of your own as my_module.py:my_grader"
        )
    return _GRADINGS[name]


def is_judge(name: str) -> bool:
    """Whether a grader is a judge with a rubric (`verify.open_ended`)."""
    return name.startswith("judge(")


def as_reference(problem: str, reference: str | None) -> str:
    """What a judge is given in place of a reference: the problem, and a good answer where one is
    known."""
    return json.dumps({"problem": problem, "reference": reference}, ensure_ascii=False)


def grader(name: str) -> Grader:
    """Just the grader of this name. Raises `UsageError` for an unknown one."""
    return grading(name).grade


def extractor(name: str) -> Extractor:
    """Just the extractor that goes with a grader. Raises `UsageError` for an unknown one."""
    return grading(name).extract


def names() -> tuple[str, ...]:
    """The names there are."""
    return tuple(_GRADINGS)
