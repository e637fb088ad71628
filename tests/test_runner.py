"""The runner: few calls, no row paid twice, the same draws whatever happens around them."""

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import SimpleNamespace

import pytest
from contract import (
    SPENDS,
    Chain,
    Counted,
    Patchy,
    Tree,
    Words,
    Worth,
    problems,
    results,
    run_all,
    solve,
    solve_one,
    traced,
    word,
)

from outthink.errors import RunError, UsageError
from outthink.models import in_process
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.run.journal import Job, NoJournal
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import (
    Budget,
    Choice,
    Drawn,
    Problem,
    Propose,
    Scores,
    Solution,
    Strategy,
    Verified,
    Verify,
)

FIVE_STEPS = ScriptedProposer(max_steps=5, mischief=0.05)


def jobs_of(*names, n=8, of=5, stream=""):
    return [
        Job(problem, strategy(name), Budget(n), stream)
        for name in names
        for problem in problems(of)
    ]


def facts(results):
    """All there is to tell, apart from the order of finishing and the clock."""
    return {(r.outcome.problem_id, r.outcome.strategy): (r.choice, r.outcome) for r in results}


# Merging -----------------------------------------------------------------------------------------


def test_the_requests_of_many_problems_are_one_call():
    proposer, verifier = Counted(ScriptedProposer()), Counted(ScriptedVerifier())
    solve("best_of_n", 4, proposer, verifier, of=50)
    assert [len(call) for call in proposer.calls] == [200]
    assert [len(call) for call in verifier.calls] == [200]


def test_the_requests_of_different_searches_are_one_call():
    proposer, verifier = Counted(Chain(3)), Counted(ScriptedVerifier())
    solve(["majority", "best_of_n", "beam", "lookahead(depth=0)"], 4, proposer, verifier, of=10)
    assert [len(call) for call in proposer.calls] == [160, 80, 80]
    assert [len(call) for call in verifier.calls] == [120, 80, 80]


def test_searches_of_different_lengths_do_not_wait_for_each_other():
    # The longest of them sets the number of calls; a shorter one adds none.
    proposer = Counted(FIVE_STEPS)
    solve("beam", 4, proposer, ScriptedVerifier(), of=20)
    longest = 0
    for problem in problems(20):
        own = Counted(FIVE_STEPS)
        solve("beam", 4, own, ScriptedVerifier(), of=[problem])
        longest = max(longest, len(own.calls))
    assert len(proposer.calls) == longest


def test_rows_in_flight_bound_every_call():
    proposer, verifier = Counted(ScriptedProposer()), Counted(ScriptedVerifier())
    solve("beam", 8, proposer, verifier, of=20, rows_in_flight=32)
    assert max(len(call) for call in proposer.calls + verifier.calls) == 32


def test_a_verifier_in_two_roles_is_one_engine():
    engine = Counted(ScriptedVerifier())
    team = Team.of(FIVE_STEPS, engine, reviser=FIVE_STEPS, revision_verifier=engine)
    results(team, jobs_of("best_of_n", "revise(sequential=1)", n=4, of=3))
    assert [len(call) for call in engine.calls] == [24]


def test_rows_that_are_there_when_their_job_is_cancelled_are_still_given():
    queue = in_process.EngineQueue("doubles", lambda rows: [2 * row for row in rows])
    given = []

    async def take():
        async for arrival in queue.rows([3, 4]):
            given.append(arrival.row)

    async def cancel_the_other():
        async for _ in queue.rows([1]):
            other.cancel()  # its rows came in the same call, and it has not seen them yet

    async def run():
        nonlocal other
        first = asyncio.create_task(cancel_the_other())
        other = asyncio.create_task(take())
        await asyncio.wait([first, other])
        assert other.cancelled()

    other = None
    asyncio.run(run())
    assert given == [6, 8]


def test_results_are_the_same_in_whatever_order_they_come():
    def outcomes():
        jobs = jobs_of("beam", "majority", of=9)
        done = run_all(jobs, FIVE_STEPS, ScriptedVerifier(), rows_in_flight=20)
        return {(r.job.problem.id, r.job.strategy.name): (r.outcome, r.choice) for r in done}

    first = outcomes()
    assert len(first) == 18 and first == outcomes()


