"""The only loop: advances many searches at once and hands what they ask for to the engines.

A search is a generator that yields `Propose` and `Verify`. For each request the runner looks up the
rows that its journal holds, asks the engine for the missing ones, keeps each row as it arrives,
numbers and counts them, and sends them on. Every search goes at its own pace; rows of all searches
that wait for an engine in this process reach it in one call (`models.in_process`). It knows nothing
of models, tensors, files or HTTP.

What it promises: the same seed gives the same outcomes whatever else is in flight, as far as the
engines keep that promise; a row that came is in the journal before any search sees it; no row that
the journal holds is asked for again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from outthink.errors import DeadlineError, RunError, UsageError
from outthink.run.journal import (
    Book,
    Job,
    Journal,
    KeptDraw,
    KeptScore,
    NoJournal,
    Result,
    Writer,
    draw_keys,
    score_key,
)
from outthink.run.ledger import Meter
from outthink.run.team import Team
from outthink.types import (
    SEED_STRIDE,
    Arrival,
    Choice,
    Draw,
    Drawn,
    Grader,
    Outcome,
    Problem,
    Propose,
    Request,
    Scores,
    Search,
    Solution,
    State,
    Verified,
    Verify,
)

ROWS_IN_FLIGHT = 2048
"""Rows that all pending requests ask for together: enough to fill batches, and few enough for what
engines keep of each."""

_MASK = (1 << 63) - 1

_Row = TypeVar("_Row")

Watch = Callable[[Job, Propose, int], None]
"""Told of rows as they are drawn: whose they are, for which request, and how many."""


@dataclass(slots=True, eq=False)
class ActiveJob:
    """A job under way."""

    job: Job
    search: Search
    request: Request
    book: Book
    meter: Meter = field(default_factory=Meter)
    position: int = 0
    """Requests answered: the place of the pending one in the search."""
    solutions: int = 0
    """Solutions numbered: the number of the next one."""
    scores: dict[tuple[str, int], KeptScore] = field(default_factory=dict)
    """By verifier and solution number: no solution is verified twice."""
    parents: dict[int, int] = field(default_factory=dict)
    keys: dict[int, int] = field(default_factory=dict)
    """Of each solution, by its number, the solution it was drawn from and the key of its draw."""
    stateless: dict[int, bool] = field(default_factory=dict)
    """Of open solutions that came from the journal, whether the engine had kept what it read."""
    prompts_read: set[str] = field(default_factory=set)
    """Proposers that have read the problem's prompt."""
    prompts_scored: set[str] = field(default_factory=set)
    """Verifiers that have."""
    scored_now: set[tuple[str, int]] = field(default_factory=set)
    """Those of the scores that came from an engine, not from the journal."""
    asked: dict[str, Writer | str] = field(default_factory=dict)
    """Who answered requests, by role."""

    @property
    def rows(self) -> int:
        """Rows of its pending request."""
        request = self.request
        return len(request.prefixes if isinstance(request, Propose) else request.solutions)


