"""Everything that requests share, and what is done for each: in line, thought about, counted."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from outthink.errors import DeadlineError
from outthink.gateway import refused, reply
from outthink.gateway.asked import Asked
from outthink.gateway.keys import Keys
from outthink.gateway.line import Line, Turn
from outthink.gateway.live import Live
from outthink.gateway.metrics import Metrics
from outthink.gateway.progress import Progress, Thought, Wrote
from outthink.gateway.relay import Relay
from outthink.gateway.settings import Settings
from outthink.gateway.solver import Solver, thinking
from outthink.gateway.spent import Spent
from outthink.models.openai import OpenAIProposer
from outthink.types import PROPOSER, Problem, Usage

_REMEMBERED = 10_000
"""Answers that a verdict may be given on."""
_REMEMBERED_LETTERS = 64 << 20
"""Of their questions, all together."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that was given, for a verdict to come."""

    who: str
    problem: Problem
    reading: str
    answer: str | None
    chance: float | None

    @property
    def letters(self) -> int:
        return len(self.problem.whole) + len(self.answer or "")


@dataclass(eq=False)
class Gateway:
    """Make one with `gateway`."""

    settings: Settings
    solver: Solver
    keys: Keys | None
    relay: Relay | None
    line: Line
    spent: Spent | None = None
    """What users with limits have spent; `None` where nobody has a limit."""
    metrics: Metrics = field(default_factory=Metrics)
    live: Live = field(default_factory=Live)
    ready: bool = True
    """False while it shuts down."""
    stop: Callable[[], None] = lambda: None
    """Ends the serving, from any thread; answers under way are finished."""
    _given: OrderedDict[str, Given] = field(default_factory=OrderedDict)
    _given_letters: int = 0

    def new_id(self, kind: str = "chatcmpl") -> str:
        return f"{kind}-{uuid.uuid4().hex}"

    @property
    def under_way(self) -> int:
        """Requests that are not answered yet."""
        return self.line.running + self.line.length

    def reload_keys(self) -> bool:
        """Read the file of keys again; False where there is none. Raises `UsageError` for one that
        cannot be read; the keys are then as they were."""
        if self.settings.keys is None:
            return False
        self.keys = keys = Keys.read(self.settings.keys)
        if self.spent is not None:
            self.spent.allowed = keys.allowed
        else:
            self.spent = _spent(self.settings, keys)
        return True

    @asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[Turn]:
        """A turn of the line. Raises `Refused`: 429 where it is full or the user has spent what is
        allowed, 503 on the way to a stop."""
        if not self.ready:
            raise refused.Refused(503, "this gateway stops", None, "shutting_down", 1)
        self._check(who)
        async with self.line.turn(who) as turn:
            self._check(who)  # others of this user have been answered meanwhile
            yield turn

    def _check(self, who: str) -> None:
        if self.spent is not None:
            self.spent.check(who)

    def charge(self, who: str, turn: Turn, tokens: int) -> None:
        """Count what a request of a user spends, as it goes."""
        turn.tokens += tokens
        if self.spent is not None:
            self.spent.add(who, tokens)

    async def think(
        self, id: str, who: str, asked: Asked, turn: Turn, began: float
    ) -> AsyncGenerator[tuple[int, Progress | Thought], None]:
        """What happens to each choice of a request, as it happens; closing it ends the spending.

        `began` is when the request came, by `time.monotonic`: its deadline counts from there.
        """
        left = asked.deadline_s - (time.monotonic() - began)
        if left <= 0:
            raise DeadlineError(f"waited for {asked.deadline_s:g} s in line; give it longer")
        asked = replace(asked, deadline_s=left)
        about = {"prompt": asked.prompt, "model": asked.model, "at": time.time()}
        self.live.begin(id, who, about)
        try:
            meter = _Meter(partial(self.charge, who, turn), self.settings.limits.calls)
            async with aclosing(_together(self.solver, asked, meter.counted)) as happening:
                async for number, told in happening:
                    meter.saw(told)
                    if isinstance(told, Thought):
                        self._done(id, who, asked, number, told)
                    elif number == 0:
                        self.live.tell(id, reply.event(told))
                    yield number, told
        except Exception as error:
            self.live.tell(id, {"kind": "failed", "why": str(refused.of(error))})
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self.metrics.gone.inc()
            self.live.tell(id, {"kind": "failed", "why": "the client has gone"})
            raise

    def _done(self, id: str, who: str, asked: Asked, number: int, thought: Thought) -> None:
        self.metrics.thought(thought)
        if number:
            return
        told = {
            "answer": thought.answer,
            "text": thought.text,
            "probability": thought.chance,
            "chosen": thought.number,
            "late": thought.late,
        }
        self.live.tell(id, {"kind": "end", **told})
        reading = self.solver.reading_of(asked)
        problem = self.solver.problem(asked)
        self._remember(id, Given(who, problem, reading, thought.answer, thought.chance))

    def _remember(self, id: str, given: Given) -> None:
        self._given[id] = given
        self._given_letters += given.letters
        while len(self._given) > _REMEMBERED or self._given_letters > _REMEMBERED_LETTERS:
            _, oldest = self._given.popitem(last=False)
            self._given_letters -= oldest.letters

    def verdict(self, id: str, who: str, right: bool) -> None:
        """Somebody knows whether an answer was right. Raises `Refused` (404) for one that is not
        remembered, or was somebody else's."""
        given = self._given.get(id)
        if given is None or given.who != who:
            raise refused.Refused(404, f"no answer {id!r} is remembered", "id", "not_found")
        self.metrics.verdict(right, given.chance)
        self.solver.keep_verdict(given.problem, given.reading, given.answer, right)


