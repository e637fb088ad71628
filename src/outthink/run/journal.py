"""What a runner keeps of what it paid for, and asks before it pays.

Every row has a key: what fixes it apart from the model. Rows of one key are one row, whichever
search asks for it, so a larger pool, another budget or another strategy draws only what is missing,
and a killed search goes on with the rows that are missing. `run.store` is the journal on disk.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from outthink.errors import RunError, UsageError
from outthink.run.events import Listen
from outthink.types import (
    Budget,
    Choice,
    Draw,
    Drawn,
    Outcome,
    Problem,
    Proposer,
    Solution,
    Strategy,
    Verified,
)


@dataclass(frozen=True, slots=True)
class Job:
    """One problem to be searched by one strategy at one budget."""

    problem: Problem
    strategy: Strategy
    budget: Budget
    stream: str = ""
    """Names an independent stream of draws under the run's seed: difficulty estimation draws its
    own samples, so that it shares none with what it is compared to."""
    judges_all: bool = False
    """Whether every answer that is drawn gets a verdict, as pools need it, or the outcome alone."""
    deadline_s: float | None = field(default=None, compare=False)
    """Seconds that it may take; `None` for those of the runner. The result of a job that was not
    done by then has an error, and in its choice the best answer so far."""
    listen: Listen | None = field(default=None, compare=False)
    """Told of rows and scores as they come."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished job: what it came to, and what it chose from."""

    job: Job
    outcome: Outcome
    choice: Choice
    """Where a job ran out of time, the best so far."""
    failure: RunError | None = field(default=None, compare=False, repr=False)
    """What the error of the outcome is made of."""


Read = Callable[[str], str | None]
"""Finds the answer in the text of a finished solution, and writes equal answers alike."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who draws: rows of two writers are never taken for one another."""

    name: str
    asked: str = ""
    """How the model is asked."""
    seed: int = 0
    reader: str = field(default="", compare=False)
    """The grader whose reading of answers this run uses; empty for a model whose answers have one
    way to be written. Another reading of the same rows draws nothing again."""
    read: Read | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, engine: Proposer, seed: int) -> Writer:
        """A model as it is asked in a run of this seed. Raises `UsageError` where it does not say
        that in words."""
        asked = getattr(engine, "asked", "")
        if not isinstance(asked, str):
            raise UsageError(
                f"proposer {engine.name!r} has an attribute `asked` of type "
                f"{type(asked).__name__}; it says in words how the model is asked: rename it"
            )
        return cls(
            engine.name,
            asked,
            seed,
            getattr(engine, "reader", ""),
            getattr(engine, "read", None),
        )


class KeptDraw(NamedTuple):
    """A row of a proposer, and what is recorded beside it."""

    row: Drawn
    seconds: float
    has_state: bool
    """The engine kept what it read: going on from it need not read it again."""
    reread: bool
    """Its prefix was read again only because what an engine had kept of it was lost: in a search
    that was interrupted, or shares the prefix with another one."""
    critique: bool = False
    """It is about solutions, and has no answer, however it may read."""


class KeptScore(NamedTuple):
    """A row of a verifier; see `KeptDraw`."""

    row: Verified
    seconds: float
    has_state: bool
    reread: bool


class Book(Protocol):
    """The rows of one job."""

    def draws(
        self, writer: Writer, keys: Sequence[int], prefixes: Sequence[Solution]
    ) -> list[KeptDraw | None]:
        """What is recorded under each key, drawn from each prefix; `None` where nothing is."""
        ...

    def keep_draws(
        self,
        writer: Writer,
        keys: Sequence[int],
        prefixes: Sequence[Solution],
        draws: Sequence[KeptDraw],
    ) -> None:
        """Record rows that came, each under its key and drawn from its prefix."""
        ...

    def numbered(
        self, writer: Writer, keys: Sequence[int], parents: Sequence[int], rows: Sequence[Drawn]
    ) -> None:
        """Rows of these keys are the next solutions of the search tree, each drawn from the
        solution of the number beside it (-1 is the start), and cost what `rows` say in it."""
        ...

    def scores(self, verifier: str, keys: Sequence[int]) -> list[KeptScore | None]:
        """What is recorded under each key; `None` where nothing is."""
        ...

    def keep_scores(self, verifier: str, keys: Sequence[int], scores: Sequence[KeptScore]) -> None:
        """Record rows that came, each under its key."""
        ...

    def scored(
        self, verifier: str, numbers: Sequence[int], keys: Sequence[int], rows: Sequence[Verified]
    ) -> None:
        """The scores of these keys are those of these solutions of the search tree, and cost what
        `rows` say in it."""
        ...

    def finish(self, result: Result, asked: Mapping[str, Writer | str]) -> None:
        """Record an outcome; `asked` is who answered requests, by role."""
        ...

    def close(self) -> None:
        """Nothing more will be asked of this job in this run."""
        ...