def test_jobs_are_started_as_room_is_made_for_them():
    started = []

    def jobs():
        for job in jobs_of("majority", n=4, of=10):
            started.append(job)
            yield job

    async def run():
        runner = Runner(Team.of(ScriptedProposer()), rows_in_flight=8)
        async with aclosing(runner.run(jobs())) as results:
            await anext(results)
            assert len(started) == 2
            return [result async for result in results]

    assert len(asyncio.run(run())) == 9


# Draws -------------------------------------------------------------------------------------------


def drawn(seed=0, stream="", problem="p0", name="majority"):
    job = Job(Problem(problem, "prompt"), strategy(name), Budget(8), stream)
    (result,) = run_all([job], ScriptedProposer(6), seed=seed)
    return [s.tokens for s in result.choice.candidates]


def test_the_same_seed_and_stream_give_the_same_draws():
    assert drawn() == drawn()


def test_another_seed_stream_or_problem_gives_other_draws():
    assert len({tuple(d) for d in (drawn(), drawn(seed=1), drawn(stream="difficulty"))}) == 3
    seeds = Counted(Chain(1)), Counted(Chain(1))
    solve("majority", 4, seeds[0], of=[Problem("a", "")])
    solve("majority", 4, seeds[1], of=[Problem("b", "")])
    assert not {d.seed for d in seeds[0].rows} & {d.seed for d in seeds[1].rows}


def test_seed_and_stream_and_problem_do_not_run_into_each_other():
    pairs = [(1, "2", "3"), (12, "", "3"), (1, "23", ""), (1, "", "23"), (123, "", "")]
    proposer = Counted(Chain(1))
    for seed, stream, problem in pairs:
        job = Job(Problem(problem, ""), strategy("majority"), Budget(1), stream)
        run_all([job], proposer, seed=seed)
    assert len({draw.seed for draw in proposer.rows}) == len(pairs)


def test_every_row_of_a_search_has_a_seed_of_its_own():
    proposer = Counted(Chain(6))
    solve(["beam"], 16, proposer, ScriptedVerifier(), of=5)
    sampled = [draw.seed for draw in proposer.rows]
    assert len(set(sampled)) == len(sampled)
    assert all(0 <= seed < 1 << 63 for seed in sampled)


def test_a_smaller_budget_draws_the_first_of_what_a_larger_one_draws():
    few, many = (solve_one("majority", n, ScriptedProposer(6)) for n in (3, 64))
    assert few.choice.candidates == many.choice.candidates[:3]


def test_strategies_share_their_draws_where_they_ask_for_the_same():
    # Common random numbers: a comparison of two selections is not blurred by other draws.
    vote, best = (
        solve_one(name, 9, ScriptedProposer(6), ScriptedVerifier())
        for name in ("majority", "best_of_n")
    )
    assert vote.choice.candidates == best.choice.candidates


def test_solutions_are_numbered_as_they_are_drawn():
    log = []
    solve(traced(strategy("beam(width=2)"), log), 4, FIVE_STEPS, ScriptedVerifier())
    fresh = [
        s.number
        for request, response in log
        if isinstance(request, Propose)
        for prefix, s in zip(request.prefixes, response, strict=True)
        if prefix.is_open
    ]
    assert fresh == list(range(len(fresh)))


# Verifying once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPENDS)
def test_no_solution_is_verified_twice(name):
    verifier = Counted(ScriptedVerifier(silence=0.1))
    for problem in problems(6):
        verifier.calls.clear()
        solve(name, 16, FIVE_STEPS, verifier, of=[problem])
        numbers = [s.number for s in verifier.rows]
        assert len(set(numbers)) == len(numbers)


