"""Columns of whole numbers as bytes, and back: as narrow as their values, and one value where all
are the same.

How many numbers a column has stands elsewhere. Knows nothing of what they mean.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_SAME, _RUN, _FIRST = 0, 1, 2
"""All are the first one; each is one above the one before it; all behind the first are the same."""
_LAYOUTS = {3: "B", 4: "H", 5: "I", 6: "q"}
"""Numbers above the base, little endian."""
_DTYPES = {kind: np.dtype(f"<{letter}") for kind, letter in _LAYOUTS.items()}


def pack(values: Sequence[int]) -> bytes:
    """One column. Numbers are of 64 bits with a sign."""
    if not values:
        return b""
    first, last, count = values[0], values[-1], len(values)
    if first == last and values.count(first) == count:
        return _headed(_SAME, first)
    if first != last and values.count(last) == count - 1:
        return _headed(_FIRST, first) + _varint(last)
    if last - first == count - 1 and list(values) == list(range(first, last + 1)):
        return _headed(_RUN, first)
    low, high = min(values), max(values)
    kind = _kind(high - low)
    if low >= 0 and kind == _kind(high):
        low = 0
    above = [value - low for value in values] if low else values
    packed = bytes(above) if kind == 3 else struct.pack(f"<{count}{_LAYOUTS[kind]}", *above)
    return _headed(kind, low) + packed


def unpack(data: bytes, at: int, count: int) -> tuple[Ints, int]:
    """The column that begins at a byte, and the byte behind it."""
    if not count:
        return np.zeros(0, np.int64), at
    kind, (base, at) = data[at], _read_varint(data, at + 1)
    if kind == _SAME:
        return np.full(count, base, np.int64), at
    if kind == _RUN:
        return np.arange(base, base + count), at
    if kind == _FIRST:
        rest, at = _read_varint(data, at)
        values = np.full(count, rest, np.int64)
        values[0] = base
        return values, at
    dtype = _DTYPES[kind]
    numbers = np.frombuffer(data, dtype, count, at).astype(np.int64)
    return numbers + base if base else numbers, at + count * dtype.itemsize


def pack_all(columns: Sequence[Sequence[int]]) -> bytes:
    """Columns one behind the other."""
    return b"".join(map(pack, columns))


def unpack_all(data: bytes, lengths: Sequence[int], at: int = 0) -> list[Ints]:
    """What `pack_all` packed."""
    columns = []
    for length in lengths:
        column, at = unpack(data, at, length)
        columns.append(column)
    return columns


def _kind(high: int) -> int:
    if high < 1 << 8:
        return 3
    return 4 if high < 1 << 16 else 5 if high < 1 << 32 else 6


def _headed(kind: int, base: int) -> bytes:
    if 0 <= base < 64:
        return _SMALL[kind][base]
    return bytes((kind,)) + _varint(base)


_SMALL = [[bytes((kind, base << 1)) for base in range(64)] for kind in range(7)]


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the sign is the lowest of all."""
    left = value << 1 if value >= 0 else ~value << 1 | 1
    packed = bytearray()
    while left > 127:
        packed.append(left & 127 | 128)
        left >>= 7
    packed.append(left)
    return bytes(packed)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] > 127:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
    value |= data[at] << shift
    return (~(value >> 1) if value & 1 else value >> 1), at + 1
