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
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

from outthink.errors import DeadlineError, RunError, UsageError
from outthink.run.events import Spent
from outthink.run.journal import (
    Job,
    Journal,
    NoJournal,
    Result,
)
from outthink.run.needed import ActiveJob, DrawsNeeded, RowsNeeded, ScoresNeeded
from outthink.run.team import Team
from outthink.types import (
    Arrival,
    Choice,
    Grader,
    Outcome,
    OutOfTime,
    Problem,
    Propose,
    Request,
    Scores,
    Search,
    Solution,
    Verify,
)

ROWS_IN_FLIGHT = 2048
"""Rows that all pending requests ask for together: enough to fill batches, and few enough for what
engines keep of each."""

_MASK = (1 << 63) - 1

_Row = TypeVar("_Row")

Watch = Callable[[Job, Propose, int], None]
"""Told of rows as they are drawn: whose they are, for which request, and how many."""


class Runner:
    """Runs jobs. One runner, one team of engines, one seed.

    `deadline_s` is for jobs that have none of their own. `watch` is told of rows as they are drawn;
    those that a journal holds are not drawn. `grader_name` is what verdicts are kept under.
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
        tasks: set[asyncio.Task[Result]] = set()
        try:
            while True:
                while run.rows < self._rows_in_flight:
                    job = next(waiting, None)
                    if job is None:
                        break
                    active = self._start(job, run)
                    task = asyncio.create_task(self._run_job(active, run))
                    task.add_done_callback(done.put_nowait)
                    tasks.add(task)
                if not tasks:
                    return
                task = await done.get()
                tasks.remove(task)
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
                active = self._start(job, run)
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

    def _start(self, job: Job, run: _Run) -> ActiveJob:
        search = job.strategy.start(job.problem, job.budget)
        request = _checked(job.strategy.name, search, next(search))
        active = ActiveJob(job, search, request, self._journal.book(job))
        run.rows += active.rows
        return active

    async def _run_job(self, active: ActiveJob, run: _Run) -> Result:
        """One job from its first request to its end, at its own pace."""
        deadline_s = self._deadline_s if active.job.deadline_s is None else active.job.deadline_s
        try:
            async with asyncio.timeout(deadline_s) as limit:
                while True:
                    choice = await self._answer(active, run)
                    if choice is not None:
                        return await self._finish(active, choice, run)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = DeadlineError(f"not done within {deadline_s:g} s; give it longer")
            late.__cause__ = error
            return self._failed(active, late, _stateless(_best_so_far(active)))
        except _EngineFailed as failed:
            return self._failed(active, failed.error)
        finally:
            run.rows -= active.rows
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
        _spent(active)
        try:
            yielded = active.search.send(payload)
        except StopIteration as stop:
            choice: Choice = stop.value
            return choice
        run.rows -= active.rows
        active.request = _checked(active.job.strategy.name, active.search, yielded)
        run.rows += active.rows
        return None

    async def _finish(self, active: ActiveJob, choice: Choice, run: _Run) -> Result:
        job = active.job
        choice = _stateless(choice)
        right = await self._right(job.problem, choice.answer, run)
        if job.judges_all:
            for answer in dict.fromkeys(candidate.answer for candidate in choice.candidates):
                if answer != choice.answer:
                    await self._right(job.problem, answer, run)
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

    async def _right(self, problem: Problem, answer: str | None, run: _Run) -> bool | None:
        """Whether an answer is right; `None` where nobody knows. Nothing is judged twice."""
        if problem.reference is None:
            return None
        if answer is None:
            return False
        known = self._journal.verdict(problem, self._grader_name, answer)
        if known is not None:
            return known
        if self._grader is exact:
            right = exact(answer, problem.reference)
        else:
            # A program is judged by running it, and other jobs are in flight.
            judge = partial(asyncio.to_thread, self._grader, answer, problem.reference)
            right = await run.judged((problem.id, answer), judge)
            known = self._journal.verdict(problem, self._grader_name, answer)
        if known is None:
            self._journal.keep_verdict(problem, self._grader_name, answer, right)
        return right

    def _failed(
        self,
        active: ActiveJob,
        error: RunError,
        choice: Choice = Choice(None, None, ()),  # noqa: B008 - frozen
    ) -> Result:
        """What a job came to that cannot go on; the rows that came are kept."""
        job = active.job
        outcome = Outcome(
            problem_id=job.problem.id,
            strategy=job.strategy.name,
            budget=job.budget.generations,
            answer=None,
            right=None,
            chosen=None,
            usage=active.meter.total(choice.candidates),
            error=f"{type(error).__name__}: {error}",
        )
        return Result(job, outcome, choice, error)

    # One request ---------------------------------------------------------------------------------

    async def _propose(self, active: ActiveJob, request: Propose, run: _Run) -> list[Solution]:
        needed = DrawsNeeded(active, request, self._team.writer(request.role), self._seed)
        try:
            await run.fetch(needed, lambda rows: self._drew(active, request, rows))
        except (_EngineFailed, asyncio.CancelledError):
            needed.count_what_came()
            _spent(active)
            raise
        await run.committed()
        return needed.response(verifies=bool(self._team.verifiers))

    def _drew(self, active: ActiveJob, request: Propose, rows: int) -> None:
        if self._watch is not None:
            self._watch(active.job, request, rows)

    async def _verify(self, active: ActiveJob, request: Verify, run: _Run) -> list[Scores]:
        engine = self._team.verifier(request.role)
        if engine is None:
            raise UsageError(
                f"{active.job.strategy.name} needs a verifier and none was given; name one or "
                "use majority"
            )
        needed = ScoresNeeded(active, request, engine)
        try:
            await run.fetch(needed)
        except (_EngineFailed, asyncio.CancelledError):
            needed.count_what_came()
            _spent(active)
            raise
        await run.committed()
        return needed.response()


def _spent(active: ActiveJob) -> None:
    """Tell whoever listens what a job has spent so far."""
    if active.job.listen is not None:
        active.tell(Spent(active.meter.total(())))


class _Run:
    """What the jobs of one run share: room for rows, rows in flight, commits."""

    def __init__(self, rows_in_flight: int, journal: Journal) -> None:
        self._room = _Room(rows_in_flight)
        self.rows = 0
        """Rows of all pending requests."""
        self._journal = journal
        self._in_flight: dict[object, dict[int, asyncio.Future[None]]] = {}
        """By whose rows they are, then key: done once a row is there, or failed."""
        self._commit: asyncio.Future[None] | None = None
        self._judged: dict[tuple[str, str], asyncio.Task[bool]] = {}

    async def judged(
        self, about: tuple[str, str], judge: Callable[[], Coroutine[None, None, bool]]
    ) -> bool:
        """The verdict on an answer to a problem, which jobs that have it at once share."""
        if about not in self._judged:
            self._judged[about] = asyncio.create_task(judge())
        task = self._judged[about]
        try:
            # A job that is cancelled must not take the verdict from the others.
            return await asyncio.shield(task)
        finally:
            if task.done():
                self._judged.pop(about, None)

    async def fetch(
        self, needed: RowsNeeded[_Row], on_rows: Callable[[int], None] = lambda rows: None
    ) -> None:
        """Have all rows of a request that are missing: those that another job waits for are looked
        up once they are there, all others are asked for."""
        while places := needed.missing():
            keys, flying = needed.keys, self._in_flight.get(needed.whose, {})
            theirs = {place: flying[keys[place]] for place in places if keys[place] in flying}
            ours = [place for place in places if place not in theirs] if theirs else places
            if ours:
                await self._ask(needed, ours, on_rows)
            if theirs:
                await asyncio.wait(set(theirs.values()))
                needed.look_up(list(theirs))

    async def _ask(
        self, needed: RowsNeeded[_Row], places: Sequence[int], on_rows: Callable[[int], None]
    ) -> None:
        if not self._journal.keeps:
            await self._ask_as_there_is_room(needed, places, on_rows)
            return
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        keys = [needed.keys[place] for place in places]
        flying = self._in_flight.setdefault(needed.whose, {})
        flying.update(dict.fromkeys(keys, here))
        try:
            await self._ask_as_there_is_room(needed, places, on_rows)
        finally:
            for key in keys:
                del flying[key]
            if not flying:
                del self._in_flight[needed.whose]
            here.set_result(None)

    async def _ask_as_there_is_room(
        self, needed: RowsNeeded[_Row], places: Sequence[int], on_rows: Callable[[int], None]
    ) -> None:
        taken = await self._room.take(len(places))
        if taken == len(places):
            await self._ask_part(needed, places, on_rows)
            return
        parts: list[asyncio.Task[None]] = []
        try:
            while places:
                part = self._ask_part(needed, places[:taken], on_rows)
                parts.append(asyncio.create_task(part))
                places = places[taken:]
                taken = await self._room.take(len(places)) if places else 0
            await _all(parts)
        finally:
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _ask_part(
        self, needed: RowsNeeded[_Row], places: Sequence[int], on_rows: Callable[[int], None]
    ) -> None:
        """Ask for rows that there is room for, and record each as it comes."""
        left = len(places)
        take = _batches(needed.ask(places))
        try:
            while arrivals := await _came(take):
                needed.record(places, arrivals)
                self.commit_soon()
                on_rows(len(arrivals))
                left -= len(arrivals)
                self._room.give(len(arrivals))
            if left:
                came = f"{len(places) - left} rows for {len(places)} asked"
                raise _EngineFailed(RunError(f"an engine returned {came}; it returns one row each"))
        finally:
            self._room.give(left)

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


_Take = Callable[[], Awaitable[Sequence[Arrival[_Row]]]]
"""Gives the next rows of an engine; none after the last."""


def _batches(arrivals: AsyncIterator[Arrival[_Row]]) -> _Take[_Row]:
    """Takes rows that come together at once (`outthink.types.Batches`), all others one by one."""
    batch: _Take[_Row] | None = getattr(arrivals, "batch", None)
    if batch is not None:
        return batch

    async def one() -> Sequence[Arrival[_Row]]:
        arrival = await anext(arrivals, None)
        return () if arrival is None else (arrival,)

    return one


async def _came(take: _Take[_Row]) -> Sequence[Arrival[_Row]]:
    try:
        return await take()
    except RunError as error:
        raise _EngineFailed(error) from error


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


def _best_so_far(active: ActiveJob) -> Choice:
    """What a job would answer now: as its search has it, or else by all that was drawn."""
    try:
        active.search.throw(OutOfTime())
    except StopIteration as stop:
        own: Choice = stop.value
        if own.answer is not None:
            return own
    except OutOfTime:
        pass
    return active.best()


def _stateless(choice: Choice) -> Choice:
    """Whoever keeps a result must not keep what engines have cached with it."""
    kept = (one if one.state is None else replace(one, state=None) for one in choice.candidates)
    return replace(choice, candidates=tuple(kept))


class _EngineFailed(Exception):
    """An engine could not answer a request: the end of one job. What a journal raises ends all."""

    def __init__(self, error: RunError) -> None:
        super().__init__(str(error))
        self.error = error


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