def test_a_solution_asked_about_again_or_twice_at_once_has_its_first_score():
    def start(problem, budget):
        (solution,) = yield Propose([Solution.start(problem)])
        first = yield Verify([solution, solution])
        again = yield Verify([solution])
        assert first == again * 2
        return Choice(solution.answer, 0, (solution,))

    verifier = Counted(ScriptedVerifier())
    result = solve_one(Strategy("asks again", start), 1, ScriptedProposer(), verifier)
    assert len(verifier.rows) == 1
    assert result.outcome.usage.verifier_tokens == len(result.choice.candidates[0].tokens)


def test_solutions_that_a_search_cut_or_wrote_itself_have_scores_of_their_own():
    def start(problem, budget):
        (drawn,) = yield Propose([Solution.start(problem)])
        cut = replace(drawn, tokens=drawn.tokens[:1], step_ends=(1,), finished=False)
        hints = [Solution(problem, (token,), (1,)) for token in (500, 600)]
        first = yield Verify([drawn, *hints, hints[0]])
        second = yield Verify([cut, hints[1], drawn])
        scores[:] = [*first, *second]
        return Choice(drawn.answer, 0, (drawn,))

    scores = []
    verifier = Counted(Patchy(0.0))
    solve_one(Strategy("cuts", start), 1, Chain(3), verifier)
    drawn, one, two, one_again, cut, two_again, drawn_again = scores
    assert [solution.tokens[-1] for solution in verifier.rows][1:3] == [500, 600]
    assert len(verifier.rows) == 4
    assert (one, two, drawn) == (one_again, two_again, drawn_again)
    assert one != two and cut.steps == drawn.steps[:1]


def test_a_verifier_reads_only_what_is_new_of_a_beam():
    world = Tree({"": "ab", "a": "c", "b": "d", "ac": "e", "bd": "f"})
    worth = Worth(world)
    result = solve_one("beam(width=1)", 2, Words(world), worth)
    assert worth.calls == [["a", "b"], ["ac", "bd"], ["ace", "bdf"]]
    usage = result.outcome.usage
    assert (usage.verifier_tokens, usage.verifier_cached_tokens) == (6, 2 + 4)


# Resuming ----------------------------------------------------------------------------------------


@dataclass
class Memory:
    """A journal that forgets, as a file would, what was not committed and every cached state."""

    keeps = True
    events: list = field(default_factory=list)
    now: dict = field(default_factory=dict)
    durable: dict = field(default_factory=dict)

    def book(self, job):
        return Page(self, job)

    def verdict(self, problem, grader, answer):
        return self.now.get(("verdict", problem.id, grader, answer))

    def keep_verdict(self, problem, grader, answer, right):
        self.now["verdict", problem.id, grader, answer] = right

    def commit(self):
        self.events.append("commit")
        self.durable = dict(self.now)

    def crash(self):
        self.now = dict(self.durable)

    def keep(self, key, value):
        assert key not in self.now, "a row is recorded twice"
        self.events.append(key[:2])
        self.now[key] = value

    @property
    def outcomes(self):
        """Recorded outcomes by problem, strategy, budget and stream."""
        return {key[1:]: value for key, value in self.durable.items() if key[0] == "outcome"}


@dataclass
class Page:
    """The rows of one job in a `Memory`."""

    memory: Memory
    job: Job
    numbers: list = field(default_factory=list)

    def draws(self, writer, keys, prefixes):
        return [self.memory.now.get(("draw", self.job.problem.id, writer, key)) for key in keys]

    def keep_draws(self, writer, keys, prefixes, draws):
        assert all(prefix.is_open for prefix in prefixes)
        for key, draw in zip(keys, draws, strict=True):
            bare = replace(draw.row, solution=replace(draw.row.solution, state=None))
            self.memory.keep(("draw", self.job.problem.id, writer, key), draw._replace(row=bare))

    def numbered(self, writer, keys, parents, rows):
        self.numbers += [row.solution.number for row in rows]
        assert self.numbers == list(range(len(self.numbers)))

    def scores(self, verifier, keys):
        return [self.memory.now.get(("score", self.job.problem.id, verifier, key)) for key in keys]

    def keep_scores(self, verifier, keys, scores):
        for key, score in zip(keys, scores, strict=True):
            self.memory.keep(("score", self.job.problem.id, verifier, key), score)

    def scored(self, verifier, numbers, keys, rows):
        assert {-1, *self.numbers} >= set(numbers)

    def finish(self, result, asked):
        job = self.job
        key = "outcome", job.problem.id, job.strategy.name, job.budget, job.stream
        self.memory.events.append(key[:2])
        self.memory.now.setdefault(key, result.outcome)

    def close(self):
        pass