class Runner:
    """Runs jobs. One runner, one team of engines, one seed.

    `deadline_s` is what one job may take. `watch` is told of rows as they are drawn; those that a
    journal holds are not drawn. `grader_name` is what verdicts are kept under.
    """

    def __init__(
        self,
        team: Team,
        *,
        grader: Grader | None = None,
        grader_name: str = "exact",
        seed: int = 0,
        journal: Journal | None = None,
        rows_in_flight: int = ROWS_IN_FLIGHT,
        deadline_s: float | None = None,
        watch: Watch | None = None,
    ) -> None:
        if rows_in_flight < 1:
            raise UsageError(f"rows_in_flight {rows_in_flight} is below 1; nothing could run")
        if deadline_s is not None and deadline_s <= 0:
            raise UsageError(f"deadline_s {deadline_s} is not above 0; nothing could run")
        self._team = team
        self._grader: Grader = grader or exact
        self._grader_name = grader_name
        self._seed = seed
        self._journal: Journal = journal or NoJournal()
        self._rows_in_flight = rows_in_flight
        self._deadline_s = deadline_s
        self._watch = watch
        self._judging: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Answers, by their problems, that a grader is being asked about."""

    async def run(self, jobs: Iterable[Job]) -> AsyncGenerator[Result, None]:
        """Results as jobs finish, each job advancing as soon as its own rows are in.

        A row that fails for good, and a deadline, end their job with an outcome that names the
        error; such a job is not recorded as done, and the same call tries it again. Everything else
        that is raised ends the run. Leaving early cancels what is in flight: close the iterator
        (`contextlib.aclosing`).
        """
        run = _Run(self._rows_in_flight, self._journal)
        waiting = iter(jobs)
        done: asyncio.Queue[asyncio.Task[Result]] = asyncio.Queue()
        tasks: dict[asyncio.Task[Result], ActiveJob] = {}
        try:
            while True:
                rows = sum(active.rows for active in tasks.values())
                while rows < self._rows_in_flight:
                    job = next(waiting, None)
                    if job is None:
                        break
                    active = self._start(job)
                    task = asyncio.create_task(self._run_job(active, run))
                    task.add_done_callback(done.put_nowait)
                    tasks[task] = active
                    rows += active.rows
                if not tasks:
                    return
                task = await done.get()
                del tasks[task]
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._journal.commit()

    async def results(self, jobs: Iterable[Job]) -> list[Result]:
        """All results, in the order in which jobs finish; connections are let go of."""
        try:
            return [result async for result in self.run(jobs)]
        finally:
            await self.aclose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Callable[[Job], Awaitable[Result]]]:
        """Jobs one at a time, from anywhere in this event loop: those under way share the engines
        as the jobs of one run do, and wait while there is no room for their rows. Results are as
        `run` has them. Connections are let go of at the end."""
        run = _Run(self._rows_in_flight, self._journal)
        room = asyncio.Condition()
        rows = 0

        async def ask(job: Job) -> Result:
            nonlocal rows
            async with room:
                await room.wait_for(lambda: rows < self._rows_in_flight)
                active = self._start(job)
                taken = active.rows
                rows += taken
            try:
                return await self._run_job(active, run)
            finally:
                async with room:
                    rows -= taken
                    room.notify_all()

        try:
            yield ask
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the engines' connections, which belong to one event loop; the next request
        makes new ones."""
        await self._team.aclose()

    # One job -------------------------------------------------------------------------------------

    def _start(self, job: Job) -> ActiveJob:
        search = job.strategy.start(job.problem, job.budget)
        request = _checked(job.strategy.name, search, next(search))
        return ActiveJob(job, search, request, self._journal.book(job))

    async def _run_job(self, active: ActiveJob, run: _Run) -> Result:
        """One job from its first request to its end, at its own pace."""
        try:
            async with asyncio.timeout(self._deadline_s) as limit:
                while True:
                    choice = await self._answer(active, run)
                    if choice is not None:
                        return await self._finish(active, choice, run)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = DeadlineError(f"not done within {self._deadline_s:g} s; give it longer")
            late.__cause__ = error
            return self._failed(active, late)
        except _EngineFailed as failed:
            return self._failed(active, failed.error)
        finally:
            active.book.close()

    async def _answer(self, active: ActiveJob, run: _Run) -> Choice | None:
        """Answer the pending request and send it to the search; its choice, if it has ended."""
        request = active.request
        payload: list[Solution] | list[Scores]
        if isinstance(request, Propose):
            payload = await self._propose(active, request, run)
        else:
            payload = await self._verify(active, request, run)
        active.position += 1
        try:
            yielded = active.search.send(payload)
        except StopIteration as stop:
            choice: Choice = stop.value
            return choice
        active.request = _checked(active.job.strategy.name, active.search, yielded)
        return None

    async def _finish(self, active: ActiveJob, choice: Choice, run: _Run) -> Result:
        job = active.job
        # Whoever keeps a result must not keep what engines have cached with it.
        choice = replace(
            choice,
            candidates=tuple(
                candidate if candidate.state is None else replace(candidate, state=None)
                for candidate in choice.candidates
            ),
        )
        right = await self._right(job.problem, choice.answer)
        if job.judges_all:
            for answer in dict.fromkeys(candidate.answer for candidate in choice.candidates):
                await self._right(job.problem, answer)
        outcome = Outcome(
            problem_id=job.problem.id,
            strategy=job.strategy.name,
            budget=job.budget.generations,
            answer=choice.answer,
            right=right,
            chosen=None if choice.index is None else choice.candidates[choice.index].number,
            usage=active.meter.total(choice.candidates),
        )
        result = Result(job, outcome, choice)
        active.book.finish(result, active.asked)
        await run.committed()
        return result

    async def _right(self, problem: Problem, answer: str | None) -> bool | None:
        """Whether an answer is right; `None` where nobody knows. With a journal nothing is judged
        twice: who wants a verdict that another job waits for waits too."""
        if problem.reference is None:
            return None
        if answer is None:
            return False
        place = problem.id, answer
        while True:
            known = self._journal.verdict(problem, self._grader_name, answer)
            if known is not None:
                return known
            if place not in self._judging:
                break
            await asyncio.wait([self._judging[place]])
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._journal.keeps:
            self._judging[place] = here
        try:
            if self._grader is exact:
                right = exact(answer, problem.reference)
            else:
                # A program is judged by running it, and other jobs are in flight.
                right = await asyncio.to_thread(self._grader, answer, problem.reference)
            self._journal.keep_verdict(problem, self._grader_name, answer, right)
        finally:
            if self._journal.keeps:
                del self._judging[place]
                here.set_result(None)
        return right

    def _failed(self, active: ActiveJob, error: RunError) -> Result:
        """What a job came to that cannot go on; the rows that came are kept."""
        job = active.job
        outcome = Outcome(
            problem_id=job.problem.id,
            strategy=job.strategy.name,
            budget=job.budget.generations,
            answer=None,
            right=None,
            chosen=None,
            usage=active.meter.total(()),
            error=f"{type(error).__name__}: {error}",
        )
        return Result(job, outcome, Choice(None, None, ()))

    # Propose -------------------------------------------------------------------------------------

    async def _propose(self, active: ActiveJob, request: Propose, run: _Run) -> list[Solution]:
        engine = self._team.writer(request.role)
        writer = active.asked[request.role] = Writer.of(engine, self._seed)
        opened = [prefix for prefix in request.prefixes if prefix.is_open]
        seed = self._seed_of(active)
        places = [row for row, prefix in enumerate(request.prefixes) if prefix.is_open]
        draws = [
            Draw(prefix, request.until, request.temperature, (seed + row * SEED_STRIDE) & _MASK)
            for row, prefix in zip(places, opened, strict=True)
        ]
        keys = draw_keys(active.job.stream, active.position, places, draws)
        rows = list(active.book.draws(writer, keys, opened))
        restored = [row is not None for row in rows]

        def keep(place: int, arrival: Arrival[Drawn]) -> None:
            row = arrival.row
            state = row.solution.state
            prefix = opened[place]
            rows[place] = kept = KeptDraw(
                row,
                arrival.seconds,
                has_state=state is not None and state.proposer is not None,
                reread=not row.measured and active.stateless.get(prefix.number, False),
            )
            active.book.keep_draw(writer, keys[place], prefix, kept)
            run.commit_soon()
            if self._watch is not None:
                self._watch(active.job, request, 1)

        def look_up(places: Sequence[int]) -> None:
            found = active.book.draws(
                writer, [keys[p] for p in places], [opened[p] for p in places]
            )
            for place, row in zip(places, found, strict=True):
                rows[place] = row
                restored[place] = row is not None

        try:
            await run.fetch(
                (active.job.problem.id, writer),
                keys,
                lambda: [place for place, row in enumerate(rows) if row is None],
                lambda places: engine.propose([draws[place] for place in places]),
                keep,
                look_up,
            )
        except (_EngineFailed, asyncio.CancelledError):
            came = [place for place, row in enumerate(rows) if row is not None]
            part = replace(request, prefixes=[opened[place] for place in came])
            self._counted(active, part, engine.name, [rows[place] for place in came])
            raise
        await run.committed()
        response = self._counted(active, request, engine.name, rows)
        first = active.solutions - len(draws)
        drawn = [
            row for prefix, row in zip(request.prefixes, response, strict=True) if prefix.is_open
        ]
        active.book.numbered(writer, keys, [prefix.number for prefix in opened], drawn)
        for place, (prefix, was) in enumerate(zip(opened, restored, strict=True)):
            number, row = first + place, rows[place]
            active.parents[number], active.keys[number] = prefix.number, keys[place]
            if was and row is not None and row.row.solution.is_open and row.has_state:
                active.stateless[number] = True
        return [row.solution for row in response]

    def _counted(
        self,
        active: ActiveJob,
        request: Propose,
        engine: str,
        rows: Sequence[KeptDraw | None],
    ) -> list[Drawn]:
        """The response to a request of these rows, numbered; its cost is on the meter."""
        waiting = iter(rows)
        read: set[tuple[object, ...]] = set()
        response: list[Drawn] = []
        seconds = 0.0
        for prefix in request.prefixes:
            if not prefix.is_open:
                response.append(Drawn(prefix, 0, 0, 0))
                continue
            kept = next(waiting)
            assert kept is not None
            seconds += kept.seconds
            row = _counted_once(active, engine, prefix, kept, read)
            response.append(self._numbered(active, request, prefix, row))
        active.prompts_read.add(engine)
        active.meter.proposed(request, response, seconds)
        return response

    def _numbered(self, active: ActiveJob, request: Propose, prefix: Solution, row: Drawn) -> Drawn:
        """The row, numbered in the search tree, with what was seen and cached of its prefix."""
        solution = row.solution
        state = solution.state
        if solution.is_open and self._team.verifiers:
            # A verifier in process may keep what it read, also of what a server writes.
            state = state or State()
        if prefix.state is not None and prefix.state.verifier is not None:
            state = state or State()
            state.verifier = prefix.state.verifier
        number = active.solutions
        active.solutions += 1
        # Truncated is not finished, whatever the engine made of what it wrote.
        answer = solution.answer if solution.finished else None
        solution = replace(
            solution, number=number, state=state, answer=answer, history=prefix.history
        )
        return replace(row, solution=solution)

    # Verify --------------------------------------------------------------------------------------

    async def _verify(self, active: ActiveJob, request: Verify, run: _Run) -> list[Scores]:
        engine = self._team.verifier(request.role)
        if engine is None:
            raise UsageError(
                f"{active.job.strategy.name} needs a verifier and none was given; name one or "
                "use majority"
            )
        name = active.asked[request.role] = engine.name
        unknown = {
            solution.number: solution
            for solution in request.solutions
            if (name, solution.number) not in active.scores
        }
        solutions = list(unknown.values())
        keys = [score_key(solution, active.keys.get(solution.number, 0)) for solution in solutions]
        rows = list(active.book.scores(name, keys))
        before = [self._read_before(active, name, solution) for solution in solutions]

        def keep(place: int, arrival: Arrival[Verified]) -> None:
            solution = solutions[place]
            state = solution.state
            rows[place] = kept = KeptScore(
                arrival.row,
                arrival.seconds,
                has_state=state is not None and state.verifier is not None,
                reread=before[place].lost,
            )
            active.book.keep_score(name, keys[place], kept)
            active.scored_now.add((name, solution.number))
            run.commit_soon()

        def look_up(places: Sequence[int]) -> None:
            known = active.book.scores(name, [keys[place] for place in places])
            for place, row in zip(places, known, strict=True):
                rows[place] = row

        try:
            await run.fetch(
                (active.job.problem.id, name),
                keys,
                lambda: [place for place, row in enumerate(rows) if row is None],
                lambda places: engine.verify([solutions[place] for place in places]),
                keep,
                look_up,
            )
        except (_EngineFailed, asyncio.CancelledError):
            came = [row for row in rows if row is not None]
            active.meter.verified([row.row for row in came], sum(row.seconds for row in came))
            raise
        await run.committed()
        counted: dict[int, Verified] = {}
        seconds = 0.0
        for solution, key, kept, read in zip(solutions, keys, rows, before, strict=True):
            assert kept is not None
            seconds += kept.seconds
            counted[solution.number] = self._scored_once(active, name, kept, read.tokens)
            active.scores[name, solution.number] = kept
            active.book.scored(name, solution.number, key, counted[solution.number])
        if any(row.computed_tokens for row in counted.values()):
            active.prompts_scored.add(name)
        # A solution asked about again, or twice at once, is paid for once.
        active.meter.verified(list(counted.values()), seconds)
        return [active.scores[name, solution.number].row.scores for solution in request.solutions]

    def _read_before(self, active: ActiveJob, verifier: str, solution: Solution) -> _ReadBefore:
        """What the verifier had read of a solution when it scored the last of its prefixes."""
        number = active.parents.get(solution.number, -1)
        while number >= 0 and not solution.history:
            kept = active.scores.get((verifier, number))
            if kept is not None:
                if not kept.has_state:
                    break
                tokens = kept.row.computed_tokens + kept.row.cached_tokens
                return _ReadBefore(tokens, lost=(verifier, number) not in active.scored_now)
            number = active.parents.get(number, -1)
        return _ReadBefore(0, lost=False)

    def _scored_once(
        self, active: ActiveJob, verifier: str, kept: KeptScore, held: int
    ) -> Verified:
        """The row without what an earlier row of its search has read; `held` tokens of it are
        those of its prefix."""
        row = kept.row
        if kept.reread:
            again = max(0, min(held - row.cached_tokens, row.computed_tokens))
            return _moved(row, again)
        known = row.shared_tokens if verifier in active.prompts_scored else 0
        if row.shared_tokens:
            active.prompts_scored.add(verifier)
        return _moved(row, known)

    def _seed_of(self, active: ActiveJob) -> int:
        """Seed of a request's first row: from (seed, stream, problem, position in the search)."""
        job = active.job
        text = f"{self._seed}\0{job.stream}\0{job.problem.id}\0{active.position}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class _ReadBefore(NamedTuple):
    """What a verifier had read of a solution before."""

    tokens: int
    lost: bool
    """It has to be read again, since an engine kept it in another run or for another search."""


