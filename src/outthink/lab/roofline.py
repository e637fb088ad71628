"""What decoding a token takes of one core, against what the core can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from outthink.lab.engine import ROWS, LabProposer


def roofline(proposer: LabProposer, *, rows: int = ROWS) -> dict[str, Any]:
    """What decoding a token takes of one core, against what the core can do.

    Operations and bytes are those of a row of `rows` in the middle of a context: two operations a
    weight, and four a cached position and unit of width; keys and values of every cached position
    are read, and the weights once for all rows. The floor is the longer of both times (Williams et
    al. 2009, the roofline). In CPU seconds of one thread, the best of several.
    """
    shape, decoding = proposer.shape, proposer.decoding(rows)
    context, threads = decoding.context, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = _least_cpu(decoding.step) / rows
        matrix, memory = _matrix_speed(), _memory_speed()
    finally:
        torch.set_num_threads(threads)
    weights = shape.multiplied_parameters
    operations = 2 * weights + 4 * context * shape.width * shape.layers
    cached = 2 * context * shape.width * shape.layers * shape.element_bytes
    moved = cached + weights * shape.element_bytes / rows
    floor = max(operations / matrix, moved / memory)
    return {
        "matrix_operations_per_second": round(matrix),
        "memory_bytes_per_second": round(memory),
        "s_operations_per_token": operations,
        "s_bytes_per_token": round(moved),
        "s_microseconds_per_token": round(seconds * 1e6, 2),
        "s_microseconds_per_token_at_least": round(floor * 1e6, 2),
        "s_share_of_matrix_speed": round(operations / seconds / matrix, 4),
        "s_share_of_memory_speed": round(moved / seconds / memory, 4),
        "s_share_of_roofline": round(floor / seconds, 4),
    }


_SQUARE = 1024
_COPIED = 16 << 20
"""Numbers of a copy: more than the caches of a core hold."""


def _matrix_speed() -> float:
    """Operations a second of one thread in a product of square matrices."""
    a, b = torch.randn(_SQUARE, _SQUARE), torch.randn(_SQUARE, _SQUARE)
    out = torch.empty_like(a)
    return 2 * _SQUARE**3 / _least_cpu(lambda: torch.mm(a, b, out=out))


def _memory_speed() -> float:
    """Bytes a second that one thread reads and writes in a copy."""
    a = torch.randn(_COPIED)
    b = torch.empty_like(a)
    return 2 * a.numel() * a.element_size() / _least_cpu(lambda: b.copy_(a))


def _least_cpu(do: Callable[[], object], times: int = 12) -> float:
    """The least CPU seconds of this thread in some tries, after one that does not count."""
    do()
    taken = []
    for _ in range(times):
        began = time.thread_time()
        do()
        taken.append(time.thread_time() - began)
    return min(taken)
