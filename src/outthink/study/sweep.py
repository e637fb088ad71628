"""A sweep: a plan run over the problems and models that words name, into a store, and read back.

Here the names that a person types become problems, engines and a store; everything below is free
of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outthink.data import source
from outthink.errors import UsageError
from outthink.grade import Grading, grading
from outthink.run.progress import Shown
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.study.grading import charge, graded
from outthink.study.models import Models, Sized, reads_any_text, require_verifier, require_words
from outthink.study.partial import Missing, known
from outthink.study.plan import Plan
from outthink.study.read import Study
from outthink.study.record import Asked, typed
from outthink.study.run import engines_of, judge, key, run
from outthink.study.verifiers import asked_with
from outthink.types import PROPOSER, REVISER, Usage


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is swept."""

    problems: str
    """Where they come from, as `outthink.data.source` reads it; their grader comes with them."""
    plan: Plan
    models: Models = Models()  # noqa: RUF009 - frozen
    seed: int = 0
    places: tuple[int, int | None] = (0, None)
    """The place of the first of its problems, and of the one after the last, where it is not all of
    them."""

    def read(self) -> source.Problems:
        """Its problems. Raises as `outthink.data.source.read`."""
        return source.between(source.read(self.problems), *self.places)


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A sweep read from its open store: all of it, or what of it is there."""

    study: Study
    """Of the problems that have a reference; the others are in the store all the same."""
    asked: Asked
    store: Store
    missing: Missing | None = None
    """What is not there; `None` where it is finished."""

    @property
    def problems(self) -> int:
        """Problems asked, with a reference or without."""
        return len(self.asked.problem_ids)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of a sweep that is not finished, or was imported."""
        missing = self.missing.sentences() if self.missing else ()
        return (*self.asked.imported, *missing, *graded(self.store, self.asked.grader))


class Watch(Protocol):
    """Times a sweep, and may stop it; `study.ahead.Pace` is one."""

    @property
    def measured(self) -> float | None:
        """Generations a second; `None` where nothing was drawn."""
        ...

    def begin(self) -> None:
        """Everything is loaded, and nothing is drawn."""
        ...

    def __call__(self, generations: float, usage: Usage) -> None:
        """A search ended, when so many generations were drawn."""
        ...


PACE = "generations a second"
"""The remark in a store that tells how fast its last run was."""


Load = Callable[[Models, Collection[str], str], Team]
"""The engines of some models that answer some roles, for a grader: `Models.team`."""


@contextmanager
def swept(
    sweep: Sweep,
    store: Path | Store,
    pace: Watch | None = None,
    *,
    load: Load = Models.team,
    bar: Shown | None = None,
) -> Iterator[OpenStudy]:
    """A sweep, with whatever of it is missing in the store run first.

    Where all of it is there, no model is loaded. `pace` is told of what is drawn, and `bar`, in
    place of a line on standard error, of how far it is.
    """
    ready = None if _is_there(store) else _loaded(sweep, sweep.read(), load)
    with _opened(store) as opened:
        asyncio.run(_run(sweep, opened, ready, pace, load, bar))
        yield _study(opened, Asked.read(opened))


@asynccontextmanager
async def swept_async(sweep: Sweep, store: Path) -> AsyncIterator[OpenStudy]:
    """The same from a running event loop, which goes on with whatever else it does."""
    ready = None
    if not _is_there(store):
        ready = await asyncio.to_thread(_loaded, sweep, sweep.read())
    with _opened(store) as opened:
        await _run(sweep, opened, ready)
        yield _study(opened, Asked.read(opened))


@contextmanager
def reopened(store: Path, *, verifier: str | None = None) -> Iterator[OpenStudy]:
    """The sweep that a store was asked for last, as much as there is of it; `verifier` names
    another one whose scores are in the store.

    Raises `StoreError` where no sweep made it, `UsageError` for a verifier it has no scores of.
    """
    with Store.open(store, write=False) as opened:
        yield _study(
            opened, Asked.read(opened) if verifier is None else asked_with(opened, verifier)
        )


def _is_there(store: Path | Store) -> bool:
    """Whether there is a store. One is made only for a sweep that can begin: its problems can be
    read, its models loaded."""
    if isinstance(store, Store):
        return True
    make_place(store)
    return store.exists()


@contextmanager
def _opened(store: Path | Store) -> Iterator[Store]:
    """The store; a path is opened, and closed in the end."""
    if isinstance(store, Store):
        yield store
        return
    with Store.open(store, write=True) as opened:
        yield opened


