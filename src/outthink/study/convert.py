"""Sweeps in stores of earlier formats, made into sweeps in stores of the present one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

from outthink.errors import RunError, StoreError
from outthink.run.journal import Writer
from outthink.run.progress import Progress
from outthink.run.store import Store, upgrade
from outthink.run.store.convert import FORMAT, Old, fold, require
from outthink.run.store.convert import convert as convert_rows
from outthink.run.store.file import lock, unlock
from outthink.search import strategy
from outthink.study import failures
from outthink.study.plan import Plan
from outthink.study.record import Asked
from outthink.study.sweep import judge_again
from outthink.types import PROPOSER, REVISER, REVISION_VERIFIER, VERIFIER


def convert(store: Path) -> Path:
    """Make a store of the present format of one of format 2 or 3, in its place; the old one stays
    beside it, under the name that is returned. Killed at any moment, the same call begins again.

    Raises `StoreError` where it is no such store, another process writes it, or something is in
    the way.
    """
    is_third = upgrade.is_old(store)
    if not is_third:
        require(store)
    version = upgrade.FORMAT if is_third else FORMAT
    kept = store.with_name(f"{store.name}.format{version}")
    part = store.with_name(f"{store.name}.part")
    held = lock(store)
    try:
        # A call that was killed before its last step has kept it already.
        if kept.exists() and not kept.samefile(store):
            raise StoreError(f"{kept}: is in the way of the old store; move it elsewhere")
        _clear(part)
        _upgraded(store, part) if is_third else _converted(store, part)
        _replace(store, part, kept)
    finally:
        unlock(store, held)
    return kept


def _upgraded(store: Path, part: Path) -> None:
    with Progress("converting", 1, "tables") as bar:

        def show(done: int, total: int) -> None:
            bar.set_total(total)
            bar.advance(1)

        upgrade.upgrade(store, part, show)


def _converted(store: Path, part: Path) -> None:
    with Progress("converting", 1, "jobs") as bar:

        def show(done: int, total: int) -> None:
            bar.set_total(total)
            bar.advance(1)

        old = convert_rows(store, part, strategy, show)
    with Store.open(part, write=True) as opened:
        for name, value in old.notes.items():
            if name.startswith(failures.PREFIX):
                opened.set_meta(name, value)
        if "strategies" in old.settings:
            asked = _asked(old, opened)
            asked.write(opened)
            asyncio.run(judge_again(asked, opened))


def _replace(store: Path, part: Path, kept: Path) -> None:
    """Put `part` in the place of `store`, which stays as `kept`: one of them is always there."""
    fold(store)
    try:
        if not kept.exists():
            try:
                os.link(store, kept)
            except OSError:  # a file system without links
                shutil.copy2(store, f"{kept}.part")
                os.replace(f"{kept}.part", kept)
        os.replace(part, store)
    except OSError as error:
        raise RunError(
            f"{store}: cannot be replaced: {error.strerror or error}; nothing was lost: give the "
            "same command again"
        ) from error


def _clear(part: Path) -> None:
    """Remove what a call that was killed left."""
    for ending in ("", "-wal", "-shm", "-lock"):
        part.with_name(part.name + ending).unlink(missing_ok=True)


def _asked(old: Old, store: Store) -> Asked:
    settings = old.settings
    plan = Plan(
        strategies=tuple(settings["strategies"].split(";")),
        budgets=tuple(map(int, settings["budgets"].split(","))),
        pool=int(settings["pool"]),
        chains=int(settings["chains"]),
        oracle_samples=int(settings["oracle_samples"]),
        predicted_samples=int(settings["difficulty_samples"]),
    )
    roles = plan.roles | {PROPOSER}
    team: dict[str, Writer | str] = {PROPOSER: old.engine(PROPOSER)}
    if old.verifier is not None:
        team[VERIFIER] = old.verifier
    if REVISER in roles:
        team[REVISER] = old.engine(REVISER)
        if settings.get("revision_verifier", "none") != "none":
            team[REVISION_VERIFIER] = settings["revision_verifier"]
    parameters = settings.get("proposer_parameters")
    return Asked(
        plan,
        settings["problems"],
        tuple(problem.id for problem in store.problems()),
        settings["problems_digest"],
        team,
        old.grader,
        old.seed,
        json.loads(old.notes.get("models", "{}")),
        None if parameters is None else int(parameters),
    )
