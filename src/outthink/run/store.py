"""The store: one SQLite file with everything that was paid for, so that nothing is paid for twice.

It keeps problems, jobs, every solution as a node of its search tree (only what is past its parent:
tokens, and text where only a model could tell it), step scores, what each row cost, and outcomes.
It is the driver's `Journal`: what one `commit` writes is there whole or not at all, and a search
started again is fed from here first.

Layout: `request` says which rows answered the requests of a job, in the order of the search;
`solution` and `score` grow at their end only, so that their pages are full and written once.

A commit survives the death of the process at once; a power cut may take the last few, never half of
one (WAL, synchronous=NORMAL). It does not protect against two machines that write one file over a
network. It knows nothing of models: a proposer is a name here.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import struct
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from outthink.errors import RunError, StoreError, UsageError
from outthink.run.ledger import attended
from outthink.run.runner import Job, Replay, Response, Result
from outthink.search.select import StepAggregation, reduce_steps
from outthink.types import (
    Drawn,
    Outcome,
    Problem,
    Propose,
    Request,
    Scores,
    Solution,
    Usage,
    Verified,
    Verify,
)

FORMAT = 2
"""Version of the layout, in SQLite's `user_version`. Another one is refused, never guessed at."""

APPLICATION = 0x6F757474
"""`outt`: marks the file as ours, in SQLite's `application_id`."""

_CHECKPOINT_PAGES = 4096
"""Pages (16 MB) of the write-ahead log that are worth an fsync."""

_EXPORT_ROWS = 20_000
"""Rows of one row group of a Parquet file; bounds memory."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a store belongs to: draws of two identities never share a file."""

    proposer: str
    verifier: str | None
    seed: int
    settings: Mapping[str, str] = field(default_factory=dict)
    """Whatever else must not change between a run and its continuation."""


@dataclass(frozen=True, slots=True)
class Node:
    """One solution of a search tree: what it says, and what it cost."""

    number: int
    parent: int
    """Number of the solution it extends; -1 is the start."""
    tokens: tuple[int, ...]
    """All of them, those of its parent included."""
    step_ends: tuple[int, ...]
    finished: bool
    truncated: bool
    answer: str | None
    prompt_tokens: int
    cached_tokens: int
    decoded_tokens: int
    scores: Scores | None
    """`None` where it was never given to a verifier."""
    verifier_tokens: int
    verifier_cached_tokens: int
    texts: tuple[str, ...] | None = None
    """What all of them say, as `Drawn.texts` is cut; `None` where the store does not hold it."""


@dataclass(frozen=True, slots=True)
class SearchTree:
    """Everything one job drew, in draw order: a parent stands before its children."""

    problem: Problem
    strategy: str
    budget: int
    stream: str
    nodes: tuple[Node, ...]
    outcome: Outcome | None
    """`None` where the job is not finished; more nodes may then come."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a store holds, all streams together."""

    problems: int
    jobs: int
    finished_jobs: int
    solutions: int
    verified_solutions: int


_Key = tuple[str, str, int, str]
"""Problem, strategy, budget, stream: what makes a job this job."""


@dataclass(slots=True)
class _Entry:
    """A job under way, and what of it waits for the next commit."""

    job: Job
    id: int | None
    """`None` until its first commit."""
    requests: int
    """Recorded so far."""
    solutions: int
    """Recorded or waiting: the number of the next one."""
    drawn: dict[int, int] = field(default_factory=dict)
    """Fingerprints of its open solutions by number: tells a prefix as drawn from an edited one."""
    waiting: list[tuple[int, int, list[tuple[Any, ...]], dict[int, str]]] = field(
        default_factory=list
    )
    """(kind, number of the first solution, rows, texts by row) of each request."""
    outcome: tuple[Any, ...] | None = None


