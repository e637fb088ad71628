"""Revisions: chains in which each solution sees the answers before it.

Snell et al. 2024, section 6.

A chain is sequential: the model reads its most recent answers, or its best, and writes a better
one. Chains are parallel to one another. How a budget is split between the two is the strategy: N =
sequential x parallel.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import StrEnum
from typing import Any

from outthink.errors import UsageError
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation, reduce_steps
from outthink.types import (
    END,
    REVISER,
    REVISION_VERIFIER,
    Budget,
    Problem,
    Propose,
    Purpose,
    Reading,
    Request,
    Scores,
    Search,
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


def _roles(answer: AnswerAggregation, shown: Shown, **_: object) -> set[str]:
    votes_alone = answer is AnswerAggregation.MAJORITY and shown is Shown.LATEST
    return {REVISER} if votes_alone else {REVISER, REVISION_VERIFIER}


def _reading(
    sequential: int, window: int, shown: Shown, step: StepAggregation, answer: AnswerAggregation
) -> Reading | None:
    """How a split is read from a pool of chains of all lengths that are powers of two."""
    of_chains = (AnswerAggregation.HIERARCHICAL, AnswerAggregation.MAJORITY)
    usual = window == WINDOW and shown is Shown.LATEST and step is StepAggregation.LAST
    if not usual or sequential & (sequential - 1) or answer not in of_chains:
        return None
    return Reading(Selection(step, answer), sequential)


@describe(label="revisions", source="Snell et al. 2024, section 6", roles=_roles, reading=_reading)
def revise(
    problem: Problem,
    budget: Budget,
    *,
    sequential: int = 4,
    window: int = WINDOW,
    shown: Shown = Shown.LATEST,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.HIERARCHICAL,
) -> Search:
    """Spends N generations on N / `sequential` chains; a remainder makes one shorter chain.

    A budget below `sequential` makes one chain. A revision sees the last `window` answers of its
    chain, or its best ones, for which each is scored before the next is drawn. `majority` is a flat
    vote over all answers of all chains, and asks no verifier where the last are shown; every other
    `answer` scores all solutions (appendix I).
    """
    if min(sequential, window) < 1:
        raise UsageError(
            f"revise sequential={sequential}, window={window}; give at least one of each"
        )
    n = budget.generations
    lengths = [min(sequential, n - done) for done in range(0, n, sequential)]
    drawn, chains = yield from _draw(problem, lengths, window, shown, step)
    selection = Selection(step, answer)
    if answer is AnswerAggregation.MAJORITY:
        return selection(drawn)
    scores: list[Scores] = yield Verify(drawn, role=REVISION_VERIFIER)
    return selection.among(chains, drawn, scores)


@describe(
    label="a pool of chains",
    roles=lambda scored: {REVISER, REVISION_VERIFIER} if scored else {REVISER},
)
def chains(problem: Problem, budget: Budget, *, scored: bool = True) -> Search:
    """Draws a pool from which every split of every power of two up to N is read: N first answers,
    of which N / 2 chains go on to a second, N / 4 to a fourth, ..., one to an N-th.

    It costs N (1 + log2(N) / 2) generations: it serves to measure strategies, and is none itself.
    """
    n = budget.generations
    if n & (n - 1):
        raise UsageError(f"a pool of chains of {n}; give a power of two")
    drawn, places = yield from _draw(problem, pool_lengths(n), WINDOW)
    if not scored:
        return Selection()(drawn)
    scores: list[Scores] = yield Verify(drawn, role=REVISION_VERIFIER)
    return Selection().among(places, drawn, scores)


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


def answer_after(
    problem: Problem, chain: Sequence[Solution], window: int
) -> Generator[Request, Any, Solution]:
    """Draw one solution: a revision of the last of a chain, or a first answer of an empty one."""
    prefix = _prefix(problem, chain, window)
    [solution] = yield Propose([prefix], until=END, role=REVISER, purpose=Purpose.REVISION)
    return solution  # type: ignore[no-any-return]


def _prefix(problem: Problem, chain: Sequence[Solution], window: int) -> Solution:
    return Solution.revision(chain, window) if chain else Solution.start(problem)


def pool_lengths(n: int) -> list[int]:
    """Length of each of the n chains of a pool, n a power of two; the longest come first."""
    return [1 << ((n // (chain + 1)).bit_length() - 1) for chain in range(n)]


def _draw(
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
        prefixes = [_prefix(problem, [drawn[i] for i in chain], window) for chain in seen]
        revised = yield Propose(prefixes, until=END, role=REVISER, purpose=Purpose.REVISION)
        for chain, solution in zip(going, revised, strict=True):
            chain.append(len(drawn))
            drawn.append(solution)
    return drawn, chains


def worst_first(chain: Sequence[int], scores: Sequence[Scores], step: StepAggregation) -> list[int]:
    """A chain by its scores, rising; one without comes first, and of equal ones the later."""
    return sorted(chain, key=lambda i: (reduce_steps(scores[i], step) or 0.0, -i))