def _moved(row: Verified, tokens: int) -> Verified:
    """The row with so many of its computed tokens counted as cached."""
    if not tokens:
        return row
    return replace(
        row,
        computed_tokens=row.computed_tokens - tokens,
        cached_tokens=row.cached_tokens + tokens,
    )


def _counted_once(
    active: ActiveJob,
    engine: str,
    prefix: Solution,
    kept: KeptDraw,
    read: set[tuple[object, ...]],
) -> Drawn:
    """The row without what an earlier row of its search, or of its request, has read already."""
    row = kept.row
    if row.measured:
        return row
    if kept.reread:
        known = row.prompt_tokens
    else:
        known = row.shared_tokens if engine in active.prompts_read else 0
        if row.prompt_tokens and (prefix.tokens or prefix.history):
            whole = (prefix.history, prefix.tokens)
            known = row.prompt_tokens if whole in read else known
            read.add(whole)
        if row.shared_tokens > 0:
            active.prompts_read.add(engine)
    if not known:
        return row
    return replace(
        row, prompt_tokens=row.prompt_tokens - known, cached_tokens=row.cached_tokens + known
    )


class _Run:
    """What the jobs of one run share: room for rows, rows in flight, commits."""

    def __init__(self, rows_in_flight: int, journal: Journal) -> None:
        self._room = _Room(rows_in_flight)
        self._journal = journal
        self._in_flight: dict[tuple[object, int], asyncio.Future[None]] = {}
        self._commit: asyncio.Future[None] | None = None

    async def fetch(
        self,
        whose: object,
        keys: Sequence[int],
        missing: Callable[[], list[int]],
        ask: Callable[[Sequence[int]], AsyncIterator[Arrival[_Row]]],
        keep: Callable[[int, Arrival[_Row]], None],
        look_up: Callable[[Sequence[int]], None],
    ) -> None:
        """Have all rows of a request that are missing: those that another job waits for are looked
        up once they are there, all others are asked for."""
        while places := missing():
            theirs = {
                place: self._in_flight[whose, keys[place]]
                for place in places
                if (whose, keys[place]) in self._in_flight
            }
            ours = [place for place in places if place not in theirs]
            if ours:
                await self._ask_ours(whose, keys, ours, ask, keep)
            if theirs:
                await asyncio.wait(set(theirs.values()))
                look_up(list(theirs))

    async def _ask_ours(
        self,
        whose: object,
        keys: Sequence[int],
        places: Sequence[int],
        ask: Callable[[Sequence[int]], AsyncIterator[Arrival[_Row]]],
        keep: Callable[[int, Arrival[_Row]], None],
    ) -> None:
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._journal.keeps:
            self._in_flight.update(dict.fromkeys(((whose, keys[place]) for place in places), here))

        async def part(some: Sequence[int]) -> None:
            left = len(some)
            arrivals = ask(some)
            try:
                while (arrival := await _next(arrivals)) is not None:
                    keep(some[arrival.place], arrival)
                    left -= 1
                    self._room.give(1)
                if left:
                    raise _EngineFailed(
                        RunError(
                            f"an engine returned {len(some) - left} rows for {len(some)} asked; it "
                            "returns one row each"
                        )
                    )
            finally:
                self._room.give(left)

        try:
            taken = await self._room.take(len(places))
            if taken == len(places):
                await part(places)
                return
            parts: list[Awaitable[None]] = []
            start = 0
            try:
                while True:
                    some = places[start : start + taken]
                    parts.append(asyncio.ensure_future(part(some)))
                    start += taken
                    if start == len(places):
                        break
                    taken = await self._room.take(len(places) - start)
                await _all(parts)
            finally:
                for task in parts:
                    if isinstance(task, asyncio.Task):
                        task.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
        finally:
            if self._journal.keeps:
                for place in places:
                    del self._in_flight[whose, keys[place]]
            here.set_result(None)

    def commit_soon(self) -> None:
        """Make everything journalled in this turn of the event loop durable at its end."""
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            # Nobody may be waiting for it; whoever does is told of the error.
            self._commit.add_done_callback(lambda done: done.cancelled() or done.exception())
            loop.call_soon(self._do_commit)

    async def committed(self) -> None:
        """Everything journalled so far is durable. Raises what the journal raised."""
        self.commit_soon()
        assert self._commit is not None
        # A cancelled job must not cancel the commit of the others.
        await asyncio.shield(self._commit)

    def _do_commit(self) -> None:
        made, self._commit = self._commit, None
        assert made is not None
        try:
            self._journal.commit()
        except Exception as error:
            made.set_exception(error)
        else:
            made.set_result(None)


