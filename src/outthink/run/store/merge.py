"""Rows of one store added to another: what both hold is one row, under the number that it has.

Draws are the same where problem, writer and key are; scores where problem, verifier and key are;
verdicts, searches and what hangs on them by their own names. A problem is added whole or not at
all, in one transaction, so a merge that was killed goes on. Two stores that say different things of
one row contradict each other, which happens where a server does not keep to its seeds: such
problems are told, and left as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from outthink.errors import StoreError
from outthink.run.journal import Writer, mix_of
from outthink.run.store import codec, paid
from outthink.run.store.paid import DrawRows, ScoreRows
from outthink.run.store.schema import ON_DEMAND
from outthink.run.store.write import Store

_BY_SEARCH = ("chance", "critique")
_WHOSE = {"draw": ("writer", "grader"), "score": ("verifier",)}
"""Where the names stand of whom rows are, in the order of their columns."""


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
    into._new.clear()
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
        writers = source._db.execute("SELECT name, asked, seed FROM writer").fetchall()
        self.mixes = [mix_of(Writer(*writer)) for writer in writers]
        """As `codec.pack_keys` has them."""
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
        self._fresh = {"draw": 0, "score": 0}
        """Rows that were added."""

    def add(self) -> Merged:
        self._there, is_new = self._place()
        paid_for = self._keyed("draw", self._of_draws) and self._keyed("score", self._of_scores)
        if not (paid_for and self._verdicts()):
            return Merged(contradictions=(self._name,))
        self._searches()
        self._hanging()
        for table, rows in self._added.items():
            if rows:
                if table in ON_DEMAND:
                    self._into._db.execute(ON_DEMAND[table])
                places = ", ".join("?" * len(rows[0]))
                self._into._db.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)
        verdicts, searches = len(self._added["verdict"]), len(self._added["search"])
        draws, scores = self._fresh["draw"], self._fresh["score"]
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

    def _keyed(self, table: str, numbers: dict[int, int]) -> bool:
        """Add the rows of a table that are paid for; whether none contradicts one that is there."""
        known: dict[tuple[int, int], tuple[int, object]] = {}
        for first, (who, *_), rows in self._paid(self._into, self._there, table):
            for place, key in enumerate(rows.keys):
                known[who, key] = first + place, rows.said(place)
        added = self._added[table] = []
        for first, whose, rows in self._paid(self._source, self._problem, table):
            names = [self._names(*named) for named in zip(_WHOSE[table], whose, strict=True)]
            fresh: list[int] = []
            for place, key in enumerate(rows.keys):
                same = known.get((names[0], key))
                if same is None:
                    fresh.append(place)
                    continue
                if same[1] != rows.said(place):
                    return False
                numbers[first + place] = same[0]
                self._shared += 1
            if fresh:
                new = self._into._row_ids(table, len(fresh))
                numbers.update(zip([first + place for place in fresh], new, strict=True))
                packed = paid.at(rows, fresh).pack(self._names.mixes)
                added.append((new[0], self._there, *names, *packed))
                self._fresh[table] += len(fresh)
        return True

    def _paid(
        self, store: Store, problem: int, table: str
    ) -> Iterator[tuple[int, tuple[int, ...], DrawRows | ScoreRows]]:
        """Rows of a table, as they stand in it: the number of the first, whose they are, and
        they."""
        whose = len(_WHOSE[table])
        kind = DrawRows if table == "draw" else ScoreRows
        select = f"SELECT * FROM {table} WHERE problem = ? ORDER BY id"
        for first, _, *row in store._db.execute(select, (problem,)):
            yield first, tuple(row[:whose]), kind.unpack(*row[whose:])

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
        wanted = json.dumps(list(numbers))
        select = f"SELECT * FROM {table} WHERE {of} IN (SELECT value FROM json_each(?))"
        for row, *rest in self._source._db.execute(select, (wanted,)):
            if table == "reading":
                rest[0] = self._names("grader", rest[0])
            yield (numbers[row], *rest)
