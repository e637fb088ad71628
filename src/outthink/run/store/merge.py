"""Rows of one store added to another: what both hold is one row, under the number that it has.

Draws are the same where problem, writer and key are; scores where problem, verifier and key are;
verdicts, searches and what hangs on them by their own names. A problem is added whole or not at
all, in one transaction, so a merge that was killed goes on. Two stores that say different things of
one row contradict each other, which happens where a server does not keep to its seeds: such
problems are told, and left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from outthink.errors import StoreError
from outthink.run.store import codec
from outthink.run.store.schema import CHANCES, CRITIQUES, RECORDED, WRITTEN
from outthink.run.store.write import Store

_BY_SEARCH = ("chance", "critique")
_ON_DEMAND = {"chance": CHANCES, "critique": CRITIQUES, "written": WRITTEN, "recorded": RECORDED}


@dataclass(frozen=True, slots=True)
class Merged:
    """What a store had of another one."""

    problems: int = 0
    draws: int = 0
    """Rows that were added, and so on."""
    scores: int = 0
    verdicts: int = 0
    searches: int = 0
    shared: int = 0
    """Draws and scores that both held."""
    contradictions: tuple[str, ...] = ()
    """Problems of which the two say different things, and which are as they were."""

    def __add__(self, other: Merged) -> Merged:
        return Merged(
            self.problems + other.problems,
            self.draws + other.draws,
            self.scores + other.scores,
            self.verdicts + other.verdicts,
            self.searches + other.searches,
            self.shared + other.shared,
            self.contradictions + other.contradictions,
        )


def merge(
    into: Store,
    source: Store,
    advance: Callable[[int], None],
    only: Container[str] | None = None,
) -> Merged:
    """Add everything that `source` holds, or what it holds of `only` these problems; `advance` is
    told of problems as they are done.

    Raises `StoreError` where a problem has another prompt or reference in the two, `RunError` where
    the disk fails.
    """
    into.commit()
    with source._guard("read"):
        names = _Names(into, source)
        problems = source._db.execute("SELECT id, name FROM problem ORDER BY id").fetchall()
    merged = Merged()
    for problem, name in problems:
        if only is not None and name not in only:
            continue
        with source._guard("read"), into._writing():
            merged += _Problem(into, source, names, problem, name).add()
        advance(1)
    # What is known of rows was looked up before these were added.
    into._forget_rows()
    into._next.clear()
    return merged


class _Names:
    """Numbers of writers, verifiers, graders and teams: in one store, then in the other."""

    def __init__(self, into: Store, source: Store) -> None:
        columns = {
            "writer": "name, asked, seed",
            "verifier": "name",
            "grader": "name",
            "team": "json",
        }
        self._numbers = {
            table: _numbered(into, source, table, named) for table, named in columns.items()
        }
        # Answers of the lab's models need no grader to be read.
        self._numbers["grader"][0] = 0
        known = source._db.execute("SELECT name FROM sqlite_master").fetchall()
        self.tables = {name for (name,) in known}
        """That the other store has."""

    def __call__(self, table: str, number: int) -> int:
        return self._numbers[table][number]


def _numbered(into: Store, source: Store, table: str, columns: str) -> dict[int, int]:
    names = columns.split(", ")
    places, same = ", ".join("?" * len(names)), " AND ".join(f"{name} = ?" for name in names)
    select, insert = (
        f"SELECT id FROM {table} WHERE {same}",
        f"INSERT INTO {table} ({columns}) VALUES ({places})",
    )
    rows = source._db.execute(f"SELECT id, {columns} FROM {table}")
    return {number: into._lookup(select, insert, tuple(named)) for number, *named in rows}


class _Problem:
    """One problem on its way."""

    def __init__(self, into: Store, source: Store, names: _Names, problem: int, name: str) -> None:
        self._into = into
        self._source = source
        self._names = names
        self._problem = problem
        self._name = name
        self._added: dict[str, list[tuple[Any, ...]]] = {}
        self._of_draws: dict[int, int] = {}
        """Rows of `draw`: here, then there."""
        self._of_scores: dict[int, int] = {}
        self._shared = 0

    def add(self) -> Merged:
        self._there, is_new = self._place()
        if not (self._draws() and self._scores() and self._verdicts()):
            return Merged(contradictions=(self._name,))
        self._searches()
        self._hanging()
        for table, rows in self._added.items():
            if rows:
                if table in _ON_DEMAND:
                    self._into._db.execute(_ON_DEMAND[table])
                places = ", ".join("?" * len(rows[0]))
                self._into._db.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)
        draws, scores, verdicts, searches = (
            len(self._added[table]) for table in ("draw", "score", "verdict", "search")
        )
        return Merged(int(is_new), draws, scores, verdicts, searches, self._shared)

    def _place(self) -> tuple[int, bool]:
        """Its number there, and whether it is new."""
        row = self._source._db.execute(
            "SELECT name, prompt, reference FROM problem WHERE id = ?", (self._problem,)
        ).fetchone()
        known = self._into._db.execute(
            "SELECT id, prompt, reference FROM problem WHERE name = ?", row[:1]
        ).fetchone()
        if known is None:
            insert = "INSERT INTO problem (name, prompt, reference) VALUES (?, ?, ?)"
            return self._into._insert(insert, row), True
        if known[1:] != row[1:]:
            raise StoreError(
                f"{self._source.path}: problem {self._name!r} is not the one of that name in "
                f"{self._into.path}: prompt or reference differ; give one of them a new id"
            )
        return int(known[0]), False

    def _draws(self) -> bool:
        def moved(row: tuple[Any, ...], number: int) -> tuple[Any, ...]:
            _, _, writer, *rest = row
            rest[7] = self._names("grader", rest[7])
            return (number, self._there, self._names("writer", writer), *rest)

        return self._keyed("draw", self._of_draws, moved)

    def _scores(self) -> bool:
        def moved(row: tuple[Any, ...], number: int) -> tuple[Any, ...]:
            _, _, verifier, *rest = row
            return (number, self._there, self._names("verifier", verifier), *rest)

        return self._keyed("score", self._of_scores, moved)

    def _keyed(
        self,
        table: str,
        numbers: dict[int, int],
        moved: Callable[[tuple[Any, ...], int], tuple[Any, ...]],
    ) -> bool:
        """Add the rows of a table that are paid for; whether none contradicts one that is there."""
        there = f"SELECT * FROM {table} WHERE problem = ?"
        known = {row[2:4]: row for row in self._into._db.execute(there, (self._there,))}
        rows = list(self._rows(table))
        fresh = iter(self._into._row_ids(table, len(rows)))
        added = self._added[table] = []
        for row in rows:
            new = moved(row, next(fresh))
            same = known.get(new[2:4])
            if same is None:
                added.append(new)
            elif _said(table, same) != _said(table, new):
                return False
            else:
                self._shared += 1
            numbers[row[0]] = new[0] if same is None else same[0]
        return True

    def _verdicts(self) -> bool:
        select = "SELECT grader, answer, is_right FROM verdict WHERE problem = ?"
        there = self._into._db.execute(select, (self._there,))
        known = {(grader, answer): right for grader, answer, right in there}
        added = self._added["verdict"] = []
        for grader, answer, right in self._source._db.execute(select, (self._problem,)):
            place = self._names("grader", grader), answer
            if known.get(place, right) != right:
                return False
            if place not in known:
                added.append((self._there, *place, right))
        return True

    def _searches(self) -> None:
        """Outcomes; one that is there stays, since its seconds are the true ones."""
        there = "SELECT strategy, budget, stream, team FROM search WHERE problem = ?"
        known = set(self._into._db.execute(there, (self._there,)))
        added = self._added["search"] = []
        for row in self._rows("search"):
            _, _, strategy, budget, stream, team, *told, tree = row
            key = strategy, budget, stream, self._names("team", team)
            if key not in known:
                added.append((None, self._there, *key, *told, self._moved(tree)))

    def _rows(self, table: str) -> Iterable[tuple[Any, ...]]:
        """Its rows of a table, in the order in which they were written."""
        select = f"SELECT * FROM {table} WHERE problem = ? ORDER BY rowid"
        if table in _BY_SEARCH:  # those have no numbers
            select = f"SELECT * FROM {table} WHERE problem = ?"
        return self._source._db.execute(select, (self._problem,))

    def _moved(self, packed: bytes) -> bytes:
        tree = codec.TreeRows.unpack(packed)
        return replace(
            tree,
            draws=tuple(self._of_draws[row] for row in tree.draws),
            scores=tuple(self._of_scores[row] for row in tree.scores),
            verifiers=tuple(self._names("verifier", row) for row in tree.verifiers),
        ).pack()

    def _hanging(self) -> None:
        """What hangs on draws, scores and searches."""
        for table in _BY_SEARCH:
            if table in self._names.tables:
                self._added[table] = [
                    (self._there, strategy, budget, stream, self._names("team", team), *told)
                    for _, strategy, budget, stream, team, *told in self._rows(table)
                ]
        for table, of, numbers in (
            ("text", "draw", self._of_draws),
            ("reading", "draw", self._of_draws),
            ("recorded", "draw", self._of_draws),
            ("written", "score", self._of_scores),
        ):
            if table in self._names.tables:
                self._added[table] = list(self._of_rows(table, of, numbers))

    def _of_rows(
        self, table: str, of: str, numbers: Mapping[int, int]
    ) -> Iterable[tuple[Any, ...]]:
        select = f"SELECT t.* FROM {table} t JOIN {of} o ON o.id = t.{of} WHERE o.problem = ?"
        for row, *rest in self._source._db.execute(select, (self._problem,)):
            if table == "reading":
                rest[0] = self._names("grader", rest[0])
            yield (numbers[row], *rest)


def _said(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a row says, apart from what it cost and who reads its answer."""
    flags = row[4] & (codec.FINISHED | codec.TRUNCATED if table == "draw" else codec.WIDE)
    return (flags, *row[-2:]) if table == "draw" else (flags, row[-1])
