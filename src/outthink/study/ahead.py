"""What a sweep will take, and a watch on it while it runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from outthink.errors import StoreError
from outthink.run.store import JobKey, Store
from outthink.run.store.file import is_made
from outthink.study.forecast import FASTEST, FASTEST_LAB, Drawn, Forecast, Prices
from outthink.study.models import reads_any_text
from outthink.study.plan import generations
from outthink.study.record import Asked
from outthink.study.run import key
from outthink.study.shards import shard_stores
from outthink.study.sweep import PACE, Sweep, require
from outthink.types import Usage


def ahead(sweep: Sweep, store: Path, prices: Prices) -> Forecast:
    """What a sweep will take, with nothing of it run, no model loaded and no server asked.

    Raises as `swept` does of what it sees.
    """
    problems, plan = sweep.read(), sweep.plan
    require(sweep, problems)
    jobs, drawn = list(plan.jobs(problems)), Drawn()
    done: set[JobKey] = set()
    for place in (store, *shard_stores(store)):
        if is_made(place):
            with Store.open(place, write=False) as opened:
                done |= _done(sweep, opened)
                drawn += _drawn(opened)
    undone = [job for job in jobs if key(job) not in done]
    any_text = reads_any_text(sweep.models.proposer)
    return Forecast(
        problems=len(problems),
        searches=len(jobs),
        generations=sum(map(generations, jobs)),
        searches_left=len(undone),
        generations_left=sum(map(generations, undone)),
        most_tokens=sweep.models.most_tokens if any_text else None,
        free_bytes=_free(store),
        largest=max(map(generations, undone), default=0),
        memory=_memory(),
        fastest=FASTEST if any_text else FASTEST_LAB,
        prices=prices,
        drawn=drawn,
    )


def _done(sweep: Sweep, store: Store) -> set[JobKey]:
    """The searches of a sweep that are there, by the models it was last asked for with; its own are
    not loaded."""
    try:
        asked = Asked.read(store)
    except StoreError:
        return set()
    is_same = asked.spec == sweep.models.spec and asked.seed == sweep.seed
    return store.view(asked.team, asked.grader).finished() if is_same else set()


def _drawn(store: Store) -> Drawn:
    """What a store tells of what is to come."""
    view = store.view()
    outcomes = (one for stream in view.streams() for one in view.outcomes(stream=stream))
    spent = sum((outcome.usage for outcome in outcomes), Usage())
    size = store.path.stat().st_size
    pace = store.get_meta(PACE)
    return Drawn(
        spent.generations,
        spent.prompt_tokens + spent.cached_tokens,
        spent.decoded_tokens,
        size,
        None if pace is None else float(pace),
    )


def _free(path: Path) -> int:
    """Bytes free on the disk of a file that may not be there yet."""
    place = next(folder for folder in path.resolve().parents if folder.is_dir())
    return shutil.disk_usage(place).free


def _memory() -> int | None:
    """Bytes of memory of this machine; `None` where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


class Pace:
    """Times a sweep, and lets it be stopped while little is spent: an observer of `study.run`.

    `consider` is told what the sweep will still take, before it begins and once more at the first
    search that ends after `LOOK_S` seconds; what it raises ends the sweep, and what was drawn
    stays.
    """

    LOOK_S = 20.0

    def __init__(
        self,
        forecast: Forecast,
        consider: Callable[[Forecast], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forecast, self._consider, self._clock = forecast, consider, clock
        self._began: float | None = None
        self._seconds = self._generations = 0.0
        self._spent = Usage()
        self._has_looked = False

    def begin(self) -> None:
        """Everything is loaded: consider, and start the clock."""
        self._consider(self._forecast)
        self._began = self._clock()

    def __call__(self, generations: float, usage: Usage) -> None:
        """Take in a search that ended, and how many generations were drawn by then."""
        assert self._began is not None
        self._generations, self._seconds = generations, self._clock() - self._began
        self._spent += usage
        if self._has_looked or self._seconds < self.LOOK_S:
            return
        self._has_looked = True
        before, spent = self._forecast.drawn, self._spent
        # A run that was killed before a search had ended left a store, and nothing to go by.
        grown = 1 + spent.generations / before.generations if before.generations else 0.0
        drawn = Drawn(
            before.generations + spent.generations,
            before.read + spent.prompt_tokens + spent.cached_tokens,
            before.written + spent.decoded_tokens,
            # What this run adds is on disk only in part.
            round(before.bytes * grown),
            self.measured,
        )
        self._consider(self._forecast.after(round(generations), drawn))

    @property
    def measured(self) -> float | None:
        """Generations a second so far; `None` where nothing was drawn."""
        return self._generations / self._seconds if self._seconds and self._generations else None
