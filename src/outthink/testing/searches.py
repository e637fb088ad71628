"""The contract of a search."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.run.journal import Job, Result
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget, Problem, Strategy

BUDGETS = (1, 2, 3, 4, 16, 64, 256)

_PROPOSERS = {
    "writes well": ScriptedProposer(),
    "misbehaves in three draws of ten": ScriptedProposer(mischief=0.3),
    "hardly ever finishes": ScriptedProposer(mischief=0.9),
}
_VERIFIERS = {
    "scores all": ScriptedVerifier(),
    "scores half": ScriptedVerifier(silence=0.5),
    "scores nothing": ScriptedVerifier(silence=1.0),
}


def check_search(
    search: str | Strategy,
    *,
    spends: Callable[[int], int] | None = lambda n: n,
    budgets: Sequence[int] = BUDGETS,
) -> None:
    """Hold a search to what all are held to, at every budget N.

    It spends `spends(N)` generations: N by default, or with `None` N at most. The same seed gives
    the same outcome, alone or among other problems. Its answer is that of a finished candidate. It
    ends well with a proposer that writes badly and a verifier that says nothing. Raises
    `AssertionError` where it breaks its contract, `UsageError` where it cannot be imported or is no
    search.
    """
    made = strategy(search) if isinstance(search, str) else search
    for n in budgets:
        few = scripted_problems(2 if n > 16 else 6)
        clean = _run(made, n, few)
        for result in clean:
            _check_spent(made, n, result, spends)
            _check_choice(made, result)
        again = _run(made, n, few[::-1])[::-1]
        for result, other in zip(clean, again, strict=True):
            assert (result.outcome, result.choice) == (other.outcome, other.choice), (
                f"{made.name} at N = {n} depends on what else is in flight, or on the time"
            )
        for writes, proposer in _PROPOSERS.items():
            for scores, verifier in _VERIFIERS.items():
                for result in _run(made, n, few[:2], proposer, verifier):
                    _check_choice(
                        made, result, f"a proposer that {writes}, a verifier that {scores}"
                    )


def _check_spent(
    made: Strategy, n: int, result: Result, spends: Callable[[int], int] | None
) -> None:
    spent = result.outcome.usage.generations
    allowed = range(1, n + 1) if spends is None else (spends(n),)
    assert spent in allowed, (
        f"{made.name} spends {spent} generations at N = {n}, and may spend "
        f"{'1 to N' if spends is None else allowed[0]}"
    )


def _run(
    made: Strategy,
    n: int,
    problems: Sequence[Problem],
    proposer: ScriptedProposer = _PROPOSERS["writes well"],
    verifier: ScriptedVerifier = _VERIFIERS["scores all"],
) -> list[Result]:
    """Results in the order of the problems."""
    runner = Runner(Team.of(proposer, verifier, larger=proposer))
    done = asyncio.run(runner.results(Job(problem, made, Budget(n)) for problem in problems))
    by_id = {result.job.problem.id: result for result in done}
    for result in done:
        assert result.outcome.error is None, f"{made.name} at N = {n}: {result.outcome.error}"
    return [by_id[problem.id] for problem in problems]


def _check_choice(made: Strategy, result: Result, engines: str = "good engines") -> None:
    outcome, choice = result.outcome, result.choice
    said = f"{made.name} at N = {outcome.budget} with {engines}"
    assert all(s.problem == result.job.problem for s in choice.candidates), (
        f"{said}: a candidate belongs to another problem"
    )
    assert len(choice.scores) in (0, len(choice.candidates)), (
        f"{said}: {len(choice.scores)} scores for {len(choice.candidates)} candidates"
    )
    answered = {s.answer for s in choice.candidates if s.answer is not None}
    if choice.answer is None:
        assert choice.index is None, f"{said}: chooses a candidate and has no answer"
        return
    assert choice.index is not None, f"{said}: has an answer and chooses no candidate"
    chosen = choice.candidates[choice.index]
    assert chosen.finished and not chosen.truncated, f"{said}: answers with an unfinished candidate"
    assert chosen.answer == choice.answer and choice.answer in answered, (
        f"{said}: answers {choice.answer!r}, its candidate {chosen.answer!r}"
    )
