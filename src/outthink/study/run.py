"""Running what a store does not hold yet of a study."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, nullcontext
from functools import partial

from outthink.errors import RunError
from outthink.run.journal import Job, Writer
from outthink.run.progress import Progress, Shown, SweepProgress
from outthink.run.runner import ROWS_IN_FLIGHT, Runner
from outthink.run.store import JobKey, Store, View
from outthink.run.team import Team
from outthink.study import failures
from outthink.study.plan import Plan, generations
from outthink.types import Grader, Outcome, Problem, Usage

FAILURES = 20
"""So many searches that fail one after the other are a server that will fail them all."""


def engines_of(team: Team, seed: int) -> dict[str, Writer | str]:
    """Who answers each role of a team, as a store names them."""
    writers = {role: Writer.of(engine, seed) for role, engine in team.writers.items()}
    return {**writers, **{role: engine.name for role, engine in team.verifiers.items()}}


async def run(
    plan: Plan,
    problems: Sequence[Problem],
    team: Team,
    *,
    grader: Grader,
    grader_name: str,
    seed: int,
    store: Store,
    rows_in_flight: int = ROWS_IN_FLIGHT,
    deadline_s: float | None = None,
    observe: Callable[[float, Usage], None] | None = None,
    bar: Shown | None = None,
) -> None:
    """Run whatever of the plan is not in the store yet, and judge what was never judged.

    `deadline_s` is what one search may take. `observe` is told of every search that ended, with the
    generations drawn by then, and what it raises ends the run. `bar` shows how far it is, in place
    of a line on standard error. Cancelled or killed, the same call
    goes on. Raises `RunError` where searches failed, once all others are done; what is done stays.
    """
    store.add_problems(problems)
    view = store.view(engines_of(team, seed), grader_name)
    done = view.finished()
    jobs = list(plan.jobs(problems))
    left = [job for job in jobs if key(job) not in done]
    await judge([job for job in jobs if key(job) in done], store, view, grader, grader_name)
    total, work = sum(map(generations, jobs)), sum(map(generations, left))
    label = "sweep" if work == total else f"sweep, from {1 - work / total:.0%} on"
    failed: list[Outcome] = []
    in_a_row = 0
    if bar is not None:
        bar.start(label, total, total - work)
    own = partial(Progress, label, total, "generations", done=total - work)
    with own() if bar is None else nullcontext(bar) as shown:
        progress = SweepProgress(shown, generations)
        runner = Runner(
            team,
            grader=grader,
            grader_name=grader_name,
            seed=seed,
            journal=store,
            watch=progress.drawn,
            rows_in_flight=rows_in_flight,
            deadline_s=deadline_s,
        )
        try:
            async with aclosing(runner.run(left)) as results:
                async for result in results:
                    progress.ended(result.job)
                    if observe is not None:
                        observe(progress.drawn_so_far, result.outcome.usage)
                    if result.outcome.error is None:
                        in_a_row = 0
                        continue
                    failures.record(store, result.outcome, result.job.stream)
                    failed.append(result.outcome)
                    in_a_row += 1
                    if in_a_row == FAILURES:
                        break
        finally:
            await runner.aclose()
    if failed:
        raise RunError(
            f"{len(failed)} of {len(left)} searches failed, such as that on problem "
            f"{failed[0].problem_id!r} ({failed[0].error}); the same command tries them again, and "
            "pays for nothing twice; 'outthink fit' and 'outthink report' go by what is there"
        )


async def judge(
    jobs: Iterable[Job], store: Store, view: View, grader: Grader, grader_name: str
) -> None:
    """Judge answers of finished jobs that this grader has not seen: another one did."""
    known = view.verdicts()
    wanted: dict[tuple[str, str], Problem] = {}
    for job in jobs:
        problem = job.problem
        if problem.reference is None:
            continue
        place = (problem.id, job.strategy.name, job.budget.generations, job.stream)
        answers = view.pool(*place)[0] if job.judges_all else [view.answer(*place)]
        for answer in answers:
            if answer is not None and answer not in known.get(problem.id, {}):
                wanted[problem.id, answer] = problem
    if not wanted:
        return
    with Progress("judging", len(wanted), "answers") as bar:
        for (_, answer), problem in wanted.items():
            assert problem.reference is not None
            right = await asyncio.to_thread(grader, answer, problem.reference)
            store.keep_verdict(problem, grader_name, answer, right)
            bar.advance(1)
    store.commit()


def key(job: Job) -> JobKey:
    """What makes a job this job, in a store."""
    return job.problem.id, job.strategy.name, job.budget.generations, job.stream
