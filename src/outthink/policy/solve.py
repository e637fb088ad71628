"""One problem solved by a policy, or by a strategy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from outthink.data import task
from outthink.errors import RunError, UsageError
from outthink.grade import grading
from outthink.measure import difficulty
from outthink.measure.pools import Pool
from outthink.models.thinking import parted, thinking_share
from outthink.policy.family import Dial, Family
from outthink.policy.file import load
from outthink.policy.live import Decision as Decided
from outthink.policy.live import Thinking
from outthink.policy.results import Solved
from outthink.policy.table import Policy
from outthink.run.events import Drew, Event
from outthink.run.journal import Job, Result
from outthink.search import strategy as parse_strategy
from outthink.study.models import Models, reads_any_text, require_verifier, require_words
from outthink.study.plan import DIFFICULTY, POOL, UNSCORED, VOTES, asks
from outthink.study.session import ModelSpec, Session, session
from outthink.types import (
    PROPOSER,
    REVISER,
    Budget,
    Problem,
    Solution,
    Strategy,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The strategy that one problem gets, and what estimating its difficulty cost."""

    strategy: str
    how: str
    bin: int | None = None
    """The difficulty bin from 1, the easiest; `None` without a policy."""
    usage: Usage = Usage()  # noqa: RUF009 - frozen


BUDGET = 16
"""Generations where nobody says how many."""
NUMBER = "number"
"""The grader that reads answers where neither a policy nor the caller names one."""


async def solve(
    prompt: str,
    *,
    policy: Policy | Family | Path | None,
    strategy: str | None,
    budget: int | None,
    seed: int,
    models: Models | None = None,
    grader: str | None = None,
    dial: Dial | None = None,
) -> Solved:
    """Solve one problem; the cost of estimating its difficulty is part of the cost.

    Without `models`, it runs the models that the policy was fitted with, where the policy names
    them.

    `grader` extracts the answers of a model that reads any text, and writes equal answers alike so
    that they vote together. It defaults to the policy's, and without a policy to `number`. `dial`
    says what a sequential policy may spend; `budget` caps it too. Raises `PolicyError` where policy
    and `grader` disagree.
    """
    fitted = load(policy) if isinstance(policy, Path) else policy
    if isinstance(fitted, Family):
        return await _think(prompt, fitted, dial or Dial(), budget, seed, models, grader)
    if dial is not None and dial != Dial():
        raise UsageError(
            "--average, --price and --most are for a sequential policy; give --budget, or fit one"
        )
    budget = budget or BUDGET
    models = models or Models.of(fitted.provenance.spec if fitted else {})
    any_text = reads_any_text(models.proposer)
    problem = _problem(prompt, any_text=any_text)
    known = parse_strategy(strategy or POOL)
    asked = known.name if fitted is None else _probe(fitted)[0]
    require_verifier(models, (asked,))
    require_words(models, (asked,))
    reading = (grader or NUMBER) if fitted is None else fitted.reading(grader)
    grading(reading).require()
    names = [known.name] if fitted is None else [cell.strategy for cell in fitted.cells]
    if fitted is not None:
        names = [asked, *names]
    roles = frozenset[str]().union(*map(asks, names))
    async with session(ModelSpec(models, reading, seed, roles)) as opened:
        if fitted is None:
            decision = Decision(known.name, f"{known.name} at {budget}")
        else:
            fitted.check(opened.team.engine_names())
            decision = await _choose(fitted, problem, budget, opened)
        made = parse_strategy(decision.strategy)
        wrote: dict[int, str] = {}

        def listen(event: Event) -> None:
            if isinstance(event, Drew):
                wrote[event.solution.number] = event.role

        result = await _run(opened, Job(problem, made, Budget(budget), listen=listen))
        index, note = result.choice.index, result.choice.note
        whole = ""
        if index is not None:
            chosen = result.choice.candidates[index]
            whole = await opened.team.writer(wrote[chosen.number]).text(chosen.tokens)
        said = parted(whole)
        return Solved(
            answer=result.choice.answer,
            text=said.answer if said.thought else whole,
            strategy=made.name,
            budget=budget,
            bin=decision.bin,
            how=f"{decision.how}; {note}" if note else decision.how,
            usage=decision.usage + result.outcome.usage,
            thought=said.thought,
            thinking_share=thinking_share(whole),
        )


async def _run(opened: Session, job: Job) -> Result:
    """The result of one job. Raises `RunError` where the job failed."""
    result = await opened.ask(job)
    if result.outcome.error is not None:
        raise RunError(result.outcome.error)
    return result


