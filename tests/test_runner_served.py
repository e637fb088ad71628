"""The runner with served engines: no barriers, one error ends one problem, all counted once."""

import asyncio
import threading
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import groupby
from zlib import crc32

import pytest
from contract import (
    SPENDS,
    STEPWISE,
    Chain,
    Counted,
    Patchy,
    check_result,
    problems,
    results,
    run_all,
    solve,
    solve_one,
)
from test_runner import Memory, facts, jobs_of

from outthink.errors import RunError, ServerError, UsageError
from outthink.models.in_process import SharedTime, in_flight
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.runner import Runner, run_jobs
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget, Choice, Propose, Solution, Strategy, Usage, Verify

FIVE_STEPS = ScriptedProposer(max_steps=5, mischief=0.05)


@dataclass
class Remote:
    """An in-process engine behind requests, which come back in an order of their own.

    `trouble(row)` may raise for a row, or return something to wait for.
    """

    engine: object
    trouble: object = None
    requests: list = field(default_factory=list)
    now: int = 0
    most: int = 0
    closed: int = 0
    name: str = "remote"
    time: SharedTime = field(default_factory=SharedTime)

    def propose(self, draws):
        return in_flight(self._propose_one, draws, self.time)

    async def text(self, tokens):
        return self.engine.decode(tokens)

    async def aclose(self):
        self.closed += 1

    async def _propose_one(self, draw):
        return await self._ask(self.engine.propose_batch, draw)

    async def _ask(self, ask, row):
        self.requests.append(row)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.trouble is not None and (wait := self.trouble(row)) is not None:
                await wait
            for _ in range(crc32(str(row).encode()) % 5):
                await asyncio.sleep(0)
            return ask([row])[0]
        finally:
            self.now -= 1


@dataclass
class RemoteVerifier(Remote):
    def verify(self, solutions):
        return in_flight(self._verify_one, solutions, self.time)

    async def _verify_one(self, solution):
        return await self._ask(self.engine.verify_batch, solution)


def failing(*names, error=ServerError):
    """Trouble for the fourth row and later of these problems."""
    asked, failed = Counter(), Counter()

    def trouble(row):
        problem = getattr(row, "prefix", row).problem.id
        asked[problem] += 1
        if problem in names and asked[problem] > 3:
            failed[problem] += 1
            raise error(f"{problem} is lost")

    trouble.failed = failed
    return trouble


# The same as in process --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPENDS)
@pytest.mark.parametrize("n", [1, 3, 16])
def test_served_engines_give_the_outcomes_that_engines_in_process_give(name, n):
    jobs = jobs_of(name, n=n, of=9)
    verifier = ScriptedVerifier(silence=0.1)
    here = facts(run_all(jobs, FIVE_STEPS, verifier))
    for proposer in (Remote(FIVE_STEPS), FIVE_STEPS):
        for scorer in (RemoteVerifier(verifier), verifier):
            assert facts(run_all(jobs, proposer, scorer, rows_in_flight=40)) == here


@pytest.mark.parametrize("name", SPENDS)
def test_served_engines_cost_what_engines_in_process_cost(name):
    jobs = jobs_of(name, of=6)
    here = run_all(jobs, FIVE_STEPS, ScriptedVerifier())
    there = run_all(jobs, Remote(FIVE_STEPS), RemoteVerifier(ScriptedVerifier()))
    usage = {r.job.problem.id: r.outcome.usage for r in here}
    assert {r.job.problem.id: r.outcome.usage for r in there} == usage
    for result in there:
        check_result(result)


def test_every_row_is_a_request_of_its_own():
    proposer = Remote(Chain(3))
    (result,) = run_all(jobs_of("beam", n=4, of=1), proposer, Patchy(0.0))
    assert len(proposer.requests) == 4 * 3
    assert result.outcome.usage.generations == 4


def test_revisions_go_to_engines_of_their_own():
    reviser = Remote(Chain(2))
    jobs = jobs_of("revise", "best_of_n", n=4, of=2)
    team = Team.of(
        Remote(Chain(5)), Patchy(0.0), reviser=reviser, revision_verifier=ScriptedVerifier()
    )
    assert len(results(team, jobs)) == 4
    assert len(reviser.requests) == 2 * 4


# In flight ---------------------------------------------------------------------------------------


def test_hundreds_of_problems_are_in_flight_at_once():
    class Gate:
        waiting = 0
        opened = asyncio.Event()

    def all_in(row):
        Gate.waiting += 1
        if Gate.waiting == 300:
            Gate.opened.set()
        return Gate.opened.wait()

    proposer = Remote(Chain(2), all_in)
    assert len(run_all(jobs_of("majority", n=1, of=300), proposer)) == 300
    assert proposer.most == 300


