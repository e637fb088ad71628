"""Rows of a store as bytes, and back."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np

from outthink.errors import RunError

FINISHED, TRUNCATED = 1, 2
WHOLE = 4
"""The row has all its tokens: its prefix was not as drawn, or it revises its parent."""
TOKEN_WIDTH, END_WIDTH = 3, 5
"""Where in the flags the widths of numbers stand, as an index into `_WIDTHS`."""
HAS_STATE, REREAD, MEASURED = 1 << 7, 1 << 8, 1 << 9
CRITIQUE = 1 << 10
"""The row is about solutions, and none itself."""
WIDE = 1
"""Of the flags of a score: its numbers take 8 bytes each, and not 4."""
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


def unpack_solution(
    flags: int, ends: bytes, tokens: bytes, held: tuple[int, ...], held_ends: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All tokens and step ends of a row that extends `held`."""
    own = unpack_ids(flags >> TOKEN_WIDTH & 3, tokens)
    own_ends = unpack_ids(flags >> END_WIDTH & 3, ends)
    if flags & WHOLE or not held:
        return own, own_ends
    past = len(held)
    return held + own, held_ends + tuple([past + end for end in own_ends])


def pack_texts(texts: Sequence[str]) -> str:
    """As JSON; half a character has no place in UTF-8."""
    text = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
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


@cache
def _narrow(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}f")


def pack_scores(scores: tuple[float | None, ...]) -> tuple[int, bytes]:
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


def unpack_scores(wide: int, data: bytes) -> tuple[float | None, ...]:
    """What `pack_scores` packed."""
    values = (
        struct.unpack(f"<{len(data) // 8}d", data)
        if wide
        else (_narrow(len(data) // 4).unpack(data))
    )
    if any(value != value for value in values):
        return tuple([None if value != value else value for value in values])
    return values


def scored_rows(tree: bytes) -> int:
    """Scores of a packed tree."""
    _, scored = struct.unpack_from("<II", tree)
    return int(scored)


def last_score(wide: int, data: bytes) -> float | None:
    """The last of what `pack_scores` packed; `None` where there is none, or it is not known."""
    if not data:
        return None
    layout = _ONE_WIDE if wide else _ONE
    value: float = layout.unpack_from(data, len(data) - layout.size)[0]
    return None if value != value else value


_ONE, _ONE_WIDE = struct.Struct("<f"), struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class TreeRows:
    """The search tree of a job as numbers: solutions 0, 1, ... and their scores."""

    draws: tuple[int, ...]
    """Row of `draw` that each solution is."""
    parents: tuple[int, ...]
    """Solution that each was drawn from; -1 is the start."""
    prompt_tokens: tuple[int, ...]
    """What each cost in this search, which counts once what its rows share."""
    cached_tokens: tuple[int, ...]
    scored: tuple[int, ...]
    """Solutions that have a score, a number a score."""
    verifiers: tuple[int, ...]
    """Row of `verifier` that gave it."""
    scores: tuple[int, ...]
    """Row of `score` that it is."""
    computed_tokens: tuple[int, ...]
    """What it cost in this search."""
    score_cached_tokens: tuple[int, ...]

    def pack(self) -> bytes:
        """As compressed bytes: differences of neighbours, which are small."""
        solutions = (self.draws, self.parents, self.prompt_tokens, self.cached_tokens)
        scores = (
            self.scored,
            self.verifiers,
            self.scores,
            self.computed_tokens,
            self.score_cached_tokens,
        )
        head = struct.pack("<II", len(self.draws), len(self.scored))
        return head + zlib.compress(_differences(solutions) + _differences(scores), 1)

    @classmethod
    def unpack(cls, data: bytes) -> TreeRows:
        """What `pack` packed."""
        drawn, scored = struct.unpack_from("<II", data)
        numbers = np.frombuffer(zlib.decompress(data[8:]), np.int64)
        lengths = [drawn] * 4 + [scored] * 5
        columns = np.split(numbers, np.cumsum(lengths)[:-1])
        return cls(*(tuple(column.cumsum().tolist()) for column in columns))


def _differences(columns: Sequence[Sequence[int]]) -> bytes:
    """Of each column its first number, and what each of the others is above the one before it."""
    numbers = np.array(columns, "<i8")
    numbers[:, 1:] -= numbers[:, :-1].copy()
    return numbers.tobytes()