class Journal(Protocol):
    """Where a runner writes what it paid for. `commit` makes everything before it durable."""

    keeps: bool
    """Whether anything is kept."""

    def book(self, job: Job) -> Book: ...

    def verdict(self, problem: Problem, grader: str, answer: str) -> bool | None:
        """Whether this answer is right; `None` where it was never judged."""
        ...

    def keep_verdict(self, problem: Problem, grader: str, answer: str, right: bool) -> None: ...

    def commit(self) -> None: ...


class NoJournal:
    """Keeps nothing."""

    keeps = False

    def book(self, job: Job) -> NoJournal:
        return self

    def draws(
        self, writer: Writer, keys: Sequence[int], prefixes: Sequence[Solution]
    ) -> list[KeptDraw | None]:
        return [None] * len(keys)

    def keep_draws(
        self,
        writer: Writer,
        keys: Sequence[int],
        prefixes: Sequence[Solution],
        draws: Sequence[KeptDraw],
    ) -> None:
        pass

    def numbered(
        self, writer: Writer, keys: Sequence[int], parents: Sequence[int], rows: Sequence[Drawn]
    ) -> None:
        pass

    def scores(self, verifier: str, keys: Sequence[int]) -> list[KeptScore | None]:
        return [None] * len(keys)

    def keep_scores(self, verifier: str, keys: Sequence[int], scores: Sequence[KeptScore]) -> None:
        pass

    def scored(
        self, verifier: str, numbers: Sequence[int], keys: Sequence[int], rows: Sequence[Verified]
    ) -> None:
        pass

    def finish(self, result: Result, asked: Mapping[str, Writer | str]) -> None:
        pass

    def close(self) -> None:
        pass

    def verdict(self, problem: Problem, grader: str, answer: str) -> bool | None:
        return None

    def keep_verdict(self, problem: Problem, grader: str, answer: str, right: bool) -> None:
        pass

    def commit(self) -> None:
        pass


def draw_keys(
    stream: str,
    position: int,
    rows: Sequence[int],
    draws: Sequence[Draw],
    *,
    in_words: bool = False,
) -> list[int]:
    """Keys of rows of request `position` of a search: 63 bits each of all that fixes a row, given
    problem, model and seed.

    `rows` are their places in the request: with `position` they say which random number they get.
    `in_words`: each row has a prompt of its own, and not the problem's.
    """
    keys: list[int] = []
    bases: dict[int, int] = {}
    for row, draw in zip(rows, draws, strict=True):
        prefix = draw.prefix
        base = bases.get(id(prefix))
        if base is None:
            fixed = f"{stream}\0{position}\0{draw.until}\0{draw.temperature}\0".encode()
            if (force := draw.force) is not None:
                fixed += f"{force.say}\0{force.end}\0{force.most_tokens}\0".encode()
            if in_words:
                # Half a character may be in what a model wrote.
                fixed += f"words\0{prefix.problem.prompt}\0".encode("utf-8", "replace")
            base = bases[id(prefix)] = _digest(fixed + _content(prefix))
        keys.append((base + row * KEY_STRIDE) & _MASK)
    return keys


_MASK = (1 << 63) - 1
KEY_STRIDE = 0x9E3779B97F4A7C15
"""Keys of the rows of one prefix are this far apart; odd, so that no two are the same."""


def solution_keys(writer: Writer, draws: Sequence[int]) -> list[int]:
    """Keys of the solutions that a writer drew under these keys: rows of two writers have the same
    keys, and verifiers must not take their solutions for one another."""
    mixed = mix_of(writer)
    return [key ^ mixed for key in draws]


def mix_of(writer: Writer) -> int:
    """What tells the keys of a writer's solutions from those of another's."""
    return _digest(f"{writer.name}\0{writer.asked}\0{writer.seed}".encode())


def score_key(solution: Solution, key: int, *, as_drawn: bool) -> int:
    """The key of a solution that is scored: its own, and where a search has changed what was drawn,
    what it says.

    Solutions that say the same are scored apart, as what their scores cost depends on which of
    their prefixes were scored before.
    """
    if as_drawn:
        return key
    how = f"score\0{key}\0{solution.finished}\0{solution.truncated}\0".encode()
    return _digest(how + _content(solution))


def _content(solution: Solution) -> bytes:
    parts = [solution.tokens, solution.step_ends, *solution.history]
    lengths = array("q", map(len, parts))
    return b"".join([lengths.tobytes(), *(array("q", part).tobytes() for part in parts)])


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1