def test_a_problem_that_waits_keeps_no_other_waiting():
    # p0 may go on only once all others are done with all their steps.
    done = []
    release = asyncio.Event()

    def slow(row):
        return release.wait() if row.prefix.problem.id == "p0" else None

    async def run():
        runner = Runner(Team.of(Remote(Chain(6), slow), ScriptedVerifier()))
        async for result in runner.run(jobs_of("beam", n=4, of=20)):
            done.append(result.job.problem.id)
            if len(done) == 19:
                release.set()

    asyncio.run(run())
    assert len(done) == 20 and done[-1] == "p0"


def test_requests_go_on_while_a_result_is_awaited_on():
    async def run():
        held, at_last_step = asyncio.Event(), asyncio.Event()

        def trouble(draw):
            if draw.prefix.problem.id == "p0":
                return None
            if draw.prefix.steps == 2:
                at_last_step.set()
            return held.wait()

        runner = Runner(Team.of(Remote(Chain(3), trouble), ScriptedVerifier()))
        async with aclosing(runner.run(jobs_of("beam", n=4, of=2))) as results:
            first = await anext(results)
            held.set()
            await at_last_step.wait()  # nobody asks for the next result meanwhile
            return [first.job.problem.id, (await anext(results)).job.problem.id]

    assert asyncio.run(run()) == ["p0", "p1"]


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_requests_in_flight_are_bounded(rows):
    proposer, verifier = Remote(FIVE_STEPS), RemoteVerifier(ScriptedVerifier())
    jobs = jobs_of("best_of_n", n=16, of=9)
    assert len(run_all(jobs, proposer, verifier, rows_in_flight=rows)) == 9
    assert max(proposer.most, verifier.most) <= rows


def test_engine_seconds_are_the_time_that_the_engine_was_busy():
    ticks = iter(range(10**6))
    now = [0.0]

    def clock():
        now[0] = float(next(ticks))
        return now[0]

    engine = Remote(Chain(3), time=SharedTime(clock))
    total = sum(r.outcome.usage.seconds for r in run_all(jobs_of("majority", n=4, of=5), engine))
    assert total == pytest.approx(now[0], rel=0.1)


# Beside engines in process -----------------------------------------------------------------------


def test_an_engine_in_process_is_called_for_many_problems_at_once_and_by_one_thread():
    threads = set()

    class Threaded(ScriptedVerifier):
        def verify_batch(self, solutions):
            threads.add(threading.current_thread())
            return super().verify_batch(solutions)

    verifier = Counted(Threaded())
    run_all(jobs_of("best_of_n", n=4, of=50), Remote(Chain(3)), verifier)
    assert len(verifier.rows) == 200
    assert len(verifier.calls) < 25
    assert len(threads) == 1 and threading.main_thread() not in threads


def test_a_proposer_in_process_is_called_in_batches_beside_a_served_verifier():
    proposer = Counted(Chain(3))
    run_all(jobs_of("beam", n=4, of=50), proposer, RemoteVerifier(ScriptedVerifier()))
    assert [len(call) for call in proposer.calls][:1] == [200]
    assert len(proposer.calls) < 30


def test_a_verifier_in_process_that_answers_nothing_ends_every_job_with_an_error():
    class Broken:
        name = "broken"

        def verify_batch(self, solutions):
            return []

    for result in run_all(jobs_of("best_of_n"), Remote(Chain(3)), Broken()):
        assert "broken returned 0 rows for" in result.outcome.error


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPWISE)
def test_a_row_that_fails_for_good_ends_its_problem_alone(name):
    jobs = jobs_of(name, n=3, of=9)
    whole = facts(run_all(jobs, FIVE_STEPS, ScriptedVerifier()))
    results = run_all(jobs, Remote(FIVE_STEPS, failing("p2", "p5")), ScriptedVerifier())
    lost = {r.outcome.problem_id: r for r in results if r.outcome.error}
    assert lost.keys() <= {"p2", "p5"} and lost
    for result in lost.values():
        outcome = result.outcome
        assert outcome.error == f"ServerError: {outcome.problem_id} is lost"
        assert (outcome.answer, outcome.right, outcome.chosen) == (None, None, None)
        assert outcome.usage.decoded_tokens == outcome.usage.discarded_tokens > 0
    kept = facts(r for r in results if not r.outcome.error)
    assert kept == {key: value for key, value in whole.items() if key[0] not in lost}


