"""Rows that were paid for, as they stand in `draw` and `score`: those that came together in one.

A row of these tables holds rows one after the other, as columns, and its id is the number of the
first of them. So what is asked for by numbers is looked up among the rows of its problem.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from outthink.run.store import codec, columns


@dataclass(frozen=True, slots=True)
class DrawRows:
    """Rows of one problem, writer and reader of answers; a number, an answer, ... a row."""

    keys: Sequence[int]
    flags: Sequence[int]
    answers: Sequence[str | None]
    ends: Sequence[Sequence[int]]
    tokens: Sequence[Sequence[int]]
    """Those that a row adds to its prefix, and the ends of the steps among them."""
    decoded_tokens: Sequence[int]
    prompt_tokens: Sequence[int]
    cached_tokens: Sequence[int]
    shared_tokens: Sequence[int]
    microseconds: Sequence[int]

    def pack(
        self, mixes: Iterable[int] = ()
    ) -> tuple[int, bytes, bytes, bytes, bytes, bytes, bytes]:
        """As the last columns of `draw`; its keys have nothing mixed into them."""
        costs = (
            self.decoded_tokens,
            self.prompt_tokens,
            self.cached_tokens,
            self.shared_tokens,
            self.microseconds,
        )
        return (
            len(self.keys),
            codec.pack_keys(self.keys),
            columns.pack(self.flags),
            codec.pack_answers(self.answers),
            columns.pack_all(costs),
            codec.pack_lists(self.ends),
            codec.pack_lists(self.tokens),
        )

    def said(self, place: int) -> object:
        """What a row says, apart from what it cost and who reads its answer."""
        ended = self.flags[place] & (codec.FINISHED | codec.TRUNCATED)
        return ended, tuple(self.ends[place]), tuple(self.tokens[place])

    @classmethod
    def unpack(
        cls,
        count: int,
        keys: bytes,
        flags: bytes,
        answers: bytes,
        costs: bytes,
        ends: bytes,
        tokens: bytes,
    ) -> DrawRows:
        """What `pack` packed."""
        return cls(
            codec.unpack_keys(keys, count),
            columns.unpack(flags, 0, count)[0].tolist(),
            unpack_answers(answers, count),
            codec.unpack_lists(ends, count),
            codec.unpack_lists(tokens, count),
            *(column.tolist() for column in columns.unpack_all(costs, [count] * 5)),
        )


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """Rows of one problem and verifier."""

    keys: Sequence[int]
    flags: Sequence[int]
    scores: Sequence[tuple[float | None, ...]]
    computed_tokens: Sequence[int]
    cached_tokens: Sequence[int]
    shared_tokens: Sequence[int]
    microseconds: Sequence[int]

    def pack(self, mixes: Iterable[int] = ()) -> tuple[int, bytes, bytes, bytes, bytes]:
        """As the last columns of `score`; `mixes` as `codec.pack_keys` has them."""
        costs = (self.computed_tokens, self.cached_tokens, self.shared_tokens, self.microseconds)
        return (
            len(self.keys),
            codec.pack_keys(self.keys, mixes),
            columns.pack(self.flags),
            columns.pack_all(costs),
            codec.pack_scores(self.scores),
        )

    def said(self, place: int) -> object:
        """What a row says, apart from what it cost."""
        return self.scores[place]

    @classmethod
    def unpack(
        cls, count: int, keys: bytes, flags: bytes, costs: bytes, scores: bytes
    ) -> ScoreRows:
        """What `pack` packed."""
        return cls(
            codec.unpack_keys(keys, count),
            columns.unpack(flags, 0, count)[0].tolist(),
            codec.unpack_scores(scores, count),
            *(column.tolist() for column in columns.unpack_all(costs, [count] * 4)),
        )


def at(rows: DrawRows | ScoreRows, places: Sequence[int]) -> DrawRows | ScoreRows:
    """Some of these rows."""
    columns = (getattr(rows, field.name) for field in fields(rows))
    chosen = ([column[place] for place in places] for column in columns)
    return type(rows)(*chosen)


DRAWS = "rows, keys, flags, answers, costs, ends, tokens"
"""Columns that are a `DrawRows`."""
SCORES = "rows, keys, flags, costs, scores"


def unpack_answers(data: bytes, count: int) -> list[str | None]:
    """The answer of each row."""
    chosen, texts = codec.unpack_answers(data, count)
    return [texts[place] for place in chosen.tolist()]


def holding(
    database: sqlite3.Connection, table: str, problem: int, ids: Iterable[int], select: str
) -> Iterator[tuple[Any, ...]]:
    """The id, then these columns, of every row of `draw` or `score` that holds one of these."""
    wanted = set(ids)
    if not wanted:
        return iter(())
    spans = database.execute(f"SELECT id FROM {table} WHERE problem = ? ORDER BY id", (problem,))
    firsts = [first for (first,) in spans]
    if len(firsts) == 1:
        needed = firsts
    else:
        needed = sorted({firsts[bisect_right(firsts, one) - 1] for one in wanted})
    return database.execute(
        f"SELECT id, {select} FROM {table} WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(needed),),
    )


def keys_of(database: sqlite3.Connection, table: str, problem: int, who: int) -> dict[int, int]:
    """The number of the row of each key of one problem and writer or verifier."""
    column = "writer" if table == "draw" else "verifier"
    rows = database.execute(
        f"SELECT id, rows, keys FROM {table} WHERE problem = ? AND {column} = ?", (problem, who)
    )
    numbers: dict[int, int] = {}
    for first, count, keys in rows:
        numbers.update(
            zip(codec.unpack_keys(keys, count), range(first, first + count), strict=True)
        )
    return numbers