class Crash(Exception):
    pass


@dataclass
class Failing:
    """An engine that gives up after so many calls."""

    engine: object
    calls: int
    name: str

    def propose_batch(self, draws):
        self._count()
        return self.engine.propose_batch(draws)

    def verify_batch(self, solutions):
        self._count()
        return self.engine.verify_batch(solutions)

    def decode(self, tokens):
        return self.engine.decode(tokens)

    def _count(self):
        if self.calls == 0:
            raise Crash("power cut")
        self.calls -= 1


def dead(name):
    """An engine that must not be asked."""
    return Failing(None, 0, name)


@pytest.mark.parametrize("name", SPENDS)
def test_a_run_killed_anywhere_goes_on_and_pays_for_nothing_twice(name):
    jobs = jobs_of(name, n=6, of=4)
    proposer, verifier = Counted(FIVE_STEPS), Counted(ScriptedVerifier())
    whole = facts(run_all(jobs, proposer, verifier, rows_in_flight=13))
    for calls in range(len(proposer.calls) + 1):
        journal = Memory()
        before, after = Counted(Failing(FIVE_STEPS, calls, "scripted")), Counted(FIVE_STEPS)
        scorers = Counted(ScriptedVerifier()), Counted(ScriptedVerifier())
        try:
            run_all(jobs, before, scorers[0], journal=journal, rows_in_flight=13)
        except Crash:
            journal.crash()
        resumed = run_all(jobs, after, scorers[1], journal=journal, rows_in_flight=13)
        assert facts(resumed) == whole
        assert len(before.rows) + len(after.rows) == len(proposer.rows)
        assert len(scorers[0].rows) + len(scorers[1].rows) == len(verifier.rows)


def test_what_is_in_the_journal_needs_no_engine():
    journal, jobs = Memory(), jobs_of("beam", "lookahead")
    first = run_all(jobs, FIVE_STEPS, ScriptedVerifier(), journal=journal)
    again = run_all(jobs, dead("scripted"), dead("scripted"), journal=journal)
    assert facts(again) == facts(first)


def test_a_resumed_job_is_charged_for_all_it_ever_cost():
    journal, jobs = Memory(), jobs_of("beam", of=3)
    whole = run_all(jobs, FIVE_STEPS, ScriptedVerifier(), journal=journal)
    again = run_all(jobs, dead("scripted"), dead("scripted"), journal=journal)
    usage = {r.job.problem.id: r.outcome.usage for r in whole}
    assert {r.job.problem.id: r.outcome.usage for r in again} == usage


def test_streams_do_not_share_a_journal_entry():
    journal = Memory()
    proposer = Counted(ScriptedProposer())
    for stream in ("", "difficulty"):
        run_all(jobs_of("majority", n=4, of=1, stream=stream), proposer, journal=journal)
    assert len(proposer.rows) == 8


def test_what_was_paid_for_is_committed_before_a_search_sees_it():
    journal = Memory()

    def start(problem, budget):
        drawn = yield Propose([Solution.start(problem)])
        journal.events.append("drawn")
        yield Verify(drawn)
        journal.events.append("scored")
        return Choice(drawn[0].answer, 0, tuple(drawn))

    solve_one(Strategy("watching", start), 1, Chain(2), ScriptedVerifier(), journal=journal)
    assert [event for event, _ in groupby(journal.events)] == [
        ("draw", "p0"), "commit", "drawn",
        ("score", "p0"), "commit", "scored",
        ("outcome", "p0"), "commit",
    ]  # fmt: skip


def test_an_outcome_is_recorded_once_its_job_is_done():
    journal, jobs = Memory(), jobs_of("beam", of=6)
    results = run_all(jobs, FIVE_STEPS, ScriptedVerifier(), journal=journal)
    recorded = {key[0]: outcome for key, outcome in journal.outcomes.items()}
    assert recorded == {r.outcome.problem_id: r.outcome for r in results}


