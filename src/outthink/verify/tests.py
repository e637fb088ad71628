"""Tests of programs as a verifier: the share of tests that a program passes.

    tests(run=yes)                   the model writes tests of a problem, the same for all solutions
    tests(run=yes,file=tests.jsonl)  given ones: {"id": ..., "tests": ["assert f(2) == 4", ...]}

Agreement with tests that a model wrote is CodeT's score of one program (Chen et al. 2022, arXiv
2207.10397); its consensus among programs needs all of them at once, which no verifier sees. The
tests of a reference are never read: they are the grader's. Programs and tests run in the grader's
sandbox, and only where `run=yes` says so. Writing the tests is charged to every solution, as what
all solutions of a problem share, so a search pays it once. `feedback` says what a program failed,
for whoever revises it.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outthink.errors import RunError, UsageError
from outthink.grade import code, fenced, sandbox
from outthink.grade.code import Suite, Trial
from outthink.types import Scores, Verified
from outthink.verify.judge import Wording
from outthink.verify.writer import Writer, seed_of
from outthink.verify.written import SolutionText

COUNT = 5
ASK = (
    "Problem:\n{problem}\n\nWrite {count} tests for a Python solution to this problem, each one "
    "assert statement on one line that calls the function which the problem names. Do not write "
    "the solution. Answer with one ```python block of the tests alone."
)


@dataclass(frozen=True, slots=True)
class _Tests:
    """Tests of one problem, and what writing them cost."""

    sources: tuple[str, ...]
    tokens: int = 0
    written: int = 0


class Tests:
    """The scorer; make a verifier of it with `reading`."""

    __test__ = False

    def __init__(
        self,
        writer: Writer | None = None,
        *,
        given: Mapping[str, Sequence[str]] | None = None,
        count: int = COUNT,
    ) -> None:
        """Tests by problem id, or a model that writes `count` of each. Raises `UsageError` where
        there is neither, and where given tests need what the sandbox lacks; `RunError` where there
        is no sandbox."""
        sandbox.require()
        if (writer is None) == (given is None):
            raise UsageError("tests: give them in a file, or name a model that writes them")
        self._writer, self._count, self.given = writer, count, given
        self._known: dict[str, asyncio.Task[_Tests] | _Tests] = {}
        about = repr((ASK, writer.name if writer else None, count))
        if given is not None:
            require_modules([test for tests in given.values() for test in tests])
            self._known = {name: _Tests(tuple(tests)) for name, tests in given.items()}
            about = json.dumps({name: list(tests) for name, tests in sorted(given.items())})
        digest = hashlib.blake2b(about.encode(), digest_size=4).hexdigest()
        self.name = f"tests-{writer.name if writer else 'given'}-{digest}"

    async def score(self, written: SolutionText) -> Verified:
        """The share of tests passed, for the last step; no score where there are no tests, or no
        program."""
        tests = await self._tests(written)
        program = code.answer("".join(written.steps)) if written.solution.finished else None
        share: float | None = None
        if tests.sources and program is not None:
            trials = await asyncio.gather(*(_attempt(program, one) for one in tests.sources))
            share = sum(trial.passed for trial in trials) / len(trials)
        steps = (*(None,) * (len(written.steps) - 1), share)
        return Verified(Scores(steps), tests.tokens, 0, tests.tokens, tests.written)

    async def _tests(self, written: SolutionText) -> _Tests:
        problem = written.solution.problem
        known = self._known.get(problem.id)
        if known is None:
            if self._writer is None:
                raise UsageError(f"tests: the file has none of problem {problem.id!r}; add them")
            known = asyncio.create_task(self._written(self._writer, written.problem))
            self._known[problem.id] = known
        if isinstance(known, _Tests):
            return known
        try:
            made = await asyncio.shield(known)
        except RunError:
            self._known.pop(problem.id, None)
            raise
        self._known[problem.id] = made
        return made

    async def _written(self, writer: Writer, problem: str) -> _Tests:
        text = Wording().fill(ASK, problem=problem, count=str(self._count))
        reply = await writer.write(text, seed=seed_of(text), temperature=0.0)
        sources = [test for test in asserts(reply.text) if not lacking([test])]
        cost = reply.prompt_tokens + reply.cached_tokens + reply.written_tokens
        return _Tests(tuple(sources[: self._count]), cost, reply.written_tokens)

    async def aclose(self) -> None:
        """Let go of the model's connections."""
        if self._writer is not None:
            await self._writer.aclose()


async def _attempt(program: str, test: str) -> Trial:
    return await asyncio.to_thread(code.attempt, program, Suite((test,)))


def read_file(path: Path) -> dict[str, tuple[str, ...]]:
    """Given tests by problem. Raises `UsageError` for a file that holds none."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        given = {str(row["id"]): tuple(map(str, row["tests"])) for row in rows}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f'{path}: holds no tests ({error}); write a line each: {{"id": ..., "tests": [...]}}'
        ) from error
    if not given:
        raise UsageError(f"{path}: is empty; write a line a problem")
    return given


def asserts(text: str) -> list[str]:
    """The assert statements of a reply that Python can read, each once; of its blocks, or of its
    lines where it has none."""
    blocks = [block.text for block in fenced.blocks(text)]
    lines = "\n".join(blocks or [text]).splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if _is_assert(line.strip())))


def _is_assert(line: str) -> bool:
    if not line.startswith("assert"):
        return False
    try:
        return isinstance(ast.parse(line).body[0], ast.Assert)
    except (SyntaxError, ValueError):
        return False


def lacking(tests: Sequence[str]) -> list[str]:
    """Modules that tests import and the sandbox lacks."""
    wanted = {name for test in tests for name in _imports(test)} - sys.stdlib_module_names
    return [name for name in sorted(wanted) if not code.attempt(f"import {name}", _NOTHING).passed]


_NOTHING = Suite(("pass",))


def require_modules(tests: Sequence[str]) -> None:
    """Raises `UsageError` where tests import what the sandbox lacks."""
    if missing := lacking(tests):
        raise UsageError(
            f"tests import {', '.join(missing)}, which the sandbox lacks; install it for the "
            "Python that runs outthink, or leave these tests out"
        )


def _imports(source: str) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    return {name.partition(".")[0] for name in names}


def feedback(program: str, tests: Sequence[str]) -> str | None:
    """What a program failed, as text for who revises it; `None` where it passes all tests. Raises
    `RunError` where there is no sandbox."""
    for test in tests:
        trial = code.attempt(program, Suite((test,)))
        if not trial.passed:
            return f"The program fails this test:\n{test}\nWhat happened: {trial.why}"
    return None
