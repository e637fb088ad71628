"""The grader of tasks without a reference: a judge with a rubric.

    problems.jsonl?grader=judge(rubric=rubric.toml,model=http://HOST:PORT#MODEL,least=0.7)

An answer is right where the weighted mean of its marks is `least` or more. The whole text is the
answer, so votes count equal texts. What stands for a reference is the problem itself, with a good
answer where one is known. An answer whose marks cannot be read, asked once more, has no verdict
(`UnjudgedError`), nor has one that the server fails on: its search is not done, and is judged again
when it is asked for again. What the judge reads and writes is counted (`Grading.spent`); how far to
trust it is for `outthink agreement`. The name holds digits of the rubric, so another rubric is
another grader.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from outthink.errors import ServerError, UnjudgedError, UsageError
from outthink.grade import Grading, GradingCost, text
from outthink.models.http import HttpClient
from outthink.verify.rubric import Marks, Rubric, read_file
from outthink.verify.spelling import spelled
from outthink.verify.writer import MOST_TOKENS, ChatWriter, Cost, connect

_T = TypeVar("_T")
LEAST = 0.7
"""Of the mean mark, for an answer to be right."""
_OPTIONS = {"rubric", "model", "least", "most_tokens", "digest"}


@lru_cache(maxsize=8)
def grading(name: str) -> Grading:
    """The grading of that name; nothing is connected before the first verdict.

    Raises `UsageError` for a name that cannot be one, and a rubric that is none or has changed.
    """
    judge = OpenEnded(name)
    return Grading(judge.name, judge, text.whole, text.canonical, judge.require, judge.spent)


class OpenEnded:
    """A judge as a `Grader`; called from any thread."""

    def __init__(self, name: str) -> None:
        options = spelled(name).options
        if unknown := sorted(options.keys() - _OPTIONS):
            raise UsageError(
                f"{name}: unknown option {unknown[0]!r}; it takes {', '.join(sorted(_OPTIONS))}"
            )
        for option, usual in (("rubric", "rubric=FILE"), ("model", "model=http://HOST:PORT")):
            if not options.get(option):
                raise UsageError(f"{name}: write {usual}")
        self._criteria = read_file(Path(options["rubric"]))
        url, _, model = options["model"].partition("#")
        self._url, self._model = url, model or None
        self._least = _share(name, options.get("least", str(LEAST)))
        self._most = int(options.get("most_tokens", MOST_TOKENS))
        digest = hashlib.blake2b(repr(self._criteria).encode(), digest_size=4).hexdigest()
        if options.get("digest", digest) != digest:
            raise UsageError(
                f"{options['rubric']}: is another rubric than the one of {name}; use that one, or "
                "leave out the digest for a new grader"
            )
        told = {**options, "digest": digest}
        self.name = f"judge({','.join(f'{key}={value}' for key, value in told.items())})"
        self._is_known = False
        self._lock = threading.Lock()
        self._calls, self._cost = 0, Cost()

    def require(self) -> None:
        """Raises `ServerRefused` where there is no such judge."""
        asyncio.run(self._name())

    def __call__(self, answer: str, reference: str) -> bool:
        """Whether an answer is good enough. Raises `UnjudgedError` where the judge does not say."""
        marks = self.marks(answer, reference)
        if marks.score is None:
            raise UnjudgedError(
                f"the judge gave no readable marks of {answer[:40]!r}, asked twice; ask again with "
                "another judge or a larger most_tokens"
            )
        return marks.score >= self._least

    def marks(self, answer: str, reference: str) -> Marks:
        """What the judge says of an answer; `reference` is as `as_reference` made it."""
        told = json.loads(reference)
        problem = str(told["problem"])
        if told.get("reference"):
            problem += f"\n\nA good answer, to compare with:\n{told['reference']}"
        marks = self._asked(lambda judge: judge.marks(problem, answer))
        self._count(marks.cost)
        return marks

    def is_right(self, marks: Marks) -> bool | None:
        """The verdict that marks come to; `None` without any."""
        return None if marks.score is None else marks.score >= self._least

    def first_is_better(self, first: str, second: str, reference: str) -> float | None:
        """1 where the judge prefers the first of two answers, 0 for the second, 1/2 for neither;
        `None` where it does not say. What it costs is counted too."""
        problem = str(json.loads(reference)["problem"])
        better, cost = self._asked(lambda judge: judge.compare(problem, first, second))
        self._count(cost)
        return better

    def _count(self, more: Cost) -> None:
        with self._lock:
            self._calls += 1
            computed, written = self._cost.computed + more.computed, self._cost.written
            self._cost = Cost(computed, self._cost.cached + more.cached, written + more.written)

    def spent(self) -> GradingCost:
        """What was spent since this was asked last."""
        with self._lock:
            cost = GradingCost(self._calls, self._cost.computed, self._cost.written)
            self._calls, self._cost = 0, Cost()
        return cost

    def _asked(self, ask: Callable[[Rubric], Awaitable[_T]]) -> _T:
        """What comes of asking the judge. Connections belong to one event loop, and graders are
        called from many threads, so each verdict has its own."""

        async def asked() -> _T:
            model = await self._name()
            client = HttpClient(self._url)
            judge = Rubric(ChatWriter(client, model, self._most, tells=False), self._criteria)
            try:
                return await ask(judge)
            except ServerError as error:
                raise UnjudgedError(f"the judge gave no verdict: {error}") from error
            finally:
                await judge.aclose()

        return asyncio.run(asked())

    async def _name(self) -> str:
        """The judge's model; asked for once."""
        if self._model is None or not self._is_known:
            made = await connect(self._url, self._model, most_tokens=self._most, what="judge")
            self._model, self._is_known = made.model, True
        return self._model


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(f"{name}: least={text!r} is no share; write least={LEAST}")
    return share
