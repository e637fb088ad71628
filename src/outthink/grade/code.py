"""Grades programs by tests, in the sandbox: HumanEval's and MBPP's layouts.

An answer is a function or a whole program, or the continuation of the prompt that the reference
holds. A reference is JSON: the tests, and what is needed to run them. It is right where every test
passes within the limits. Chen et al. 2021 (arXiv 2107.03374), Austin et al. 2021
(arXiv 2108.07732).
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from outthink.errors import RunError, UsageError
from outthink.grade import sandbox
from outthink.grade.sandbox import Ended, Limits

_TRIAL = Path(__file__).with_name("trial.py")
LIMITS = Limits(cpu_s=10, wall_s=30.0)
"""Of one program with all its tests."""

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)^[ \t]*```",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_DEFINITION = re.compile(r"^(?:async\s+)?(?:def|class)\s", re.MULTILINE)
_OPEN_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Suite:
    """What a program is judged by."""

    tests: tuple[str, ...]
    """Python source, run in order in one namespace; a test fails by raising."""
    prompt: str = ""
    """Source that an answer may continue: imports, helpers, signature and docstring."""
    entry_point: str | None = None
    """The function that the prompt asks for; an answer that defines it continues nothing. In the
    tests its name is the program's, even where it is one of Python's own."""

    def dump(self) -> str:
        """As a problem's reference."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, reference: str) -> Suite:
        """Raises `UsageError` where a reference holds no tests."""
        try:
            value = json.loads(reference)
            found = cls(tuple(value["tests"]), value.get("prompt", ""), value.get("entry_point"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"reference {reference[:60]!r} holds no tests; read the problems from a file in "
                "HumanEval's or MBPP's layout"
            ) from error
        if not found.tests or not all(isinstance(test, str) for test in found.tests):
            raise UsageError(f"reference {reference[:60]!r} holds no tests; give each problem one")
        return found


def humaneval(prompt: str, test: str, entry_point: str) -> Suite:
    """HumanEval's layout: `test` defines `check(candidate)`."""
    return Suite((test, f"check({entry_point})"), prompt, entry_point)


def mbpp(test_list: Sequence[str], setup: str = "", imports: Sequence[str] = ()) -> Suite:
    """MBPP's layout: assertions, and what has to be imported or defined for them."""
    before = [source for source in ("\n".join(imports), setup) if source.strip()]
    return Suite((*before, *test_list))


@dataclass(frozen=True, slots=True)
class Trial:
    """How a program did."""

    passed: bool
    why: str
    """What went wrong first; empty where it passed."""


def grade(answer: str, reference: str) -> bool:
    """Whether a program passes all tests. Raises `RunError` where there is no sandbox."""
    return attempt(answer, Suite.load(reference)).passed


def attempt(answer: str, tests: Suite, *, limits: Limits = LIMITS) -> Trial:
    """Try a program. Raises `RunError` where there is no sandbox: nothing has been run then."""
    task = {
        "program": assemble(answer, tests),
        "tests": tests.tests,
        "entry_point": tests.entry_point,
    }
    found = sandbox.run(_TRIAL.read_text(encoding="utf-8"), stdin=json.dumps(task), limits=limits)
    if found.ended is not Ended.EXIT:
        return Trial(False, f"ended: {found.ended}")
    try:
        verdict = json.loads(found.stdout)
    except ValueError:
        if found.code == 1 and "Error" in found.stderr:
            raise RunError(f"the tests could not be run: {found.stderr[-200:].strip()}") from None
        return Trial(False, "ended: before a verdict")
    return Trial(verdict["passed"] is True, verdict["why"])


def assemble(answer: str, tests: Suite) -> str:
    """The whole program: the answer as it is, or after the prompt that it continues."""
    prompt = tests.prompt
    if not prompt.strip():
        return answer
    if tests.entry_point is not None and _defines(answer, tests.entry_point):
        # The prompt alone is a program too, thanks to its docstring: it gives imports and helpers.
        return f"{prompt.rstrip()}\n\n\n{answer}" if _parses(prompt) else answer
    for continued in (
        prompt + answer,
        f"{prompt}    {answer.lstrip()}",
        f"{prompt.rstrip()}\n{answer}",
    ):
        if _parses(continued):
            return continued
    return prompt + answer


def canonical(answer: str) -> str:
    """The program as Python itself would write it, without comments; or as it is."""
    tree = _tree(answer)
    return answer.rstrip() if tree is None else ast.unparse(tree)


def answer(text: str) -> str | None:
    """The last fenced block that defines a function or class, or else the last one, or all of it.

    What follows the program is often a block that only calls it. `None` where the text is empty,
    or where a block never closes: that is unfinished.
    """
    text = text.replace("\r\n", "\n")
    blocks = list(_FENCE.finditer(text))
    rest = text[blocks[-1].end() :] if blocks else text
    if _OPEN_FENCE.search(rest):
        return None
    found = text
    if blocks:
        written = [block[1] for block in blocks]
        found = next((one for one in reversed(written) if _DEFINITION.search(one)), written[-1])
    return found.rstrip() if found.strip() else None


def _tree(source: str) -> ast.Module | None:
    """The program's syntax tree; `None` where it is no program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the program, which is not ours
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return None if any(isinstance(node, ast.Return) for node in tree.body) else tree


def _defines(source: str, name: str) -> bool:
    tree = _tree(source)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == name:
                return True
        elif isinstance(node, ast.Assign) and name in {
            one.id for one in node.targets if isinstance(one, ast.Name)
        }:
            return True
    return False


def _parses(source: str) -> bool:
    return _tree(source) is not None
