"""A chain of revisions: what its next solution is shown, and how several are drawn together.

Snell et al. 2024, section 6. Knows nothing of how a budget is split, and of how an answer is
chosen.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import StrEnum
from typing import Any

from outthink.search.select import StepAggregation, reduce_steps
from outthink.types import (
    END,
    REVISER,
    REVISION_VERIFIER,
    Problem,
    Propose,
    Purpose,
    Request,
    Scores,
    Solution,
    Verify,
)

WINDOW = 4
"""Earlier answers a revision sees (section 6.1)."""


class Shown(StrEnum):
    """Which answers of its chain a revision sees."""

    LATEST = "latest"
    """The most recent ones; the newest comes last."""
    BEST = "best"
    """Those of the highest scores; the best comes last."""


def prefix_after(problem: Problem, chain: Sequence[Solution], window: int) -> Solution:
    """What the next solution of a chain begins with; of an empty one, the problem alone."""
    return Solution.revision(chain, window) if chain else Solution.start(problem)


def answer_after(
    problem: Problem, chain: Sequence[Solution], window: int
) -> Generator[Request, Any, Solution]:
    """Draw one solution: a revision of the last of a chain, or a first answer of an empty one."""
    prefix = prefix_after(problem, chain, window)
    [solution] = yield Propose([prefix], until=END, role=REVISER, purpose=Purpose.REVISION)
    return solution  # type: ignore[no-any-return]


def go_on(
    problem: Problem,
    chain: list[Solution],
    n: int,
    *,
    sequential: int,
    window: int = WINDOW,
    scored: bool = True,
) -> Generator[Request, Any, tuple[list[Solution], list[Scores]]]:
    """Draw `n` further solutions of a chain, and begin a new one each time it is `sequential` long.

    `chain` is what is drawn of it, and is changed in place. The new solutions, and their scores
    where they are `scored`.
    """
    drawn: list[Solution] = []
    for _ in range(n):
        if len(chain) == sequential:
            chain.clear()
        solution = yield from answer_after(problem, chain, window)
        chain.append(solution)
        drawn.append(solution)
    if not scored:
        return drawn, []
    scores: list[Scores] = yield Verify(drawn, role=REVISION_VERIFIER)
    return drawn, scores


def chains_of(
    problem: Problem,
    lengths: Sequence[int],
    window: int,
    shown: Shown = Shown.LATEST,
    step: StepAggregation = StepAggregation.LAST,
) -> Generator[Request, Any, tuple[list[Solution], list[list[int]]]]:
    """Chains of these lengths, the longest first; their solutions, and the indices of each chain.

    All chains advance together: their first solutions come first, then their second ones, ...
    """
    drawn: list[Solution] = []
    chains: list[list[int]] = [[] for _ in lengths]
    for place in range(lengths[0]):
        going = [chain for chain, length in zip(chains, lengths, strict=True) if place < length]
        seen = going
        if shown is Shown.BEST and place:
            scores: list[Scores] = yield Verify(tuple(drawn), role=REVISION_VERIFIER)
            seen = [worst_first(chain, scores, step) for chain in going]
        prefixes = [prefix_after(problem, [drawn[i] for i in chain], window) for chain in seen]
        revised = yield Propose(prefixes, until=END, role=REVISER, purpose=Purpose.REVISION)
        for chain, solution in zip(going, revised, strict=True):
            chain.append(len(drawn))
            drawn.append(solution)
    return drawn, chains


def worst_first(chain: Sequence[int], scores: Sequence[Scores], step: StepAggregation) -> list[int]:
    """A chain by its scores, rising; one without comes first, and of equal ones the later."""
    return sorted(chain, key=lambda i: (reduce_steps(scores[i], step) or 0.0, -i))