def test_an_outcome_is_recorded_where_only_that_was_lost():
    # Killed between the last row and the outcome: nothing is left to pay, and the job is done.
    journal, jobs = Memory(), jobs_of("beam", of=3)
    run_all(jobs, FIVE_STEPS, ScriptedVerifier(), journal=journal)
    journal.now = {key: row for key, row in journal.now.items() if key[0] != "outcome"}
    assert len(run_all(jobs, dead("scripted"), dead("scripted"), journal=journal)) == 3
    assert len(journal.outcomes) == 3


def test_stopping_early_keeps_what_was_done():
    journal, jobs = Memory(), jobs_of("majority", n=4, of=6)
    proposer = Counted(ScriptedProposer())

    async def run():
        runner = Runner(Team.of(proposer), journal=journal, rows_in_flight=8)
        async with aclosing(runner.run(jobs)) as results:
            await anext(results)

    asyncio.run(run())
    assert len(journal.outcomes) == 2
    assert len(proposer.rows) == 8


# Counting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPENDS)
def test_usage_adds_up_to_what_the_engines_did(name):
    proposer, verifier = Counted(FIVE_STEPS), Counted(ScriptedVerifier())
    results = solve(name, 8, proposer, verifier, of=7)
    rows = [row for call in proposer.given for row in call]
    read = [row for call in verifier.given for row in call]
    usage = sum((r.outcome.usage for r in results[1:]), results[0].outcome.usage)
    again = read_again(proposer)
    if name in ("revise", "revise(sequential=3,window=2)", REVISED_IN_PAIRS):
        assert again > 0
    else:
        assert again == 0 or SEES_OTHERS.match(name)
    assert usage.prompt_tokens == sum(row.prompt_tokens for row in rows) - again
    assert usage.cached_tokens == sum(row.cached_tokens for row in rows) + again
    assert usage.decoded_tokens == sum(row.decoded_tokens for row in rows)
    assert usage.verifier_tokens == sum(row.computed_tokens for row in read)
    assert usage.verifier_cached_tokens == sum(row.cached_tokens for row in read)
    assert usage.generations == sum(r.outcome.usage.generations for r in results)


SEES_OTHERS = re.compile(
    "revis|self_refine|debate|gensynthesis|round_robin|knockout|genselect|usc|group"
)
"""Searches whose rows are shown solutions, which may be the same ones in two rows."""
REVISED_IN_PAIRS = "revise(sequential=2,answer=weighted)"


def read_again(proposer):
    """Tokens of the rows of a call that are shown just what an earlier one of their problem is."""
    tokens = 0
    for asked, given in zip(proposer.calls, proposer.given, strict=True):
        seen = set()
        for draw, row in zip(asked, given, strict=True):
            problem = draw.prefix.problem
            about = problem.id, problem.prompt, draw.prefix.history
            tokens += row.prompt_tokens if about in seen else 0
            # What is asked in words has several lines.
            seen |= {about} if draw.prefix.history or "\n" in problem.prompt else set()
    return tokens


