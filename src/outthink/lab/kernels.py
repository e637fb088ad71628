"""What a small model does beside its matrix products, as compiled loops over rows.

A small model's attention is thousands of products of a vector and a narrow matrix: a library call
for each costs more than the arithmetic. Here every row and head is computed in one go, sixteen
numbers at a time. A row's numbers depend on that row alone, so what else is in the batch changes
nothing, and reading tokens at once or one after the other gives the same.

Lanes and loops are one file because compiled code is kept by the date of the file of its loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import float32, intp, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from torch import Tensor

LANES = 16
"""Numbers that are computed together."""


def padded(count: int) -> int:
    """`count` rounded up to whole lanes."""
    return -(-count // LANES) * LANES


def blocks(tokens: int) -> int:
    """Blocks that hold keys and values of so many tokens."""
    return -(-tokens // LANES)


def block_size(depth: int) -> int:
    """Numbers in a block: keys [depth, LANES], then values [LANES, padded(depth)]."""
    return LANES * (depth + padded(depth))


def attend(projected: Tensor, cached: Tensor, start: int, turn: tuple[Tensor, Tensor]) -> Tensor:
    """[B, n, width] that n new tokens of every row get from those up to themselves, after `start`
    cached ones.

    `projected` [B, n, 3 width] are their queries, keys and values; queries and keys are rotated (Su
    et al. 2021), keys and values go into `cached` [B, heads, blocks, block_size(depth)]. `turn` is
    the cosine and sine of each new position's angles, [n, depth / 2] each. All are contiguous 32
    bit floats. Raises `ValueError` where shapes do not fit, `TypeError` for other numbers or
    layouts.
    """
    rows, new, wide = projected.shape
    _, heads, room, _ = cached.shape
    depth = wide // (3 * heads)
    cosine, sine = turn
    if (
        wide != 3 * heads * depth
        or cached.shape != (rows, heads, room, block_size(depth))
        or not 0 <= start <= LANES * room - new
        or not cosine.shape == sine.shape == (new, depth / 2)
    ):
        raise ValueError(
            f"{list(projected.shape)} new numbers, {list(cached.shape)} cached ones, {start} "
            f"tokens before and {list(cosine.shape)} angles do not fit each other"
        )
    mixed = projected.new_empty((rows, new, heads * depth))
    _attend(projected.numpy(), cached.numpy(), start, cosine.numpy(), sine.numpy(), mixed.numpy())
    return mixed


def normed(x: Tensor) -> Tensor:
    """RMSNorm without a gain (Zhang and Sennrich 2019) of [n, width] contiguous 32 bit floats."""
    new = torch.empty_like(x)
    _norm(x.numpy(), new.numpy())
    return new


class _Lanes(types.Type):  # type: ignore[misc]
    """Sixteen 32 bit floats: one register, or as many as the machine needs for them."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


_lanes = _Lanes()
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WHOLE = ir.VectorType(ir.IntType(32), LANES)
_UNSET = ir.Constant(_FLOATS, ir.Undefined)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [float(np.float32(value))] * LANES)


def _larger_of(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _library(builder: Any, name: str, *arguments: Any) -> Any:
    """LLVM's own operation of that name."""
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, arguments)


def _across(builder: Any, lanes: Any, combine: Callable[[Any, Any, Any], Any]) -> Any:
    """One number of all lanes: halves are combined until one is left, always in one order."""
    count = LANES
    while count > 1:
        count //= 2
        turned = ir.Constant(_WHOLE, [(lane + count) % LANES for lane in range(LANES)])
        lanes = combine(builder, lanes, builder.shuffle_vector(lanes, _UNSET, turned))
    return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _FLOATS.as_pointer())


@intrinsic
def _load(_: Any, array: Any, at: Any) -> Any:
    """The lanes that start at a number of an array."""

    def emit(context: Any, builder: Any, kinds: Any, values: Any) -> Any:
        return builder.load(_place(context, builder, kinds.args[0], *values), align=4)

    return _lanes(array, types.intp), emit


