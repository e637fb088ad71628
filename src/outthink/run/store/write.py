"""The store of one run on disk: the runner's journal.

What one `commit` writes is there whole or not at all. A commit survives the death of the process at
once; a power cut may take the last few, never half of one (WAL, synchronous=NORMAL). It knows
nothing of models: who writes, scores and judges are names here.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from outthink.errors import StoreError, UsageError
from outthink.run.journal import Job, KeptDraw, KeptScore, Result, Writer, mix_of
from outthink.run.store import codec, paid
from outthink.run.store.file import WAITS_S, connect, lock, remove, stranger, trouble, unlock
from outthink.run.store.paid import DrawRows, ScoreRows
from outthink.run.store.read import Counts, Recorded, View, has, written_tokens
from outthink.run.store.schema import APPLICATION, FORMAT, ON_DEMAND, TABLES, USAGE_COLUMNS
from outthink.types import Drawn, Problem, Scores, Solution, Verified

_CHECKPOINT_PAGES = 4096
"""Pages (16 MB) of the write-ahead log that are worth an fsync."""

_PAID = ("draw", "text", "score")
_TABLES_OF_ROWS = (*_PAID, "reading", "verdict", "search", "chance", "critique", "written")
_MADE_HERE = ("text", "reading", "chance", "critique", "written")
"""Of the tables that are made on demand those that a run fills."""
_spent = attrgetter(*(column.strip() for column in USAGE_COLUMNS.split(",")))
_drew = attrgetter(
    "solution",
    "decoded_tokens",
    "prompt_tokens",
    "cached_tokens",
    "shared_tokens",
    "measured",
    "texts",
)
_cost = attrgetter("prompt_tokens", "cached_tokens")
_verified = attrgetter(
    "scores.steps", "computed_tokens", "cached_tokens", "shared_tokens", "written_tokens"
)
_verified_cost = attrgetter("computed_tokens", "cached_tokens")
_ended = attrgetter("finished", "truncated", "answer")


class Store:
    """One open file: `with Store.open(...) as store`. One process writes, any number read.

    It grows: rows of any model, verifier and grader stand side by side, and whatever is asked for
    is paid for once. It is a `Journal`.
    """

    keeps = True

    def __init__(self, path: Path, database: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = database
        self._lock = lock
        self._books: dict[int, int] = {}
        """Open books by problem: what is known of a problem is kept as long as there are any."""
        self._next: dict[str, int] = {}
        """Ids of rows to come. None is given twice, whatever became of its row."""
        self._mixed: dict[Writer, int] = {}
        self._forget_names()
        self._forget_rows()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, write: bool, waits_s: float = WAITS_S) -> Store:
        """Open `path`. When writing, make it where it is missing, and keep other writers out: those
        that are outthink. Any other that holds it, as a backup may, is waited for so long with
        every commit, and then it is a `StoreError`.

        Raises `StoreError` where it is missing, no store, of another format, or being written by
        another process; `RunError` where the disk fails.
        """
        path = Path(path)
        if not (write or path.exists()):
            raise StoreError(f"{path}: no such store; `outthink sweep` makes one")
        held = lock(path) if write else None
        is_ours = not path.exists()
        try:
            store = cls(path, connect(path, write, waits_s), held)
        except BaseException:
            unlock(path, held)
            raise
        try:
            store._prepare()
        except BaseException:
            store._db.close()
            if is_ours:  # half a header, which a full disk may leave, is no store to go on with
                remove(path)
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
        unlock(self.path, self._lock)
        self._lock = None

    # The journal ---------------------------------------------------------------------------------

    def book(self, job: Job) -> _Book:
        """The rows of one job. Raises `StoreError` where its problem is recorded with another
        prompt or reference."""
        return _Book(self, job, self._problem_id(job.problem))

    def verdict(self, problem: Problem, grader: str, answer: str) -> bool | None:
        """Whether this answer is right; `None` where it was never judged."""
        return self._verdicts_of(problem, grader).get(answer)

    def keep_verdict(self, problem: Problem, grader: str, answer: str, right: bool) -> None:
        """Record a verdict."""
        self._verdicts_of(problem, grader)[answer] = right
        row = (self._problem_id(problem), self._name_id("grader", grader), answer, right)
        self._waiting["verdict"].append(row)

    def commit(self) -> None:
        """Write everything recorded since the last commit, in one transaction.

        Raises `DiskError` where the disk is full or fails, `StoreError` where another process holds
        it; nothing of this commit is then written, and all of it is by the next that can.
        """
        if any(self._waiting.values()):
            with self._writing():
                for table in _MADE_HERE:
                    if self._waiting[table]:
                        self._db.execute(ON_DEMAND[table])
                for table in _TABLES_OF_ROWS:
                    rows = self._waiting[table]
                    if rows:
                        places = ", ".join("?" * len(rows[0]))
                        # An outcome already recorded stays: its seconds are the true ones.
                        how = "INSERT" if table in _PAID else "INSERT OR IGNORE"
                        self._db.executemany(f"{how} INTO {table} VALUES ({places})", rows)
            for rows in self._waiting.values():
                rows.clear()

    # What is said of a store ---------------------------------------------------------------------

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Record problems ahead of their first job, so that their order is theirs and not that in
        which a server happens to answer."""
        with self._writing():
            for problem in problems:
                self._problem_id(problem)

    def keep_recorded(self, recorded: Mapping[int, Recorded]) -> None:
        """Keep what files say of imported samples, by the rows of their draws (`View.draws`)."""
        rows = [
            (
                draw,
                one.answer,
                one.right,
                one.tokens,
                one.finished,
                one.has_text,
                None if one.labels is None else json.dumps(one.labels),
            )
            for draw, one in recorded.items()
        ]
        self.commit()
        with self._writing():
            self._db.execute(ON_DEMAND["recorded"])
            self._db.executemany(
                "INSERT OR REPLACE INTO recorded VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )

    def set_meta(self, name: str, value: str) -> None:
        """Keep a remark, in place of an earlier one of that name; no row depends on it."""
        if self.get_meta(name) != value:
            with self._writing():
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def get_meta(self, name: str) -> str | None:
        """The remark of that name."""
        with self._guard("read"):
            row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def metas(self, prefix: str) -> dict[str, str]:
        """The remarks whose names begin so, by the rest of their names, in the order of these."""
        with self._guard("read"):
            rows = self._db.execute("SELECT name, value FROM meta ORDER BY name").fetchall()
        return {name[len(prefix) :]: value for name, value in rows if name.startswith(prefix)}

    def verifiers(self) -> list[str]:
        """Names of all whose scores are recorded."""
        self._flush()
        with self._guard("read"):
            rows = self._db.execute("SELECT name FROM verifier ORDER BY id")
            return [name for (name,) in rows]

    def problems(self) -> list[Problem]:
        """Problems in the order in which they were first met."""
        with self._guard("read"):
            rows = self._db.execute("SELECT name, prompt, reference FROM problem ORDER BY id")
            return [Problem(*row) for row in rows]

    def view(self, team: Mapping[str, Writer | str] | None = None, grader: str = "exact") -> View:
        """What is recorded of searches by this team (`None` for any), judged by this grader."""
        self._flush()
        return View(self.path, self._db, self._guard, team, grader)

    def counts(self) -> Counts:
        """How much is recorded."""
        self._flush()
        of_each = (
            "SELECT count(*) FROM problem",
            "SELECT count(*) FROM search",
            "SELECT coalesce(sum(rows), 0) FROM draw",
            "SELECT coalesce(sum(rows), 0) FROM score",
            "SELECT count(*) FROM verdict",
        )
        with self._guard("read"):
            return Counts(*(self._db.execute(select).fetchone()[0] for select in of_each))

    def bytes_per_solution(self) -> float | None:
        """The size of everything over the number of solutions; `None` where there are none."""
        with self._guard("read"):
            ((pages,),) = self._db.execute("PRAGMA page_count")
            ((page_bytes,),) = self._db.execute("PRAGMA page_size")
        solutions = self.counts().draws
        return pages * page_bytes / solutions if solutions else None

    # Names and rows that are known ---------------------------------------------------------------

    def _forget_names(self) -> None:
        """Look names up again: the file is right, memory may be ahead of it."""
        self._problems: dict[str, tuple[int, Problem]] = {}
        self._names: dict[tuple[str, str], int] = {}
        self._writers: dict[Writer, int] = {}
        self._teams: dict[tuple[object, ...], int] = {}
        self._new: set[int] = set()
        """Problems that are new to this file, and have no rows yet."""

    def _forget_rows(self) -> None:
        """Drop what waits to be written, which cannot be."""
        self._waiting: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES_OF_ROWS}
        self._keys: dict[int, dict[tuple[str, int], dict[int, int]]] = {}
        """By problem, then table and who: the row of each key."""
        self._verdicts: dict[int, dict[int, dict[str, bool]]] = {}
        """By problem, then grader."""

    def _flush(self) -> None:
        if self._lock is not None:
            self.commit()

    def _row_ids(self, table: str, count: int) -> range:
        """The numbers of the next rows of a table."""
        if table not in self._next:
            with self._guard("read"):
                last = self._db.execute(f"SELECT id + rows FROM {table} ORDER BY id DESC LIMIT 1")
                self._next[table] = (last.fetchone() or (1,))[0]
        first = self._next[table]
        self._next[table] = first + count
        return range(first, first + count)

    def _problem_id(self, problem: Problem) -> int:
        known = self._problems.get(problem.id)
        if known is not None and known[1] is problem:
            return known[0]
        with self._guard("read"):
            row = self._db.execute(
                "SELECT id, prompt, reference FROM problem WHERE name = ?", (problem.id,)
            ).fetchone()
        if row is None:
            number = self._insert(
                "INSERT INTO problem (name, prompt, reference) VALUES (?, ?, ?)",
                (problem.id, problem.whole, problem.reference),
            )
            self._new.add(number)
        else:
            number = row[0]
            for what, seen, given in (
                ("prompt", row[1], problem.whole),
                ("reference", row[2], problem.reference),
            ):
                if seen != given:
                    raise StoreError(
                        f"{self.path}: problem {problem.id!r} is recorded with {what} "
                        f"{_short(seen)}, not {_short(given)}; give a changed problem a new id, "
                        "or use another store"
                    )
        self._problems[problem.id] = number, problem
        return number

    def _name_id(self, table: str, name: str) -> int:
        known = self._names.get((table, name))
        if known is None:
            known = self._names[table, name] = self._lookup(
                f"SELECT id FROM {table} WHERE name = ?",
                f"INSERT INTO {table} (name) VALUES (?)",
                (name,),
            )
        return known

    def _written(self, scores: Iterable[int]) -> dict[int, int]:
        """Tokens that were written for these rows of `score`, where any were."""
        with self._guard("read"):
            return written_tokens(self._db, scores)

    def _writer_id(self, writer: Writer) -> int:
        known = self._writers.get(writer)
        if known is None:
            known = self._writers[writer] = self._lookup(
                "SELECT id FROM writer WHERE name = ? AND asked = ? AND seed = ?",
                "INSERT INTO writer (name, asked, seed) VALUES (?, ?, ?)",
                (writer.name, writer.asked, writer.seed),
            )
        return known

    def _team_id(self, asked: Mapping[str, Writer | str]) -> int:
        # Two writers are the same whoever reads their answers, and two teams are not.
        named = (*asked.items(), *(getattr(who, "reader", "") for who in asked.values()))
        known = self._teams.get(named)
        if known is None:
            known = self._teams[named] = self._lookup(
                "SELECT id FROM team WHERE json = ?",
                "INSERT INTO team (json) VALUES (?)",
                (team_json(asked),),
            )
        return known

    def _mixes(self, writers: Iterable[Writer]) -> list[int]:
        """What is mixed into the keys of their solutions."""
        return [self._mix(writer) for writer in writers]

    def _mix(self, writer: Writer) -> int:
        known = self._mixed.get(writer)
        if known is None:
            known = self._mixed[writer] = mix_of(writer)
        return known

    def _lookup(self, select: str, insert: str, values: tuple[Any, ...]) -> int:
        with self._guard("read"):
            row = self._db.execute(select, values).fetchone()
        return int(row[0]) if row else self._insert(insert, values)

    def _insert(self, statement: str, values: tuple[Any, ...]) -> int:
        if self._db.in_transaction:
            number = self._db.execute(statement, values).lastrowid
        else:
            with self._writing():
                number = self._db.execute(statement, values).lastrowid
        assert number is not None
        return number

    def _keys_of(self, table: str, problem: int, who: int) -> dict[int, int]:
        """The row of each key of one problem and writer or verifier."""
        of_problem = self._keys.setdefault(problem, {})
        known = of_problem.get((table, who))
        if known is None:
            known = of_problem[table, who] = {}
            if problem not in self._new:
                with self._guard("read"):
                    known.update(paid.keys_of(self._db, table, problem, who))
        return known

    def _verdicts_of(self, problem: Problem, grader: str) -> dict[str, bool]:
        place = self._problem_id(problem), self._name_id("grader", grader)
        of_problem = self._verdicts.setdefault(place[0], {})
        known = of_problem.get(place[1])
        if known is None:
            with self._guard("read"):
                rows = self._db.execute(
                    "SELECT answer, is_right FROM verdict WHERE problem = ? AND grader = ?", place
                )
                known = of_problem[place[1]] = {answer: bool(right) for answer, right in rows}
        return known

    def _open_book(self, problem: int) -> None:
        self._books[problem] = self._books.get(problem, 0) + 1

    def _close_book(self, problem: int, name: str) -> None:
        left = self._books.get(problem, 1) - 1
        if left:
            self._books[problem] = left
            return
        self._problems.pop(name, None)
        self._new.discard(problem)
        for known in (self._books, self._keys, self._verdicts):
            known.pop(problem, None)

    # The file ------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the tables of a new file, or see that this is a store that can be read."""
        with self._guard("read"):
            ((application,),) = self._db.execute("PRAGMA application_id")
            ((version,),) = self._db.execute("PRAGMA user_version")
            ((tables,),) = self._db.execute("SELECT count(*) FROM sqlite_master")
        # Killed in the middle of making it, a process leaves a file without tables: make it again.
        is_new = self._lock is not None and (application, tables) == (0, 0)
        if not is_new and application != APPLICATION:
            raise stranger(self.path)
        if not is_new and version != FORMAT:
            raise StoreError(
                f"{self.path}: written in format {version}, and this outthink reads format "
                f"{FORMAT}; {_way_out(version, self.path)}"
            )
        if self._lock is not None:
            with self._guard("written"):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        if is_new:
            with self._writing():
                for statement in TABLES:
                    self._db.execute(statement)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it, or an error and nothing."""
        with self._guard("written"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                self._forget_names()
                if not _is_of_the_disk(error):
                    self._forget_rows()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _guard(self, how: str) -> Iterator[None]:
        """SQLite's errors as ours, in one line."""
        try:
            yield
        except sqlite3.Error as error:
            raise trouble(self.path, how, error) from error
        except UnicodeEncodeError as error:
            half = error.object[error.start : error.end]
            raise UsageError(
                f"{self.path}: cannot hold {half!r}, half a character; clean the problem file"
            ) from error