async def _think(
    prompt: str,
    family: Family,
    dial: Dial,
    budget: int | None,
    seed: int,
    models: Models | None,
    grader: str | None,
) -> Solved:
    """Solve one problem by a sequential policy."""
    if budget is not None and dial.most is None:
        dial = replace(dial, most=float(budget))
    models = models or Models.of(family.provenance.spec)
    problem = _problem(prompt, any_text=reads_any_text(models.proposer))
    limits, member = family.limits(dial), family.member(dial, problem, seed)
    stages = tuple(stage.strategy for stage in family.menu)
    require_verifier(models, stages)
    require_words(models, stages)
    reading = family.reading(grader)
    grading(reading).require()
    rule = family.rule(member)
    thinking = Thinking(rule, limits)

    async with session(ModelSpec(models, reading, seed, family.roles)) as opened:
        family.check(opened.team.engine_names())
        made = Strategy(rule.name, thinking.start)
        budget = max(1, round(limits.most))
        job = Job(problem, made, Budget(budget), listen=thinking.listen)
        result = await _run(opened, job)
        index = result.choice.index
        chosen = None if index is None else result.choice.candidates[index]
        role = _writer(chosen, opened)
        whole = await opened.team.writer(role).text(chosen.tokens) if chosen else ""
        said = parted(whole)
        return Solved(
            answer=result.choice.answer,
            text=said.answer if said.thought else whole,
            strategy=rule.name,
            budget=budget,
            bin=None,
            how=_told(thinking.decisions, family),
            usage=result.outcome.usage,
            chance=result.choice.chance,
            decisions=tuple(thinking.decisions),
            thought=said.thought,
            thinking_share=thinking_share(whole),
        )


def _writer(chosen: Solution | None, opened: Session) -> str:
    """The role whose ids a solution is written in: revisers of another tokenizer read their own."""
    revised = chosen is not None and bool(chosen.history)
    return REVISER if revised and REVISER in opened.team.writers else PROPOSER


def _told(decisions: Sequence[Decided], family: Family) -> str:
    """One line that says what was run, in order."""
    run = ", then ".join(one.stage.name for one in decisions if one.stage is not None)
    end = decisions[-1]
    chance = "" if end.chance is None else f"; right with probability {end.chance:.2f}"
    return f"{run}; {end.spent:g} {family.currency}{chance}"


def _problem(prompt: str, *, any_text: bool) -> Problem:
    problem = _asked(prompt) if any_text else of_lab(prompt)
    # No label is used here: whether the answer is right is not judged.
    return Problem(problem.id, problem.prompt)


def of_lab(prompt: str) -> Problem:
    """A problem of the lab's task. Raises `UsageError` for any other, with what would do."""
    try:
        return task.parse(prompt).problem()
    except UsageError as error:
        raise UsageError(
            f"{error}; the lab's models read nothing else: for any other question name a model, "
            "as --model local or --model http://HOST:PORT"
        ) from error


def _asked(prompt: str) -> Problem:
    """A problem of any kind."""
    return Problem(hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest(), prompt)


def _probe(policy: Policy) -> tuple[str, str]:
    """The strategy that draws the samples which tell the difficulty, and their stream."""
    by_votes = policy.method is difficulty.Method.VOTES
    return (UNSCORED, VOTES) if by_votes else (POOL, DIFFICULTY)


async def _choose(policy: Policy, problem: Problem, budget: int, opened: Session) -> Decision:
    """The strategy that a policy chooses for a problem, by a few scored samples of it."""
    policy.choose(0, budget)  # a budget it cannot serve is refused before anything is spent
    name, stream = _probe(policy)
    probe_job = Job(problem, parse_strategy(name), Budget(policy.samples), stream)
    probe = await _run(opened, probe_job)
    answers = [candidate.answer for candidate in probe.choice.candidates]
    scores = [score.last for score in probe.choice.scores] or [None] * len(answers)
    pool = Pool.of(problem.id, answers, scores, [False] * len(answers))
    value = float(difficulty.predicted([pool], policy.samples).values[0])
    number = policy.place(value)
    chosen = policy.choose(number, budget)
    said = "that agree by" if policy.method is difficulty.Method.VOTES else "scored"
    how = (
        f"difficulty bin {number + 1} of {policy.binning.count}, from {policy.samples} samples "
        f"{said} {value:.2f}; {chosen.strategy} at {budget}"
    )
    how += f"; {chosen.note}" if chosen.note else ""
    return Decision(chosen.strategy, how, number + 1, probe.outcome.usage)