def test_a_verifier_that_fails_for_good_ends_its_problem_alone():
    verifier = RemoteVerifier(ScriptedVerifier(), failing("p1"))
    results = run_all(jobs_of("best_of_n", n=8, of=3), FIVE_STEPS, verifier)
    assert [r.outcome.problem_id for r in results if r.outcome.error] == ["p1"]


def test_a_failed_problem_is_charged_for_every_row_that_came_back():
    came = []

    class Paid(Chain):
        def propose_batch(self, draws):
            came.extend(super().propose_batch(draws))
            return came[-1:]

    (result,) = run_all(jobs_of("majority", n=8, of=1), Remote(Paid(5), failing("p0")))
    usage = result.outcome.usage
    assert usage.generations == len(came) > 0
    assert usage.decoded_tokens == usage.discarded_tokens == 5 * len(came)


@pytest.mark.parametrize("error", [UsageError, KeyError])
def test_what_would_fail_every_row_ends_the_run(error):
    with pytest.raises(error, match="is lost"):
        run_all(jobs_of("beam"), Remote(FIVE_STEPS, failing("p3", error=error)), ScriptedVerifier())


def test_a_key_that_is_refused_is_told_rather_than_what_it_dragged_along():
    def trouble(row):
        raise (UsageError("wrong key") if row.seed % 2 else ServerError("cut off"))

    with pytest.raises(UsageError, match="wrong key"):
        run_all(jobs_of("majority", n=16, of=1), Remote(Chain(2), trouble))


def test_a_failed_job_is_not_done_and_the_next_run_pays_only_for_what_is_missing():
    jobs = jobs_of("beam", n=4, of=6)
    clean = Remote(FIVE_STEPS)
    whole = facts(run_all(jobs, clean, ScriptedVerifier()))
    journal = Memory()
    first = Remote(FIVE_STEPS, failing("p1", "p4"))
    lost = [r for r in run_all(jobs, first, ScriptedVerifier(), journal=journal) if r.outcome.error]
    assert lost and len(journal.outcomes) == 6 - len(lost)
    second = Remote(FIVE_STEPS)
    assert facts(run_all(jobs, second, ScriptedVerifier(), journal=journal)) == whole
    # Nothing is asked again but the rows that failed.
    spent = len(first.requests) + len(second.requests)
    assert spent == len(clean.requests) + first.trouble.failed.total()


# Deadlines and cancelling ------------------------------------------------------------------------


def forever(*names):
    def trouble(row):
        return asyncio.Event().wait() if row.prefix.problem.id in names else None

    return trouble


def test_a_deadline_ends_a_problem_with_an_error_that_names_it():
    proposer = Remote(Chain(3), forever("p2"))
    # Long enough for the others on a machine that is busy.
    results = run_all(jobs_of("beam", n=4, of=5), proposer, ScriptedVerifier(), deadline_s=2)
    errors = {r.outcome.problem_id: r.outcome.error for r in results if r.outcome.error}
    assert errors == {"p2": "DeadlineError: not done within 2 s; give it longer"}
    assert proposer.now == 0


def test_an_engine_that_says_timeout_is_not_taken_for_the_deadline():
    with pytest.raises(TimeoutError, match="is lost"):
        run_all(
            jobs_of("beam"),
            Remote(FIVE_STEPS, failing("p0", error=TimeoutError)),
            ScriptedVerifier(),
            deadline_s=60,
        )


def test_leaving_early_cancels_what_is_in_flight():
    proposer = Remote(Chain(3), forever("p1", "p2", "p3"))

    async def run():
        runner = Runner(Team.of(proposer, ScriptedVerifier()))
        async with aclosing(runner.run(jobs_of("beam", n=4, of=4))) as results:
            assert (await anext(results)).outcome.problem_id == "p0"
            assert proposer.now == 12
        assert proposer.now == 0

    asyncio.run(run())


def test_a_run_at_the_sync_door_lets_go_of_connections_whatever_comes_of_it():
    def power_cut(result):
        raise KeyError("power cut")

    proposer, results = Remote(Chain(3)), []
    runner = Runner(Team.of(proposer))
    run_jobs(runner, jobs_of("majority", of=3), results.append)
    assert (len(results), proposer.closed) == (3, 1)
    with pytest.raises(KeyError, match="power cut"):
        run_jobs(runner, jobs_of("majority", of=3), power_cut)
    assert (proposer.closed, proposer.now) == (2, 0)


def test_the_sync_door_inside_an_event_loop_is_refused_with_the_way_out():
    async def run():
        run_jobs(Runner(Team.of(Remote(Chain(2)))), jobs_of("majority"), print)

    with pytest.raises(UsageError, match=r"use Runner\.run"):
        asyncio.run(run())


