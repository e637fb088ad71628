"""How far a run has come: by each row that is drawn, and never beyond what there is to draw."""

import asyncio

import pytest
from contract import STEPWISE, no_clock, problems
from test_driver_served import FIVE_STEPS, Remote

from outthink.models.scripted import ScriptedVerifier
from outthink.run.gauge import Gauge
from outthink.run.runner import Driver, Job
from outthink.search import strategy
from outthink.search.revise import pool, pool_lengths
from outthink.types import Budget, Propose, Solution, Strategy

CHAINS = Strategy("chains", pool, revises=True)


class Noted:
    """A bar that remembers."""

    def __init__(self):
        self.amounts, self.said = [], []

    def advance(self, amount, note=""):
        assert amount >= 0
        self.amounts.append(amount)
        self.said.append(note)

    @property
    def done(self):
        return sum(self.amounts)


def drawn_by(job):
    size = job.budget.generations
    return sum(pool_lengths(size)) if job.strategy == CHAINS else size


def jobs_of(*strategies, n=4, of=3):
    return [Job(problem, each, Budget(n)) for each in strategies for problem in problems(of)]


def followed(jobs, proposer, **options):
    """What a bar was told until the first result, and at the end."""
    bar = Noted()
    gauge = Gauge(bar, drawn_by)
    driver = Driver(proposer, ScriptedVerifier(), clock=no_clock, watch=gauge.drawn, **options)
    first = None
    for result in driver.run(jobs):
        first = bar.done if first is None else first
        gauge.ended(result.job)
    return bar, first


@pytest.mark.parametrize("proposer", [FIVE_STEPS, Remote(FIVE_STEPS)], ids=["here", "served"])
def test_chains_advance_the_bar_with_each_answer_and_not_at_their_end(proposer):
    jobs = jobs_of(CHAINS, n=8, of=4)
    bar, first = followed(jobs, proposer)
    # Eight first answers, four second ones, ...: 20 of a problem whose budget is called 8.
    assert bar.done == 4 * 20
    assert first >= 20
    assert set(bar.said) == {"chains at 8"}


def test_a_row_counts_while_the_others_of_its_request_are_still_awaited():
    bar, held = Noted(), asyncio.Event()
    before = []

    def trouble(draw):
        if not before:
            before.append(bar.done)
            return held.wait()  # the first row comes last
        return None

    async def last():
        while bar.done < 7:
            await asyncio.sleep(0)
        before.append(bar.done)
        held.set()

    gauge = Gauge(bar, drawn_by)
    driver = Driver(Remote(FIVE_STEPS, trouble), clock=no_clock, watch=gauge.drawn)

    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(last())
            async for result in driver.run_async(jobs_of(strategy("majority"), n=8, of=1)):
                gauge.ended(result.job)

    asyncio.run(run())
    assert before == [0, 7]
    assert bar.done == 8


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize("proposer", [FIVE_STEPS, Remote(FIVE_STEPS)], ids=["here", "served"])
def test_steps_advance_the_bar_to_what_was_to_be_drawn(name, proposer):
    jobs = jobs_of(strategy(name), strategy("majority"), n=4, of=6)
    bar, first = followed(jobs, proposer, rows_in_flight=8)
    assert bar.done == pytest.approx(12 * 4)
    assert first > 0
    assert len(bar.amounts) > len(jobs)


def test_rows_never_count_for_more_than_their_search_is_to_draw():
    (job,) = jobs_of(strategy("beam"), n=4, of=1)
    bar = Noted()
    gauge = Gauge(bar, drawn_by)
    step = Propose([Solution.start(job.problem)] * 4, until=1)
    for _ in range(1000):
        gauge.drawn(job, step, 4)
    assert bar.done == 4
    gauge.ended(job)
    assert bar.done == 4


def test_a_step_is_worth_what_it_was_in_searches_that_ended():
    jobs = jobs_of(strategy("beam"), n=4, of=200)
    bar = Noted()
    gauge = Gauge(bar, drawn_by)
    step = Propose([Solution.start(jobs[0].problem)] * 4, until=1)
    for job in jobs[:-1]:  # each takes five rounds
        for _ in range(5):
            gauge.drawn(job, step, 4)
        gauge.ended(job)
    assert bar.done == pytest.approx(4 * 199)
    gauge.drawn(jobs[-1], step, 4)
    assert bar.amounts[-1] == pytest.approx(4 / 5, rel=0.02)


def test_what_a_journal_holds_is_counted_when_its_search_ends():
    (job,) = jobs_of(strategy("majority"), n=4, of=1)
    bar = Noted()
    Gauge(bar, drawn_by).ended(job)
    assert bar.done == 4
