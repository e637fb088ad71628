"""Solves requests: one set of models, one policy, one runner for as long as the gateway lives.

Every request is a job of that runner, beside all others. Repeated questions are thought about anew
unless they carry a seed: the same seed, question and way give the same draws.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from outthink.errors import ContextError, DeadlineError, ServerError, ServerRefused, UsageError
from outthink.gateway import refused, tools
from outthink.gateway.asked import Asked, Fixed, Follow
from outthink.gateway.progress import Counted, Decided, Judged, Progress, Thought, Wrote
from outthink.gateway.refused import Refused, unsupported, unsupported_by_lab, wrong
from outthink.gateway.settings import EFFORTS, Settings
from outthink.grade import calls, grading
from outthink.models.local import is_local
from outthink.models.thinking import parted
from outthink.policy.family import Dial, Family
from outthink.policy.file import load
from outthink.policy.live import Decision, Thinking
from outthink.policy.solve import of_lab
from outthink.run.events import Drew, Event, Scored, Spent
from outthink.run.journal import Job, Journal, Result
from outthink.run.store import Store
from outthink.search import strategy
from outthink.study.models import (
    NONE,
    OWN_VERIFIER,
    Models,
    is_served,
    reads_any_text,
    require_verifier,
    require_words,
)
from outthink.study.plan import reads_samples, verifies
from outthink.study.session import ModelSpec, Session, opened
from outthink.types import (
    JUDGE,
    LARGER,
    PROPOSER,
    REVISER,
    Budget,
    Framing,
    Problem,
    Purpose,
    Strategy,
    Usage,
)

TEXT = "text"
"""The grader of answers that are what a model wrote, whole."""
LOG = logging.getLogger("outthink.gateway")


@dataclass(frozen=True, slots=True)
class Plan:
    """A way of thinking, made ready."""

    made: Strategy
    budget: int
    thinking: Thinking | None = None
    currency: str = "generations"
    is_sure: bool = True
    """Whether the probabilities of the policy are of such answers."""


@dataclass(eq=False)
class Solver:
    """Make one with `thinking`."""

    settings: Settings
    name: str
    """Of the model that is served."""
    policy: Family | None
    _journal: Journal | None
    _open: AsyncExitStack
    _sessions: dict[tuple[str, bool], Session] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def any_text(self) -> bool:
        return reads_any_text(self.settings.models.proposer)

    @property
    def has_verifier(self) -> bool:
        return self.settings.models.verifier != NONE

    def reload(self) -> bool:
        """Read the policy's file again; what is under way goes on with the one it began with. False
        where no policy is served.

        Raises `PolicyError` for one that cannot be used; the policy is then as it was."""
        if self.policy is None or self.settings.policy is None:
            return False
        fresh, reading = _policy(self.settings.policy), self.policy.reading()
        fresh.reading(reading)
        fresh.check(self._sessions[reading, False].team.engine_names())
        self.policy = fresh
        return True

    def reading(self, asked: str | None) -> str:
        """The grader that finds answers."""
        if self.policy is not None:
            return self.policy.reading(asked or self.settings.grader)
        usual = TEXT if self.any_text else "exact"
        return asked or self.settings.grader or usual

    def reading_of(self, asked: Asked) -> str:
        """The grader that finds the answers to a request. Answers to one of a chat API alone are no
        policy's."""
        if not asked.framing.needs_chat:
            return self.reading(asked.answers)
        return tools.reading(asked.framing, asked.answers) or TEXT

    def models(self, *, whole: bool) -> Models:
        """The models; `whole`: as they are asked for whole chats alone, which tell no confidence
        and revise nothing."""
        models = self.settings.models
        if models.verifier == NONE and models.revision_verifier == OWN_VERIFIER:
            # A server that tells no log probabilities revises all the same.
            models = replace(models, revision_verifier=NONE)
        if is_served(models.proposer) and models.asking.patience_s is None:
            patient = replace(models.asking, patience_s=self.settings.limits.patience_s)
            models = replace(models, asking=patient)
        if not whole:
            return models
        is_own = models.verifier.partition("?")[0] == OWN_VERIFIER
        return replace(models, whole=True, verifier=NONE if is_own else models.verifier)

    async def session(self, reading: str, *, whole: bool = False) -> Session:
        """The engines whose answers this grader finds; loaded when first asked for."""
        known = reading, whole
        if known in self._sessions:  # no need to wait for one that is being loaded
            return self._sessions[known]
        async with self._opening:
            if known not in self._sessions:
                grading(reading).require()
                models = self.models(whole=whole)
                roles = {PROPOSER, *(() if whole else (REVISER,))}
                roles |= set() if models.larger == NONE else {LARGER}
                roles |= set() if models.judge == NONE else {JUDGE}
                spec = ModelSpec(models, reading, self.settings.seed, frozenset(roles))
                opening = opened(spec, self._journal)
                self._sessions[known] = await self._open.enter_async_context(opening)
            return self._sessions[known]

    def keep(self) -> None:
        """Have all that was drawn in the store, where there is one.

        Raises `DiskError` or `StoreError` while that cannot be done; nothing is lost, and nothing
        more should be drawn.
        """
        if self._journal is not None:
            self._journal.commit()

    def keep_verdict(self, problem: Problem, reading: str, answer: str | None, right: bool) -> None:
        """Keep a verdict beside what was drawn, where there is a store; `fit` learns from it."""
        if self._journal is not None and answer is not None:
            self._journal.keep_verdict(problem, reading, answer, right)
            self.keep()

    # One request ---------------------------------------------------------------------------------

    def problem(self, asked: Asked) -> Problem:
        """The question. Raises `UsageError` for what the model does not read."""
        if asked.framing.needs_chat and not is_served(self.settings.models.proposer):
            raise unsupported(
                tools.named(asked.framing),
                f"{self.name} runs in this process and reads text alone; leave it out, or serve a "
                "model with vLLM, llama.cpp or any other chat API",
            )
        if self.any_text:
            return asked.problem()
        for param, told in (
            ("temperature", asked.framing.temperature),
            ("stop", asked.framing.stop),
        ):
            if told:
                raise unsupported_by_lab(param)
        framing = replace(asked.framing, most_tokens=None)
        if asked.framing.most_tokens and asked.framing.most_tokens < _LAB_TOKENS:
            raise wrong(f"the lab's answers take up to {_LAB_TOKENS} tokens", "max_tokens")
        if framing != Framing():
            raise wrong("the lab's models read one task and nothing around it", "messages")
        return of_lab(asked.prompt)

    def check(self, asked: Asked) -> None:
        """Raises what would be raised before anything is drawn."""
        self.keep()
        self.reading_of(asked)
        self.plan(asked, self.problem(asked), asyncio.Queue())

    def plan(self, asked: Asked, problem: Problem, notice: asyncio.Queue[object]) -> Plan:
        """How a request is thought about; decisions go to `notice`."""
        way, whole = asked.way, asked.framing.needs_chat
        if isinstance(way, Fixed):
            return self._fixed(way.strategy, way.budget, whole=whole)
        if not isinstance(way, Follow):
            greedy = asked.framing.temperature == 0
            return self._fixed("greedy" if greedy else "majority", 1, whole=whole)
        policy = self.policy
        if policy is None or (whole and not _draws_whole(policy, self.models(whole=True))):
            return self._unpriced(asked, way, whole=whole)
        dial = self.dial(policy, way)
        limits, member = policy.limits(dial), policy.member(dial, problem, self.settings.seed)
        rule = policy.rule(member)
        thinking = Thinking(rule, limits, lambda made: notice.put_nowait(_decided(made, whole)))
        made = Strategy(rule.name, thinking.start)
        return Plan(made, max(1, round(limits.most)), thinking, policy.currency, not whole)

    def _unpriced(self, asked: Asked, way: Follow, *, whole: bool) -> Plan:
        """A fixed strategy, where there is no policy for such answers."""
        if way.dial != Dial():
            why = (
                "the policy is of other answers" if whole and self.policy else "no policy is served"
            )
            raise wrong(f"{why}, so there is no price; name a strategy", "outthink")
        named = self._usual(self.reading_of(asked))
        if whole and not (_is_whole(named) and self._can(named)):
            named = "majority"
        return self._fixed(named, _budget(self.settings.budget, way.effort), whole=whole)

    def _can(self, name: str) -> bool:
        """Whether a strategy has the verifier that it needs, of whole answers."""
        return self.models(whole=True).verifier != NONE or not verifies(name)

    @property
    def strategy(self) -> str:
        """What `auto` means without a policy."""
        return self._usual(self.reading(None))

    def _usual(self, reading: str) -> str:
        """The strategy for answers that this grader finds. Free text has no two answers alike to
        be voted on, so the model says which one most of the others agree with."""
        usual = "usc" if reading == TEXT else "majority"
        if self.settings.models.verifier != NONE:
            usual = "best_of_n"
        return strategy(self.settings.strategy or usual).name

    def _fixed(self, name: str, budget: int, *, whole: bool = False) -> Plan:
        if whole and not _is_whole(name):
            raise wrong(
                f"{name} goes on with what is half written, or revises it, which cannot be done "
                "where tools may be called or the answer has a format; name majority, best_of_n, "
                "first_finish, last_finish or greedy",
                "model",
                "unsupported_strategy",
            )
        require_verifier(self.models(whole=whole), (name,))
        require_words(self.settings.models, (name,))
        return Plan(strategy(name), budget)

    def dial(self, policy: Family, way: Follow) -> Dial:
        """What a policy may spend, as the request and the gateway have it."""
        given, usual = way.dial, self.settings.dial
        if way.effort is not None:
            price = self.settings.efforts.get(way.effort) or price_of(policy, way.effort)
            return Dial(price, None, given.most if given.most is not None else usual.most)
        most = given.most if given.most is not None else usual.most
        if given.price is None and given.average is None:
            given = replace(usual, most=None)
        if given.price is None and given.average is None:
            given = Dial(price=price_of(policy, _USUAL))
        if most is not None and given.average is not None and given.average > most:
            given = Dial(price=price_of(policy, _USUAL))  # below the average, the cap alone decides
        return replace(given, most=most)

    async def think(
        self, asked: Asked, choice: int, counted: Callable[[Usage], None] = lambda usage: None
    ) -> AsyncGenerator[Progress | Thought, None]:
        """What happens, as it happens, and last what it came to. Closing it ends the spending.
        `counted` is told what has been spent whenever it is known, be it closed or not.

        Raises `UsageError` and `RunError` as the runner does, `DeadlineError` where not even a
        first answer was there in time.
        """
        self.keep()
        problem = self.problem(asked)
        session = await self._session(asked)
        notice: asyncio.Queue[object] = asyncio.Queue()
        plan = self.plan(asked, problem, notice)

        def listen(event: Event) -> None:
            if plan.thinking is not None:
                plan.thinking.listen(event)
            if isinstance(event, Spent):
                counted(event.usage)
            notice.put_nowait(event)

        job = Job(
            problem,
            plan.made,
            Budget(plan.budget),
            stream=_stream(asked.seed, self.settings.seed, choice),
            deadline_s=asked.deadline_s,
            listen=listen,
        )
        telling = _Telling(session)
        trace: list[Wrote | Judged] = []
        try:
            async with aclosing(_until_done(session, job, notice)) as happening:
                async for event in happening:
                    if isinstance(event, Result):
                        counted(event.outcome.usage)
                        kept = tuple(trace) if asked.trace else ()
                        thought = await _thought(event, plan, session, kept)
                        yield _called(thought) if tools.named(asked.framing) == "tools" else thought
                        continue
                    told = await telling.of(event)
                    if asked.trace and isinstance(told, Wrote | Judged):
                        trace.append(told)
                    yield told
        except ContextError:
            raise
        except (ServerError, ServerRefused) as error:
            raise _upstream(error, session) from error

    async def _session(self, asked: Asked) -> Session:
        """As `session`; a server that fails as it is examined is no fault of the request."""
        try:
            whole = asked.framing.needs_chat
            return await self.session(self.reading_of(asked), whole=whole)
        except (ServerError, ServerRefused) as error:
            raise _upstream(error, None) from error


