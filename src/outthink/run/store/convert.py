"""Stores of format 2, made into stores of the present one. Nothing that was paid for is lost.

Format 2 kept the rows of a request of one job; now a row stands on its own, under a key that
follows from the request. So each search is run again on its recorded rows, which tells its
requests.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from outthink.errors import StoreError
from outthink.run.journal import (
    Book,
    Job,
    KeptDraw,
    KeptScore,
    Result,
    Writer,
    draw_keys,
    score_key,
    solution_keys,
)
from outthink.run.store import codec, earlier, schema
from outthink.run.store.file import connect, stranger, trouble
from outthink.run.store.schema import APPLICATION, USAGE_COLUMNS
from outthink.run.store.write import Store
from outthink.types import (
    Budget,
    Choice,
    Draw,
    Drawn,
    Outcome,
    Problem,
    Propose,
    Scores,
    Solution,
    Strategy,
    Usage,
    Verified,
    Verify,
)

FORMAT = 2


@dataclass(frozen=True, slots=True)
class Old:
    """What a store of format 2 said of itself."""

    proposer: str
    verifier: str | None
    seed: int
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def grader(self) -> str:
        """What judged its answers."""
        return self.settings.get("grader", "exact")

    def engine(self, role: str) -> Writer | str:
        """Who answered requests to a role."""
        settings = self.settings
        writers = {"proposer": self.proposer, "reviser": settings.get("reviser", self.proposer)}
        if role in writers:
            # The lab's answers have one way to be written, and no grader reads them.
            reader = "" if writers[role].startswith("lab-") else self.grader
            return Writer(writers[role], "", self.seed, reader)
        own = settings.get("revision_verifier") if role == "revision_verifier" else None
        return own or self.verifier or "none"


def convert(
    old: Path,
    new: Path,
    strategy: Callable[[str], Strategy],
    on_job: Callable[[int, int], None] = lambda done, total: None,
) -> Old:
    """Write what `old` holds into a new store. `strategy` makes a strategy of its name; `on_job` is
    told how many jobs are done, of how many.

    Raises `StoreError` where `old` is no store of format 2, or a search asks for something else
    than when it was recorded.
    """
    with closing(connect(old, write=False)) as database:
        try:
            return _convert(old, database, new, strategy, on_job)
        except sqlite3.Error as error:
            raise trouble(old, "read", error) from error


def require(path: Path) -> None:
    """Raises `StoreError` where a file is no store of format 2."""
    if not path.exists():
        raise StoreError(f"{path}: no such store")
    with closing(connect(path, write=False)) as database:
        try:
            _identity(path, database)
        except sqlite3.Error as error:
            raise trouble(path, "read", error) from error


def fold(path: Path) -> None:
    """Bring what a writer that was killed left in the log into the file itself."""
    with closing(connect(path, write=True)) as database:
        try:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise trouble(path, "written", error) from error


def _convert(
    path: Path,
    database: sqlite3.Connection,
    new: Path,
    strategy: Callable[[str], Strategy],
    on_job: Callable[[int, int], None],
) -> Old:
    old = _identity(path, database)
    problems = {
        number: Problem(name, prompt, reference)
        for number, name, prompt, reference in database.execute(
            "SELECT id, name, prompt, reference FROM problem ORDER BY id"
        )
    }
    jobs = database.execute(
        "SELECT id, problem, strategy, budget, stream FROM job ORDER BY id"
    ).fetchall()
    with Store.open(new, write=True) as store:
        store.add_problems(problems.values())
        for done, (number, problem, name, budget, stream) in enumerate(jobs):
            job = Job(problems[problem], strategy(name), Budget(budget), stream)
            _Replay(path, database, number, old, job, store).run()
            store.commit()
            on_job(done + 1, len(jobs))
    return old


def _identity(path: Path, database: sqlite3.Connection) -> Old:
    ((application,),) = database.execute("PRAGMA application_id")
    ((version,),) = database.execute("PRAGMA user_version")
    if application != APPLICATION:
        raise stranger(path)
    if version == schema.FORMAT:
        raise StoreError(f"{path}: is of format {version} already; nothing is to be converted")
    if version != FORMAT:
        raise StoreError(
            f"{path}: is of format {version}; only formats 2 and 3 are converted, "
            "so use the outthink that wrote it"
        )
    ((text,),) = database.execute("SELECT json FROM identity")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    notes = database.execute("SELECT name, value FROM note") if "note" in tables else ()
    return Old(**json.loads(text), notes=dict(notes))


class _Replay:
    """One job of an old store, searched again on its recorded rows."""

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        number: int,
        old: Old,
        job: Job,
        store: Store,
    ) -> None:
        self._path = path
        self._db = database
        self._number = number
        self._old = old
        self._job = job
        self._store = store
        self._book: Book = store.book(job)
        self._requests: Iterator[tuple[int, int, int]] = iter(
            database.execute(
                "SELECT kind, first, rows FROM request WHERE job = ? ORDER BY position", (number,)
            ).fetchall()
        )
        self._keys: dict[int, int] = {}
        self._solutions_drawn: dict[int, Solution] = {}
        self._scores: dict[int, Scores] = {}
        self._asked: dict[str, Writer | str] = {}
        self._solutions = 0
        self._position = 0

    def run(self) -> None:
        """Record all rows of the job, and its outcome where there is one."""
        search = self._job.strategy.start(self._job.problem, self._job.budget)
        request = next(search)
        try:
            while True:
                response: Sequence[object] | None
                if isinstance(request, Propose):
                    response = self._propose(request)
                else:
                    assert isinstance(request, Verify), "no search of format 2 asked in words"
                    response = self._verify(request)
                if response is None:
                    return  # it was killed here
                self._position += 1
                request = search.send(response)
        except StopIteration as stop:
            self._finish(stop.value)
        finally:
            self._book.close()

    def _propose(self, request: Propose) -> list[Solution] | None:
        writer = self._old.engine(request.role)
        assert isinstance(writer, Writer)
        self._asked[request.role] = writer
        places = [place for place, prefix in enumerate(request.prefixes) if prefix.is_open]
        opened = [request.prefixes[place] for place in places]
        rows = self._next(0, "solution", _SOLUTION, [prefix.number for prefix in opened])
        if rows is None:
            return None
        draws = [Draw(prefix, request.until, request.temperature, 0) for prefix in opened]
        keys = draw_keys(self._job.stream, self._position, places, draws)
        apart = draw_keys(f"{self._job.stream}\0{self._number}", self._position, places, draws)
        known = self._book.draws(writer, keys, opened)
        drawn: list[Drawn] = []
        for place, (prefix, row, there) in enumerate(zip(opened, rows, known, strict=True)):
            own = self._drawn(prefix, *row)
            if there is not None and not _same(there.row.solution, own.row.solution):
                # A server wrote something else than for another search: both were paid for.
                keys[place], there = apart[place], None
            if there is None:
                self._book.keep_draws(writer, [keys[place]], [prefix], [own])
            number = self._solutions
            self._solutions += 1
            (mine,) = solution_keys(writer, [keys[place]])
            self._keys[number] = mine
            drawn.append(replace(own.row, solution=replace(own.row.solution, number=number)))
        self._book.numbered(writer, keys, [prefix.number for prefix in opened], drawn)
        self._solutions_drawn.update((row.solution.number, row.solution) for row in drawn)
        fresh = iter(drawn)
        return [next(fresh).solution if prefix.is_open else prefix for prefix in request.prefixes]

    def _drawn(self, prefix: Solution, row_id: int, _: int, flags: int, *row: Any) -> KeptDraw:
        prompt, cached, decoded, answer, ends, ids = row
        tokens, step_ends = codec.added(
            *earlier.unpack_lists(flags, ends, ids),
            flags,
            prefix.tokens,
            prefix.step_ends,
        )
        solution = Solution(
            prefix.problem,
            tokens,
            step_ends,
            bool(flags & codec.FINISHED),
            bool(flags & codec.TRUNCATED),
            answer,
            history=prefix.history,
        )
        # Its costs are those in this search: nothing is taken off them again.
        drawn = Drawn(solution, prompt, cached, decoded, measured=True, texts=self._texts(row_id))
        return KeptDraw(drawn, 0.0, has_state=solution.is_open, reread=False)

    def _texts(self, row_id: int) -> tuple[str, ...] | None:
        try:
            row = self._db.execute(
                "SELECT steps FROM text WHERE solution = ?", (row_id,)
            ).fetchone()
        except sqlite3.OperationalError:
            return None  # stores without texts have no table for them
        return None if row is None else tuple(json.loads(row[0]))

    def _verify(self, request: Verify) -> list[Scores] | None:
        verifier = self._old.engine(request.role)
        assert isinstance(verifier, str)
        self._asked[request.role] = verifier
        unknown = {
            solution.number: solution
            for solution in request.solutions
            if solution.number not in self._scores
        }
        rows = self._next(1, "score", _SCORE, list(unknown))
        if rows is None:
            return None
        for solution, (_, number, wide, computed, cached, scores) in zip(
            unknown.values(), rows, strict=True
        ):
            verified = Verified(Scores(earlier.unpack_steps(wide, scores)), computed, cached)
            key = score_key(
                solution,
                self._keys.get(number, 0),
                as_drawn=self._solutions_drawn.get(number) is solution,
            )
            (there,) = self._book.scores(verifier, [key])
            if there is not None and there.row.scores != verified.scores:
                key, there = score_key(solution, key ^ self._number, as_drawn=False), None
            if there is None:
                kept = KeptScore(verified, 0.0, has_state=False, reread=False)
                self._book.keep_scores(verifier, [key], [kept])
            self._book.scored(verifier, [number], [key], [verified])
            self._scores[number] = verified.scores
        return [self._scores[solution.number] for solution in request.solutions]

    def _next(
        self, kind: int, table: str, columns: str, about: list[int]
    ) -> list[tuple[Any, ...]] | None:
        """Rows of the next recorded request, which must be about just these solutions."""
        if not about:
            return []
        recorded = next(self._requests, None)
        if recorded is None:
            return None
        recorded_kind, first, count = recorded
        rows = self._db.execute(
            f"SELECT id, {columns} FROM {table} WHERE id >= ? AND id < ? ORDER BY id",
            (first, first + count),
        ).fetchall()
        if recorded_kind != kind or [row[1] for row in rows] != about:
            raise StoreError(
                f"{self._path}: {self._job.strategy.name} on problem {self._job.problem.id!r} asks "
                "for something else than when it was recorded: the search has changed; convert "
                "the store with the outthink that made it"
            )
        return rows

    def _finish(self, choice: Choice) -> None:
        row = self._db.execute(
            f"SELECT answer, is_right, chosen, {USAGE_COLUMNS} FROM outcome WHERE job = ?",
            (self._number,),
        ).fetchone()
        if row is None:
            return
        answer, right, chosen, *usage = row
        job = self._job
        outcome = Outcome(
            job.problem.id,
            job.strategy.name,
            job.budget.generations,
            answer,
            None if right is None else bool(right),
            chosen,
            Usage(*usage),
        )
        if answer is not None and right is not None:
            self._store.keep_verdict(job.problem, self._old.grader, answer, bool(right))
        self._book.finish(Result(job, outcome, choice), self._asked)


def _same(one: Solution, other: Solution) -> bool:
    """Whether two rows drawn from the same prefix say the same."""
    return (one.tokens, one.step_ends, one.finished, one.truncated) == (
        other.tokens,
        other.step_ends,
        other.finished,
        other.truncated,
    )


_SOLUTION = "parent, flags, prompt_tokens, cached_tokens, decoded_tokens, answer, ends, tokens"
_SCORE = "number, wide, computed_tokens, cached_tokens, scores"
