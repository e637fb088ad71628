"""The large runs of a reproduction in parts: problems shared out to processes, each with a store of
its own, which are merged.

A row follows from its problem and the seed, so that parts draw what one process would. Killed, the
same command goes on: with the parts that were begun, then with the merge.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from outthink.run.progress import Progress
from outthink.run.side_by_side import Tell, side_by_side
from outthink.run.store import Store
from outthink.study.merge import merge
from outthink.study.sweep import Sweep, swept
from outthink.types import Usage

_PARTS, _MERGED = "parts-of-", "merged"


def drawn_in_parts(sweeps: Sequence[Sweep], store: Path, *, jobs: int) -> None:
    """Draw these sweeps of the same problems, in `jobs` processes, and merge them into `store`.

    Nothing is done where there is a store already and no part waits to be merged into it: what is
    missing there is drawn by whoever reads it. Parts begun by another number of jobs stay as many.
    """
    folder = store.parent
    shutil.rmtree(folder / _MERGED, ignore_errors=True)
    begun = sorted(folder.glob(f"{_PARTS}*"))
    if not begun and (jobs < 2 or store.exists()):
        return
    place = begun[0] if begun else folder / f"{_PARTS}{jobs}"
    count = int(place.name.removeprefix(_PARTS))
    place.mkdir(exist_ok=True)
    tasks = [_Part(tuple(sweeps), place, number + 1, count) for number in range(count)]
    total = sum(sweep.plan.generations(sweep.read()) for sweep in sweeps)
    done = [0.0] * count
    with Progress(f"drawing, {min(jobs, count)} at a time", total, "generations") as bar:

        def heard(number: int, now: float) -> None:
            bar.advance(now - done[number])
            done[number] = now

        stores = side_by_side(_draw, tasks, jobs=jobs, heard=heard)
    merge(stores, store)
    os.rename(place, folder / _MERGED)  # at once, so that no part is missed and drawn again
    shutil.rmtree(folder / _MERGED)


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of every sweep that one process draws."""

    sweeps: tuple[Sweep, ...]
    folder: Path
    number: int
    count: int


def _draw(part: _Part, tell: Tell) -> Path:
    """Draw one part; its store."""
    path = part.folder / f"{part.number}.store"
    mine = [replace(sweep, part=(part.number, part.count)) for sweep in part.sweeps]
    before = list(accumulate((sweep.plan.generations(sweep.read()) for sweep in mine), initial=0))
    with Store.open(path, write=True) as store:
        for sweep, begun in zip(mine, before, strict=False):
            with swept(sweep, store, _Told(begun, tell)):
                pass
        tell(before[-1])
    return path


class _Told:
    """Tells how many generations were drawn, those of the sweeps before included."""

    measured = None

    def __init__(self, begun: float, tell: Tell) -> None:
        self._begun, self._tell = begun, tell

    def begin(self) -> None:
        self._tell(self._begun)

    def __call__(self, generations: float, usage: Usage) -> None:
        self._tell(self._begun + generations)