def _upstream(error: ServerError | ServerRefused, session: Session | None) -> Refused:
    """A server's error as a client is told it, and as the log is: without what the server said,
    which may repeat what a user wrote."""
    said = error.said
    writers = () if session is None else session.team.writers.values()
    known = [getattr(writer, "capabilities", None) for writer in writers]
    roots = {told.url for told in known if told}
    if said is None and isinstance(error, ServerRefused) and session is not None:
        # It was not asked: it cannot do what this way of thinking needs.
        text = str(error)
        for root in roots:
            text = text.replace(root, "the model's server")
        return wrong(text, "model", "unsupported_strategy")
    if said is None:
        LOG.warning("a server of models: %s", type(error).__name__)
        return refused.upstream(None, is_own=False)
    LOG.warning("%s answers with status %d", said.server, said.status)
    return refused.upstream(said, is_own=said.server in roots)


async def _until_done(
    session: Session, job: Job, notice: asyncio.Queue[object]
) -> AsyncGenerator[object, None]:
    """Events of a job, and last its result."""
    running = asyncio.ensure_future(session.ask(job))
    running.add_done_callback(notice.put_nowait)
    try:
        while (event := await notice.get()) is not running:
            yield event
        yield running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Telling:
    """Makes progress of a job's events, in words."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lengths = {-1: 0}

    async def of(self, event: object) -> Progress:
        if isinstance(event, Drew):
            return await self._wrote(event)
        if isinstance(event, Scored):
            return Judged(event.number, event.role, event.scores)
        if isinstance(event, Decided):
            return event
        return Counted(event.usage)  # type: ignore[attr-defined]

    async def _wrote(self, event: Drew) -> Wrote:
        solution = event.solution
        # A revision names what it revises, a critique what it is about; both begin from nothing.
        anew = event.purpose is Purpose.REVISION or event.purpose.is_critique
        begun = 0 if anew else self._lengths.get(event.parent, 0)
        self._lengths[solution.number] = len(solution.tokens)
        fresh = solution.tokens[begun:]
        if event.texts is not None:
            text = "".join(event.texts)
        else:
            text = await self._session.team.writer(event.role).text(fresh) if fresh else ""
        return Wrote(
            solution.number,
            event.parent,
            event.role,
            event.purpose.value,
            text,
            len(fresh),
            solution.finished,
            solution.truncated,
            solution.answer,
        )


async def _thought(
    result: Result, plan: Plan, session: Session, trace: tuple[Wrote | Judged, ...]
) -> Thought:
    outcome, choice = result.outcome, result.choice
    late = (outcome.error or "").startswith(DeadlineError.__name__)
    if outcome.error is not None and not late:
        assert result.failure is not None
        raise result.failure
    if late and not choice.candidates:
        raise DeadlineError(outcome.error.partition(": ")[2] if outcome.error else "")
    decisions: tuple[Decision, ...] = (
        ()
        if plan.thinking is None
        else tuple(_decided(one, not plan.is_sure).decision for one in plan.thinking.decisions)
    )
    index = choice.index
    if index is None:
        # No answer was found in any; the text that its verifier likes best is still a reply.
        index = max(range(len(choice.candidates)), key=lambda n: _worth(result, n), default=None)
    chosen = None if index is None else choice.candidates[index]
    role = _writer(chosen is not None and bool(chosen.history), session)
    whole = await session.team.writer(role).text(chosen.tokens) if chosen else ""
    said = parted(whole)
    return Thought(
        answer=choice.answer,
        text=said.answer.strip("\n") if said.thought else whole.strip("\n"),
        reasoning=said.thought.strip(),
        chance=choice.chance if plan.is_sure else None,
        strategy=plan.made.name,
        usage=outcome.usage,
        answer_tokens=len(chosen.tokens) if chosen else 0,
        late=late,
        truncated=chosen is not None and not chosen.finished,
        currency=plan.currency,
        decisions=decisions,
        number=chosen.number if chosen else None,
        trace=trace,
    )


def _called(thought: Thought) -> Thought:
    """An answer whose text may hold calls of tools, with these apart."""
    said = calls.parted(thought.text)
    return replace(thought, text=said.words, calls=said.calls)


def _decided(made: Decision, is_unsure: bool) -> Decided:
    """A decision without the probability of answers that its policy was not fitted on."""
    return Decided(replace(made, chance=None) if is_unsure else made)


def _is_whole(name: str) -> bool:
    """Whether a strategy draws whole answers, each on its own."""
    return reads_samples(name) or name.partition("(")[0] == "greedy"


def _draws_whole(policy: Family, models: Models) -> bool:
    """Whether all that a policy may run draws whole answers, with models that are there."""
    named = [stage.strategy for stage in policy.menu]
    return all(map(_is_whole, named)) and (models.verifier != NONE or not any(map(verifies, named)))


def _worth(result: Result, place: int) -> tuple[bool, float]:
    scores, solution = result.choice.scores, result.choice.candidates[place]
    last = scores[place].last if place < len(scores) else None
    return solution.finished, -1.0 if last is None else last


def _writer(revised: bool, session: Session) -> str:
    return REVISER if revised and REVISER in session.team.writers else PROPOSER


def _stream(seed: int | None, own: int, choice: int) -> str:
    """The stream of draws: another one for every request that has no seed."""
    told = f"request {uuid.uuid4()}" if seed is None else "" if seed == own else f"seed {seed}"
    return f"{told}#{choice}" if choice else told


_LAB_TOKENS = 64
_USUAL = "medium"
_BUDGETS = {"minimal": 1, "low": 4, "medium": 8, "high": 32, "xhigh": 64}


def _budget(usual: int, effort: str | None) -> int:
    """Generations of a fixed strategy for a word of effort."""
    return usual if effort is None else _BUDGETS[effort]


def price_of(policy: Family, effort: str) -> float:
    """The price that a word of `reasoning_effort` stands for: members of the policy from the
    cheapest to the dearest, evenly spaced in the logarithm of what they cost."""
    members = policy.members
    low, high = members[0].cost.mean, members[-1].cost.mean
    share = (EFFORTS.index(effort) - 1) / (len(EFFORTS) - 3)  # xhigh is as high as high
    wanted = low * (high / low) ** min(1.0, share)
    return min(members, key=lambda one: abs(one.cost.mean - wanted)).price


def _policy(path: Path) -> Family:
    policy = load(path)
    if not isinstance(policy, Family):
        raise UsageError(
            f"{path} is a table, which 'outthink solve' follows; fit a sequential policy"
        )
    return policy


_HELD_S = 0.1
"""For which a store is waited for that another process holds: no request goes on meanwhile. What
could not be written then waits, and is written with what comes next."""


@asynccontextmanager
async def thinking(settings: Settings) -> AsyncIterator[Solver]:
    """A solver with its engines loaded. Raises as `Models.team` does, `PolicyError` for a policy
    that does not fit the models, `StoreError` for a store that is in use."""
    policy = None if settings.policy is None else _policy(settings.policy)
    async with AsyncExitStack() as stack:
        journal = None
        if settings.store is not None:
            journal = stack.enter_context(Store.open(settings.store, write=True, waits_s=_HELD_S))
        solver = Solver(settings, "", policy, journal, stack)
        session = await solver.session(solver.reading(None))
        if policy is not None:
            policy.check(session.team.engine_names())
        solver.name = _name(settings.models.proposer, session)
        try:
            yield solver
        finally:
            solver.keep()


def _name(proposer: str, session: Session) -> str:
    """What the model is called: as it was named, or as its server calls it."""
    told = getattr(session.team.writer(PROPOSER), "capabilities", None)
    if told is None or is_local(proposer):
        return proposer.partition("?")[0]
    model = str(told.model)
    # llama.cpp names a model by the path of its file.
    return Path(model.replace("\\", "/")).name if model.endswith(".gguf") else model
