"""A sweep in shards: parts of its problems that several workers sweep, made into one store.

Each shard has a store of its own in a folder beside the one that was asked for. A shard that is
finished is not run again, one that was broken off goes on, and what the store held already is in
its shard before it begins, so nothing is paid for twice, whoever was killed. The last shard merged,
the folder goes. Which part of the problems a shard is, is settled when the folder is made, and
holds for however many workers come later.

Knows nothing of where workers run: `study.on_ray` has some.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from outthink import whole
from outthink.data import source
from outthink.errors import OutthinkError, RunError, StoreError
from outthink.run.progress import Progress
from outthink.run.store import Store
from outthink.run.store.file import lock, unlock
from outthink.run.store.merge import merge as merge_rows
from outthink.study import failures
from outthink.study.merge import but_for_problems, merge, remarks, rows
from outthink.study.record import META, Asked
from outthink.study.sweep import (
    PACE,
    OpenStudy,
    Sweep,
    Watch,
    finished,
    make_place,
    remembered,
    swept,
)
from outthink.types import Usage

A_WORKER = 4
"""Shards a worker, so that workers end at nearly the same time."""


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to be swept."""

    number: int
    sweep: Sweep
    store: Path


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """How far a shard is."""

    number: int
    before: float
    """Generations that were there when its worker began."""
    drawn: float
    """Since then."""
    note: str
    spent: Usage
    """By searches that ended since the last news."""


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A shard that its worker is done with."""

    news: ShardProgress | None
    """`None` where nothing of it was missing."""
    error: OutthinkError | None = None
    """`RunError` itself where only some searches failed; anything else would fail other shards."""


class Workers(Protocol):
    """Who sweeps shards."""

    @property
    def count(self) -> int:
        """How many work at once."""
        ...

    def run(self, tasks: Sequence[Task]) -> Iterator[ShardProgress | ShardDone]:
        """Sweep all, in any order; every task ends once."""
        ...


StartWorkers = Callable[[], AbstractContextManager[Workers]]


def beside(store: Path) -> Path:
    """The folder of a store's shards."""
    return store.parent / f"{store.name}.shards"


def shard_stores(store: Path) -> list[Path]:
    """The stores of the shards that are there."""
    return sorted(beside(store).glob("*.store"))


@contextmanager
def swept_in_shards(
    sweep: Sweep,
    store: Path,
    start_workers: StartWorkers,
    pace: Watch | None = None,
    *,
    shards: int | None = None,
) -> Iterator[OpenStudy]:
    """A sweep, with whatever of it is missing run by workers first; they are started only where
    something is. `shards` is how many to make, where none were made yet: `A_WORKER` by default.

    Raises `RunError` where searches failed, once all others are done, and what a worker raised.
    """
    make_place(store)
    with _held(store):
        problems = sweep.read()
        if not _is_there(sweep, problems, store):
            _Run(sweep, problems, store, pace).run(start_workers, shards)
    with swept(sweep, store) as opened:
        yield opened


def gather(store: Path) -> None:
    """Merge all shards of a store into it, and remove their folder."""
    if not beside(store).exists():
        return
    with _held(store):
        _gather(store)


@contextmanager
def _held(store: Path) -> Iterator[None]:
    """Keep others from the shards of a store."""
    held = lock(beside(store))
    try:
        yield
    finally:
        unlock(beside(store), held)


def _gather(store: Path) -> None:
    begun = [one for one in shard_stores(store) if _is_begun(one)]
    parts = merge(begun, store) if begun else []
    _remove(store, [name for part in parts for name in part.merged.contradictions])


def _is_begun(shard: Path) -> bool:
    with Store.open(shard, write=False) as opened:
        return opened.get_meta(META) is not None


def _remove(store: Path, contradictions: Sequence[str]) -> None:
    """The folder goes where all of it is in the store."""
    if contradictions:
        raise StoreError(
            f"{beside(store)}: says other things of {len(contradictions)} problems, "
            f"{contradictions[0]!r} first, than {store} does (a server that does not keep to its "
            "seeds?); they were left out; remove the folder to do without"
        )
    shutil.rmtree(beside(store), ignore_errors=False)


def _is_there(sweep: Sweep, problems: source.Problems, store: Path) -> bool:
    if not store.exists():
        return False
    with Store.open(store, write=False) as opened:
        return finished(sweep, problems, opened) is not None


