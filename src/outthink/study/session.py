"""Sessions: engines that problems solved at the same time share.

Whoever solves problems with the same models in the same event loop has one runner: rows of engines
in process go in batches, requests of served ones beside each other, and a model is loaded once. The
engines are let go when the last user is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from outthink.grade import grading
from outthink.run.journal import Job, Journal, Result
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.study.models import Models


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a session is opened for; equal specifications share one."""

    models: Models
    grader: str
    """Finds the answers of models of any text, and writes equal ones alike."""
    seed: int
    roles: frozenset[str]
    """Roles that will be asked."""


@dataclass(frozen=True, slots=True)
class Session:
    """Loaded engines, and the runner that asks them."""

    team: Team
    ask: Callable[[Job], Awaitable[Result]]


@dataclass(slots=True, eq=False)
class _Shared:
    users: int = 0
    session: Session | None = None
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: AsyncExitStack = field(default_factory=AsyncExitStack)


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ModelSpec, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def session(spec: ModelSpec) -> AsyncIterator[Session]:
    """A session of these models, shared with whoever has one open. Raises what `Models.team`
    does."""
    sessions = _open.setdefault(asyncio.get_running_loop(), {})
    shared = sessions.setdefault(spec, _Shared())
    shared.users += 1
    try:
        async with shared.loading:
            if shared.session is None:
                shared.session = await shared.open.enter_async_context(opened(spec))
        yield shared.session
    finally:
        shared.users -= 1
        if not shared.users:
            del sessions[spec]
            await shared.open.aclose()


@asynccontextmanager
async def opened(spec: ModelSpec, journal: Journal | None = None) -> AsyncIterator[Session]:
    """A session of one's own, for as long as one likes: what is drawn is kept in `journal`. Raises
    what `Models.team` does."""
    # Loading reads files, or asks a server in an event loop of its own.
    team = await asyncio.to_thread(spec.models.team, spec.roles, spec.grader)
    runner = Runner(
        team,
        grader=grading(spec.grader).grade,
        grader_name=spec.grader,
        seed=spec.seed,
        journal=journal,
        deadline_s=spec.models.asking.deadline_s,
    )
    async with runner.session() as ask:
        yield Session(team, ask)
