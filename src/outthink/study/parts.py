"""Sweeps in parts: problems shared out to processes of this machine, each part with a store of its
own, which are merged.

A row follows from its problem and the seed, so that parts draw what one process would. Killed, the
same command goes on: with the parts that were begun, then with the merge.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from outthink.data import source
from outthink.run.progress import Progress
from outthink.run.side_by_side import Tell, side_by_side
from outthink.run.store import Store
from outthink.study.merge import merge
from outthink.study.sweep import Sweep, make_place, swept
from outthink.types import Usage

_PARTS, _MERGED = ".parts-of-", ".merged"
_EACH = 4
"""Parts for each job: a process that is done with one takes the next."""


def drawn_in_parts(sweeps: Sequence[Sweep], store: Path, *, jobs: int) -> None:
    """Draw these sweeps in `jobs` processes, and merge them into `store`. Some may be of the first
    problems of the others alone.

    Nothing is done where there is a store already and no part waits to be merged into it: what is
    missing there is drawn by whoever reads it. Parts that were begun stay as many.
    """
    make_place(store)
    named, merged = store.name + _PARTS, store.with_name(store.name + _MERGED)
    shutil.rmtree(merged, ignore_errors=True)
    begun = sorted(path for path in store.parent.iterdir() if path.name.startswith(named))
    if not begun and (jobs < 2 or store.exists()):
        return
    sizes = [len(sweep.read()) for sweep in sweeps]
    place = begun[0] if begun else store.with_name(f"{named}{min(_EACH * jobs, max(sizes))}")
    count = int(place.name.removeprefix(named))
    place.mkdir(exist_ok=True)
    tasks = [
        _Part(tuple(_within(sweeps, sizes, number, count)), place / f"{number}.store")
        for number in range(1, count + 1)
    ]
    total = sum(sweep.plan.generations(sweep.read()) for sweep in sweeps)
    done = [0.0] * count
    with Progress(f"drawing, {min(jobs, count)} at a time", total, "generations") as bar:

        def heard(number: int, now: float) -> None:
            bar.advance(now - done[number])
            done[number] = now

        stores = side_by_side(_draw, tasks, jobs=jobs, heard=heard)
    merge(stores, store)
    os.rename(place, merged)  # at once, so that no part is missed and drawn again
    shutil.rmtree(merged)


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of every sweep that one process draws."""

    sweeps: tuple[Sweep, ...]
    store: Path


def _within(
    sweeps: Sequence[Sweep], sizes: Sequence[int], part: int, parts: int
) -> Iterator[Sweep]:
    """What falls in one part of the problems of the largest sweep. The first parts have most to
    do, and so are begun first."""
    first, end = source.places_of(max(sizes), part, parts)
    for sweep, size in zip(sweeps, sizes, strict=True):
        if first < size:
            yield replace(sweep, places=(first, min(end, size)))


def _draw(part: _Part, tell: Tell) -> Path:
    """Draw one part; its store."""
    drawn = (sweep.plan.generations(sweep.read()) for sweep in part.sweeps)
    before = list(accumulate(drawn, initial=0))
    with Store.open(part.store, write=True) as store:
        for sweep, begun in zip(part.sweeps, before, strict=False):
            with swept(sweep, store, _Told(begun, tell)):
                pass
        tell(before[-1])
    return part.store


class _Told:
    """Tells how many generations were drawn, those of the sweeps before included."""

    measured = None

    def __init__(self, begun: float, tell: Tell) -> None:
        self._begun, self._tell = begun, tell

    def begin(self) -> None:
        self._tell(self._begun)

    def __call__(self, generations: float, usage: Usage) -> None:
        self._tell(self._begun + generations)