class _Run:
    """What is missing of a sweep, shard by shard."""

    def __init__(
        self, sweep: Sweep, problems: source.Problems, store: Path, pace: Watch | None
    ) -> None:
        self._sweep, self._problems, self._store, self._pace = sweep, problems, store, pace
        self._folder = beside(store)
        self._digest = source.digest(problems)

    def run(self, start_workers: StartWorkers, shards: int | None) -> None:
        with ExitStack() as started:
            workers = None
            count = self._made()
            if count is None:
                workers = started.enter_context(start_workers())
                count = self._make(shards or A_WORKER * workers.count)
            tasks = [self._task(number, count) for number in range(1, count + 1)]
            left = [task for task in tasks if not self._is_finished(task)]
            failed: list[OutthinkError] = []
            if left:
                self._copy_to_shards(left)
                workers = workers or started.enter_context(start_workers())
                failed = self._work(workers, tasks, left)
        self._merge(tasks, is_whole=not failed)
        if failed:
            raise RunError(f"in {len(failed)} of {count} shards {failed[0]}")

    # The folder ----------------------------------------------------------------------------------

    def _made(self) -> int | None:
        """How many shards these problems were split into; `None` where they were not. Shards of
        other problems are merged first."""
        try:
            told = json.loads((self._folder / _SPLIT).read_text("utf-8"))
        except FileNotFoundError:
            told = {}
        if told.get("problems") == self._digest:
            return int(told["shards"])
        if self._folder.exists():
            _gather(self._store)
        return None

    def _make(self, shards: int) -> int:
        count = min(shards, len(self._problems))
        self._folder.mkdir(exist_ok=True)
        split = json.dumps({"problems": self._digest, "shards": count})
        whole.write(self._folder / _SPLIT, split + "\n")
        return count

    def _task(self, number: int, count: int) -> Task:
        name = f"{number:0{len(str(count))}}-of-{count}.store"
        place = (self._folder / name).resolve()
        places = source.places_of(len(self._problems), number, count)
        return Task(number, replace(self._sweep, places=places), place)

    def _part(self, task: Task) -> source.Problems:
        return source.between(self._problems, *task.sweep.places)

    def _is_finished(self, task: Task) -> bool:
        return _is_there(task.sweep, self._part(task), task.store)

    def _copy_to_shards(self, tasks: Sequence[Task]) -> None:
        """Copy to shards what the store has of their problems."""
        if not self._store.exists():
            return
        with Store.open(self._store, write=False) as whole:
            for task in tasks:
                names = {problem.id for problem in self._part(task)}
                with Store.open(task.store, write=True) as shard:
                    merge_rows(shard, whole, lambda _: None, names)

    # The work ------------------------------------------------------------------------------------

    def _work(
        self, workers: Workers, tasks: Sequence[Task], left: Sequence[Task]
    ) -> list[OutthinkError]:
        """What shards failed of, where only searches did."""
        if self._pace is not None:
            self._pace.begin()
        size = {task.number: self._sweep.plan.generations(self._part(task)) for task in tasks}
        unfinished = sum(size[task.number] for task in left)
        failed: list[OutthinkError] = []
        total = sum(size.values())
        label = f"sweep, {workers.count} workers" if workers.count > 1 else "sweep, 1 worker"
        with Progress(label, total, "generations", done=total - unfinished) as bar:
            so_far = _Sum(bar, self._pace)
            for told in workers.run(left):
                if (news := told.news if isinstance(told, ShardDone) else told) is not None:
                    so_far.take(news)
                if isinstance(told, ShardDone) and told.error is not None:
                    if type(told.error) is not RunError:
                        raise told.error
                    failed.append(told.error)
        return failed

    # The whole -----------------------------------------------------------------------------------

    def _merge(self, tasks: Sequence[Task], *, is_whole: bool) -> None:
        contradictions: list[str] = []
        first: Asked | None = None
        with Store.open(self._store, write=True) as into:
            into.add_problems(self._problems)
            for task in tasks:
                with Store.open(task.store, write=False) as shard:
                    asked = remembered(task.sweep, self._part(task), shard)
                    assert asked is not None
                    first = first or asked
                    self._check(task, asked, first)
                    contradictions += rows(into, shard).contradictions
                    remarks(into, shard, failures.PREFIX)
            assert first is not None
            names = tuple(problem.id for problem in self._problems)
            replace(first, problem_ids=names, problems_digest=self._digest).write(into)
            if self._pace is not None and (measured := self._pace.measured):
                into.set_meta(PACE, f"{measured:.4g}")
        if is_whole:
            _remove(self._store, contradictions)

    @staticmethod
    def _check(task: Task, asked: Asked, first: Asked) -> None:
        if but_for_problems(asked) != but_for_problems(first):
            raise StoreError(
                f"{task.store}: was swept with other models than the shards before it "
                f"({dict(asked.team)}, and {dict(first.team)}); see that all workers have the same "
                "ones, and remove it to sweep it again"
            )


_SPLIT = "shards.json"


class _Sum:
    """Adds up what workers tell."""

    def __init__(self, bar: Progress, pace: Watch | None) -> None:
        self._bar, self._pace = bar, pace
        self._before: dict[int, float] = {}
        self._drawn: dict[int, float] = {}
        self._total = 0.0

    def take(self, news: ShardProgress) -> None:
        """One that was killed and goes on tells of what it drew before as of what was there."""
        earlier = self._before.setdefault(news.number, news.before)
        if news.number not in self._drawn:
            self._bar.skip(news.before)
        drawn = news.before - earlier + news.drawn
        more = drawn - self._drawn.get(news.number, 0.0)
        self._drawn[news.number] = drawn
        self._total += more
        self._bar.advance(more, news.note)
        if self._pace is not None:
            self._pace(self._total, news.spent)
