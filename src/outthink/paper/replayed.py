"""What a public recording of a real model says of claims about length: nothing is drawn.

1.5 B parameters, 24 samples of each of 40 problems of MATH-500 (`recorded/README.md`). The traces
of the papers themselves have no licence to ship.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from importlib import resources

import numpy as np

from outthink.data.formats import plain
from outthink.data.samples import Reading, Sample
from outthink.measure import votes
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import levels
from outthink.measure.finish import by_finish
from outthink.measure.lengths import Halves, halves
from outthink.measure.pools import NO_ANSWER, Pool

N = 8
"""Samples among which those vote that finish first, or last: as many as the paper has a problem."""


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """The recording, by problem."""

    all: Halves
    """Of all samples."""
    answered: Halves
    """Of those that end in an answer."""
    vote: Floats
    """[P] accuracy of the vote of N."""
    first: Floats
    """[P] of the first of N to finish."""
    last: Floats
    """[P] of the last of N to finish."""
    levels: Integers
    """[P] 0 easy, 1 medium, 2 hard, by pass@1 of the same samples."""


@cache
def replayed() -> Replayed:
    """Read the recording, once."""
    file = resources.files("outthink.paper").joinpath("recorded", "crucible-math500.csv")
    by_problem: dict[str, list[Sample]] = {}
    with resources.as_file(file) as path:
        for one in plain.samples(path, Reading({})):
            by_problem.setdefault(one.problem_id, []).append(one)
    pools = [_pool(id, rows) for id, rows in by_problem.items()]
    lengths = [np.array([row.tokens for row in rows], float) for rows in by_problem.values()]
    rows = list(zip(pools, lengths, strict=True))
    every = halves([(some, pool.right) for pool, some in rows])
    ended = halves([(some[pool.answered], pool.right[pool.answered]) for pool, some in rows])
    assert every is not None and ended is not None
    first, last = (partial(by_finish, ns=[N], last=is_last) for is_last in (False, True))
    return Replayed(
        every,
        ended,
        np.array([votes.majority(pool, [N])[0] for pool in pools]),
        np.array([first(pool, some)[0] for pool, some in rows]),
        np.array([last(pool, some)[0] for pool, some in rows]),
        levels(np.array([pool.right.mean() for pool in pools])),
    )


def _pool(id: str, rows: list[Sample]) -> Pool:
    pool = Pool.of(
        id,
        [row.answer for row in rows],
        [None] * len(rows),
        [row.right is True and row.answer is not None for row in rows],
    )
    assert (pool.answers != NO_ANSWER).any() or not pool.right.any()
    return pool