@dataclass(slots=True)
class _Meter:
    """What one request spends, charged as it goes, and the calls that it makes."""

    charge: Callable[[int], None]
    most_calls: int
    _calls: int = 0
    _charged: dict[int, int] = field(default_factory=dict)
    """Tokens of each of its answers."""

    def counted(self, number: int, usage: Usage) -> None:
        """An answer has come to this so far."""
        tokens = reply.total(usage)
        self.charge(tokens - self._charged.get(number, 0))
        self._charged[number] = tokens

    def saw(self, told: Progress | Thought) -> None:
        """Raises `Refused` where there are too many calls."""
        self._calls += isinstance(told, Wrote)
        if self._calls > self.most_calls:
            raise refused.wrong(
                f"one request may make {self.most_calls} calls of models; ask for a smaller "
                "budget, or fewer answers",
                code="too_many_calls",
            )


async def _together(
    solver: Solver, asked: Asked, counted: Callable[[int, Usage], None]
) -> AsyncGenerator[tuple[int, Progress | Thought], None]:
    """Every choice of a request, beside the others."""
    notice: asyncio.Queue[tuple[int, Progress | Thought] | None] = asyncio.Queue()

    async def one(number: int) -> None:
        async with aclosing(solver.think(asked, number, partial(counted, number))) as happening:
            async for told in happening:
                notice.put_nowait((number, told))

    tasks = [asyncio.create_task(one(number)) for number in range(asked.choices)]
    all_of_them = asyncio.gather(*tasks)
    all_of_them.add_done_callback(lambda _: notice.put_nowait(None))
    try:
        while (told := await notice.get()) is not None:
            yield told
        await all_of_them
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(all_of_them, *tasks, return_exceptions=True)


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway with its models loaded. Raises as `thinking` does, and `UsageError` for a file of
    keys that cannot be read."""
    keys = None if settings.keys is None else Keys.read(settings.keys)
    limits = settings.limits
    async with AsyncExitStack() as stack:
        solver = await stack.enter_async_context(thinking(settings))
        relay = await _relay(solver)
        if relay is not None:
            stack.push_async_callback(relay.aclose)
        spent = None if keys is None else _spent(settings, keys)
        line = Line(limits.at_once, limits.waiting)
        made = Gateway(settings, solver, keys, relay, line, spent)
        try:
            yield made
        finally:
            made.ready = False
            made.live.close()
            if made.spent is not None:
                made.spent.close()


def _spent(settings: Settings, keys: Keys) -> Spent | None:
    """What users have spent, where one of them has a limit."""
    if not keys.has_limits:
        return None
    assert settings.keys is not None
    usual = settings.keys.with_name(f"{settings.keys.name}.spent")
    return Spent.opened(settings.spent or usual, keys.allowed)


async def _relay(solver: Solver) -> Relay | None:
    """Where the model is served by a server of its own."""
    session = await solver.session(solver.reading(None))
    writer = session.team.writer(PROPOSER)
    if not isinstance(writer, OpenAIProposer):
        return None
    known = writer.capabilities
    return Relay(known.url, known.model, request_s=solver.settings.limits.deadline_s)