def test_seconds_of_a_call_are_shared_by_its_rows(monkeypatch):
    ticks = iter(range(1000))
    jobs = [
        Job(problem, strategy("best_of_n"), Budget(n))
        for problem, n in zip(problems(2), (1, 3), strict=True)
    ]
    monkeypatch.setattr(in_process, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    results = run_all(jobs, Chain(2), ScriptedVerifier())
    seconds = {r.outcome.budget: r.outcome.usage.seconds for r in results}
    assert seconds == {1: 0.5, 3: 1.5}  # two calls of a second each, four rows a call


def test_a_second_run_starts_counting_from_nothing():
    runner = Runner(Team.of(ScriptedProposer(), ScriptedVerifier()))
    runs = [
        [r.outcome.usage for r in asyncio.run(runner.results(jobs_of("beam")))] for _ in range(3)
    ]
    assert runs[0] == runs[1] == runs[2]


# Grading -----------------------------------------------------------------------------------------


def test_an_answer_is_right_by_the_grader_it_is_given():
    world = Tree({"": "a"}, answers={"a": "0.50"})
    half = Problem("p", "one half", "1/2")

    def by_value(answer, reference):
        top, bottom = reference.split("/")
        return float(answer) == int(top) / int(bottom)

    assert solve("majority", 1, Words(world), of=[half])[0].outcome.right is False
    assert solve("majority", 1, Words(world), of=[half], grader=by_value)[0].outcome.right is True


@pytest.mark.parametrize("journal", [NoJournal, Memory])
@pytest.mark.parametrize("judges_all", [False, True])
def test_an_answer_of_several_jobs_at_once_is_judged_once(judges_all, journal):
    judged = []

    def grader(answer, reference):
        judged.append(answer)
        return answer == "3"

    vote = strategy("majority").start
    jobs = [
        Job(problems(1)[0], Strategy(name, vote), Budget(5), judges_all=judges_all)
        for name in ("one", "two", "three")
    ]
    results = run_all(jobs, Chain(2), journal=journal(), grader=grader)
    answers = {candidate.answer for candidate in results[0].choice.candidates}
    assert len(answers) > 1
    assert len(judged) == (len(answers) if judges_all else 1)
    assert {result.outcome.right for result in results} == {results[0].outcome.answer == "3"}


def test_no_reference_is_neither_right_nor_wrong():
    (result,) = solve("majority", 4, ScriptedProposer(), of=[Problem("p", "prompt")])
    assert result.outcome.answer is not None
    assert result.outcome.right is None


def test_no_answer_is_wrong_and_never_shown_to_the_grader():
    def never(answer, reference):
        raise AssertionError(answer)

    (result,) = solve("majority", 4, Chain(2, "truncated"), grader=never)
    assert (result.outcome.answer, result.outcome.right) == (None, False)


def test_an_outcome_names_its_job():
    (result,) = run_all(jobs_of("beam(width=2)", of=1), FIVE_STEPS, ScriptedVerifier())
    outcome = result.outcome
    assert (outcome.problem_id, outcome.strategy, outcome.budget) == ("p0", "beam(width=2)", 8)
    numbers = [s.number for s in result.choice.candidates]
    assert result.choice.candidates[numbers.index(outcome.chosen)].answer == outcome.answer


# What goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [0, 1])
def test_an_engine_that_fails_is_heard(calls):
    with pytest.raises(Crash, match="power cut"):
        solve("beam", 4, Failing(Chain(3), calls, "chain"), ScriptedVerifier())
    with pytest.raises(Crash, match="power cut"):
        solve("beam", 4, Chain(3), Failing(ScriptedVerifier(), calls, "scripted"))


def test_a_search_that_fails_is_heard():
    def start(problem, budget):
        yield Propose([Solution.start(problem)])
        raise KeyError("search")

    with pytest.raises(KeyError, match="search"):
        solve_one(Strategy("broken", start), 1, Chain(2))


UNVERIFIED = [
    "greedy",
    "majority",
    "budget_forcing",
    "revise(sequential=64,answer=majority)",
    "first_finish",
    "first_finish(k=3)",
    "last_finish",
    "last_finish(k=3)",
    "self_refine",
    "self_refine(rounds=0)",
    "self_refine(rounds=2)",
    "debate",
    "debate(agents=2,rounds=3)",
    "genselect",
    "genselect(group=2)",
    "gensynthesis",
    "gensynthesis(group=1)",
    "groupwise",
    "groupwise(group=3,answer=max)",
    "knockout",
    "round_robin",
    "usc",
]


@pytest.mark.parametrize("name", [name for name in SPENDS if name not in UNVERIFIED])
def test_a_strategy_that_needs_a_verifier_says_so(name):
    with pytest.raises(UsageError, match="needs a verifier"):
        solve(name, 4, Chain(2))


@pytest.mark.parametrize("name", UNVERIFIED)
def test_a_strategy_that_needs_no_verifier_runs_without_one(name):
    assert solve_one(name, 4, Chain(2)).outcome.answer is not None


@dataclass
class Miscounting:
    """An engine that returns a row too few or too many."""

    engine: object
    extra: int
    name: str = "miscounting"

    def propose_batch(self, draws):
        return self._off(self.engine.propose_batch(draws))

    def verify_batch(self, solutions):
        return self._off(self.engine.verify_batch(solutions))

    def decode(self, tokens):
        return self.engine.decode(tokens)

    def _off(self, rows):
        return rows + rows[:1] if self.extra > 0 else rows[:-1]


@pytest.mark.parametrize("extra", [-1, 1])
def test_an_engine_that_returns_the_wrong_number_of_rows_answers_none_of_them(extra):
    said = f"RunError: miscounting returned {8 + extra} rows for 8 asked; an engine returns one"
    for engines in (
        (Miscounting(Chain(2), extra), ScriptedVerifier()),
        (Chain(2), Miscounting(ScriptedVerifier(), extra)),
    ):
        for result in solve("best_of_n", 4, *engines, of=2):
            assert result.outcome.error.startswith(said)
            assert (result.outcome.answer, result.outcome.right) == (None, None)


def test_an_engine_in_process_that_gives_up_on_a_call_ends_the_jobs_of_that_call_alone():
    class Faint(Chain):
        def propose_batch(self, draws):
            if any(draw.prefix.problem.id == "p1" for draw in draws):
                raise RunError("out of memory")
            return super().propose_batch(draws)

    jobs = jobs_of("majority", n=4, of=4)
    results = run_all(jobs, Faint(2), rows_in_flight=4)
    errors = {r.outcome.problem_id: r.outcome.error for r in results}
    assert errors == {"p0": None, "p1": "RunError: out of memory", "p2": None, "p3": None}


def test_a_proposer_that_says_in_a_list_how_it_is_asked_is_refused():
    class Noting(Chain):
        asked = ()

    with pytest.raises(UsageError, match="'chain' has an attribute `asked` of type tuple"):
        solve_one("majority", 1, Noting(2))


def test_a_request_for_nothing_is_answered_with_nothing():
    def start(problem, budget):
        assert (yield Propose([])) == []
        assert (yield Verify([])) == []
        return Choice(None, None, ())

    result = solve_one(Strategy("idle", start), 1, Chain(2), ScriptedVerifier())
    assert (result.outcome.answer, result.outcome.usage.generations) == (None, 0)


@pytest.mark.parametrize("rows", [0, -1])
def test_no_room_for_a_single_row_is_refused(rows):
    with pytest.raises(ValueError, match=str(rows)):
        Runner(Team.of(Chain(2)), rows_in_flight=rows)


class AnswersUnfinished:
    """Breaks the promise of its type: an answer on a solution that ran into the limit."""

    name = "answers unfinished"

    def propose_batch(self, draws):
        return [
            Drawn(
                replace(d.prefix, tokens=(1,), step_ends=(1,), truncated=True, answer="1"), 0, 0, 1
            )
            for d in draws
        ]

    def decode(self, tokens):
        return ""


@pytest.mark.parametrize("name", SPENDS)
def test_a_truncated_solution_never_answers_whatever_its_engine_says(name):
    assert solve_one(name, 4, AnswersUnfinished(), Nothing()).outcome.answer is None


class Nothing:
    name = "nothing"

    def verify_batch(self, solutions):
        return [Verified(Scores(), 0, 0) for _ in solutions]


def test_words_are_what_the_tests_take_them_for():
    # The fakes themselves: the tokens of a solution are the letters of its word.
    world = Tree({"": "ab", "a": "c"})
    result = solve_one("majority", 2, Words(world))
    assert [word(s) for s in result.choice.candidates] == ["ac", "b"]


def test_a_result_does_not_keep_what_engines_have_cached():
    jobs = [Job(p, strategy("beam"), Budget(4)) for p in scripted_problems(5)]
    for result in run_all(jobs, ScriptedProposer(), ScriptedVerifier()):
        assert all(candidate.state is None for candidate in result.choice.candidates)
