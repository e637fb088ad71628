"""Rows of a store as bytes, and back."""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from outthink.errors import RunError
from outthink.run.journal import KEY_STRIDE
from outthink.run.store import columns
from outthink.run.store.columns import Ints

FINISHED, TRUNCATED = 1, 2
WHOLE = 4
"""The row has all its tokens: its prefix was not as drawn, or it revises its parent."""
HAS_STATE, REREAD, MEASURED = 8, 16, 32
CRITIQUE = 64
"""The row is about solutions, and none itself."""
SCORE_HAS_STATE, SCORE_REREAD = 2, 4

_WIDTHS = "BHI"
_BYTES = (1, 2, 4)


def pack_ids(ids: Sequence[int]) -> tuple[int, bytes]:
    """Whole numbers in the narrowest width that holds them all, little endian."""
    try:
        return 0, bytes(ids)
    except ValueError:
        pass
    for width in (1, 2):
        with suppress(struct.error):
            return width, struct.pack(f"<{len(ids)}{_WIDTHS[width]}", *ids)
    raise RunError(f"the proposer gave a token id outside 0 to 2^32 - 1: {min(ids)} to {max(ids)}")


def unpack_ids(width: int, data: bytes) -> tuple[int, ...]:
    """What `pack_ids` packed."""
    if width == 0:
        return tuple(data)
    return struct.unpack(f"<{len(data) // _BYTES[width]}{_WIDTHS[width]}", data)


_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def pack_texts(texts: Sequence[str]) -> str:
    """As JSON; half a character has no place in UTF-8."""
    text = _as_json(texts)
    return text.encode("utf-8", "replace").decode()


def unpack_texts(
    own: str | None, held: tuple[str, ...] | None, held_steps: int
) -> tuple[str, ...] | None:
    """All texts of a row whose prefix has `held`; what is behind its last step goes on here."""
    if own is None or held is None:
        return None
    more = tuple(json.loads(own))
    if len(held) > held_steps and more:
        return (*held[:held_steps], held[-1] + more[0], *more[1:])
    return held + more


# Columns of many rows ----------------------------------------------------------------------------


def pack_lists(lists: Sequence[Sequence[int]]) -> bytes:
    """Lists of token ids or step ends: their lengths, then all of them in one width."""
    lengths = columns.pack([len(one) for one in lists])
    width, packed = 0, b""
    try:
        packed = b"".join(map(bytes, lists))
    except ValueError:
        width, packed = pack_ids(list(chain.from_iterable(lists)))
    return bytes((width,)) + lengths + packed


