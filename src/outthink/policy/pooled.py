"""What a regression leaves over, pooled by looks that are alike, and shrunk to what is not noise.

A regression on smooth columns is too coarse where few looks are possible and each comes often: the
count of failures, say. There a table is exact. How much of a pool's mean is believed follows from
the data (empirical Bayes): the spread of the means beyond their standard errors, which are those of
problems, for the steps of one problem are alike. Where pools do not differ, it adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outthink.measure.arrays import Floats, Integers
from outthink.policy.tally import Cells

LEAST = 20
"""Problems in a pool."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What is added to the values of looks that are alike; nothing for any others."""

    keys: Integers
    """[G] rising."""
    values: Cells
    """[G, A]"""

    def at(self, keys: Integers) -> Cells:
        """[E, A]"""
        padded = np.vstack([self.values, np.zeros_like(self.values[:1], shape=(1, self.width))])
        found: Cells = padded[places(self.keys, keys)]
        return found

    @property
    def width(self) -> int:
        """A."""
        return int(self.values.shape[1])


def places(known: Integers, keys: Integers) -> Integers:
    """[E] the place of each key among the known ones, which rise; their number where it is not."""
    if not known.size:
        return np.zeros(keys.size, np.int64)
    place = np.minimum(np.searchsorted(known, keys), known.size - 1)
    return np.where(known[place] == keys, place, known.size)


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """Rows in pools, of some problems."""

    place: Integers
    """[n] the pool of each row; G for none."""
    count: Floats
    """[G] rows."""
    cell: Integers
    """[n] rows of one problem in one pool share a cell."""
    cell_place: Integers
    """[C]"""
    cell_count: Floats
    """[C]"""
    enough: np.ndarray
    """[G] whether it has problems enough."""

    @classmethod
    def of(cls, place: Integers, problem: Integers, pools: int) -> Pools:
        """`place` [n] in 0 .. `pools`, the last for rows in none."""
        width = int(problem.max(initial=0)) + 1
        cells, cell, cell_count = np.unique(
            place * width + problem, return_inverse=True, return_counts=True
        )
        cell_place = cells // width
        problems = np.bincount(cell_place, minlength=pools + 1)[:pools]
        return cls(
            place,
            np.bincount(place, minlength=pools + 1)[:pools].astype(float),
            cell,
            cell_place,
            cell_count.astype(float),
            problems >= LEAST,
        )

    def shrunk(self, left: Floats) -> Cells:
        """[G + 1] the mean of what is left over of each pool, shrunk; 0 for rows in none."""
        pools = self.count.size
        by_cell = np.bincount(self.cell, left, minlength=self.cell_place.size)
        total = np.bincount(self.cell_place, by_cell, minlength=pools + 1)[:pools]
        mean = total / np.maximum(self.count, 1)
        off = by_cell - self.cell_count * np.append(mean, 0.0)[self.cell_place]
        noise = np.bincount(self.cell_place, off**2, minlength=pools + 1)[:pools]
        # A pool in which nothing differs is not known without error.
        noise = (noise + 0.05) / np.maximum(self.count, 1) ** 2
        rows = np.where(self.enough, self.count, 0.0)
        spread = max(0.0, float(rows @ (mean**2 - noise)) / max(float(rows.sum()), 1.0))
        believed = np.where(self.enough, spread / (spread + noise), 0.0)
        return np.append(believed * mean, 0.0).astype(np.float32)
