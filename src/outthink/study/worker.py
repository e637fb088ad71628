"""A worker: it sweeps shards one after another in a process of its own, with models loaded once.

Two threads use one: `run` sweeps, and `news` tells how far that is. Knows nothing of Ray, or of the
other shards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from outthink.errors import OutthinkError, StoreInUse, UsageError
from outthink.models.cores import CORES
from outthink.run.team import Team
from outthink.study.models import Models
from outthink.study.shards import ShardDone, ShardProgress, Task
from outthink.study.sweep import swept
from outthink.types import Usage
from outthink.version import VERSION

PATIENCE_S = 60.0
"""How long to wait for a shard that is still held by a worker which is about to end: its machine
lost touch with the others, or its driver was killed."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker has to know of the process that started it."""

    folder: str
    """Where it runs: names of files are meant from there."""
    cores: int
    """How many the worker may compute on."""
    variables: Mapping[str, str]
    """Of the environment: the keys of servers."""
    version: str = VERSION


class Worker:
    """Sweeps shards."""

    def __init__(
        self,
        settings: WorkerSettings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings, self._clock, self._sleep = settings, clock, sleep
        self._tally = _Tally(0)
        self._team: Team | None = None

    def run(self, task: Task) -> ShardDone:
        """Sweep a shard, or what is missing of it. Its error is a value: an exception is a
        defect."""
        self._tally = _Tally(task.number)
        error = None
        try:
            self._apply(task)
            self._swept(task)
        except OutthinkError as raised:
            # Without what else it holds, which may be of a kind that does not travel.
            error = _plain(raised)
        return ShardDone(self._tally.news(), error)

    def news(self) -> ShardProgress | None:
        """How far the shard is that it sweeps; `None` where nothing is known of that yet."""
        return self._tally.news()

    def _apply(self, task: Task) -> None:
        """Take the settings. Raises `UsageError` where that cannot be."""
        if self._settings.version != VERSION:
            raise UsageError(
                f"outthink {VERSION} is installed where a worker runs, and "
                f"{self._settings.version} here; install one version everywhere"
            )
        os.environ.update(self._settings.variables)
        os.environ[CORES] = str(self._settings.cores)
        try:
            os.chdir(self._settings.folder)
            seen = task.store.parent.is_dir()
        except OSError:
            seen = False
        if not seen:
            raise UsageError(
                f"{task.store.parent}: cannot be seen from {os.uname().nodename}; run from a "
                "folder, and write a store, that all machines have under the same name"
            )

    def _swept(self, task: Task) -> None:
        waited_from = self._clock()
        while True:
            try:
                with swept(task.sweep, task.store, self._tally, load=self._loaded, bar=self._tally):
                    return
            except StoreInUse:
                if self._clock() - waited_from > PATIENCE_S:
                    raise
            self._sleep(0.5)

    def _loaded(self, models: Models, roles: Collection[str], grader: str) -> Team:
        """The team of all shards, which are of one sweep."""
        if self._team is None:
            self._team = models.team(roles, grader)
        return self._team


class _Tally:
    """Counts what is drawn of a shard: a bar and a watch (`study.sweep.swept`)."""

    measured = None

    def __init__(self, number: int) -> None:
        self._number = number
        self._before = self._drawn = 0.0
        self._note = ""
        self._is_begun = False
        self._spent = Usage()

    def begin(self) -> None:
        """Its time is taken by who adds up the shards."""

    def start(self, label: str, total: float, done: float) -> None:
        self._before, self._is_begun = done, True

    def advance(self, amount: float, note: str = "") -> None:
        self._drawn += amount
        self._note = note

    def __call__(self, generations: float, usage: Usage) -> None:
        self._spent += usage

    def news(self) -> ShardProgress | None:
        if not self._is_begun:
            return None
        spent, self._spent = self._spent, Usage()
        return ShardProgress(self._number, self._before, self._drawn, self._note, spent)


def _plain(error: OutthinkError) -> OutthinkError:
    """The same error with its message alone."""
    return type(error)(str(error))
