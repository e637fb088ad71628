"""The contracts of proposers and verifiers, in this process or served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from outthink.models import in_process
from outthink.models.scripted import ScriptedProposer, scripted_problems
from outthink.types import (
    END,
    STEP,
    Arrival,
    BatchProposer,
    BatchVerifier,
    Closes,
    Draw,
    Drawn,
    Problem,
    Proposer,
    Scores,
    Solution,
    Verified,
    Verifier,
)

_Asked = TypeVar("_Asked")
_Row = TypeVar("_Row")


def solutions(
    of: Sequence[Problem] | None = None, proposer: BatchProposer | None = None
) -> list[Solution]:
    """Solutions to try a verifier on: whole ones, prefixes, one without a step. Written by
    `proposer`, or by the scripted one."""
    writes = proposer or ScriptedProposer(mischief=0.1)
    starts = [Solution.start(problem) for problem in of or scripted_problems(4)]
    whole = writes.propose_batch([Draw(start, END, 1.0, n) for n, start in enumerate(starts)])
    begun = writes.propose_batch([Draw(start, STEP, 1.0, n) for n, start in enumerate(starts)])
    return [*(row.solution for row in (*whole, *begun)), starts[0]]


def check_verifier(
    verifier: Verifier | BatchVerifier, scored: Sequence[Solution], *, tolerance: float = 0.0
) -> None:
    """Hold a verifier to what all are held to.

    One row a solution, in whatever order they come; a score in [0, 1] or `None` for each complete
    step, and none for a solution without steps; the same whatever else is asked with it, up to
    `tolerance`. Raises `AssertionError` where it breaks its contract.
    """
    engine = in_process.verifier(verifier)
    rows = _rows(engine, engine.verify, scored)
    for solution, row in zip(scored, rows, strict=True):
        steps = row.scores.steps
        assert len(steps) in (0, solution.steps), (
            f"{engine.name}: {len(steps)} scores for {solution.steps} steps"
        )
        assert all(score is None or 0 <= score <= 1 for score in steps), (
            f"{engine.name}: scores {steps}, which are not all in [0, 1]"
        )
        assert solution.steps or row == replace(row, scores=Scores(), computed_tokens=0), (
            f"{engine.name}: a solution without a step is scored or charged"
        )
    for solution, row in zip(scored, rows, strict=True):
        fresh = replace(solution, state=None)
        (alone,) = _rows(engine, engine.verify, [fresh])
        _check_same(engine.name, row, alone, tolerance)


def _check_same(name: str, row: Verified, alone: Verified, tolerance: float) -> None:
    pairs = zip(row.scores.steps, alone.scores.steps, strict=True)
    for score, other in pairs:
        unknown = score is None or other is None
        assert score == other if unknown else abs((score or 0) - (other or 0)) <= tolerance, (
            f"{name}: scores a solution {score} among others and {other} alone"
        )


def check_proposer(
    proposer: Proposer | BatchProposer, problems: Sequence[Problem], *, steps: bool = True
) -> None:
    """Hold a proposer to what all are held to.

    A row extends its prefix by what was asked; it is the same for the same seed whatever else is
    asked with it, and other seeds draw other rows; only a finished solution has an answer. `steps`:
    it can be asked for single steps. Raises `AssertionError` where it breaks its contract.
    """
    engine = in_process.proposer(proposer)
    starts = [Solution.start(problem) for problem in problems]
    for until in (END, STEP) if steps else (END,):
        draws = [Draw(start, until, 1.0, seed) for seed, start in enumerate(starts)]
        rows = _rows(engine, engine.propose, draws)
        back = _rows(engine, engine.propose, draws[::-1])[::-1]
        for draw, row, other in zip(draws, rows, back, strict=True):
            assert row.solution == other.solution, (
                f"{engine.name}: a row depends on what else is asked with it"
            )
            _check_drawn(engine.name, draw, row)
    others = [Draw(start, END, 1.0, 1000 + seed) for seed, start in enumerate(starts)]
    first = _rows(engine, engine.propose, [replace(draw, seed=draw.seed - 1000) for draw in others])
    second = _rows(engine, engine.propose, others)
    assert any(one.solution != two.solution for one, two in zip(first, second, strict=True)), (
        f"{engine.name}: draws the same whatever the seed"
    )


def _check_drawn(name: str, draw: Draw, row: Drawn) -> None:
    solution, prefix = row.solution, draw.prefix
    assert solution.problem == prefix.problem, f"{name}: a row is of another problem"
    assert solution.tokens[: len(prefix.tokens)] == prefix.tokens, f"{name}: loses its prefix"
    assert not (solution.finished and solution.truncated), f"{name}: finished and truncated"
    assert solution.finished or solution.answer is None, f"{name}: answers without being finished"
    ends = list(solution.step_ends)
    assert ends == sorted(set(ends)) and all(0 < end <= len(solution.tokens) for end in ends), (
        f"{name}: step ends {ends} of {len(solution.tokens)} tokens"
    )
    if draw.until is not END and solution.is_open:
        assert solution.steps == prefix.steps + draw.until, (
            f"{name}: asked for {draw.until} steps, drew {solution.steps - prefix.steps}"
        )
    assert draw.until is not END or not solution.is_open, f"{name}: stops before the end"
    assert min(row.prompt_tokens, row.cached_tokens, row.decoded_tokens) >= 0, (
        f"{name}: counts tokens below 0"
    )


def _rows(
    engine: object,
    ask: Callable[[Sequence[_Asked]], AsyncIterator[Arrival[_Row]]],
    asked: Sequence[_Asked],
) -> list[_Row]:
    """One row each, in the order asked."""

    async def gather() -> list[_Row]:
        try:
            arrivals = [arrival async for arrival in ask(asked)]
        finally:
            if isinstance(engine, Closes):
                await engine.aclose()
        places = sorted(arrival.place for arrival in arrivals)
        assert places == list(range(len(asked))), (
            f"{len(asked)} rows were asked for, and rows {places} came"
        )
        by_place = {arrival.place: arrival.row for arrival in arrivals}
        return [by_place[place] for place in range(len(asked))]

    return asyncio.run(gather())
