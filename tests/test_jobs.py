"""A job of a long-lived runner: what it tells, and its best answer when its time is up."""

import asyncio

from contract import problems

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.events import Drew, Scored, Spent
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Arrival, Budget, Choice, OutOfTime, Problem, Propose, Solution, Strategy

PROPOSER = ScriptedProposer(max_steps=4)
SOON = 0.05


class Stalls:
    """Draws some rows, and never the others."""

    name = "stalls"

    def __init__(self, rows):
        self.left = rows
        self.cancelled = 0

    async def propose(self, draws):
        drawn = PROPOSER.propose_batch(draws)
        for place, row in enumerate(drawn):
            if not self.left:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled += 1
            self.left -= 1
            yield Arrival(place, row, 0.0)

    async def text(self, tokens):
        return PROPOSER.decode(tokens)


def run(team, *jobs, **options):
    return asyncio.run(Runner(team, **options).results(jobs))


def heard(how, n, journal=None):
    events = []
    job = Job(problems(1)[0], strategy(how), Budget(n), listen=events.append)
    [result] = run(Team.of(PROPOSER, ScriptedVerifier()), job, journal=journal)
    return events, result


def kinds(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_listener_hears_of_every_row_every_score_and_what_was_spent():
    events, result = heard("beam", 8)
    drew, scored = kinds(events, Drew), kinds(events, Scored)
    assert sorted(event.solution.number for event in drew) == list(range(len(drew)))
    assert all(event.parent < event.solution.number for event in drew)
    assert {event.number for event in scored} == {event.solution.number for event in drew}
    chosen = next(e for e in drew if e.solution.number == result.outcome.chosen)
    assert chosen.solution.tokens == result.choice.candidates[result.choice.index].tokens
    spent = [event.usage.generations for event in kinds(events, Spent)]
    assert spent == sorted(spent) and spent[-1] == result.outcome.usage.generations == 8


def test_rows_that_a_store_holds_are_told_like_those_that_are_drawn(tmp_path):
    with Store.open(tmp_path / "a.store", write=True) as store:
        first, _ = heard("beam", 4, store)
        again, _ = heard("beam", 4, store)
    told = [
        {e.solution.number: e.solution.tokens for e in kinds(es, Drew)} for es in (first, again)
    ]
    assert told[0] == told[1]
    assert sorted(map(repr, kinds(first, Scored))) == sorted(map(repr, kinds(again, Scored)))


def test_a_job_that_is_late_has_the_best_of_what_came():
    job = Job(problems(1)[0], strategy("majority"), Budget(16), deadline_s=SOON)
    [result] = run(Team.of(Stalls(5)), job)
    assert result.outcome.error.startswith("DeadlineError: not done within 0.05 s")
    assert result.outcome.answer is None
    assert len(result.choice.candidates) == 5
    assert result.choice.answer == result.choice.candidates[result.choice.index].answer
    assert result.outcome.usage.decoded_tokens > 0


def test_a_job_that_is_late_before_anything_came_has_no_answer():
    job = Job(problems(1)[0], strategy("majority"), Budget(16), deadline_s=SOON)
    [result] = run(Team.of(Stalls(0)), job)
    assert result.choice == Choice(None, None, ())


def test_a_search_may_choose_by_itself_when_its_time_is_up():
    def careful(problem, budget):
        first = yield Propose([Solution.start(problem)])
        try:
            yield Propose([Solution.start(problem)] * budget.generations)
        except OutOfTime:
            return Choice("my own", 0, tuple(first))

    made = Strategy("careful", careful)
    [result] = run(Team.of(Stalls(3)), Job(problems(1)[0], made, Budget(4), deadline_s=SOON))
    assert result.choice.answer == "my own"


def test_a_deadline_of_one_job_leaves_the_others_alone():
    late = Job(Problem("late", ""), strategy("majority"), Budget(8), deadline_s=SOON)
    other = Job(Problem("other", ""), strategy("majority"), Budget(4))

    async def both():
        engine = Stalls(4 + 2)
        async with Runner(Team.of(engine)).session() as ask:
            done = await asyncio.gather(ask(other), ask(late))
        return done, engine

    (there, gone), engine = asyncio.run(both())
    assert there.outcome.error is None and gone.outcome.error is not None
    assert engine.cancelled == 1


def test_whoever_stops_waiting_for_a_job_stops_its_rows():
    async def go():
        engine = Stalls(3)
        async with Runner(Team.of(engine)).session() as ask:
            job = asyncio.create_task(ask(Job(problems(1)[0], strategy("majority"), Budget(8))))
            while engine.left:
                await asyncio.sleep(0)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            return engine.cancelled

    assert asyncio.run(go()) == 1


def test_jobs_that_differ_in_deadline_and_listener_alone_are_one():
    one = Job(problems(1)[0], strategy("majority"), Budget(8))
    other = Job(problems(1)[0], strategy("majority"), Budget(8), deadline_s=1, listen=print)
    assert one == other
