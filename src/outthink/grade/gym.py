"""Grades reasoning-gym's problems with the scorer that belongs to each generator.

A reference says which problem it is: the generator, its configuration and the index, beside the
answer that is shown to people. The scorer makes the problem again from that, and refuses where a
question has changed. Some scorers evaluate what a model wrote, so all of them run in the sandbox.
Stojanovski et al. 2025 (arXiv 2505.24760).
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from outthink.errors import RunError, UsageError
from outthink.grade import extract
from outthink.grade.sandbox import Limits, Session

RIGHT = 0.999
"""Scores are in [0, 1]; less than this is partial credit."""
_SCORER = Path(__file__).with_name("gym_scorer.py")
_LIMITS = Limits(cpu_s=36_000, memory_bytes=4 << 30, processes=32)
_SECONDS = 300.0
_AT_ONCE = 50
"""Problems made in one request."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Which problem it is."""

    answer: str
    """The generator's answer; others may be right as well."""
    generator: str
    configuration: str
    """JSON, with size and seed."""
    index: int
    question: str

    def dump(self) -> str:
        """As a problem's reference."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def load(cls, reference: str) -> Entry:
        """Raises `UsageError` where a reference is of another kind."""
        try:
            return cls(**json.loads(reference))
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"reference {reference[:60]!r} is none of reasoning-gym's; read the problems from "
                "reasoning-gym:GENERATOR"
            ) from error


def grade(answer: str, reference: str) -> bool:
    """Whether the generator's own scorer gives full marks.

    Raises `UsageError` without the extra `gym`, `RunError` where there is no sandbox.
    """
    return score(answer, reference) >= RIGHT


@lru_cache(maxsize=1 << 14)
def score(answer: str, reference: str) -> float:
    """The score by the generator's own scorer, in [0, 1]. Raises as `grade` does."""
    require()
    entry = Entry.load(reference)
    reply = _ask(
        ["score", entry.generator, entry.configuration, entry.index, entry.question, answer]
    )
    if "error" in reply:
        raise UsageError(
            f"problem {entry.index} of {entry.generator} cannot be made again ({reply['error']}); "
            "read the problems anew"
        )
    return float(reply["score"])


def generators() -> list[str]:
    """The names of the generators there are. Raises as `grade` does."""
    return list(_ask(["names"])["names"])


def make(generator: str, configuration: str, size: int) -> list[Entry]:
    """The problems that a generator makes. Raises `UsageError` for options it cannot use."""
    entries: list[Entry] = []
    for first in range(0, size, _AT_ONCE):
        last = min(size, first + _AT_ONCE)
        reply = _ask(["make", generator, configuration, first, last])
        if "error" in reply:
            raise UsageError(
                f"reasoning-gym:{generator} cannot be made with {configuration}: "
                + " ".join(reply["error"].split())
            )
        entries += [
            Entry(answer, generator, configuration, index, question)
            for index, (question, answer) in enumerate(reply["entries"], first)
        ]
    return entries


def _ask(request: list[object]) -> dict[str, Any]:
    """What the sandboxed process answers; it is started when it is first needed."""
    require()
    with _lock:
        session = _sessions.get(os.getpid())
        if session is None or session.ended:
            session = Session(_SCORER.read_text("utf-8"), packages=True, limits=_LIMITS)
            _sessions[os.getpid()] = session
        said = session.ask(json.dumps(request), seconds=_SECONDS)
    if said is None:
        raise RunError(f"reasoning-gym did not answer ({session.last_words})")
    reply: dict[str, Any] = json.loads(said)
    return reply


def answer(text: str) -> str | None:
    """What stands in the last `<answer>` tag, lines and all; or else what is declared otherwise."""
    return extract.tagged(text) or extract.answer(text)


def canonical(answer: str) -> str:
    """The text without space around it: which other answers are equal, the scorer decides."""
    return answer.strip()


def require() -> None:
    """Raises `UsageError` where reasoning-gym is missing."""
    if find_spec("reasoning_gym") is None:
        raise UsageError(
            "problems of reasoning-gym need the package; install it with: "
            "pip install 'outthink[gym]'"
        )


_lock = threading.Lock()
_sessions: dict[int, Session] = {}


@atexit.register
def _close() -> None:
    if os.getpid() in _sessions:
        _sessions[os.getpid()].close()