class Store:
    """One open file: `with Store.open(...) as store`. One process writes, any number read."""

    def __init__(self, path: Path, database: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = database
        self._lock = lock
        self._entries: dict[_Key, _Entry] = {}
        self._dirty: dict[_Key, _Entry] = {}

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, identity: Identity | None = None, write: bool
    ) -> Store:
        """Open `path`. When writing, make it where it is missing, and keep other writers out.

        Raises `StoreError` where it is missing, no store, of another format or another `identity`,
        or being written by another process; `RunError` where the disk fails.
        """
        path = Path(path)
        if not (write or path.exists()):
            raise StoreError(f"{path}: no such store; `outthink sweep` makes one")
        lock = _lock(path) if write else None
        try:
            store = cls(path, _connect(path, write), lock)
        except BaseException:
            _unlock(path, lock)
            raise
        try:
            store._prepare(identity)
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; what was not committed is dropped."""
        self._db.close()
        _unlock(self.path, self._lock)
        self._lock = None

    # Writing: the Journal -------------------------------------------------------------------------

    def replay(self, job: Job) -> Replay:
        """What is recorded of a job; see `Journal`. Reads this job's rows alone, when asked for.

        Raises `StoreError` where its problem, or what its search asks for, is not as recorded.
        """
        entry = self._start(job)
        with self._guard("read"):
            return _Replay(self, entry, self._db.execute(_REQUESTS, (entry.id,)).fetchall())

    def proposed(self, job: Job, rows: Sequence[tuple[Solution, Drawn]]) -> None:
        """Record rows drawn for a job, each with the prefix it extends."""
        if not rows:
            return
        entry = self._entry(job)
        first, drawn = entry.solutions, entry.drawn
        packed: list[tuple[Any, ...]] = []
        said: dict[int, str] = {}
        for number, (prefix, row) in enumerate(rows, first):
            solution = row.solution
            if solution.number != number:
                raise StoreError(
                    f"{self.path}: {_named(job)} draws solution {solution.number} where {number} "
                    "is next; search a job once at a time"
                )
            tokens, ends, flags = solution.tokens, solution.step_ends, 0
            if held := len(prefix.tokens):
                if drawn.get(prefix.number) == _mark(prefix) and _extends(solution, prefix):
                    tokens = tokens[held:]
                    ends = tuple([end - held for end in ends[len(prefix.step_ends) :]])
                else:
                    flags = _WHOLE
            elif prefix.number >= 0:
                flags = _WHOLE  # its parent is what it revises, not what it extends
            if solution.finished:
                flags |= _FINISHED
            elif solution.truncated:
                flags |= _TRUNCATED
            else:
                drawn[number] = _mark(solution)
            # What an edited prefix says is not known.
            if row.texts is not None and not (held and flags & _WHOLE):
                said[len(packed)] = _pack_texts(row.texts)
            token_width, token_bytes = _pack_ids(tokens)
            end_width, end_bytes = _pack_ids(ends)
            packed.append(
                (
                    prefix.number,
                    flags | token_width << _TOKEN_WIDTH | end_width << _END_WIDTH,
                    row.prompt_tokens,
                    row.cached_tokens,
                    row.decoded_tokens,
                    solution.answer,
                    end_bytes,
                    token_bytes,
                )
            )
        entry.waiting.append((_PROPOSED, first, packed, said))
        entry.solutions += len(packed)
        self._dirty[_key(job)] = entry

    def verified(self, job: Job, rows: Sequence[tuple[Solution, Verified]]) -> None:
        """Record solutions scored for a job; each comes once."""
        if not rows:
            return
        entry = self._entry(job)
        packed: list[tuple[Any, ...]] = []
        for solution, row in rows:
            wide, scores = _pack_scores(row.scores.steps)
            packed.append((solution.number, wide, row.computed_tokens, row.cached_tokens, scores))
        entry.waiting.append((_VERIFIED, 0, packed, {}))
        self._dirty[_key(job)] = entry

    def meet(self, problems: Iterable[Problem]) -> None:
        """Record problems ahead of their first job, so that their order is theirs and not that in
        which a server happens to answer."""
        with self._writing():
            self._db.executemany(
                "INSERT OR IGNORE INTO problem (name, prompt, reference) VALUES (?, ?, ?)",
                [(problem.id, problem.prompt, problem.reference) for problem in problems],
            )

    def finished(self, result: Result) -> None:
        """Record an outcome. One already recorded stays: its seconds are the true ones."""
        entry = self._entry(result.job)
        found = result.outcome
        entry.outcome = (found.answer, found.right, found.chosen, *_flat(found.usage).values())
        self._dirty[_key(result.job)] = entry

    def commit(self) -> None:
        """Write everything recorded since the last commit, in one transaction.

        Raises `RunError` where the disk is full or fails; nothing of this commit is then written.
        """
        if not self._dirty:
            return
        with self._writing():
            added = self._write(self._dirty.values())
        for entry, number in added:
            entry.id = number
        for key, entry in self._dirty.items():
            entry.requests += len(entry.waiting)
            entry.waiting.clear()
            if entry.outcome is not None:
                self._entries.pop(key, None)
        self._dirty.clear()

    def _write(self, entries: Iterable[_Entry]) -> list[tuple[_Entry, int]]:
        """Insert what waits; returns the jobs that were new, each with its id."""
        added: list[tuple[_Entry, int]] = []
        requests: list[tuple[int, ...]] = []
        outcomes: list[tuple[Any, ...]] = []
        texts: list[tuple[int, str]] = []
        rows: dict[int, list[tuple[Any, ...]]] = {kind: [] for kind in _INSERT}
        first = {kind: self._count(kind) + 1 for kind in _INSERT}
        for entry in entries:
            job = entry.id
            if job is None:
                job = self._add(entry.job)
                added.append((entry, job))
            for position, waiting in enumerate(entry.waiting, entry.requests):
                kind, number, packed, said = waiting
                at = first[kind] + len(rows[kind])
                texts += [(at + row, text) for row, text in said.items()]
                requests.append((job, position, kind, at, len(packed), number))
                rows[kind] += packed
            if entry.outcome is not None:
                outcomes.append((job, *entry.outcome))
        for kind, insert in _INSERT.items():
            self._db.executemany(insert, rows[kind])
            # What `requests` say of ids holds only if the rows took the next free ones.
            assert self._count(kind) + 1 == first[kind] + len(rows[kind])
        self._db.executemany("INSERT INTO request VALUES (?, ?, ?, ?, ?, ?)", requests)
        self._db.executemany(_INSERT_OUTCOME, outcomes)
        if texts:
            self._db.execute(_MAKE_TEXTS)
            self._db.executemany("INSERT INTO text VALUES (?, ?)", texts)
        return added

    def _add(self, job: Job) -> int:
        problem = job.problem
        self._db.execute(
            "INSERT OR IGNORE INTO problem (name, prompt, reference) VALUES (?, ?, ?)",
            (problem.id, problem.prompt, problem.reference),
        )
        problem_id, _ = self._find(job)
        number = self._db.execute(
            "INSERT INTO job (problem, strategy, budget, stream) VALUES (?, ?, ?, ?)",
            (problem_id, job.strategy.name, job.budget.generations, job.stream),
        ).lastrowid
        assert number is not None
        return number

    def _find(self, job: Job) -> tuple[int | None, int | None]:
        """Ids of a job's problem and of the job, `None` where they are not recorded."""
        problem = job.problem
        row = self._db.execute(
            "SELECT p.prompt, p.reference, p.id, j.id FROM problem p LEFT JOIN job j"
            " ON j.problem = p.id AND j.strategy = ? AND j.budget = ? AND j.stream = ?"
            " WHERE p.name = ?",
            (job.strategy.name, job.budget.generations, job.stream, problem.id),
        ).fetchone()
        if row is None:
            return None, None
        wanted = (problem.prompt, problem.reference)
        for what, seen, given in zip(("prompt", "reference"), row, wanted, strict=False):
            if seen != given:
                raise StoreError(
                    f"{self.path}: problem {problem.id!r} is recorded with {what} {_short(seen)}, "
                    f"not {_short(given)}; give a changed problem a new id, or use another store"
                )
        return row[2], row[3]

    def _entry(self, job: Job) -> _Entry:
        return self._entries.get(_key(job)) or self._start(job)

    def _start(self, job: Job) -> _Entry:
        """A new entry for a job; what an abandoned run left uncommitted of it is dropped."""
        self._dirty.pop(_key(job), None)
        with self._guard("read"):
            _, number = self._find(job)
            requests, solutions = self._db.execute(
                "SELECT count(*), coalesce(sum(rows * (kind = 0)), 0) FROM request WHERE job = ?",
                (number,),
            ).fetchone()
        entry = self._entries[_key(job)] = _Entry(job, number, requests, solutions)
        return entry

    # Reading --------------------------------------------------------------------------------------

    def note(self, name: str, value: str) -> None:
        """Keep a remark, in place of an earlier one of that name: no part of what the store is of,
        and nothing that is recorded depends on it."""
        if self.noted(name) == value:
            return
        with self._writing():
            self._db.execute("CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT)")
            self._db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str | None:
        """The remark of that name."""
        with self._guard("read"):
            if not self._db.execute(_NOTES_MADE).fetchone():
                return None
            found = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    @property
    def identity(self) -> Identity:
        """What it was made with."""
        with self._guard("read"):
            ((text,),) = self._db.execute("SELECT json FROM identity")
        return Identity(**json.loads(text))

    def outcome(self, job: Job) -> Outcome | None:
        """What a job came to; `None` where it is not finished.

        Raises `StoreError` where its problem is recorded with another prompt or reference.
        """
        with self._guard("read"):
            row = self._db.execute(_OUTCOMES + " WHERE o.job = ?", (self._find(job)[1],)).fetchone()
        return None if row is None else _outcome(row)

    def outcomes(self, *, stream: str = "") -> Iterator[Outcome]:
        """Outcomes of one stream, by the order in which their jobs were begun."""
        with self._guard("read"):
            rows = self._db.execute(
                _OUTCOMES + " WHERE j.stream = ? ORDER BY o.job", (stream,)
            ).fetchall()
        return map(_outcome, rows)

    def problems(self) -> list[Problem]:
        """Problems in the order in which they were first met."""
        with self._guard("read"):
            rows = self._db.execute("SELECT name, prompt, reference FROM problem ORDER BY id")
            return [Problem(*row) for row in rows]

    def tree(self, problem_id: str, strategy: str, budget: int, stream: str = "") -> SearchTree:
        """Everything a job drew, also of one that is not finished.

        Raises `StoreError` where nothing is recorded of it.
        """
        with self._guard("read"):
            return self._tree(self._known(problem_id, strategy, budget, stream))

    def pool(
        self,
        problem_id: str,
        strategy: str,
        budget: int,
        stream: str = "",
        *,
        step: StepAggregation = StepAggregation.LAST,
    ) -> tuple[list[str | None], list[float | None]]:
        """Answers, and scores by `step`, of all solutions of a finished job in draw order.

        Takes about a microsecond a solution. It is meant for searches that draw solutions whole; of
        others it gives their prefixes too. Raises `StoreError` where the job is not finished.
        """
        with self._guard("read"):
            job = self._known(problem_id, strategy, budget, stream)
            if self._db.execute("SELECT 1 FROM outcome WHERE job = ?", (job,)).fetchone() is None:
                raise StoreError(
                    f"{self.path}: {strategy} at {budget} on problem {problem_id!r} is not "
                    "finished; give the command that began it again"
                )
            answers = [answer for (answer,) in self._db.execute(_ANSWERS, (job,))]
            scores: list[float | None] = [None] * len(answers)
            if step is not StepAggregation.LAST:
                for number, wide, _, _, data in self._db.execute(_JOB_SCORES, (job,)):
                    if number >= 0:
                        scores[number] = reduce_steps(Scores(_unpack_scores(wide, data)), step)
                return answers, scores
            unpack = (struct.Struct("<f").unpack, struct.Struct("<d").unpack)
            for number, wide, last in self._db.execute(_LAST_SCORES, (job,)):
                if last and number >= 0:
                    (score,) = unpack[wide](last)
                    scores[number] = None if score != score else score
        return answers, scores

    def costs(self, strategy: str, budget: int, problems: Container[str]) -> list[Usage]:
        """What solution 0, 1, ... of these problems' jobs cost, each the sum over the problems.

        Reads of the prompt to decode are left out: how many rows share them is for who adds up. For
        jobs that all draw the same number of solutions, whole.
        """
        totals: dict[int, Usage] = {}
        with self._guard("read"):
            jobs = self._db.execute(
                "SELECT j.id, p.name FROM job j JOIN problem p ON p.id = j.problem"
                " WHERE j.strategy = ? AND j.budget = ? AND j.stream = ''",
                (strategy, budget),
            ).fetchall()
            for job in [number for number, name in jobs if name in problems]:
                rows = {number: cost for number, *cost in self._db.execute(_COSTS, {"job": job})}
                bare = sum(rows[0][:2])  # what the first of them read is the prompt
                for number, cost in rows.items():
                    totals[number] = totals.get(number, Usage()) + _cost(bare, *cost)
        return [totals[number] for number in range(len(totals))]

    def counts(self) -> Counts:
        """How much is recorded."""
        with self._guard("read"):
            ((problems, jobs, finished),) = self._db.execute(
                "SELECT (SELECT count(*) FROM problem), (SELECT count(*) FROM job),"
                " (SELECT count(*) FROM outcome)"
            )
            solutions, verified = self._count(_PROPOSED), self._count(_VERIFIED)
        return Counts(problems, jobs, finished, solutions, verified)

    def bytes_per_solution(self) -> float | None:
        """The size of everything over the number of solutions; `None` where there are none."""
        with self._guard("read"):
            ((pages,),) = self._db.execute("PRAGMA page_count")
            ((page_bytes,),) = self._db.execute("PRAGMA page_size")
            solutions = self._count(_PROPOSED)
        return pages * page_bytes / solutions if solutions else None

    def export_parquet(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write problems.parquet, outcomes.parquet and solutions.parquet; returns their paths.

        A solution comes as one row, with all its tokens, and its text where it is held. Files of
        these names are replaced. Raises `UsageError` without pyarrow, `RunError` where the folder
        cannot be written.
        """
        try:
            arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError:
            raise UsageError(
                "Parquet needs pyarrow; install it with `pip install 'outthink[parquet]'`"
            ) from None
        folder = Path(folder)
        tables: dict[str, Iterator[tuple[Any, ...]]] = {
            "problems": ((each.id, each.prompt, each.reference) for each in self.problems()),
            "outcomes": self._outcome_rows(),
            "solutions": self._solution_rows(),
        }
        written: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._guard("read"):
                for name, rows in tables.items():
                    schema = arrow.schema(
                        [(column, _arrow_type(arrow, kind)) for column, kind in _COLUMNS[name]]
                    )
                    part = folder / f"{name}.parquet.part"
                    with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
                        while batch := list(islice(rows, _EXPORT_ROWS)):
                            columns = map(arrow.array, zip(*batch, strict=True), schema.types)
                            writer.write_table(arrow.table(list(columns), schema=schema))
                    written.append(part.replace(folder / f"{name}.parquet"))
        except OSError as error:
            raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
        return written

    def _outcome_rows(self) -> Iterator[tuple[Any, ...]]:
        for row in self._db.execute(_OUTCOMES + " ORDER BY o.job"):
            found, stream = _outcome(row), row[-1]
            job = (found.problem_id, found.strategy, found.budget, stream)
            yield *job, found.answer, found.right, found.chosen, *_flat(found.usage).values()

    def _solution_rows(self) -> Iterator[tuple[Any, ...]]:
        for (job,) in self._db.execute("SELECT id FROM job ORDER BY id"):
            tree = self._tree(job)
            for node in tree.nodes:
                yield (
                    tree.problem.id,
                    tree.strategy,
                    tree.budget,
                    tree.stream,
                    node.number,
                    node.parent,
                    node.tokens,
                    node.step_ends,
                    node.finished,
                    node.truncated,
                    node.answer,
                    node.prompt_tokens,
                    node.cached_tokens,
                    node.decoded_tokens,
                    node.scores and node.scores.steps,
                    node.verifier_tokens,
                    node.verifier_cached_tokens,
                    None if node.texts is None else "".join(node.texts),
                )

    def _tree(self, job: int) -> SearchTree:
        name, prompt, reference, strategy, budget, stream = self._db.execute(
            "SELECT p.name, p.prompt, p.reference, j.strategy, j.budget, j.stream"
            " FROM job j JOIN problem p ON p.id = j.problem WHERE j.id = ?",
            (job,),
        ).fetchone()
        verified = {
            number: (Scores(_unpack_scores(wide, scores)), computed, cached)
            for number, wide, computed, cached, scores in self._db.execute(_JOB_SCORES, (job,))
        }
        own = dict(self._db.execute(_JOB_TEXTS, (job,))) if self._has_texts() else {}
        written: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        texts: dict[int, tuple[str, ...] | None] = {}
        nodes: list[Node] = []
        for row in self._db.execute(_JOB_SOLUTIONS, (job,)):
            number, parent, flags, prompt_tokens, cached, decoded, answer, ends, tokens = row
            written[number] = _unpack_solution(flags, ends, tokens, *written.get(parent, ((), ())))
            held = parent >= 0 and not flags & _WHOLE
            texts[number] = _unpack_texts(
                own.get(number),
                texts[parent] if held else (),
                len(written[parent][1]) if held else 0,
            )
            scores, computed, from_cache = verified.get(number, (None, 0, 0))
            nodes.append(
                Node(
                    number,
                    parent,
                    *written[number],
                    bool(flags & _FINISHED),
                    bool(flags & _TRUNCATED),
                    answer,
                    prompt_tokens,
                    cached,
                    decoded,
                    scores,
                    computed,
                    from_cache,
                    texts[number],
                )
            )
        found = self._db.execute(_OUTCOMES + " WHERE o.job = ?", (job,)).fetchone()
        return SearchTree(
            Problem(name, prompt, reference),
            strategy,
            budget,
            stream,
            tuple(nodes),
            None if found is None else _outcome(found),
        )

    def _known(self, problem_id: str, strategy: str, budget: int, stream: str) -> int:
        row = self._db.execute(
            "SELECT j.id FROM job j JOIN problem p ON p.id = j.problem"
            " WHERE p.name = ? AND j.strategy = ? AND j.budget = ? AND j.stream = ?",
            (problem_id, strategy, budget, stream),
        ).fetchone()
        if row is None:
            where = f" in stream {stream!r}" if stream else ""
            raise StoreError(
                f"{self.path}: nothing is recorded of {strategy} at {budget} on problem "
                f"{problem_id!r}{where}; `outthink sweep` records it"
            )
        return int(row[0])

    def _has_texts(self) -> bool:
        """Whether any solution came with its text: there is no place for it before that."""
        return bool(self._db.execute(_TEXTS_MADE).fetchone())

    def _count(self, kind: int) -> int:
        """Rows of `solution` or `score`: as these only grow, also their largest id."""
        ((largest,),) = self._db.execute(_LARGEST[kind])
        return int(largest)

    # The file -------------------------------------------------------------------------------------

    def _prepare(self, identity: Identity | None) -> None:
        """Make the tables of a new file, or see that this is a store that fits."""
        with self._guard("read"):
            ((application,),) = self._db.execute("PRAGMA application_id")
            ((version,),) = self._db.execute("PRAGMA user_version")
            ((tables,),) = self._db.execute("SELECT count(*) FROM sqlite_master")
        # Killed in the middle of making it, a process leaves a file without tables: make it again.
        is_new = self._lock is not None and (application, tables) == (0, 0)
        if not is_new and application != APPLICATION:
            raise _stranger(self.path)
        if not is_new and version != FORMAT:
            raise StoreError(
                f"{self.path}: written in format {version}, and this outthink reads format "
                f"{FORMAT}; use the outthink that wrote it, or another store"
            )
        if identity is not None and not is_new:
            self._compare(identity)
        if self._lock is not None:
            with self._guard("written"):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        if is_new:
            self._make(identity)

    def _make(self, identity: Identity | None) -> None:
        if identity is None:
            raise StoreError(f"{self.path}: is new; give the identity of what it will hold")
        text = json.dumps({**_flat(identity), "settings": dict(identity.settings)})
        with self._writing():
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute("INSERT INTO identity VALUES (?)", (text,))

    def _compare(self, wanted: Identity) -> None:
        recorded, now = _facts(self.identity), _facts(wanted)
        changed = [
            f"{name} {_short(recorded.get(name))} (asked for: {_short(now.get(name))})"
            for name in {**recorded, **now}
            if recorded.get(name) != now.get(name)
        ]
        if changed:
            raise StoreError(
                f"{self.path}: made with {', '.join(changed)}; ask for the same, "
                "or use another store"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it, or an error and nothing."""
        with self._guard("written"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # What memory holds is now ahead of the file, and the file is right.
                self._entries.clear()
                self._dirty.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _guard(self, how: str) -> Iterator[None]:
        """SQLite's errors as ours, in one line."""
        try:
            yield
        except sqlite3.Error as error:
            raise _trouble(self.path, how, error) from error
        except UnicodeEncodeError as error:
            half = error.object[error.start : error.end]
            raise UsageError(
                f"{self.path}: cannot hold {half!r}, half a character; clean the problem file"
            ) from error


class _Replay:
    """Answers the requests of one search, in order, from what is recorded."""

    def __init__(
        self, store: Store, entry: _Entry, recorded: Sequence[tuple[int, int, int]]
    ) -> None:
        self._store = store
        self._entry = entry
        self._recorded = iter(recorded)
        self._solutions = 0
        self._scores: dict[int, Scores] = {}

    def __call__(self, request: Request) -> Response | None:
        return self._propose(request) if isinstance(request, Propose) else self._verify(request)

    def _propose(self, request: Propose) -> list[Drawn] | None:
        rows = self._next(_PROPOSED, [p.number for p in request.prefixes if p.is_open])
        if rows is None:
            return None
        waiting = iter(rows)
        return [
            self._rebuilt(prefix, *next(waiting)) if prefix.is_open else Drawn(prefix, 0, 0, 0)
            for prefix in request.prefixes
        ]

    def _rebuilt(self, prefix: Solution, parent: int, flags: int, *row: Any) -> Drawn:
        prompt_tokens, cached_tokens, decoded_tokens, answer, ends, ids = row
        tokens, step_ends = _unpack_solution(flags, ends, ids, prefix.tokens, prefix.step_ends)
        number = self._solutions
        self._solutions += 1
        solution = Solution(
            prefix.problem,
            tokens,
            step_ends,
            bool(flags & _FINISHED),
            bool(flags & _TRUNCATED),
            answer,
            number,
            history=prefix.history,
        )
        if solution.is_open:
            self._entry.drawn[number] = _mark(solution)
        return Drawn(solution, prompt_tokens, cached_tokens, decoded_tokens)

    def _verify(self, request: Verify) -> list[Verified] | None:
        numbers = [solution.number for solution in request.solutions]
        # As in the driver: a solution asked about again, or twice at once, is paid for once.
        unknown = [number for number in dict.fromkeys(numbers) if number not in self._scores]
        rows = self._next(_VERIFIED, unknown)
        if rows is None:
            return None
        paid: dict[int, Verified] = {}
        for number, wide, computed, cached, scores in rows:
            paid[number] = Verified(Scores(_unpack_scores(wide, scores)), computed, cached)
            self._scores[number] = paid[number].scores
        return [
            paid.pop(number) if number in paid else Verified(self._scores[number], 0, 0)
            for number in numbers
        ]

    def _next(self, kind: int, about: list[int]) -> list[tuple[Any, ...]] | None:
        """Rows of the next recorded request, which must be about just these solutions."""
        if not about:
            return []
        recorded = next(self._recorded, None)
        if recorded is None:
            return None
        recorded_kind, first, count = recorded
        with self._store._guard("read"):
            rows = self._store._db.execute(_RANGE[recorded_kind], (first, first + count)).fetchall()
        if recorded_kind != kind or [row[0] for row in rows] != about:
            raise StoreError(
                f"{self._store.path}: {_named(self._entry.job)} asks for something else than when "
                "it was recorded: the search has changed; use the outthink that made the store, "
                "or another store"
            )
        return rows


# Rows as bytes -----------------------------------------------------------------------------------

_FINISHED, _TRUNCATED = 1, 2
_WHOLE = 4
"""The row has all its tokens: its prefix was not as drawn, or it does not begin with it."""
_TOKEN_WIDTH, _END_WIDTH = 3, 5
"""Where in the flags the widths stand, as an index into `_WIDTHS`."""
_WIDTHS = "BHI"
_BYTES = (1, 2, 4)


def _mark(solution: Solution) -> int:
    return hash((solution.tokens, solution.step_ends))


def _extends(solution: Solution, prefix: Solution) -> bool:
    return (
        solution.tokens[: len(prefix.tokens)] == prefix.tokens
        and solution.step_ends[: len(prefix.step_ends)] == prefix.step_ends
    )


def _pack_ids(ids: tuple[int, ...]) -> tuple[int, bytes]:
    """Whole numbers in the narrowest width that holds them all, little endian."""
    try:
        return 0, bytes(ids)
    except ValueError:
        pass
    for width in (1, 2):
        with suppress(struct.error):
            return width, struct.pack(f"<{len(ids)}{_WIDTHS[width]}", *ids)
    raise RunError(f"the proposer gave a token id outside 0 to 2^32 - 1: {min(ids)} to {max(ids)}")


def _unpack_ids(width: int, data: bytes) -> tuple[int, ...]:
    if width == 0:
        return tuple(data)
    return struct.unpack(f"<{len(data) // _BYTES[width]}{_WIDTHS[width]}", data)


def _unpack_solution(
    flags: int, ends: bytes, tokens: bytes, held: tuple[int, ...], held_ends: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All tokens and step ends of a row that extends `held`."""
    own = _unpack_ids(flags >> _TOKEN_WIDTH & 3, tokens)
    own_ends = _unpack_ids(flags >> _END_WIDTH & 3, ends)
    if flags & _WHOLE or not held:
        return own, own_ends
    past = len(held)
    return held + own, held_ends + tuple([past + end for end in own_ends])


def _pack_texts(texts: tuple[str, ...]) -> str:
    """As JSON; half a character has no place in UTF-8."""
    text = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def _unpack_texts(
    own: str | None, held: tuple[str, ...] | None, held_steps: int
) -> tuple[str, ...] | None:
    """All texts of a row whose prefix has `held`; what is behind its last step goes on here."""
    if own is None or held is None:
        return None
    more = tuple(json.loads(own))
    if len(held) > held_steps and more:
        return (*held[:held_steps], held[-1] + more[0], *more[1:])
    return held + more


@cache
def _narrow(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}f")


def _pack_scores(scores: tuple[float | None, ...]) -> tuple[int, bytes]:
    """(0, float32s) where that is exact, else (1, float64s); NaN stands for `None`."""
    layout = _narrow(len(scores))
    try:
        data = layout.pack(*scores)
        if layout.unpack(data) == scores:
            return 0, data
    except (struct.error, OverflowError):
        pass
    known = [score for score in scores if score is not None]
    if any(score != score for score in known):
        raise RunError("the verifier gave NaN for a score; one that could not be had is None")
    filled = [float("nan") if score is None else score for score in scores]
    with suppress(OverflowError):
        data = layout.pack(*filled)
        if [score for score in layout.unpack(data) if score == score] == known:
            return 0, data
    return 1, struct.pack(f"<{len(filled)}d", *filled)


def _unpack_scores(wide: int, data: bytes) -> tuple[float | None, ...]:
    values = (
        struct.unpack(f"<{len(data) // 8}d", data)
        if wide
        else (_narrow(len(data) // 4).unpack(data))
    )
    if any(value != value for value in values):
        return tuple([None if value != value else value for value in values])
    return values


# Names and values --------------------------------------------------------------------------------


def _key(job: Job) -> _Key:
    return job.problem.id, job.strategy.name, job.budget.generations, job.stream


def _named(job: Job) -> str:
    return f"{job.strategy.name} at {job.budget.generations} on problem {job.problem.id!r}"


def _short(value: object) -> str:
    """A value that stays on its line."""
    said = repr(value)
    return said if len(said) <= 40 else f"{said[:36]}...{said[-1]}"


def _facts(identity: Identity) -> dict[str, object]:
    settings = {f"setting {name}": value for name, value in identity.settings.items()}
    return {**_flat(identity), "settings": None, **settings}


def _flat(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, one level deep."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _cost(
    bare: int, prompt: int, cached: int, decoded: int, verifier: int, verifier_cached: int
) -> Usage:
    """What one solution cost that was drawn whole; `bare` tokens of what it read are the prompt."""
    return Usage(
        1,
        prompt,
        cached,
        decoded,
        0,
        verifier,
        verifier_cached,
        prompt_attended=attended(prompt, cached),
        decoded_attended=attended(decoded, prompt + cached),
        verifier_attended=attended(verifier, verifier_cached),
        kv_reads=attended(decoded, prompt + cached - bare),
    )


def _outcome(row: Sequence[Any]) -> Outcome:
    problem_id, strategy, budget, answer, right, chosen, *usage, _ = row
    right = None if right is None else bool(right)
    return Outcome(problem_id, strategy, budget, answer, right, chosen, Usage(*usage))


# The file ----------------------------------------------------------------------------------------


def _connect(path: Path, write: bool) -> sqlite3.Connection:
    try:
        if write:
            return sqlite3.connect(path, isolation_level=None)
        address = path.resolve().as_uri()
        database = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None)
        try:
            database.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            database.close()
            if error.sqlite_errorcode & 0xFF not in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                raise
            # A folder that cannot be written has no place for SQLite's side files, nor a writer.
            database = sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
        return database
    except sqlite3.Error as error:
        raise _trouble(path, "opened", error) from error


def _lock(path: Path) -> int:
    """Keep other writers out until the descriptor returned is closed, by us or by our death."""
    name = _lock_name(path)
    while True:
        try:
            lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file since we opened it.
            if os.path.samestat(os.fstat(lock), os.stat(name)):
                with suppress(OSError):  # a full disk; the number is for people alone
                    os.truncate(lock, 0)
                    os.write(lock, b"process %d" % os.getpid())
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.read(lock, 30).decode() or "another process"
            os.close(lock)
            raise StoreError(
                f"{path}: being written by {holder}; wait for it, or stop it"
            ) from error
        except OSError as error:
            os.close(lock)
            raise StoreError(f"{path}: cannot be locked: {error.strerror}") from error
        os.close(lock)


def _unlock(path: Path, lock: int | None) -> None:
    if lock is not None:
        # While we hold it: after that it may be another's.
        with suppress(FileNotFoundError):
            os.unlink(_lock_name(path))
        os.close(lock)


def _lock_name(path: Path) -> Path:
    real = path.resolve()
    return real.with_name(real.name + "-lock")


def _stranger(path: Path) -> StoreError:
    return StoreError(f"{path}: is no outthink store; `outthink sweep` makes one")


def _trouble(path: Path, how: str, error: sqlite3.Error) -> StoreError | RunError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return _stranger(path)
    if how == "opened":
        return StoreError(f"{path}: cannot be opened: {error}")
    safe = "; nothing recorded was lost: see to the disk and give the same command again"
    return RunError(f"{path}: cannot be {how}: {error}{safe if how == 'written' else ''}")


# SQL ---------------------------------------------------------------------------------------------

_PROPOSED, _VERIFIED = 0, 1
"""Kinds of request."""

_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
    "CREATE TABLE identity (json TEXT NOT NULL)",
    "CREATE TABLE problem (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " prompt TEXT NOT NULL, reference TEXT)",
    "CREATE TABLE job (id INTEGER PRIMARY KEY, problem INTEGER NOT NULL REFERENCES problem,"
    " strategy TEXT NOT NULL, budget INTEGER NOT NULL, stream TEXT NOT NULL,"
    " UNIQUE (problem, strategy, budget, stream))",
    # `rows` rows from `first` on, of `solution` (kind 0) or `score` (kind 1), answered it; its
    # solutions are numbered from `number` on.
    "CREATE TABLE request (job INTEGER NOT NULL, position INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " first INTEGER NOT NULL, rows INTEGER NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (job, position)) WITHOUT ROWID",
    "CREATE TABLE solution (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"
    " decoded_tokens INTEGER NOT NULL, answer TEXT, ends BLOB NOT NULL, tokens BLOB NOT NULL)",
    "CREATE TABLE score (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, wide INTEGER NOT NULL,"
    " computed_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, scores BLOB NOT NULL)",
    "CREATE TABLE outcome (job INTEGER PRIMARY KEY REFERENCES job, answer TEXT, is_right INTEGER,"
    " chosen INTEGER, generations INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"
    " cached_tokens INTEGER NOT NULL, decoded_tokens INTEGER NOT NULL,"
    " discarded_tokens INTEGER NOT NULL, verifier_tokens INTEGER NOT NULL,"
    " verifier_cached_tokens INTEGER NOT NULL, seconds REAL NOT NULL,"
    " prompt_attended INTEGER NOT NULL, decoded_attended INTEGER NOT NULL,"
    " verifier_attended INTEGER NOT NULL, kv_reads INTEGER NOT NULL)",
)

_INSERT = {
    _PROPOSED: "INSERT INTO solution (parent, flags, prompt_tokens, cached_tokens,"
    " decoded_tokens, answer, ends, tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    _VERIFIED: "INSERT INTO score (number, wide, computed_tokens, cached_tokens, scores)"
    " VALUES (?, ?, ?, ?, ?)",
}
_INSERT_OUTCOME = (
    "INSERT OR IGNORE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_MAKE_TEXTS = (
    "CREATE TABLE IF NOT EXISTS text (solution INTEGER PRIMARY KEY REFERENCES solution,"
    " steps TEXT NOT NULL)"
)
"""Apart from `solution`: ids that can be read without a model need none, nor had older stores."""
_NOTES_MADE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'note'"
_TEXTS_MADE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'text'"

_LARGEST = {
    _PROPOSED: "SELECT coalesce(max(id), 0) FROM solution",
    _VERIFIED: "SELECT coalesce(max(id), 0) FROM score",
}
_REQUESTS = "SELECT kind, first, rows FROM request WHERE job = ? ORDER BY position"
_SOLUTION = "parent, flags, prompt_tokens, cached_tokens, decoded_tokens, answer, ends, tokens"
_SCORE = "t.number, wide, computed_tokens, cached_tokens, scores"
_RANGE = {
    _PROPOSED: f"SELECT {_SOLUTION} FROM solution WHERE id >= ? AND id < ? ORDER BY id",
    _VERIFIED: f"SELECT {_SCORE} FROM score t WHERE id >= ? AND id < ? ORDER BY id",
}
_OF_JOB = {
    # CROSS keeps SQLite from reading all rows to find those of one job.
    kind: f" FROM request r CROSS JOIN {table} t ON t.id >= r.first AND t.id < r.first + r.rows"
    f" WHERE r.job = ? AND r.kind = {kind} ORDER BY r.position, t.id"
    for kind, table in ((_PROPOSED, "solution"), (_VERIFIED, "score"))
}
_JOB_SOLUTIONS = f"SELECT r.number + t.id - r.first, {_SOLUTION}" + _OF_JOB[_PROPOSED]
_JOB_SCORES = f"SELECT {_SCORE}" + _OF_JOB[_VERIFIED]
_JOB_TEXTS = (
    "SELECT r.number + t.solution - r.first, t.steps FROM request r CROSS JOIN text t"
    " ON t.solution >= r.first AND t.solution < r.first + r.rows"
    f" WHERE r.job = ? AND r.kind = {_PROPOSED}"
)
_COSTS = (
    "SELECT s.number, s.prompt_tokens, s.cached_tokens, s.decoded_tokens,"
    " coalesce(v.computed_tokens, 0), coalesce(v.cached_tokens, 0) FROM"
    " (SELECT r.number + t.id - r.first AS number, prompt_tokens, cached_tokens, decoded_tokens"
    f" {_OF_JOB[_PROPOSED].replace('?', ':job')}) s"
    " LEFT JOIN (SELECT t.number AS number, computed_tokens, cached_tokens"
    f" {_OF_JOB[_VERIFIED].replace('?', ':job')}) v ON v.number = s.number"
)
_ANSWERS = "SELECT answer" + _OF_JOB[_PROPOSED]
_LAST_SCORES = "SELECT t.number, wide, substr(scores, -4 - 4 * wide)" + _OF_JOB[_VERIFIED]
_OUTCOMES = (
    "SELECT p.name, j.strategy, j.budget, o.answer, o.is_right, o.chosen, o.generations,"
    " o.prompt_tokens, o.cached_tokens, o.decoded_tokens, o.discarded_tokens, o.verifier_tokens,"
    " o.verifier_cached_tokens, o.seconds, o.prompt_attended, o.decoded_attended,"
    " o.verifier_attended, o.kv_reads, j.stream"
    " FROM outcome o JOIN job j ON j.id = o.job JOIN problem p ON p.id = j.problem"
)

# Parquet -----------------------------------------------------------------------------------------

_JOB_COLUMNS = (
    ("problem_id", "string"),
    ("strategy", "string"),
    ("budget", "int64"),
    ("stream", "string"),
)
_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "problems": (("id", "string"), ("prompt", "string"), ("reference", "string")),
    "outcomes": (
        *_JOB_COLUMNS,
        ("answer", "string"),
        ("right", "bool_"),
        ("chosen", "int64"),
        *((cost.name, "float64" if cost.name == "seconds" else "int64") for cost in fields(Usage)),
    ),
    "solutions": (
        *_JOB_COLUMNS,
        ("number", "int64"),
        ("parent", "int64"),
        ("tokens", "list uint32"),
        ("step_ends", "list uint32"),
        ("finished", "bool_"),
        ("truncated", "bool_"),
        ("answer", "string"),
        ("prompt_tokens", "int64"),
        ("cached_tokens", "int64"),
        ("decoded_tokens", "int64"),
        ("scores", "list float64"),
        ("verifier_tokens", "int64"),
        ("verifier_cached_tokens", "int64"),
        ("text", "string"),
    ),
}


def _arrow_type(arrow: Any, name: str) -> Any:
    *is_list, kind = name.split()
    return arrow.list_(getattr(arrow, kind)()) if is_list else getattr(arrow, kind)()
