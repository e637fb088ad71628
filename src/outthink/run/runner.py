"""The only loop: advances many searches at once and hands what they ask for to the engines.

A search is a generator that yields `Propose` and `Verify`. Each request goes through three steps:
`_asked` makes the rows of it, an engine answers them, `_taken` numbers them, takes off what is
counted already and writes them to the journal, and `_answer` counts them and sends them on. What
differs is how rows reach the engine. In process, one call takes the rows of all searches that wait
(`run`). Where an engine is served, every search goes at its own pace, each row a request in flight
beside the others (`run_async`, which `run` then steps). It knows nothing of models, tensors, files
or HTTP.

What it promises: the same seed gives the same outcomes whatever else is in flight, as far as the
engines keep that promise; what was paid for is in the journal before any search sees it; a search
started again is fed from the journal first and pays for nothing twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Protocol

from outthink.errors import DeadlineError, RunError, UsageError
from outthink.run.ledger import Meter
from outthink.run.queues import (
    Batched,
    Port,
    Served,
    is_served_proposer,
    is_served_verifier,
    one_each,
)
from outthink.types import (
    SEED_STRIDE,
    AnyProposer,
    AnyVerifier,
    Budget,
    Choice,
    Closes,
    Draw,
    Drawn,
    Engines,
    Grader,
    Outcome,
    Problem,
    Propose,
    Request,
    Scores,
    Search,
    Solution,
    State,
    Strategy,
    Verified,
    Verify,
)

ROWS_IN_FLIGHT = 2048
"""Rows that all pending requests ask for together: enough to fill batches, and few enough for what
engines keep of each. Served engines never have more of them in flight than this."""

_MASK = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Job:
    """One problem to be searched by one strategy at one budget."""

    problem: Problem
    strategy: Strategy
    budget: Budget
    stream: str = ""
    """Names an independent stream of draws under the run's seed: difficulty estimation draws its
    own samples, so that it shares none with what it is compared to."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished job: what it came to, and what it chose from."""

    job: Job
    outcome: Outcome
    choice: Choice


Watch = Callable[[Job, Propose, int], None]
"""Told of rows as they are drawn: whose they are, for which request, and how many."""
Response = list[Drawn] | list[Verified]
Asked = list[Draw] | list[Solution]
Replay = Callable[[Request], Response | None]


class Journal(Protocol):
    """Where a driver writes what it paid for, and reads it again after a crash.

    Calls come in the order of the search. `commit` makes everything before it durable.
    """

    def replay(self, job: Job) -> Replay:
        """What is recorded of this job: called with its requests in order, it gives the response
        to each, and `None` from the first that was never answered."""
        ...

    def proposed(self, job: Job, rows: Sequence[tuple[Solution, Drawn]]) -> None:
        """Record rows drawn for a job, each with the prefix it extends."""
        ...

    def verified(self, job: Job, rows: Sequence[tuple[Solution, Verified]]) -> None:
        """Record solutions scored for a job; each comes once."""
        ...

    def finished(self, result: Result) -> None:
        """Record an outcome; the job will not be run again."""
        ...

    def commit(self) -> None: ...


class NoJournal:
    """Keeps nothing."""

    def replay(self, job: Job) -> Replay:
        return lambda request: None

    def proposed(self, job: Job, rows: Sequence[tuple[Solution, Drawn]]) -> None:
        pass

    def verified(self, job: Job, rows: Sequence[tuple[Solution, Verified]]) -> None:
        pass

    def finished(self, result: Result) -> None:
        pass

    def commit(self) -> None:
        pass


@dataclass(slots=True, eq=False)
class _Flight:
    """A job under way. Equal to itself alone, so that finding it in a list compares no fields."""

    job: Job
    search: Search
    request: Request
    engines: Engines
    meter: Meter = field(default_factory=Meter)
    requests: int = 0
    solutions: int = 0
    scores: dict[int, Scores] = field(default_factory=dict)
    """By solution number: no solution is verified twice."""
    prompt_proposed: bool = False
    prompt_verified: bool = False
    """Whether the problem's prompt has been counted."""

    @property
    def rows(self) -> int:
        """Rows of its pending request."""
        request = self.request
        return len(request.prefixes if isinstance(request, Propose) else request.solutions)