class _Book:
    """The rows of one job, in a store."""

    def __init__(self, store: Store, job: Job, problem: int) -> None:
        self._store = store
        self._job = job
        self._problem = problem
        self._draws: list[int] = []
        """Row of `draw` that each solution is, and so on, as `codec.TreeRows` has them."""
        self._parents: list[int] = []
        self._prompt_tokens: list[int] = []
        self._cached_tokens: list[int] = []
        self._marks: dict[int, int] = {}
        """Fingerprints of its open solutions by number: tells a prefix as drawn from an edited
        one."""
        self._scored: list[list[int]] = [[], [], [], [], []]
        """Solution, rows of `verifier` and `score`, computed and cached tokens of each score."""
        self._kept_alive: list[Writer] = []
        self._writers: dict[int, tuple[int, int, dict[int, int]]] = {}
        """By the identity of a writer: its row, that of its reader, and the rows of its keys."""
        self._verifiers: dict[str, tuple[int, dict[int, int]]] = {}
        """By name: its row, and the rows of its keys."""
        store._open_book(problem)

    def _writer(self, writer: Writer) -> tuple[int, int, dict[int, int]]:
        known = self._writers.get(id(writer))
        if known is None:
            store = self._store
            row = store._writer_id(writer)
            reader = store._name_id("grader", writer.reader) if writer.reader else 0
            known = (row, reader, store._keys_of("draw", self._problem, row))
            self._writers[id(writer)] = known
            self._kept_alive.append(writer)
        return known

    def _verifier(self, name: str) -> tuple[int, dict[int, int]]:
        known = self._verifiers.get(name)
        if known is None:
            row = self._store._name_id("verifier", name)
            known = row, self._store._keys_of("score", self._problem, row)
            self._verifiers[name] = known
        return known

    def draws(
        self, writer: Writer, keys: Sequence[int], prefixes: Sequence[Solution]
    ) -> list[KeptDraw | None]:
        _, _, known = self._writer(writer)
        if not known:
            return [None] * len(keys)
        places = {place: known[key] for place, key in enumerate(keys) if key in known}
        kept: list[KeptDraw | None] = [None] * len(keys)
        if not places:
            return kept
        at = {row_id: place for place, row_id in places.items()}
        for first, reader, *packed in self._held("draw", f"reader, {paid.DRAWS}", at):
            drawn = DrawRows.unpack(*packed)
            for row_id in range(first, first + len(drawn.keys)):
                if row_id in at:
                    prefix = prefixes[at[row_id]]
                    kept[at[row_id]] = self._kept_draw(
                        writer, prefix, row_id, reader, drawn, row_id - first
                    )
        return kept

    def _held(self, table: str, select: str, ids: Iterable[int]) -> list[tuple[Any, ...]]:
        """Rows of a table that hold these."""
        store = self._store
        store.commit()
        with store._guard("read"):
            return list(paid.holding(store._db, table, self._problem, ids, select))

    def _kept_draw(
        self, writer: Writer, prefix: Solution, row_id: int, reader: int, drawn: DrawRows, at: int
    ) -> KeptDraw:
        flags, answer = drawn.flags[at], drawn.answers[at]
        tokens, step_ends = codec.added(
            tuple(drawn.tokens[at]),
            tuple(drawn.ends[at]),
            flags,
            prefix.tokens,
            prefix.step_ends,
        )
        finished = bool(flags & codec.FINISHED)
        critique = bool(flags & codec.CRITIQUE)
        if finished and not critique and reader != self._reader_id(writer):
            answer = self._read_again(writer, row_id, prefix)
        solution = Solution(
            prefix.problem,
            tokens,
            step_ends,
            finished,
            bool(flags & codec.TRUNCATED),
            answer,
            history=prefix.history,
        )
        row = Drawn(
            solution,
            drawn.prompt_tokens[at],
            drawn.cached_tokens[at],
            drawn.decoded_tokens[at],
            drawn.shared_tokens[at],
            bool(flags & codec.MEASURED),
        )
        return KeptDraw(
            row,
            drawn.microseconds[at] / 1e6,
            bool(flags & codec.HAS_STATE),
            bool(flags & codec.REREAD),
            critique,
        )

    def _reader_id(self, writer: Writer) -> int:
        return self._writer(writer)[1]

    def _read_again(self, writer: Writer, row_id: int, prefix: Solution) -> str | None:
        """The answer of a draw as another grader reads it: as it was read before, or from its
        text."""
        reader = self._reader_id(writer)
        store = self._store
        known = None
        with store._guard("read"):
            if has(store._db, "reading"):
                known = store._db.execute(
                    "SELECT answer FROM reading WHERE draw = ? AND reader = ?", (row_id, reader)
                ).fetchone()
        if known is not None:
            return None if known[0] is None else str(known[0])
        text = self._text(row_id, prefix)
        if text is None or writer.read is None:
            raise StoreError(
                f"{store.path}: holds answers as another grader reads them, and not the texts to "
                "read them again; use another store"
            )
        answer = writer.read(text)
        store._waiting["reading"].append((row_id, reader, answer))
        return answer

    def _text(self, row_id: int, prefix: Solution) -> str | None:
        """All of what a solution says that was drawn from this prefix; `None` where it is not
        recorded."""
        parts, number = [row_id], prefix.number
        left = len(prefix.tokens)
        while left and number >= 0:
            parts.append(self._draws[number])
            number = self._parents[number]
        store = self._store
        store.commit()
        with store._guard("read"):
            if not has(store._db, "text"):
                return None
            texts = dict(
                store._db.execute(
                    "SELECT draw, steps FROM text WHERE draw IN (SELECT value FROM json_each(?))",
                    (json.dumps(parts),),
                )
            )
        if len(texts) < len(parts):
            return None
        return "".join("".join(json.loads(texts[row])) for row in reversed(parts))

    def keep_draws(
        self,
        writer: Writer,
        keys: Sequence[int],
        prefixes: Sequence[Solution],
        draws: Sequence[KeptDraw],
    ) -> None:
        if not keys:
            return
        store = self._store
        writer_id, reader_id, known = self._writer(writer)
        row_ids = store._row_ids("draw", len(keys))
        rows, seconds, has_state, reread, critique = zip(*draws, strict=True)
        solutions, decoded, prompt, cached, shared, measured, texts = _columns(_drew, rows)
        finished, truncated, answers = _columns(_ended, solutions)
        tokens, ends, whole = self._all_added(prefixes, solutions)
        bits = (
            (codec.FINISHED, finished),
            (codec.TRUNCATED, truncated),
            (codec.WHOLE, whole),
            (codec.HAS_STATE, has_state),
            (codec.REREAD, reread),
            (codec.MEASURED, measured),
            (codec.CRITIQUE, critique),
        )
        packed = DrawRows(
            keys,
            _flags(bits, len(keys)),
            answers
            if all(finished)
            else [one if ended else None for one, ended in zip(answers, finished, strict=True)],
            ends,
            tokens,
            decoded,
            prompt,
            cached,
            shared,
            _microseconds(seconds),
        ).pack()
        store._waiting["draw"].append((row_ids[0], self._problem, writer_id, reader_id, *packed))
        if any(text is not None for text in texts):
            store._waiting["text"] += [
                (row_id, codec.pack_texts(said))
                for row_id, said, prefix, is_whole in zip(
                    row_ids, texts, prefixes, whole, strict=True
                )
                # What an edited prefix says is not known.
                if said is not None and not (is_whole and prefix.tokens)
            ]
        known.update(zip(keys, row_ids, strict=True))

    def _all_added(
        self, prefixes: Sequence[Solution], solutions: Sequence[Solution]
    ) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[int]], Sequence[bool]]:
        """Tokens and step ends of each, and whether they are whole, as `_added` has them."""
        if all(prefix.number < 0 and not prefix.tokens for prefix in prefixes):
            tokens = [solution.tokens for solution in solutions]
            ends = [solution.step_ends for solution in solutions]
            return tokens, ends, [False] * len(solutions)
        added = [self._added(*both) for both in zip(prefixes, solutions, strict=True)]
        own, own_ends, whole = zip(*added, strict=True)
        return own, own_ends, whole

    def _added(
        self, prefix: Solution, solution: Solution
    ) -> tuple[Sequence[int], Sequence[int], bool]:
        """Tokens and step ends that a solution adds to its prefix; all of them, and that they are,
        where it does not go on from it."""
        held = len(prefix.tokens)
        if not held:
            # Its parent is what it revises, not what it extends.
            return solution.tokens, solution.step_ends, prefix.number >= 0
        if self._marks.get(prefix.number) != _mark(prefix) or not _extends(solution, prefix):
            return solution.tokens, solution.step_ends, True
        ends = [end - held for end in solution.step_ends[len(prefix.step_ends) :]]
        return solution.tokens[held:], ends, False

    def numbered(
        self, writer: Writer, keys: Sequence[int], parents: Sequence[int], rows: Sequence[Drawn]
    ) -> None:
        _, _, known = self._writer(writer)
        if not rows:
            return
        for row in rows:
            solution = row.solution
            if not (solution.finished or solution.truncated):
                self._marks[solution.number] = _mark(solution)
        prompt, cached = _columns(_cost, rows)
        self._draws += [known[key] for key in keys]
        self._parents += parents
        self._prompt_tokens += prompt
        self._cached_tokens += cached

    def scores(self, verifier: str, keys: Sequence[int]) -> list[KeptScore | None]:
        _, known = self._verifier(verifier)
        if not known:
            return [None] * len(keys)
        places = {place: known[key] for place, key in enumerate(keys) if key in known}
        kept: list[KeptScore | None] = [None] * len(keys)
        if not places:
            return kept
        written = self._store._written(places.values())
        at = {row_id: place for place, row_id in places.items()}
        for first, *packed in self._held("score", paid.SCORES, at):
            scored = ScoreRows.unpack(*packed)
            for row_id in range(first, first + len(scored.keys)):
                if row_id in at:
                    told = written.get(row_id, 0)
                    kept[at[row_id]] = _kept_score(scored, row_id - first, written=told)
        return kept

    def keep_scores(self, verifier: str, keys: Sequence[int], scores: Sequence[KeptScore]) -> None:
        if not keys:
            return
        store = self._store
        verifier_id, known = self._verifier(verifier)
        row_ids = store._row_ids("score", len(keys))
        rows, seconds, has_state, reread = zip(*scores, strict=True)
        steps, computed, cached, shared, written = _columns(_verified, rows)
        bits = ((codec.SCORE_HAS_STATE, has_state), (codec.SCORE_REREAD, reread))
        packed = ScoreRows(
            keys,
            _flags(bits, len(keys)),
            steps,
            computed,
            cached,
            shared,
            _microseconds(seconds),
        ).pack(store._mixes(self._kept_alive))
        store._waiting["score"].append((row_ids[0], self._problem, verifier_id, *packed))
        if any(written):
            told = zip(row_ids, written, strict=True)
            store._waiting["written"] += [(row_id, tokens) for row_id, tokens in told if tokens]
        known.update(zip(keys, row_ids, strict=True))

    def scored(
        self, verifier: str, numbers: Sequence[int], keys: Sequence[int], rows: Sequence[Verified]
    ) -> None:
        if not rows:
            return
        verifier_id, known = self._verifier(verifier)
        named = [known[key] for key in keys]
        columns = numbers, [verifier_id] * len(rows), named, *_columns(_verified_cost, rows)
        for so_far, more in zip(self._scored, columns, strict=True):
            so_far += more

    def finish(self, result: Result, asked: Mapping[str, Writer | str]) -> None:
        store, job, outcome = self._store, result.job, result.outcome
        team_id = store._team_id(asked)
        solutions = (self._draws, self._parents, self._prompt_tokens, self._cached_tokens)
        tree = codec.TreeRows(*solutions, *self._scored)
        key = (self._problem, job.strategy.name, job.budget.generations, job.stream, team_id)
        if result.choice.chance is not None:
            store._waiting["chance"].append((*key, result.choice.chance))
        usage = outcome.usage
        if usage.critiques or outcome.note:
            told = (usage.critiques, usage.critique_tokens, outcome.note)
            store._waiting["critique"].append((*key, *told))
        store._waiting["search"].append(
            (
                None,
                *key,
                outcome.answer,
                outcome.chosen,
                *_spent(usage),
                tree.pack(),
            )
        )

    def close(self) -> None:
        self._store._close_book(self._problem, self._job.problem.id)


