"""Engines around engines: what failed is asked again, what was told is remembered, and no more."""

import asyncio
import random
from dataclasses import replace

import pytest
from contract import Chain, Counted, problems, run_all
from fake_server import FakeServer
from test_runner import facts, jobs_of
from test_runner_served import FIVE_STEPS, Remote, RemoteVerifier

from outthink.errors import ContextError, RunError, ServerError, UsageError
from outthink.models.http import RetryPolicy
from outthink.models.in_process import InProcessProposer
from outthink.models.openai import OpenAIProposer
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.models.wrappers import Cached, Retrying
from outthink.run.team import Team
from outthink.types import Draw, Force, Solution
from outthink.verify.confidence import confidence

ONE, TWO = problems(2)


def draws(count=4, *, problem=ONE, temperature=1.0, until=None):
    start = Solution.start(problem)
    return [Draw(start, until, temperature, seed) for seed in range(count)]


def rows_of(engine, asked, *more):
    """Rows by their place, of requests that are made one after the other."""

    async def run():
        requests = []
        for rows in (asked, *more):
            requests.append({arrival.place: arrival.row async for arrival in engine.propose(rows)})
        return requests

    *before, last = asyncio.run(run())
    return [*before, last] if more else last


class Waits:
    """Sleeps for no time, and remembers for how long it was to be."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


def lost(times, error=ServerError):
    """Trouble for every other row, the first so many times that it is asked for."""
    left = {}

    def trouble(row):
        # An even seed in a draw, or an even number of a solution.
        number = row.seed if isinstance(row, Draw) else row.number
        left.setdefault(number, times if number % 2 == 0 else 0)
        if left[number]:
            left[number] -= 1
            raise error("lost")

    return trouble


# Retrying ----------------------------------------------------------------------------------------


def test_only_the_rows_that_did_not_come_are_asked_again():
    engine, waits = Remote(Chain(3), lost(2)), Waits()
    rows = rows_of(Retrying(engine, sleep=waits), draws(4))
    assert sorted(rows) == [0, 1, 2, 3]
    assert rows == rows_of(Remote(Chain(3)), draws(4))
    assert [draw.seed for draw in engine.requests] == [0, 1, 2, 3, 0, 2, 0, 2]
    assert len(waits.seconds) == 2


def test_waits_are_those_of_its_policy():
    waits = Waits()
    policy = RetryPolicy(tries=5, first_wait_s=4.0, longest_wait_s=9.0)
    rows_of(Retrying(Remote(Chain(3), lost(4)), policy, sleep=waits, rng=random.Random(0)), draws())
    for wait, low, high in zip(waits.seconds, (2, 4, 8, 9), (4, 8, 9, 9), strict=True):
        assert low <= wait <= high


def test_rows_that_came_are_given_before_it_gives_up():
    engine, came = Retrying(Remote(Chain(3), lost(9)), RetryPolicy(tries=3), sleep=Waits()), []

    async def run():
        async for arrival in engine.propose(draws(5)):
            came.append(arrival.place)

    with pytest.raises(ServerError, match="lost"):
        asyncio.run(run())
    assert sorted(came) == [1, 3]
    assert len(engine.requests) == 5 + 3 + 3


@pytest.mark.parametrize("error", [ContextError, UsageError, KeyError])
def test_what_no_try_would_change_is_raised_at_once(error):
    waits = Waits()
    engine = Remote(Chain(3), lost(1, error))
    with pytest.raises(error, match="lost"):
        rows_of(Retrying(engine, sleep=waits), draws())
    assert waits.seconds == []


def test_a_batch_that_fails_in_process_is_asked_again():
    class Faint(Chain):
        tries = 0

        def propose_batch(self, draws):
            self.tries += 1
            if self.tries % 3:
                raise RunError("out of memory")
            return super().propose_batch(draws)

    rows = rows_of(Retrying(Faint(3), sleep=Waits()), draws())
    assert rows == rows_of(Remote(Chain(3)), draws())


# Cached ------------------------------------------------------------------------------------------


def test_a_row_that_was_told_is_not_asked_for_again():
    engine = Remote(Chain(3))
    first, again = rows_of(Cached(engine), draws(3), draws(5))
    assert [draw.seed for draw in engine.requests] == [0, 1, 2, 3, 4]
    assert {place: again[place] for place in first} == first


def test_rows_that_differ_in_anything_are_asked_for():
    start = Solution.start(ONE)
    (first,) = draws(1)
    revised = replace(start, history=((1, 2),))
    others = [
        replace(first, seed=7),
        replace(first, until=1),
        replace(first, temperature=0.5),
        replace(first, prefix=Solution.start(TWO)),
        replace(first, prefix=revised),
        replace(first, prefix=replace(start, tokens=(1,), step_ends=(1,))),
        replace(first, prefix=replace(start, tokens=(1,))),
        replace(first, force=Force("Wait")),
    ]
    engine = Remote(Chain(3))
    rows_of(Cached(engine), [first], others)
    assert engine.requests == [first, *others]


def test_rows_of_one_request_that_are_the_same_are_asked_for_once():
    engine = Remote(Chain(3))
    rows = rows_of(Cached(engine), draws(3, temperature=0.0))
    assert len(engine.requests) == 1
    assert len(rows) == 3 and len({row.solution.tokens for row in rows.values()}) == 1


def test_a_cache_forgets_the_oldest_rows():
    engine = Counted(Chain(3))  # gives its rows in order
    cache = Cached(InProcessProposer(engine), most=2)
    rows_of(cache, draws(3), draws(3)[1:], draws(1))
    assert [draw.seed for draw in engine.rows] == [0, 1, 2, 0]
    with pytest.raises(UsageError, match="a cache of 0 rows"):
        Cached(InProcessProposer(engine), most=0)


def test_a_cache_keeps_nothing_that_engines_have_cached():
    first, again = rows_of(Cached(ScriptedProposer()), draws(until=1), draws(until=1))
    assert any(row.solution.state is not None for row in first.values())
    assert all(row.solution.state is None for row in again.values())


# In a runner -------------------------------------------------------------------------------------

NAMES = ("majority", "best_of_n", "beam(width=2)", "lookahead", "revise(sequential=3)")


def around(engine):
    return Retrying(Cached(engine), RetryPolicy(tries=4), sleep=Waits())


def test_wrapped_engines_come_to_the_same_and_are_asked_for_each_row_once():
    jobs = jobs_of(*NAMES, n=6, of=3)
    plain = Remote(FIVE_STEPS), RemoteVerifier(ScriptedVerifier())
    expected = facts(run_all(jobs, *plain))
    flaky = Remote(FIVE_STEPS, lost(2)), RemoteVerifier(ScriptedVerifier(), lost(2))
    wrapped = tuple(around(engine) for engine in flaky)
    results = run_all(jobs, *wrapped)
    assert not [result for result in results if result.outcome.error]
    assert answers(facts(results)) == answers(expected)
    asked = [len(engine.requests) for engine in flaky]
    assert answers(facts(run_all(jobs, *wrapped))) == answers(expected)
    assert [len(engine.requests) for engine in flaky] == asked


def answers(known):
    """What searches came to, whatever it cost: what an engine had cached is read again."""
    return {
        key: (choice, outcome.answer, outcome.chosen) for key, (choice, outcome) in known.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_retrying_changes_nothing_of_what_a_search_comes_to(name):
    jobs = jobs_of(name, n=6, of=4)
    expected = facts(run_all(jobs, FIVE_STEPS, ScriptedVerifier()))
    flaky = Remote(FIVE_STEPS, lost(2)), RemoteVerifier(ScriptedVerifier(), lost(2))
    wrapped = [Retrying(engine, sleep=Waits()) for engine in flaky]
    assert facts(run_all(jobs, *wrapped)) == expected
    here = Retrying(FIVE_STEPS), Retrying(ScriptedVerifier())
    assert facts(run_all(jobs, *here)) == expected


def test_engines_in_process_are_called_in_batches_through_what_is_around_them():
    proposer = Counted(Chain(3))
    run_all(jobs_of("majority", n=4, of=10), around(OnlyWrites(proposer)))
    assert [len(call) for call in proposer.calls] == [40]


class OnlyWrites:
    """`Counted` writes and scores; this is the half of it that writes."""

    def __init__(self, engine):
        self.name, self.propose_batch = engine.name, engine.propose_batch
        self.decode = engine.decode


def test_an_engine_that_writes_and_scores_has_to_say_which_is_meant():
    with pytest.raises(UsageError, match="InProcessProposer"):
        Retrying(Counted(Chain(3)))


def test_attributes_of_the_engine_are_those_of_what_is_around_it():
    class Asked(Remote):
        asked, reader = "in rhymes", "math"

        def read(self, text):
            return text

    engine = Asked(Chain(3), name="poet")
    wrapped = around(engine)
    assert (wrapped.name, wrapped.asked, wrapped.reader) == ("poet", "in rhymes", "math")
    assert wrapped.read("x") == "x"
    assert asyncio.run(wrapped.text((1, 2))) == "1 2"
    assert not hasattr(wrapped, "rescore")
    asyncio.run(Team.of(wrapped).aclose())
    assert engine.closed == 1


def test_confidence_is_that_of_the_model_behind_what_is_around_it():
    jobs = jobs_of("best_of_n", n=4, of=3)
    with FakeServer("vllm") as server:
        proposer = asyncio.run(OpenAIProposer.connect(server.url, retry=RetryPolicy(tries=1)))
        expected = facts(run_all(jobs, proposer, confidence(proposer)))
        wrapped = around(proposer)
        scored = around(confidence(wrapped))
        server.faults = [None, "500", None, "reset"]
        results = facts(run_all(jobs, wrapped, scored))
        answered = server.answered.copy()
        again = facts(run_all(jobs, wrapped, scored))
        assert server.answered == answered, "asked again for what it was told"
        assert server.injected
    assert answers(results) == answers(again) == answers(expected)