def unpack_lists(data: bytes, count: int) -> list[tuple[int, ...]]:
    """What `pack_lists` packed."""
    lengths, at = columns.unpack(data, 1, count)
    whole = unpack_ids(data[0], data[at:])
    ends = lengths.cumsum().tolist()
    return [whole[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def pack_answers(answers: Sequence[str | None]) -> bytes:
    """Each text once, and which of them a row has; 0 is none."""
    places: dict[str | None, int] = {None: 0}
    chosen = [places.setdefault(answer, len(places)) for answer in answers]
    texts = list(places)[1:]
    # What cannot be said in UTF-8 is refused where a verdict on it is kept.
    said = _as_json(texts) if texts else ""
    return columns.pack(chosen) + said.encode("utf-8", "surrogatepass")


def unpack_answers(data: bytes, count: int) -> tuple[Ints, list[str | None]]:
    """Which text each row has, and the texts."""
    chosen, at = columns.unpack(data, 0, count)
    return chosen, [None, *json.loads(data[at:].decode("utf-8", "surrogatepass") or "[]")]


def pack_scores(rows: Sequence[tuple[float | None, ...]]) -> bytes:
    """Scores of the steps of rows, as float32 where that is exact, else as float64; NaN stands for
    `None`."""
    flat = list(chain.from_iterable(rows))
    unknown = flat.count(None)
    if unknown:
        flat = [float("nan") if score is None else score for score in flat]
    wide = np.array(flat, np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    missing = np.isnan(wide)
    if int(missing.sum()) != unknown:
        raise RunError("the verifier gave NaN for a score; one that could not be had is None")
    is_wide = not bool(((narrow == wide) | missing).all())
    lengths = columns.pack([len(row) for row in rows])
    return bytes((is_wide,)) + lengths + (wide if is_wide else narrow).tobytes()


def unpack_scores(data: bytes, count: int) -> list[tuple[float | None, ...]]:
    """What `pack_scores` packed."""
    ends, values = _scores(data, count)
    flat: list[float | None] = values.tolist()
    if np.isnan(values).any():
        flat = [None if value != value else value for value in flat]
    bounds = ends.tolist()
    return [tuple(flat[begin:end]) for begin, end in zip([0, *bounds], bounds, strict=False)]


def last_scores(data: bytes, count: int) -> list[float | None]:
    """Of each row the last of what `pack_scores` packed; `None` where there is none, or it is not
    known."""
    ends, values = _scores(data, count)
    lengths = np.diff(ends, prepend=0)
    last = np.full(count, np.nan)
    last[lengths > 0] = values[ends[lengths > 0] - 1]
    if not np.isnan(last).any():
        scores: list[float | None] = last.tolist()
        return scores
    return [None if value != value else value for value in last.tolist()]


def _scores(data: bytes, count: int) -> tuple[Ints, NDArray[np.float64]]:
    """Where in all scores those of each row end, and all scores."""
    lengths, at = columns.unpack(data, 1, count)
    values = np.frombuffer(data, "<f8" if data[0] else "<f4", offset=at)
    return lengths.cumsum(), values.astype(np.float64)


_MASK = (1 << 63) - 1
_INVERSE = pow(KEY_STRIDE, -1, 1 << 63)
_NEAR = 1 << 32


def pack_keys(keys: Sequence[int], mixes: Iterable[int] = ()) -> bytes:
    """Keys of rows: those of one prefix are so many strides apart. `mixes` may have been mixed into
    them (`journal.solution_keys`)."""
    for mix in (0, *mixes):
        first = keys[0] ^ mix
        strides = [((key ^ mix) - first) * _INVERSE & _MASK for key in keys]
        if max(strides) < _NEAR:
            return struct.pack("<qq", mix, first) + columns.pack(strides)
        if len(keys) == 1:
            break
    return struct.pack("<q", -1) + array("q", keys).tobytes()


def unpack_keys(data: bytes, count: int) -> list[int]:
    """What `pack_keys` packed."""
    (mix,) = struct.unpack_from("<q", data)
    if mix < 0:
        return array("q", data[8:]).tolist()
    (first,) = struct.unpack_from("<q", data, 8)
    strides, _ = columns.unpack(data, 16, count)
    return [(first + stride * KEY_STRIDE & _MASK) ^ mix for stride in strides.tolist()]


def added(
    own: tuple[int, ...],
    own_ends: tuple[int, ...],
    flags: int,
    held: tuple[int, ...],
    held_ends: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All tokens and step ends of a row that extends `held`."""
    if flags & WHOLE or not held:
        return own, own_ends
    past = len(held)
    return held + own, held_ends + tuple([past + end for end in own_ends])


# A search tree -----------------------------------------------------------------------------------


def drawn_rows(tree: bytes) -> int:
    """Solutions of a packed tree."""
    drawn, _ = struct.unpack_from("<II", tree)
    return int(drawn)


def scored_rows(tree: bytes) -> int:
    """Scores of a packed tree."""
    _, scored = struct.unpack_from("<II", tree)
    return int(scored)


@dataclass(frozen=True, slots=True)
class TreeRows:
    """The search tree of a job as numbers: solutions 0, 1, ... and their scores."""

    draws: Sequence[int]
    """Row of `draw` that each solution is."""
    parents: Sequence[int]
    """Solution that each was drawn from; -1 is the start."""
    prompt_tokens: Sequence[int]
    """What each cost in this search, which counts once what its rows share."""
    cached_tokens: Sequence[int]
    scored: Sequence[int]
    """Solutions that have a score, a number a score."""
    verifiers: Sequence[int]
    """Row of `verifier` that gave it."""
    scores: Sequence[int]
    """Row of `score` that it is."""
    computed_tokens: Sequence[int]
    """What it cost in this search."""
    score_cached_tokens: Sequence[int]

    def pack(self) -> bytes:
        """As bytes."""
        head = struct.pack("<II", len(self.draws), len(self.scored))
        return head + columns.pack_all(
            (
                self.draws,
                self.parents,
                self.prompt_tokens,
                self.cached_tokens,
                self.scored,
                self.verifiers,
                self.scores,
                self.computed_tokens,
                self.score_cached_tokens,
            )
        )

    @classmethod
    def unpack(cls, data: bytes) -> TreeRows:
        """What `pack` packed."""
        drawn, scored = struct.unpack_from("<II", data)
        numbers = columns.unpack_all(data, [drawn] * 4 + [scored] * 5, 8)
        return cls(*(column.tolist() for column in numbers))
