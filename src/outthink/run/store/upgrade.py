"""Stores of format 3, made into stores of the present one: the same rows under the same numbers,
where format 3 had each in a row of its own.

Streams: memory does not grow with the store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from outthink.errors import StoreError
from outthink.run.journal import Writer, mix_of
from outthink.run.store import earlier
from outthink.run.store.file import connect, trouble
from outthink.run.store.paid import DrawRows, ScoreRows
from outthink.run.store.schema import ON_DEMAND
from outthink.run.store.write import Store

FORMAT = 3

_AS_THEY_ARE = ("meta", "problem", "writer", "verifier", "grader", "verdict", "team")
_MOST_ROWS = 4096
"""In one row of a table; what came in one call is rarely more."""


def is_old(path: Path) -> bool:
    """Whether a file is a store of format 3."""
    if not path.exists():
        return False
    with closing(connect(path, write=False)) as database:
        try:
            ((version,),) = database.execute("PRAGMA user_version")
        except sqlite3.Error as error:
            raise trouble(path, "read", error) from error
    return bool(version == FORMAT)


def upgrade(old: Path, new: Path, on_job: Callable[[int, int], None]) -> None:
    """Write what `old` holds into a new store; `on_job` is told how many tables are done, of how
    many. Raises `StoreError` where `old` cannot be read, `RunError` where the disk fails."""
    with closing(connect(old, write=False)) as database, Store.open(new, write=True) as store:
        known = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        tables = [*_AS_THEY_ARE, *(name for name in ON_DEMAND if name in known)]
        whole: dict[str, Iterable[tuple[Any, ...]]] = {
            **{name: database.execute(f"SELECT * FROM {name}") for name in tables},
            "draw": _draws(database),
            "score": _scores(database),
            "search": _searches(database),
        }
        try:
            with store._writing():
                for done, (table, more) in enumerate(whole.items()):
                    _insert(store._db, table, more)
                    on_job(done + 1, len(whole))
        except sqlite3.Error as error:
            raise StoreError(f"{old}: cannot be read: {error}") from error


def _insert(database: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    waiting = iter(rows)
    first = next(waiting, None)
    if first is not None:
        if table in ON_DEMAND:
            database.execute(ON_DEMAND[table])
        places = ", ".join("?" * len(first))
        database.executemany(f"INSERT INTO {table} VALUES ({places})", chain([first], waiting))


def _draws(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    rows = database.execute(
        "SELECT id, problem, writer, reader, key, flags, answer, decoded_tokens, prompt_tokens,"
        " cached_tokens, shared_tokens, microseconds, ends, tokens FROM draw ORDER BY id"
    )
    for first, who, some in _together(rows, 4):
        keys, flags, answers, decoded, prompt, cached, shared, micros, ends, tokens = some
        lists = [earlier.unpack_lists(*packed) for packed in zip(flags, ends, tokens, strict=True)]
        packed = DrawRows(
            keys,
            [earlier.draw_flags(one) for one in flags],
            answers,
            [own_ends for _, own_ends in lists],
            [own for own, _ in lists],
            decoded,
            prompt,
            cached,
            shared,
            micros,
        ).pack()
        yield (first, *who, *packed)


def _scores(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    rows = database.execute(
        "SELECT id, problem, verifier, key, flags, scores, computed_tokens, cached_tokens,"
        " shared_tokens, microseconds FROM score ORDER BY id"
    )
    writers = database.execute("SELECT name, asked, seed FROM writer").fetchall()
    mixes = [mix_of(Writer(*writer)) for writer in writers]
    for first, who, some in _together(rows, 3):
        keys, flags, scores, *costs = some
        steps = [
            earlier.unpack_steps(one & earlier.WIDE, packed)
            for one, packed in zip(flags, scores, strict=True)
        ]
        own = [one & ~earlier.WIDE for one in flags]
        yield (first, *who, *ScoreRows(keys, own, steps, *costs).pack(mixes))


def _searches(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    for *told, tree in database.execute("SELECT * FROM search ORDER BY id"):
        yield (*told, earlier.unpack_tree(tree).pack())


def _together(
    rows: Iterable[tuple[Any, ...]], named: int
) -> Iterator[tuple[int, tuple[Any, ...], list[list[Any]]]]:
    """Rows of one number after the other and of the same names: the first number, the names (the
    columns behind the number), and all other columns."""
    numbered = ((row[0] - place, row[1:named], row) for place, row in enumerate(rows))
    for (_, who), group in groupby(numbered, lambda one: one[:2]):
        while some := list(islice(group, _MOST_ROWS)):
            columns = list(zip(*(row for *_, row in some), strict=True))
            yield columns[0][0], who, [list(column) for column in columns[named:]]
