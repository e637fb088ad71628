"""Rows as formats 2 and 3 packed them, one by one."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from outthink.run.store import codec

TOKEN_WIDTH, END_WIDTH = 3, 5
"""Where in the flags of a draw the widths of its token ids and step ends stand."""
WIDE = 1
"""Of the flags of a score: its numbers take 8 bytes, and not 4."""
_MOVED = ((1 << 7, codec.HAS_STATE), (1 << 8, codec.REREAD), (1 << 9, codec.MEASURED))
_CRITIQUE = 1 << 10


def unpack_lists(flags: int, ends: bytes, tokens: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids and step ends that a draw adds to its prefix."""
    own = codec.unpack_ids(flags >> TOKEN_WIDTH & 3, tokens)
    return own, codec.unpack_ids(flags >> END_WIDTH & 3, ends)


def unpack_steps(wide: int, data: bytes) -> tuple[float | None, ...]:
    """Scores of the steps of one solution."""
    layout = f"<{len(data) // 8}d" if wide else f"<{len(data) // 4}f"
    values = struct.unpack(layout, data)
    return tuple([None if value != value else value for value in values])


def unpack_tree(data: bytes) -> codec.TreeRows:
    """The search tree of a job of format 3."""
    drawn, scored = struct.unpack_from("<II", data)
    numbers = np.frombuffer(zlib.decompress(data[8:]), np.int64)
    lengths = [drawn] * 4 + [scored] * 5
    columns = np.split(numbers, np.cumsum(lengths)[:-1])
    return codec.TreeRows(*(column.cumsum().tolist() for column in columns))


def draw_flags(flags: int) -> int:
    """Flags of a draw of format 3, as they are now."""
    kept = flags & (codec.FINISHED | codec.TRUNCATED | codec.WHOLE)
    kept |= codec.CRITIQUE * bool(flags & _CRITIQUE)
    for old, new in _MOVED:
        kept |= new * bool(flags & old)
    return kept
