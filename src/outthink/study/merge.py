"""Sweeps of several stores, as one: of parts of the problems, or of other strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from outthink.data import source
from outthink.errors import StoreError, UsageError
from outthink.run.progress import Progress
from outthink.run.store import Store
from outthink.run.store.merge import Merged
from outthink.run.store.merge import merge as merge_rows
from outthink.study import failures
from outthink.study.record import META, Asked


@dataclass(frozen=True, slots=True)
class Part:
    """What one store added."""

    store: Path
    merged: Merged


def merge(stores: Sequence[Path], out: Path) -> list[Part]:
    """Add everything that these stores hold to `out`, which is made where it is missing. What
    `report` and `fit` read of it is the last sweep of the first store, over the problems of all
    stores whose last sweep was the same but for its problems.

    Raises `UsageError` where `out` is one of the stores, `StoreError` where one of them is no
    store of a sweep or another process writes it.
    """
    if any(out.exists() and store.exists() and out.samefile(store) for store in stores):
        raise UsageError(f"{out}: is one of the stores to be merged; name another with -o")
    with Store.open(out, write=True) as into:
        asked = [] if into.get_meta(META) is None else [Asked.read(into)]
        parts = []
        for store in stores:
            with Store.open(store, write=False) as opened:
                asked.append(Asked.read(opened))
                parts.append(Part(store, rows(into, opened)))
                remarks(into, opened, failures.PREFIX)
                remarks(into, opened, f"{META} ")
        _whole(asked, into).write(into)
    return parts


def rows(into: Store, opened: Store) -> Merged:
    """Add the rows of a store, and say how far that is."""
    with Progress(f"merging {opened.path.name}", len(opened.problems()), "problems") as bar:
        return merge_rows(into, opened, bar.advance)


def remarks(into: Store, opened: Store, prefix: str) -> None:
    """Add the remarks whose names begin so and are not there: what searches failed of, or every
    sweep that was asked of a store."""
    for name, value in opened.metas(prefix).items():
        if into.get_meta(prefix + name) is None:
            into.set_meta(prefix + name, value)


def _whole(asked: Sequence[Asked], into: Store) -> Asked:
    """The last sweep of the first store, over the problems of all that asked the same."""
    first = asked[0]
    same = [one for one in asked if but_for_problems(one) == but_for_problems(first)]
    ids = tuple(dict.fromkeys(name for one in same for name in one.problem_ids))
    by_id = {problem.id: problem for problem in into.problems()}
    missing = [name for name in ids if name not in by_id]
    if missing:
        raise StoreError(
            f"{into.path}: problem {missing[0]!r} of its sweep is in none of the stores; merge the "
            "stores that it was swept into"
        )
    digest = source.digest([by_id[name] for name in ids])
    spec = source.joined([one.problems for one in same])
    return replace(first, problems=spec, problem_ids=ids, problems_digest=digest)


def but_for_problems(asked: Asked) -> Asked:
    """What was asked, of whatever problems."""
    return replace(asked, problems="", problem_ids=(), problems_digest="")