@intrinsic
def _store(_: Any, array: Any, at: Any, lanes: Any) -> Any:
    def emit(context: Any, builder: Any, kinds: Any, values: Any) -> Any:
        builder.store(values[2], _place(context, builder, kinds.args[0], *values[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _lanes), emit


@intrinsic
def _fetch(_: Any, array: Any, at: Any) -> Any:
    """Have the lanes there brought into the cache; there may be nothing."""

    def emit(context: Any, builder: Any, kinds: Any, values: Any) -> Any:
        place = _place(context, builder, kinds.args[0], *values)
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        whole = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, whole, whole, whole])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(prefetch, [place, whole(0), whole(3), whole(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@intrinsic
def _fill(_: Any, number: Any) -> Any:
    """One number in every lane."""

    def emit(__: Any, builder: Any, ___: Any, values: Any) -> Any:
        first = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(_UNSET, values[0], first)
        return builder.shuffle_vector(one, _UNSET, ir.Constant(_WHOLE, [0] * LANES))

    return _lanes(types.float32), emit


@intrinsic
def _multiply_add(_: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return _lanes(_lanes, _lanes, _lanes), lambda _, builder, __, values: _library(
        builder, "fma", *values
    )


@intrinsic
def _multiply(_: Any, a: Any, b: Any) -> Any:
    return _lanes(_lanes, _lanes), lambda _, builder, __, values: builder.fmul(*values)


@intrinsic
def _add(_: Any, a: Any, b: Any) -> Any:
    return _lanes(_lanes, _lanes), lambda _, builder, __, values: builder.fadd(*values)


@intrinsic
def _larger(_: Any, a: Any, b: Any) -> Any:
    return _lanes(_lanes, _lanes), lambda _, builder, __, values: _larger_of(builder, *values)


@intrinsic
def _largest(_: Any, lanes: Any) -> Any:
    """The largest of the lanes."""
    return types.float32(_lanes), lambda _, builder, __, values: _across(
        builder, values[0], _larger_of
    )


@intrinsic
def _total(_: Any, lanes: Any) -> Any:
    """The sum of the lanes."""
    return types.float32(_lanes), lambda _, builder, __, values: _across(
        builder, values[0], lambda builder, a, b: builder.fadd(a, b)
    )


_EXPONENT_BIAS, _MANTISSA_BITS, _LEAST_EXPONENT = 127, 23, -126.0
_POWER_OF_TWO = (1.8775767e-3, 8.9893397e-3, 5.5826318e-2, 2.4015361e-1, 6.9315308e-1, 9.9999994e-1)
"""Coefficients of 2^x for x in [0, 1), the highest power first: within 2e-7 of it."""


@intrinsic
def _exp2(_: Any, lanes: Any) -> Any:
    """2 to the power of each lane: of its fraction by a polynomial, and its whole part becomes the
    exponent. Below 2^-126 it stays there."""

    def emit(__: Any, builder: Any, ___: Any, values: Any) -> Any:
        power = _larger_of(builder, values[0], _constant(_LEAST_EXPONENT))
        whole = _library(builder, "floor", power)
        fraction = builder.fsub(power, whole)
        part = _constant(_POWER_OF_TWO[0])
        for coefficient in _POWER_OF_TWO[1:]:
            part = _library(builder, "fma", part, fraction, _constant(coefficient))
        bias = ir.Constant(_WHOLE, [_EXPONENT_BIAS] * LANES)
        exponent = builder.add(builder.fptosi(whole, _WHOLE), bias)
        bits = builder.shl(exponent, ir.Constant(_WHOLE, [_MANTISSA_BITS] * LANES))
        return builder.fmul(part, builder.bitcast(bits, _FLOATS))

    return _lanes(_lanes), emit


_LEAST = float32(-1e30)
_LOG2_E = 1 / math.log(2)


def _attended(projected: Any, cached: Any, start: Any, cosine: Any, sine: Any, mixed: Any) -> None:
    rows, new, wide = projected.shape
    heads, room, size = cached.shape[1:]
    half, width, depth = wide // (6 * heads), wide // 3, wide // (3 * heads)
    keys = LANES * depth
    lanes = size // LANES - depth
    scale = float32(_LOG2_E / math.sqrt(depth))
    weights = np.empty(LANES * room, np.float32)
    query = np.empty(depth, np.float32)
    part = np.empty(lanes, np.float32)
    for row in range(rows):
        for head in range(heads):
            tile, at = cached[row, head].reshape(room * size), head * depth
            # The next head's blocks come from memory while this one is computed; after the last one
            # nothing is read, since what is fetched is a hint.
            ahead = (start + new + LANES - 1) // LANES * size
            for line in range(room * size, room * size + ahead, LANES):
                _fetch(tile, line)
            for token in range(new):
                x, y, end = projected[row, token], mixed[row, token], start + token + 1
                last, column = (end - 1) // LANES * size, (end - 1) % LANES
                for d in range(half):
                    c, s = cosine[token, d], sine[token, d]
                    a, b = x[at + d], x[at + half + d]
                    query[d] = (a * c - b * s) * scale
                    query[half + d] = (a * s + b * c) * scale
                    a, b = x[width + at + d], x[width + at + half + d]
                    tile[last + d * LANES + column] = a * c - b * s
                    tile[last + (half + d) * LANES + column] = a * s + b * c
                here = last + keys + column * lanes
                for d in range(depth):
                    tile[here + d] = x[2 * width + at + d]
                for d in range(depth, lanes):
                    tile[here + d] = float32(0)
                filled = (end + LANES - 1) // LANES
                for block in range(filled):
                    score = _multiply(_load(tile, block * size), _fill(query[0]))
                    for d in range(1, depth):
                        key = _load(tile, block * size + d * LANES)
                        score = _multiply_add(key, _fill(query[d]), score)
                    _store(weights, block * LANES, score)
                # What lies behind the last token is not of this row.
                for behind in range(end, filled * LANES):
                    weights[behind] = _LEAST
                top = _fill(_LEAST)
                for block in range(filled):
                    top = _larger(top, _load(weights, block * LANES))
                below = _fill(-_largest(top))
                total = _fill(float32(0))
                for block in range(filled):
                    weight = _exp2(_add(_load(weights, block * LANES), below))
                    _store(weights, block * LANES, weight)
                    total = _add(total, weight)
                share = _fill(float32(1) / _total(total))
                for lane in range(0, lanes, LANES):
                    # Four sums side by side: each waits for its own last one only.
                    one = _fill(float32(0))
                    two, three, four = one, one, one
                    for block in range(filled):
                        here, first = block * size + keys + lane, block * LANES
                        there = min(LANES, end - first)
                        fours = there // 4 * 4
                        for i in range(0, fours, 4):
                            one = _mixed(tile, here + i * lanes, weights, first + i, one)
                            two = _mixed(tile, here + (i + 1) * lanes, weights, first + i + 1, two)
                            three = _mixed(
                                tile, here + (i + 2) * lanes, weights, first + i + 2, three
                            )
                            four = _mixed(
                                tile, here + (i + 3) * lanes, weights, first + i + 3, four
                            )
                        for i in range(fours, there):
                            one = _mixed(tile, here + i * lanes, weights, first + i, one)
                    sums = _add(_add(one, two), _add(three, four))
                    _store(part, lane, _multiply(sums, share))
                for d in range(depth):
                    y[at + d] = part[d]


@njit(inline="always")
def _mixed(tile: Any, here: Any, weights: Any, token: Any, sums: Any) -> Any:
    """`sums`, and a token's values by its weight."""
    return _multiply_add(_load(tile, here), _fill(weights[token]), sums)


def _rms_normed(x: Any, new: Any) -> None:
    rows, width = x.shape
    for row in range(rows):
        here, there = x[row], new[row]
        squares = _fill(float32(0))
        whole = width // LANES * LANES
        for at in range(0, whole, LANES):
            lanes = _load(here, at)
            squares = _multiply_add(lanes, lanes, squares)
        total = _total(squares)
        for at in range(whole, width):
            total += here[at] * here[at]
        scale = float32(1) / np.sqrt(total / float32(width) + _EPSILON)
        for at in range(width):
            there[at] = here[at] * scale


_EPSILON = float32(np.finfo(np.float32).eps)


def _compiled(loops: Callable[..., None], *arguments: Any) -> Callable[..., None]:
    """Loops as machine code, kept beside this file or in the user's cache where that can be."""
    kind, options = types.void(*arguments), {"nogil": True, "error_model": "numpy"}
    try:
        return njit(kind, cache=True, **options)(loops)  # type: ignore[no-any-return]
    except (RuntimeError, OSError):
        # Neither can be written to: every process compiles it again.
        return njit(kind, **options)(loops)  # type: ignore[no-any-return]


_table, _cube, _stack = float32[:, ::1], float32[:, :, ::1], float32[:, :, :, ::1]
_attend = _compiled(_attended, _cube, _stack, intp, _table, _table, _cube)
_norm = _compiled(_rms_normed, _table, _table)
