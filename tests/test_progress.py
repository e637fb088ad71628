"""What the progress line says, by a clock that the test turns; and how far a sweep has come, by
every row that is drawn, and never beyond what there is to draw."""

import asyncio
import io

import pytest
from contract import STEPWISE, problems
from test_runner_served import FIVE_STEPS, Remote

from outthink.models.scripted import ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.progress import Progress, SweepProgress, compact, duration
from outthink.run.runner import Runner, run_jobs
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.chains import pool_lengths
from outthink.types import Budget, Propose, Solution


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(clock, total=100, *, stream=None, done=0.0):
    return Progress("sampling", total, "problems", stream=stream, clock=clock, done=done)


def test_work_over_within_two_seconds_says_nothing():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        for _ in range(4):
            clock.now += 0.5
            bar.advance(25)
    assert stream.getvalue() == ""


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        for _ in range(40):
            clock.now += 1
            bar.advance(2.5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["sampling", "40%", "40/100", "problems", "2.5/s", "24s", "left"]
    assert lines[-1].split()[1:] == ["100%", "100/100", "problems", "2.5/s", "in", "40s"]


def test_a_terminal_is_redrawn_in_place_and_left_on_a_new_line():
    clock, stream = Clock(), Terminal()
    with progress(clock, stream=stream) as bar:
        for _ in range(5):
            clock.now += 1
            bar.advance(20)
    drawn = stream.getvalue().split("\r\x1b[2K")[1:]
    assert [text.split()[1] for text in drawn] == ["60%", "80%", "100%", "100%"]
    assert all("\n" not in text for text in drawn[:-1])
    assert drawn[-1].endswith("in 5s\n")


def test_a_terminal_is_not_redrawn_for_every_item():
    clock, stream = Clock(), Terminal()
    with progress(clock, total=10_000, stream=stream) as bar:
        clock.now += 3
        for _ in range(1000):
            clock.now += 0.001
            bar.advance(1)
    assert 3 <= stream.getvalue().count("\r") <= 6


def test_the_rate_counts_only_what_this_run_has_done():
    # A resumed run begins at 80 of 100: five more in ten seconds are half a problem a second.
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream, done=80) as bar:
        clock.now += 16
        bar.advance(8)
    line = stream.getvalue().splitlines()[0]
    assert line.split()[1:] == ["88%", "88/100", "problems", "0.5/s", "24s", "left"]


def test_the_rate_is_that_of_the_last_minute():
    # What was drawn before is read again at once, and says nothing of the draws that are left.
    clock, stream = Clock(), io.StringIO()
    with progress(clock, total=2000, stream=stream) as bar:
        clock.now += 1
        bar.advance(1000)
        for _ in range(200):
            clock.now += 1
            bar.advance(2)
    line = stream.getvalue().splitlines()[-2]
    assert line.split()[1:] == ["69%", "1.38k/2k", "problems", "2/s", "5m09s", "left"]


def test_time_left_is_unknown_until_something_is_done():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        clock.now += 20
        bar.advance(0)
    assert "  0/s  ? left" in stream.getvalue()


def test_a_note_stays_until_another_takes_its_place():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        for note in ("loss 2.1", "", "loss 1.9"):
            clock.now += 20
            bar.advance(1, note)
    endings = [line.rpartition("  ")[2] for line in stream.getvalue().splitlines()]
    assert endings == ["loss 2.1", "loss 2.1", "loss 1.9", "loss 1.9"]


def test_a_run_that_fails_leaves_the_line_it_had_come_to():
    clock, stream = Clock(), Terminal()
    with pytest.raises(RuntimeError, match="engine"), progress(clock, stream=stream) as bar:
        clock.now += 10
        bar.advance(40)
        raise RuntimeError("engine")
    assert " 40%" in stream.getvalue()
    assert stream.getvalue().endswith("15s left\n")


def test_nothing_to_do_is_done():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, total=0, stream=stream) as bar:
        clock.now += 20
        bar.advance(0)
    assert "100%" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (95, "1m35s"),
        (3599.7, "1h00m"),
        (7384, "2h03m"),
        (-3, "0s"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (0.123, "0.12"),
        (2.5, "2.5"),
        (12.6, "13"),
        (999, "999"),
        (1000, "1k"),
        (12300, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (999_999, "1M"),
        (1_250_000, "1.25M"),
        (999_999_999, "1G"),
        (3e9, "3G"),
        (-12300, "-12.3k"),
    ],
)
def test_compact_numbers(number, text):
    assert compact(number) == text


# Of a sweep --------------------------------------------------------------------------------------

CHAINS = strategy("chains")


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
    return [Job(problem, made, Budget(n)) for made in strategies for problem in problems(of)]


def followed(jobs, proposer, **options):
    """What a bar was told until the first result, and at the end."""
    bar = Noted()
    progress = SweepProgress(bar, drawn_by)
    runner = Runner(Team.of(proposer, ScriptedVerifier()), watch=progress.drawn, **options)
    at_results = []

    def ended(result):
        at_results.append(bar.done)
        progress.ended(result.job)

    run_jobs(runner, jobs, ended)
    return bar, at_results[0]


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

    progress = SweepProgress(bar, drawn_by)
    runner = Runner(Team.of(Remote(FIVE_STEPS, trouble)), watch=progress.drawn)

    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(last())
            async for result in runner.run(jobs_of(strategy("majority"), n=8, of=1)):
                progress.ended(result.job)

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
    progress = SweepProgress(bar, drawn_by)
    step = Propose([Solution.start(job.problem)] * 4, until=1)
    for _ in range(1000):
        progress.drawn(job, step, 4)
    assert bar.done == 4
    progress.ended(job)
    assert bar.done == 4


def test_a_step_is_worth_what_it_was_in_searches_that_ended():
    jobs = jobs_of(strategy("beam"), n=4, of=200)
    bar = Noted()
    progress = SweepProgress(bar, drawn_by)
    step = Propose([Solution.start(jobs[0].problem)] * 4, until=1)
    for job in jobs[:-1]:  # each takes five rounds
        for _ in range(5):
            progress.drawn(job, step, 4)
        progress.ended(job)
    assert bar.done == pytest.approx(4 * 199)
    progress.drawn(jobs[-1], step, 4)
    assert bar.amounts[-1] == pytest.approx(4 / 5, rel=0.02)


def test_what_a_journal_holds_is_counted_when_its_search_ends():
    (job,) = jobs_of(strategy("majority"), n=4, of=1)
    bar = Noted()
    SweepProgress(bar, drawn_by).ended(job)
    assert bar.done == 4