def team_json(asked: Mapping[str, Writer | str]) -> str:
    """Who answered, by role, in one way to be written: [name, how it is asked, seed, reader of its
    answers] of who writes, the name of who scores."""
    return json.dumps(
        {
            role: [who.name, who.asked, who.seed, who.reader] if isinstance(who, Writer) else who
            for role, who in sorted(asked.items())
        }
    )


def _is_of_the_disk(error: BaseException) -> bool:
    """Whether the same rows can be written later: nothing is wrong with them."""
    wrong = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, wrong)


def _kept_score(scored: ScoreRows, at: int, *, written: int) -> KeptScore:
    flags = scored.flags[at]
    row = Verified(
        Scores(scored.scores[at]),
        scored.computed_tokens[at],
        scored.cached_tokens[at],
        scored.shared_tokens[at],
        written,
    )
    return KeptScore(
        row,
        scored.microseconds[at] / 1e6,
        bool(flags & codec.SCORE_HAS_STATE),
        bool(flags & codec.SCORE_REREAD),
    )


def _way_out(version: int, path: Path) -> str:
    if version in (2, 3):
        return f"`outthink convert {path}` makes one of it, and loses nothing"
    if version > FORMAT:
        return "use the outthink that wrote it"
    return "use the outthink that wrote it, or another store"


def _columns(fields: attrgetter[Any], rows: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """A tuple a field, of one row at least."""
    return tuple(zip(*map(fields, rows), strict=True))


def _flags(bits: Iterable[tuple[int, Sequence[bool]]], count: int) -> list[int]:
    """A number a row, of its bits."""
    flags = [0] * count
    for bit, is_set in bits:
        if any(is_set):
            flags = [one | bit if here else one for one, here in zip(flags, is_set, strict=True)]
    return flags


def _microseconds(seconds: Sequence[float]) -> list[int]:
    first, count = seconds[0], len(seconds)
    # Rows that came together share their seconds.
    if seconds.count(first) == count:
        return [round(first * 1e6)] * count
    return [round(one * 1e6) for one in seconds]


def _mark(solution: Solution) -> int:
    return hash((solution.tokens, solution.step_ends))


def _extends(solution: Solution, prefix: Solution) -> bool:
    return (
        solution.tokens[: len(prefix.tokens)] == prefix.tokens
        and solution.step_ends[: len(prefix.step_ends)] == prefix.step_ends
    )


def _short(value: object) -> str:
    """A value that stays on its line."""
    said = repr(value)
    return said if len(said) <= 40 else f"{said[:36]}...{said[-1]}"
