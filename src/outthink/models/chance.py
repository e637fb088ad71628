"""Chance: numbers that follow from the seed of a draw and the place of a token, no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hashed(seeds: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 bits (splitmix64) of each seed and position, broadcast against each other."""
    with np.errstate(over="ignore"):
        return _mix(_mix(seeds) + _mix(positions.astype(np.uint64) ^ _POSITION))


_POSITION = np.uint64(0xD1B54A32D192ED03)
"""Tells a position from a seed of the same value."""


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
