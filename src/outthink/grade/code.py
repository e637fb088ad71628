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
from outthink.grade import extract, fenced, sandbox
from outthink.grade.sandbox import Ended, Limits

_TRIAL = Path(__file__).with_name("trial.py")
LIMITS = Limits(cpu_s=10, wall_s=30.0)
"""Limits of one program with all its tests."""

_PYTHON = re.compile(r"\{?\.?(?:i?python|py)\d*(?![a-z]).*", re.IGNORECASE)
_BEGINS = re.compile(r"(?:async\s+def|def|class|import|from)\s+\w|@\w")
MOST_TRIED = 10
"""Lines that a program without a fence may begin or end at."""
_TRIES = re.compile(
    r"tests?|test_?[A-Z_]\w*|test_\w+|\w+_tests?|Tests?\w*|\w+Tests?|main|demo|check"
)
"""Names of functions and classes that try a program, if they assert or print something."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests that a program is judged by."""

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
            suite = cls(tuple(value["tests"]), value.get("prompt", ""), value.get("entry_point"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"reference {reference[:60]!r} holds no tests; read the problems from a file in "
                "HumanEval's or MBPP's layout"
            ) from error
        if not suite.tests or not all(isinstance(test, str) for test in suite.tests):
            raise UsageError(f"reference {reference[:60]!r} holds no tests; give each problem one")
        return suite


def humaneval(prompt: str, test: str, entry_point: str) -> Suite:
    """HumanEval's layout: `test` defines `check(candidate)`."""
    return Suite((test, f"check({entry_point})"), prompt, entry_point)


def mbpp(test_list: Sequence[str], setup: str = "", imports: Sequence[str] = ()) -> Suite:
    """MBPP's layout: assertions, and what has to be imported or defined for them."""
    before = [source for source in ("\n".join(imports), setup) if source.strip()]
    return Suite((*before, *test_list))


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of trying a program."""

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
    process = sandbox.run(_TRIAL.read_text(encoding="utf-8"), stdin=json.dumps(task), limits=limits)
    if process.ended is not Ended.EXIT:
        return Trial(False, f"ended: {process.ended}")
    try:
        verdict = json.loads(process.stdout)
    except ValueError:
        if process.code == 1 and "Error" in process.stderr:
            raise RunError(f"the tests could not be run: {process.stderr[-200:].strip()}") from None
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
    """The program that a solution gives: its last fenced block that defines a function or class.

    Blocks before it go with it where they define what it uses. Blocks of tests and examples, which
    often follow, are the program only where there is no other; so are blocks of another language.
    Without a fence all of the text is the program. `None` where there is none, in a thought that
    never ends, or where a block never closes: that is unfinished.
    """
    spoken = extract.spoken(text.replace("\r\n", "\n"))
    if spoken is None:
        return None
    blocks = list(fenced.blocks(spoken))
    if blocks and not blocks[-1].closed:
        last = blocks.pop()
        before = "\n".join(spoken.split("\n")[: last.start])
        if not blocks and _is_code(before):  # the prompt has opened what ends here
            return before.rstrip()
        if last.text.strip():
            return None
        if not blocks:
            spoken = before
    program = _program(blocks) if blocks else _unfenced(spoken)
    return program.rstrip() if program.strip() else None


def _program(blocks: Sequence[fenced.Block]) -> str:
    """The program among blocks."""
    python = [block.text for block in blocks if _is_python(block)]
    for block in blocks if not python else ():
        if inside := list(fenced.blocks(block.text)):  # Markdown in a block of Markdown
            return _program(inside)
    written = python or [block.text for block in blocks if _is_code(block.text)]
    if not written:
        return blocks[-1].text
    parts = [_Part.of(source) for source in written]
    solving = (
        [number for number, part in enumerate(parts) if part.defines and not part.tests]
        or [number for number, part in enumerate(parts) if part.defines]
        or [number for number, part in enumerate(parts) if part.continues]
        or [len(parts) - 1]
    )
    chosen = parts[solving[-1]]
    return "\n".join([*_needed(chosen, parts[: solving[-1]]), chosen.source])


def _unfenced(text: str) -> str:
    """The program of a text without fences: all of it, or without the prose around it."""
    lines = text.split("\n")
    begins = [number for number, line in enumerate(lines) if _BEGINS.match(line)]
    if not begins or _parses(text) or _Part.of(text).continues:
        return text
    ends = [number for number, line in enumerate(lines) if not line.strip()]
    for begin in begins[:MOST_TRIED]:
        later = [end for end in ends if end > begin]
        for end in (len(lines), *later[: -MOST_TRIED - 1 : -1]):
            if _is_code(program := "\n".join(lines[begin:end])):
                return program
    return text


@dataclass(frozen=True, slots=True)
class _Part:
    """A block as a part of a program."""

    source: str
    names: frozenset[str]
    """What it binds at its top level."""
    uses: frozenset[str]
    """What it reads and does not bind there."""
    defines: bool
    """Whether it holds a function or class."""
    tests: bool
    """Whether all it defines are tests, or examples of use."""
    continues: bool
    """Whether it is the body of a function that a prompt begins."""

    @classmethod
    def of(cls, source: str) -> _Part:
        tree = _tree(source)
        if tree is None:
            continues = source[:1].isspace() and _parses(f"def f():\n{source}")
            written = re.search(r"^(?:async\s+)?(?:def|class)\s", source, re.MULTILINE) is not None
            return cls(source, frozenset(), frozenset(), written, False, continues)
        defined = [node for node in tree.body if _makes_callable(node)]
        names = {name for node in tree.body for name in _bound(node)}
        read = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        tries = bool(defined) and all(_tries(node) for node in defined)
        return cls(source, frozenset(names), frozenset(read - names), bool(defined), tries, False)


def _needed(part: _Part, before: Sequence[_Part]) -> list[str]:
    """Earlier blocks that bind what a later one uses, in their order."""
    sources: list[str] = []
    wanted, had = set(part.uses), set(part.names)
    for earlier in reversed(before):
        if earlier.names & wanted and not earlier.names & had and not earlier.tests:
            sources.insert(0, earlier.source)
            wanted |= earlier.uses
            had |= earlier.names
    return sources


def _tries(node: ast.stmt) -> bool:
    """Whether a definition tries a program: a test, a class of tests, a demonstration."""
    named = any(_TRIES.fullmatch(name) for name in _bound(node))
    inside = {
        one.func.attr if isinstance(one.func, ast.Attribute) else ast.unparse(one.func)
        for one in ast.walk(node)
        if isinstance(one, ast.Call)
    }
    asserts = any(isinstance(one, ast.Assert) for one in ast.walk(node))
    return named and (asserts or any(re.match("assert|print$", name) for name in inside))


def _makes_callable(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Lambda)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _bound(node: ast.stmt) -> list[str]:
    """Names that a statement at the top level binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [
        inside.id
        for inside in ast.walk(node)
        if isinstance(inside, ast.Name) and isinstance(inside.ctx, ast.Store)
    ]


def _is_python(block: fenced.Block) -> bool:
    return not block.language or _PYTHON.fullmatch(block.language) is not None


def _is_code(text: str) -> bool:
    """Whether a text is a program that defines something, or the body of a function."""
    part = _Part.of(text)
    return part.continues or (part.defines and _parses(text))


def _tree(source: str) -> ast.Module | None:
    """The program's syntax tree; `None` where it is no program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about the model's program
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