async def _all(parts: Sequence[Awaitable[None]]) -> None:
    """Wait for all parts; the first error is raised once the others are done, unless it would fail
    them all."""
    failed: BaseException | None = None
    for done in asyncio.as_completed(parts):
        try:
            await done
        except _EngineFailed as error:
            failed = failed or error
    if failed is not None:
        raise failed


class _EngineFailed(Exception):
    """An engine could not answer a request: the end of one job. What a journal raises ends all."""

    def __init__(self, error: RunError) -> None:
        super().__init__(str(error))
        self.error = error


async def _next(arrivals: AsyncIterator[Arrival[_Row]]) -> Arrival[_Row] | None:
    """The next row of an engine; `None` after the last."""
    try:
        return await anext(arrivals, None)
    except RunError as error:
        raise _EngineFailed(error) from error


def _checked(name: str, search: Search, yielded: object) -> Request:
    """What a search yielded, if it is a request. Raises `UsageError` where it is none."""
    if isinstance(yielded, Propose | Verify):
        return yielded
    frame = getattr(search, "gi_frame", None)
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}: " if frame else ""
    raise UsageError(
        f"{where}search {name} yields {type(yielded).__name__}; a search yields Propose or Verify"
    )


class _Room:
    """So many rows may be in flight; whoever came first is served first."""

    def __init__(self, rows: int) -> None:
        self._free = rows
        self._waiting: list[asyncio.Future[None]] = []

    async def take(self, most: int) -> int:
        """Room for up to so many rows: at least one, waiting where there is none."""
        while self._free <= 0:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif self._free > 0:
                    self._wake()
                raise
        taken = min(most, self._free)
        self._free -= taken
        if self._free:
            self._wake()
        return taken

    def give(self, rows: int) -> None:
        """Rows are in."""
        self._free += rows
        if rows:
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                return


def run_jobs(runner: Runner, jobs: Iterable[Job], on_result: Callable[[Result], None]) -> None:
    """Run jobs where there is no event loop, and let go of connections. Raises what `Runner.run`
    does, and `UsageError` inside an event loop, where `Runner.run` is what is meant."""

    async def run() -> None:
        try:
            async for result in runner.run(jobs):
                on_result(result)
        finally:
            await runner.aclose()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(run())
        return
    raise UsageError("run_jobs inside an event loop would block it; use Runner.run")


def exact(answer: str, reference: str) -> bool:
    """The grader of tasks whose answers have one canonical form."""
    return answer == reference