class Driver:
    """Runs jobs. One driver, one pair of engines and one for revisions, one seed.

    Without engines of their own, revisions are asked of the proposer that searches use, and scored
    by its verifier. `deadline_s` is what one job may take where an engine is served. `watch` is
    told of rows as they come, whether or not their request is complete; those that a journal holds
    are not drawn.
    """

    def __init__(
        self,
        proposer: AnyProposer,
        verifier: AnyVerifier | None = None,
        *,
        revision: Engines | None = None,
        grader: Grader | None = None,
        seed: int = 0,
        journal: Journal | None = None,
        rows_in_flight: int = ROWS_IN_FLIGHT,
        deadline_s: float | None = None,
        watch: Watch | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if rows_in_flight < 1:
            raise UsageError(f"rows_in_flight {rows_in_flight} is below 1; nothing could run")
        if deadline_s is not None and deadline_s <= 0:
            raise UsageError(f"deadline_s {deadline_s} is not above 0; nothing could run")
        self._engines = Engines(proposer, verifier)
        self._revision = revision or self._engines
        self._grader: Grader = grader or exact
        self._seed = seed
        self._journal: Journal = journal or NoJournal()
        self._rows_in_flight = rows_in_flight
        self._deadline_s = deadline_s
        self._watch = watch
        self._clock = clock

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Results as jobs finish: not in the order given, but, where no engine is served, in the
        same order every time. Served requests stand still while a result is being looked at: for
        a look that takes its time there is `run_async`.

        Raises what an engine or a search raised, except for what ends one job (`run_async`).
        """
        if any(map(_is_served, (self._engines, self._revision))):
            return self._run_served(jobs)
        return self._run_batches(jobs)

    async def run_async(self, jobs: Iterable[Job]) -> AsyncGenerator[Result, None]:
        """Results as jobs finish, each job advancing as soon as its own rows are in.

        A row of a served engine that fails for good, and a deadline, end their job with an outcome
        that names the error; such a job is not recorded as done, and the same call tries it again.
        Everything else that is raised ends the run. Leaving early cancels what is in flight: close
        the iterator (`contextlib.aclosing`).
        """
        ports = _Ports(self._rows_in_flight, self._clock)
        commits = _Commits(self._journal)
        waiting = iter(jobs)
        done: asyncio.Queue[asyncio.Task[Result]] = asyncio.Queue()
        tasks: dict[asyncio.Task[Result], _Flight] = {}
        try:
            while True:
                rows = sum(flight.rows for flight in tasks.values())
                while rows < self._rows_in_flight:
                    job = next(waiting, None)
                    if job is None:
                        break
                    flight = self._start(job)
                    if isinstance(flight, Result):
                        self._record(flight)
                        yield flight
                        continue
                    task = asyncio.create_task(self._fly(flight, ports, commits))
                    task.add_done_callback(done.put_nowait)
                    tasks[task] = flight
                    rows += flight.rows
                if not tasks:
                    return
                task = await done.get()
                del tasks[task]
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            ports.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Callable[[Job], Awaitable[Result]]]:
        """Jobs one at a time, from anywhere in this event loop: those under way share the engines
        as the jobs of one run do, and wait while there is no room for their rows. Results are as
        `run_async` has them. Connections are let go of at the end."""
        ports = _Ports(self._rows_in_flight, self._clock)
        commits = _Commits(self._journal)
        room = asyncio.Condition()
        rows = 0

        async def ask(job: Job) -> Result:
            nonlocal rows
            async with room:
                await room.wait_for(lambda: rows < self._rows_in_flight)
                flight = self._start(job)
                if isinstance(flight, Result):
                    self._record(flight)
                    return flight
                taken = flight.rows
                rows += taken
            try:
                return await self._fly(flight, ports, commits)
            finally:
                async with room:
                    rows -= taken
                    room.notify_all()

        try:
            yield ask
        finally:
            ports.close()
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the engines' connections, which belong to one event loop; the next request
        makes new ones."""
        for each in {id(e): e for e in self._every_engine()}.values():
            if isinstance(each, Closes):
                await each.aclose()

    def _every_engine(self) -> Iterator[object]:
        for pair in (self._engines, self._revision):
            yield pair.proposer
            yield pair.verifier

    # How rows reach the engines ------------------------------------------------------------------

    def _run_batches(self, jobs: Iterable[Job]) -> Iterator[Result]:
        waiting = iter(jobs)
        flights: list[_Flight] = []
        while True:
            # A search of few rows a request, such as a chain, leaves room for others beside it.
            rows = sum(flight.rows for flight in flights)
            while rows < self._rows_in_flight:
                job = next(waiting, None)
                if job is None:
                    break
                flight = self._start(job)
                if isinstance(flight, Result):
                    self._record(flight)
                    yield flight
                else:
                    flights.append(flight)
                    rows += flight.rows
            if not flights:
                return
            for kind in (Propose, Verify):
                for engines in dict.fromkeys((self._engines, self._revision)):
                    ready = [
                        flight
                        for flight in flights
                        if flight.engines is engines and isinstance(flight.request, kind)
                    ]
                    for some in _portions(ready, self._rows_in_flight):
                        for flight, result in self._advance(some):
                            flights.remove(flight)
                            yield result

    def _advance(self, ready: Sequence[_Flight]) -> list[tuple[_Flight, Result]]:
        """Serve one request of each flight, all of one kind and engine, in a single engine call."""
        began = self._clock()
        asked = [self._asked(flight) for flight in ready]
        flat = [row for each in asked for row in each]
        name, ask = _in_process(ready[0])
        rows = iter(one_each(name, ask(flat), flat) if flat else ())
        for flight, each in zip(ready, asked, strict=True):
            self._came(flight, len(each))
        responses = [
            self._taken(flight, list(islice(rows, len(each))))
            for flight, each in zip(ready, asked, strict=True)
        ]
        self._journal.commit()
        seconds = (self._clock() - began) / max(1, sum(map(len, responses)))
        finished: list[tuple[_Flight, Result]] = []
        for flight, response in zip(ready, responses, strict=True):
            choice = self._answer(flight, response, seconds * len(response))
            if choice is not None:
                result = self._finish(flight, choice, self._judged(flight, choice))
                self._journal.finished(result)
                finished.append((flight, result))
        if finished:
            self._journal.commit()
        return finished

    def _run_served(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """`run_async` in a loop of its own, one result at a time."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise UsageError("Driver.run inside an event loop would block it; use Driver.run_async")
        results = self.run_async(jobs)
        with asyncio.Runner() as runner:
            try:
                while (result := runner.run(_next(results))) is not None:
                    yield result
            finally:
                runner.run(self._close(results))

    async def _close(self, results: AsyncGenerator[Result, None]) -> None:
        """Cancel what is in flight, and let go of connections."""
        await results.aclose()
        await self.aclose()

    async def _fly(self, flight: _Flight, ports: _Ports, commits: _Commits) -> Result:
        """One job from its first request to its end, at its own pace."""
        loop = asyncio.get_running_loop()
        until = None if self._deadline_s is None else loop.time() + self._deadline_s
        while True:
            asked = self._asked(flight)
            rows: list[Any] = [None] * len(asked)
            seconds = 0.0
            if asked:
                port = ports.of(flight)
                try:
                    async with asyncio.timeout_at(until) as limit:
                        seconds = await port.fill(asked, rows, partial(self._came, flight))
                except TimeoutError as error:
                    if not limit.expired():
                        raise
                    late = DeadlineError(f"not done within {self._deadline_s:g} s; give it longer")
                    late.__cause__ = error
                    return self._failed(flight, late, rows)
                except RunError as error:
                    if not isinstance(port, Served):
                        raise
                    return self._failed(flight, error, rows)
            response = self._taken(flight, rows)
            await commits.made()
            choice = self._answer(flight, response, seconds)
            if choice is not None:
                # A program is judged by running it, and other jobs are in flight.
                right = await asyncio.to_thread(self._judged, flight, choice)
                result = self._finish(flight, choice, right)
                self._journal.finished(result)
                await commits.made()
                return result

    def _came(self, flight: _Flight, rows: int) -> None:
        """Tell of rows that were drawn."""
        if rows and self._watch is not None and isinstance(flight.request, Propose):
            self._watch(flight.job, flight.request, rows)

    def _record(self, result: Result) -> None:
        """Of a job that was killed after its last row and before its outcome was recorded."""
        self._journal.finished(result)
        self._journal.commit()

    # One request of one search -------------------------------------------------------------------

    def _start(self, job: Job) -> _Flight | Result:
        """Start a search and feed it what the journal holds."""
        search = job.strategy.start(job.problem, job.budget)
        engines = self._revision if job.strategy.revises else self._engines
        flight = _Flight(job, search, next(search), engines)
        replay = self._journal.replay(job)
        while (response := replay(flight.request)) is not None:
            choice = self._answer(flight, response, 0.0)
            if choice is not None:
                return self._finish(flight, choice, self._judged(flight, choice))
        return flight

    def _asked(self, flight: _Flight) -> Asked:
        """The rows of its request that an engine has to answer."""
        request = flight.request
        if isinstance(request, Propose):
            seed = self._seed_of(flight)
            return [
                Draw(prefix, request.until, request.temperature, (seed + row * SEED_STRIDE) & _MASK)
                for row, prefix in enumerate(request.prefixes)
                if prefix.is_open
            ]
        if flight.engines.verifier is None:
            raise RunError(
                f"{flight.job.strategy.name} needs a verifier and none was given; name one or "
                "use majority"
            )
        unknown = {s.number: s for s in request.solutions if s.number not in flight.scores}
        return list(unknown.values())

    def _taken(self, flight: _Flight, rows: list[Any]) -> Response:
        """The response to its request, of the rows for what was asked; they are in the journal."""
        if isinstance(flight.request, Propose):
            return self._drawn(flight, flight.request, iter(rows))
        return self._scored(flight, flight.request, rows)

    def _drawn(self, flight: _Flight, request: Propose, rows: Iterator[Drawn]) -> list[Drawn]:
        read: set[tuple[object, ...]] = set()
        response = [
            self._numbered(flight, prefix, _counted_once(flight, prefix, next(rows), read))
            if prefix.is_open
            else Drawn(prefix, 0, 0, 0)
            for prefix in request.prefixes
        ]
        pairs = zip(request.prefixes, response, strict=True)
        self._journal.proposed(flight.job, [pair for pair in pairs if pair[0].is_open])
        return response

    def _numbered(self, flight: _Flight, prefix: Solution, row: Drawn) -> Drawn:
        """The row, numbered in the search tree, with what was seen and cached of its prefix."""
        solution = row.solution
        state = solution.state
        if flight.engines.verifier is not None and solution.is_open:
            # A verifier in process may keep what it read, also of what a server writes.
            state = state or State()
        if prefix.state is not None and prefix.state.verifier is not None:
            state = state or State()
            state.verifier = prefix.state.verifier
        number = flight.solutions
        flight.solutions += 1
        # Truncated is not finished, whatever the engine made of what it wrote.
        answer = solution.answer if solution.finished else None
        solution = replace(
            solution, number=number, state=state, answer=answer, history=prefix.history
        )
        return replace(row, solution=solution)

    def _scored(self, flight: _Flight, request: Verify, rows: Sequence[Verified]) -> list[Verified]:
        unknown = {s.number: s for s in request.solutions if s.number not in flight.scores}
        counted = (_verified_once(flight, row) for row in rows)
        pairs = list(zip(unknown.values(), counted, strict=True))
        self._journal.verified(flight.job, pairs)
        verified = {solution.number: row for solution, row in pairs}
        flight.scores.update((number, row.scores) for number, row in verified.items())
        # A solution asked about again, or twice at once, is paid for once.
        return [
            verified.pop(s.number)
            if s.number in verified
            else Verified(flight.scores[s.number], 0, 0)
            for s in request.solutions
        ]

    def _answer(self, flight: _Flight, response: Response, seconds: float) -> Choice | None:
        """Count a response and send it to the search; its choice, if it has ended."""
        request = flight.request
        payload: list[Solution] | list[Scores]
        if isinstance(request, Propose):
            flight.prompt_proposed = True
            drawn: list[Drawn] = response  # type: ignore[assignment]
            flight.meter.proposed(request, drawn, seconds)
            payload = [row.solution for row in drawn]
            flight.solutions = max([flight.solutions, *(s.number + 1 for s in payload)])
        else:
            flight.prompt_verified |= any(row.computed_tokens for row in response)  # type: ignore[union-attr]
            verified: list[Verified] = response  # type: ignore[assignment]
            flight.meter.verified(verified, seconds)
            payload = [row.scores for row in verified]
            numbers = (solution.number for solution in request.solutions)
            flight.scores.update(zip(numbers, payload, strict=True))
        flight.requests += 1
        try:
            flight.request = flight.search.send(payload)
        except StopIteration as stop:
            found: Choice = stop.value
            return found
        return None

    def _judged(self, flight: _Flight, choice: Choice) -> bool | None:
        """Whether it is right; `None` where nobody knows."""
        reference = flight.job.problem.reference
        if reference is None:
            return None
        return choice.answer is not None and self._grader(choice.answer, reference)

    def _finish(self, flight: _Flight, choice: Choice, right: bool | None) -> Result:
        job = flight.job
        # Whoever keeps a result must not keep what engines have cached with it.
        choice = replace(
            choice,
            candidates=tuple(
                candidate if candidate.state is None else replace(candidate, state=None)
                for candidate in choice.candidates
            ),
        )
        outcome = Outcome(
            problem_id=job.problem.id,
            strategy=job.strategy.name,
            budget=job.budget.generations,
            answer=choice.answer,
            right=right,
            chosen=None if choice.index is None else choice.candidates[choice.index].number,
            usage=flight.meter.total(choice.candidates),
        )
        return Result(job, outcome, choice)

    def _failed(self, flight: _Flight, error: RunError, rows: Sequence[Any]) -> Result:
        """What a job came to that cannot go on; rows that did come back are paid for."""
        request = flight.request
        if isinstance(request, Propose):
            opened = [prefix for prefix in request.prefixes if prefix.is_open]
            came = [pair for pair in zip(opened, rows, strict=True) if pair[1] is not None]
            part = replace(request, prefixes=[prefix for prefix, _ in came])
            read: set[tuple[object, ...]] = set()
            drawn = [
                self._numbered(flight, prefix, _counted_once(flight, prefix, row, read))
                for prefix, row in came
            ]
            flight.meter.proposed(part, drawn, 0.0)
        else:
            scored = [_verified_once(flight, row) for row in rows if row is not None]
            flight.meter.verified(scored, 0.0)
        job = flight.job
        outcome = Outcome(
            problem_id=job.problem.id,
            strategy=job.strategy.name,
            budget=job.budget.generations,
            answer=None,
            right=None,
            chosen=None,
            usage=flight.meter.total(()),
            error=f"{type(error).__name__}: {error}",
        )
        return Result(job, outcome, Choice(None, None, ()))

    def _seed_of(self, flight: _Flight) -> int:
        """Seed of a request's first row: from (seed, stream, problem, position in the search)."""
        text = f"{self._seed}\0{flight.job.stream}\0{flight.job.problem.id}\0{flight.requests}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class _Ports:
    """A port for each engine of a run, made when it is first asked."""

    def __init__(self, rows_in_flight: int, clock: Callable[[], float]) -> None:
        self._room = asyncio.Semaphore(rows_in_flight)
        self._clock = clock
        # One thread: engines in process were never asked for two things at once.
        self._threads = ThreadPoolExecutor(1, "outthink-engine")
        self._known: dict[tuple[type[Request], int], Port[Any, Any]] = {}

    def of(self, flight: _Flight) -> Port[Any, Any]:
        engines, kind = flight.engines, type(flight.request)
        engine = engines.proposer if kind is Propose else engines.verifier
        key = kind, id(engine)
        if key not in self._known:
            self._known[key] = self._made(flight)
        return self._known[key]

    def close(self) -> None:
        """Wait for what runs in process; nothing can stop it."""
        self._threads.shutdown()

    def _made(self, flight: _Flight) -> Port[Any, Any]:
        engines = flight.engines
        if isinstance(flight.request, Propose):
            if is_served_proposer(engines.proposer):
                return Served(engines.proposer.propose, self._room, self._clock)
        elif engines.verifier is not None and is_served_verifier(engines.verifier):
            return Served(engines.verifier.verify, self._room, self._clock)
        return Batched(*_in_process(flight), self._threads, self._clock)


class _Commits:
    """One commit for whoever asks for one in the same turn of the loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._next: asyncio.Future[None] | None = None

    async def made(self) -> None:
        """Everything journalled so far is durable. Raises what the journal raised."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._commit)
        # A cancelled job must not cancel the commit of the others.
        await asyncio.shield(self._next)

    def _commit(self) -> None:
        made, self._next = self._next, None
        assert made is not None
        try:
            self._journal.commit()
        except Exception as error:
            made.set_exception(error)
        else:
            made.set_result(None)


def _is_served(engines: Engines) -> bool:
    verifier = engines.verifier
    return is_served_proposer(engines.proposer) or (
        verifier is not None and is_served_verifier(verifier)
    )


def _in_process(flight: _Flight) -> tuple[str, Callable[[Sequence[Any]], list[Any]]]:
    """Name and call of the engine that its request is for."""
    engines = flight.engines
    if isinstance(flight.request, Propose):
        assert not is_served_proposer(engines.proposer)
        return engines.proposer.name, engines.proposer.propose  # type: ignore[return-value]
    verifier = engines.verifier
    assert verifier is not None and not is_served_verifier(verifier)
    return verifier.name, verifier.verify  # type: ignore[return-value]


async def _next(results: AsyncIterator[Result]) -> Result | None:
    return await anext(results, None)


def _counted_once(
    flight: _Flight, prefix: Solution, row: Drawn, read: set[tuple[object, ...]]
) -> Drawn:
    """The row without what an earlier row of its search, or of its request, has read already."""
    if row.measured:
        return row
    known = row.shared_tokens if flight.prompt_proposed else 0
    if row.prompt_tokens and (prefix.tokens or prefix.history):
        whole = (prefix.history, prefix.tokens)
        known = row.prompt_tokens if whole in read else known
        read.add(whole)
    flight.prompt_proposed |= row.shared_tokens > 0
    if not known:
        return row
    return replace(
        row, prompt_tokens=row.prompt_tokens - known, cached_tokens=row.cached_tokens + known
    )


def _portions(flights: Sequence[_Flight], rows: int) -> Iterator[list[_Flight]]:
    """Parts of at most so many rows, or of one flight: what one commit can lose, and hold."""
    part: list[_Flight] = []
    held = 0
    for flight in flights:
        if part and held + flight.rows > rows:
            yield part
            part, held = [], 0
        part.append(flight)
        held += flight.rows
    if part:
        yield part


def _verified_once(flight: _Flight, row: Verified) -> Verified:
    """The row without the prompt, where an earlier row of its search has read it."""
    known = row.shared_tokens if flight.prompt_verified else 0
    flight.prompt_verified |= row.shared_tokens > 0
    if not known:
        return row
    return replace(
        row, computed_tokens=row.computed_tokens - known, cached_tokens=row.cached_tokens + known
    )


def exact(answer: str, reference: str) -> bool:
    """The grader of tasks whose answers have one canonical form."""
    return answer == reference
