"""Engines that problems solved at the same time share.

Whoever thinks with the same models in the same event loop has one driver: rows of engines in
process go in batches, requests of served ones beside each other, and a model is loaded once. The
engines are let go when the last of them is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from outthink.run.runner import Driver, Job, Result
from outthink.study.sweep import Models
from outthink.types import Engines


@dataclass(frozen=True, slots=True)
class Wanted:
    """What engines are loaded for; those who want the same share them."""

    models: Models
    grader: str
    """Finds the answers of served models, and writes them alike."""
    seed: int
    revises: bool


@dataclass(frozen=True, slots=True)
class Mind:
    """Loaded engines, and their driver."""

    engines: Engines
    revision: Engines | None
    ask: Callable[[Job], Awaitable[Result]]


@dataclass(slots=True, eq=False)
class _Shared:
    users: int = 0
    mind: Mind | None = None
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: AsyncExitStack = field(default_factory=AsyncExitStack)


_known: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Wanted, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def mind(wanted: Wanted) -> AsyncIterator[Mind]:
    """The mind that is wanted, for as long as it is held. Raises what `Models.load` does."""
    known = _known.setdefault(asyncio.get_running_loop(), {})
    shared = known.setdefault(wanted, _Shared())
    shared.users += 1
    try:
        async with shared.loading:
            if shared.mind is None:
                shared.mind = await shared.open.enter_async_context(_loaded(wanted))
        yield shared.mind
    finally:
        shared.users -= 1
        if not shared.users:
            del known[wanted]
            await shared.open.aclose()


@asynccontextmanager
async def _loaded(wanted: Wanted) -> AsyncIterator[Mind]:
    # Loading reads files, or asks a server in an event loop of its own.
    engines, revision = await asyncio.to_thread(_load, wanted)
    driver = Driver(engines.proposer, engines.verifier, revision=revision, seed=wanted.seed)
    async with driver.session() as ask:
        yield Mind(engines, revision, ask)


def _load(wanted: Wanted) -> tuple[Engines, Engines | None]:
    engines = wanted.models.load(wanted.grader)
    revision = wanted.models.load_revision(engines, wanted.grader) if wanted.revises else None
    return engines, revision