def test_a_deadline_that_leaves_no_time_is_refused():
    with pytest.raises(UsageError, match="deadline_s 0"):
        Runner(Team.of(Chain(2)), deadline_s=0)


# The journal -------------------------------------------------------------------------------------


def test_what_was_paid_for_is_committed_before_a_search_sees_it():
    journal = Memory()

    def start(problem, budget):
        drawn = yield Propose([Solution.start(problem)])
        journal.events.append("drawn")
        yield Verify(drawn)
        journal.events.append("scored")
        return Choice(drawn[0].answer, 0, tuple(drawn))

    solve_one(Strategy("watching", start), 1, Remote(Chain(2)), ScriptedVerifier(), journal=journal)
    assert [event for event, _ in groupby(journal.events)] == [
        ("draw", "p0"), "commit", "drawn",
        ("score", "p0"), "commit", "scored",
        ("outcome", "p0"), "commit",
    ]  # fmt: skip


def test_commits_are_shared_by_whoever_is_ready():
    journal = Memory()
    run_all(jobs_of("beam", n=4, of=100), Remote(FIVE_STEPS), ScriptedVerifier(), journal=journal)
    commits = journal.events.count("commit")
    assert commits < (len(journal.events) - commits) / 3


def test_a_journal_that_cannot_write_ends_the_run():
    class Full(Memory):
        def commit(self):
            raise RunError("disk full")

    with pytest.raises(RunError, match="disk full"):
        run_all(jobs_of("majority"), Remote(Chain(2)), journal=Full())


@pytest.mark.parametrize("name", SPENDS)
def test_a_run_killed_anywhere_goes_on_in_the_other_half(name):
    # What one half recorded the other takes up: they write the same journal.
    jobs = jobs_of(name, n=6, of=4)
    whole = facts(run_all(jobs, FIVE_STEPS, ScriptedVerifier()))
    for rows in range(0, 60, 7):
        left = [rows]

        def power(row, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise KeyError("power cut")

        journal = Memory()
        try:
            run_all(jobs, Remote(FIVE_STEPS, power), ScriptedVerifier(), journal=journal)
        except KeyError:
            journal.crash()
        assert facts(run_all(jobs, FIVE_STEPS, ScriptedVerifier(), journal=journal)) == whole


def test_what_a_server_measured_is_taken_as_it_is():
    # Rows that share a prefix count it once in process; a server has seen to that itself.
    class Measuring(Chain):
        def propose_batch(self, draws):
            return [
                replace(row, prompt_tokens=10, cached_tokens=2, measured=True)
                for row in super().propose_batch(draws)
            ]

    usage = run_all(jobs_of("beam(width=4)", n=4, of=1), Remote(Measuring(3)), Patchy(0.0))[
        0
    ].outcome.usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (12 * 10, 12 * 2)


def test_a_usage_that_failed_starts_from_nothing():
    def trouble(row):
        raise ServerError("no luck")

    (result,) = run_all(jobs_of("beam", of=1), Remote(Chain(2), trouble), ScriptedVerifier())
    assert result.outcome.usage == Usage()


def test_jobs_are_started_as_room_is_made_for_them():
    started = []

    def jobs():
        for problem in problems(10):
            started.append(problem)
            yield Job(problem, strategy("majority"), Budget(4))

    async def run():
        runner = Runner(Team.of(Remote(ScriptedProposer())), rows_in_flight=8)
        async with aclosing(runner.run(jobs())) as results:
            await anext(results)
            assert len(started) == 2
            return [result async for result in results]

    assert len(asyncio.run(run())) == 9


def test_a_runner_runs_again_in_a_new_loop():
    runner = Runner(Team.of(Remote(Chain(2))), rows_in_flight=2)
    jobs = jobs_of("majority", n=4, of=3)
    runs = [facts(asyncio.run(runner.results(jobs))) for _ in range(2)]
    assert runs[0] == runs[1] == facts(solve("majority", 4, Chain(2), of=3))


@dataclass
class Stateless(Remote):
    """A model of a server: what it writes comes back without anything cached."""

    async def _propose_one(self, draw):
        row = await super()._propose_one(draw)
        return replace(row, solution=replace(row.solution, state=None))


def test_a_verifier_in_process_keeps_what_it_read_of_what_a_server_writes():
    proposer = ScriptedProposer(max_steps=5)
    result = solve_one("beam(width=2)", 8, Stateless(proposer), ScriptedVerifier())
    usage = result.outcome.usage
    deepest = max(len(each.tokens) for each in result.choice.candidates)
    assert usage.verifier_cached_tokens >= deepest / 2
    assert solve_one("majority", 8, Stateless(proposer)).outcome.answer
