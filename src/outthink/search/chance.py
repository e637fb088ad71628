"""The random numbers of a search: they are fixed by what was drawn, and by nothing else.

A search holds no seed. Its draws differ with the seed of the run, so numbers that are made of them
do too, and the same draws give the same search on every machine.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

from outthink.types import Problem, Solution


def generator(problem: Problem, drawn: Iterable[Solution]) -> random.Random:
    """A generator for the next decision, seeded by the problem and the solutions drawn so far."""
    seen = hashlib.blake2b(problem.id.encode(), digest_size=8)
    for solution in drawn:
        seen.update(repr(solution.tokens).encode())
    return random.Random(int.from_bytes(seen.digest()))
