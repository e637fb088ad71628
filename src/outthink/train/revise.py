"""Trajectories that teach a model to revise: wrong answers, the last one close, then a right one.

Snell et al. 2024, section 6.1 and appendix H. Solutions are sampled in parallel, none as a
revision of another. The last wrong answer is the one nearest to the right one, so that the right
one reads like a revision of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from outthink.types import Solution

SAMPLES = 64
"""Solutions a problem that trajectories are made of (section 6.1)."""
LONGEST = 4
"""Most wrong answers before the right one."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Wrong answers, oldest first, and the right one that is trained on."""

    history: tuple[Solution, ...]
    answer: Solution


def trajectories(
    right: Sequence[Solution],
    wrong: Sequence[Solution],
    text: Callable[[Sequence[int]], str],
    rng: np.random.Generator,
) -> list[Trajectory]:
    """One trajectory for every right solution of one problem.

    n ~ Uniform{0..4} wrong solutions, fewer where there are not as many: the last is the nearest to
    the right one by character edit distance, the others are drawn from the rest without
    replacement. Solutions without an answer must have been left out.
    """
    written = [text(solution.tokens) for solution in wrong]
    nearest: dict[str, int] = {}
    made: list[Trajectory] = []
    for answer in right:
        count = int(rng.integers(0, min(LONGEST, len(wrong)) + 1))
        history: list[Solution] = []
        if count:
            answer_text = text(answer.tokens)
            if answer_text not in nearest:
                distances = [Levenshtein.distance(answer_text, other) for other in written]
                nearest[answer_text] = int(np.argmin(distances))
            last = nearest[answer_text]
            others = [at for at in range(len(wrong)) if at != last]
            chosen = rng.choice(len(others), count - 1, replace=False) if count > 1 else ()
            history = [wrong[others[at]] for at in chosen] + [wrong[last]]
        made.append(Trajectory(tuple(history), answer))
    return made