def remembered(sweep: Sweep, problems: source.Problems, store: Store) -> Asked | None:
    """A sweep of these problems as its store remembers it, if it was ever asked for."""
    judged_by = grading(problems.grader).name
    spec, digest = sweep.models.spec, source.digest(problems)
    return Asked.find(store, typed(sweep.plan, digest, judged_by, spec, sweep.seed))


def finished(sweep: Sweep, problems: source.Problems, store: Store) -> Asked | None:
    """The same, where nothing of it is missing and it is known which models it was of."""
    known = remembered(sweep, problems, store) if sweep.models.spec else None
    return None if known is None or _study(store, known).missing is not None else known


async def _run(
    sweep: Sweep,
    store: Store,
    ready: _Loaded | None,
    pace: Watch | None = None,
    load: Load = Models.team,
    bar: Shown | None = None,
) -> None:
    """Run what is missing of a sweep, and remember that it was asked for. `ready` is the sweep
    where it was loaded already."""
    problems = sweep.read()
    known = finished(sweep, problems, store)
    if known is not None:
        known.write(store)
        await judge_again(known, store)
        return
    # Loading reads files, or asks a server in an event loop of its own.
    if ready is None:
        ready = await asyncio.to_thread(_loaded, sweep, problems, load)
    store.add_problems(problems)  # refused where one of them changed
    if pace is not None:
        pace.begin()
    ready.asked.write(store)
    try:
        await run(
            sweep.plan,
            problems,
            ready.team,
            grader=ready.judge.grade,
            grader_name=ready.judge.name,
            seed=sweep.seed,
            store=store,
            deadline_s=sweep.models.asking.deadline_s,
            observe=pace,
            bar=bar,
        )
    finally:
        charge(store, ready.judge)
        if pace is not None and (measured := pace.measured):
            store.set_meta(PACE, f"{measured:.4g}")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A sweep with everything that its words name."""

    team: Team
    judge: Grading
    asked: Asked


def require(sweep: Sweep, problems: source.Problems) -> Grading:
    """What reads and judges answers. Raises `UsageError` for words that cannot be meant, before
    anything is loaded."""
    plan, models = sweep.plan, sweep.models
    asked = (*plan.strategies, *plan.stage_strategies)
    require_verifier(models, asked)
    require_words(models, asked)
    writers = [models.proposer, *([models.reviser] if REVISER in plan.roles else [])]
    if not all(map(reads_any_text, writers)):
        source.require_lab(problems, sweep.problems)
    judge = grading(problems.grader)
    judge.require()
    return judge


def _loaded(sweep: Sweep, problems: source.Problems, load: Load = Models.team) -> _Loaded:
    plan, models = sweep.plan, sweep.models
    judge = require(sweep, problems)
    team = load(models, plan.roles, judge.name)
    asked = Asked(
        plan,
        sweep.problems,
        tuple(problem.id for problem in problems),
        source.digest(problems),
        engines_of(team, sweep.seed),
        judge.name,
        sweep.seed,
        models.spec,
        _parameters(team.writer(PROPOSER)),
        _sizes(team),
    )
    return _Loaded(team, judge, asked)


def _sizes(team: Team) -> dict[str, int]:
    """Parameters of the model in each role, where it knows how large it is."""
    engines = {**team.writers, **team.verifiers}
    sizes = {role: _parameters(engine) for role, engine in engines.items()}
    return {role: size for role, size in sizes.items() if size is not None}


def _parameters(engine: object) -> int | None:
    inner = getattr(engine, "engine", engine)
    return inner.parameters_count if isinstance(inner, Sized) else None


async def judge_again(asked: Asked, store: Store) -> None:
    """Judge what the grader of a finished sweep has not seen; no model is loaded."""
    grader = grading(asked.grader)
    by_id = {problem.id: problem for problem in store.problems()}
    jobs = asked.plan.jobs([by_id[name] for name in asked.problem_ids])
    view = store.view(asked.team, asked.grader)
    done = view.finished()
    there = (job for job in jobs if key(job) in done)
    try:
        await judge(there, store, view, grader.grade, grader.name)
    finally:
        charge(store, grader)


def _study(store: Store, asked: Asked) -> OpenStudy:
    by_id = {problem.id: problem for problem in store.problems()}
    problems = [by_id[name] for name in asked.problem_ids if name in by_id]
    view = store.view(asked.team, asked.grader)
    study, missing = known(asked, problems, view, store)
    return OpenStudy(study, asked, store, missing)


def make_place(path: Path) -> None:
    """Make the folder that a file will be written into. Raises `UsageError` where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot make its folder ({error.strerror}); name another file"
        ) from error
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: its folder cannot be written; name another file")
