"""The store: what goes in comes back exactly, and every way of failing says so in one line."""

import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from contract import Counted, problems, results, same_every_time
from hypothesis import given
from hypothesis import strategies as st

from outthink.errors import DiskError, RunError, StoreError, UsageError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.journal import Job, KeptDraw, Result, Writer, draw_keys
from outthink.run.store import Store
from outthink.run.store.parquet import export_parquet
from outthink.run.store.schema import FORMAT
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.select import StepAggregation, reduce_steps
from outthink.types import (
    STEP,
    Budget,
    Choice,
    Draw,
    Drawn,
    Outcome,
    Problem,
    Propose,
    Scores,
    Solution,
    Strategy,
    Usage,
    Verified,
    Verify,
)

PROPOSER = ScriptedProposer(max_steps=5, mischief=0.1)
VERIFIER = ScriptedVerifier(silence=0.1)
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
MIX = ("majority", "best_of_n", "beam(width=2)", "lookahead(depth=2)", "revise(sequential=3)")


@dataclass
class Refusing:
    """An engine that must not be asked."""

    name: str = "scripted"

    def propose_batch(self, draws):
        raise AssertionError("paid for again")

    def decode(self, tokens):
        return ""

    verify_batch = propose_batch


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.store"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all tests that put new problems in and care for nothing else there."""
    with writing(tmp_path_factory.mktemp("shared") / "a.store") as opened:
        yield opened


def writing(path):
    return Store.open(path, write=True)


def reading(path):
    return Store.open(path, write=False)


def jobs(*names, n=4, of=3, stream=""):
    asked = problems(of)
    return [Job(problem, strategy(name), Budget(n), stream) for name in names for problem in asked]


def run(store, wanted, proposer=PROPOSER, verifier=VERIFIER, **options):
    done = results(Team.of(proposer, verifier), wanted, journal=store, **options)
    return {(r.job.problem.id, r.job.strategy.name): r for r in done}


def filled(path, *names, **options):
    with writing(path) as store:
        return run(store, jobs(*names, **options))


def searching(search, name="custom"):
    return Strategy(name, search)


def one_job(search=None, problem_id="p", n=1):
    made = strategy("best_of_n") if search is None else searching(search)
    return Job(Problem(problem_id, "how many?", "right"), made, Budget(n))


@contextmanager
def refused(kind, *words):
    """The error is of this kind and says all of it in one line."""
    with pytest.raises(kind) as caught:
        yield
    said = str(caught.value)
    assert "\n" not in said
    for word in words:
        assert str(word) in said


# What goes in comes back --------------------------------------------------------------------------

ids = st.one_of(
    st.lists(st.integers(0, top), max_size=12) for top in (50, 255, 256, 65_535, 65_536, 2**32 - 1)
)
ends = st.one_of(st.lists(st.integers(0, top), max_size=5) for top in (9, 300, 70_000)).map(sorted)
costs = st.integers(0, 2**28)
score = st.one_of(
    st.none(),
    st.floats(0, 1),
    st.floats(0, 1, width=32),
    st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e-45, 0.1]),
)
scores = st.lists(score, max_size=6).map(lambda steps: Scores(tuple(steps)))
answers = st.none() | st.text()


@st.composite
def rows(draw, size):
    """What two engines might give for `size` prefixes."""
    made = []
    for _ in range(size):
        how = draw(st.sampled_from(["open", "finished", "truncated"]))
        solution = Solution(
            Problem("?", ""),
            tuple(draw(ids)),
            tuple(draw(ends)),
            how == "finished",
            how == "truncated",
            draw(answers) if how == "finished" else None,
        )
        drawn = Drawn(solution, draw(costs), draw(costs), draw(costs))
        made.append((drawn, Verified(draw(scores), draw(costs), draw(costs))))
    return made


class Dictated:
    """Engines that give these rows, one after the other, each behind the prefix it extends."""

    name = "dictated"

    def decode(self, tokens):
        return ""

    def __init__(self, given_rows):
        self.drawn = [drawn for drawn, _ in given_rows]
        self.verified = [verified for _, verified in given_rows]

    def propose_batch(self, draws):
        return [self.extend(draw.prefix, self.drawn.pop(0)) for draw in draws]

    def extend(self, prefix, row):
        fresh, past = row.solution, len(prefix.tokens)
        tokens = prefix.tokens + fresh.tokens
        step_ends = (*prefix.step_ends, *(past + end for end in fresh.step_ends))
        solution = replace(fresh, problem=prefix.problem, tokens=tokens, step_ends=step_ends)
        return replace(row, solution=solution)

    def verify_batch(self, solutions):
        return [self.verified.pop(0) for _ in solutions]


def overheard(search, log):
    """The search, with what it is sent kept in `log`."""

    def start(problem, budget):
        inner = search(problem, budget)
        sent = None
        while True:
            try:
                request = inner.send(sent)
            except StopIteration as stop:
                return stop.value
            sent = yield request
            log.append(sent)

    return start


def timeless(outcome):
    """Without its seconds, which are kept to the microsecond."""
    return replace(outcome, usage=replace(outcome.usage, seconds=0.0))


def twice(store, search, proposer, verifier, n=4):
    """Run a search, then again from the store alone: its tree, and of each run the outcome, the
    choice and what the search was sent."""
    came = []
    problem_id = f"p{store.counts().problems}"
    refusing = (Refusing(proposer.name), verifier and Refusing(verifier.name))
    for engines in ((proposer, verifier), refusing):
        log = []
        job = one_job(overheard(search, log), problem_id, n)
        [result] = run(store, [job], *engines).values()
        came.append((timeless(result.outcome), result.choice, log))
    return store.view().tree(problem_id, "custom", n), *came


def two_rounds(problem, budget):
    """Every kind of request: drawing on, ended prefixes, repeated, empty and untouched ones."""
    pool = yield Propose([Solution.start(problem)] * budget.generations, until=STEP)
    yield Verify(pool[:1])
    pool = yield Propose([*pool, *pool[:2]], until=STEP)
    yield Verify([])
    yield Verify([*pool, pool[0], pool[-1]])
    read = yield Verify(pool[::-1])
    return Choice(None, None, tuple(pool), tuple(read))


@given(rows(10))
@same_every_time
def test_whatever_engines_give_comes_back_exactly(store, given_rows):
    engines = Dictated(given_rows)
    tree, first, second = twice(store, two_rounds, engines, engines)
    assert repr(first) == repr(second)  # -0.0 is 0.0, but not here
    said = {node.number: node for node in tree.nodes}
    _, choice, log = first
    for solution, read in zip(choice.candidates, choice.scores[::-1], strict=True):
        node = said[solution.number]
        assert node.tokens == solution.tokens
        assert node.step_ends == solution.step_ends
        assert (node.finished, node.truncated) == (solution.finished, solution.truncated)
        assert (node.answer, node.scores) == (solution.answer, read)
    drawn = [node.parent for node in tree.nodes]
    assert drawn[:4] == [-1] * 4
    assert drawn[4:] == [s.number for s in [*log[0], *log[0][:2]] if s.is_open]


def test_a_prefix_the_search_wrote_itself_comes_back_as_it_wrote_it(store):
    def revise(problem, budget):
        [first] = yield Propose([Solution.start(problem)])
        context = replace(first, tokens=(99, *first.tokens, 99), step_ends=(), finished=False)
        [second] = yield Propose([replace(context, truncated=False)])
        [third] = yield Propose([Solution(problem, tokens=(7, 8))])
        return Choice(None, None, (second, third))

    tree, first, second = twice(store, revise, ScriptedProposer(), None, n=1)
    assert first == second
    assert [node.parent for node in tree.nodes] == [-1, 0, -1]
    assert [node.tokens for node in tree.nodes[1:]] == [s.tokens for s in first[1].candidates]
    assert [node.step_ends for node in tree.nodes[1:]] == [s.step_ends for s in first[1].candidates]


def chain_of(problem, budget):
    """One chain, each revision of all before it; scored at the end."""
    chain = []
    for place in range(budget.generations):
        prefix = Solution.revision(chain, 4) if place else Solution.start(problem)
        chain += yield Propose([prefix])
    return Choice(None, None, tuple(chain), tuple((yield Verify(chain))))


@given(rows(6))
@same_every_time
def test_revisions_come_back_with_what_they_saw(store, given_rows):
    engines = Dictated(given_rows)
    tree, first, second = twice(store, chain_of, engines, engines, n=6)
    assert repr(first) == repr(second)
    candidates = first[1].candidates
    assert [node.parent for node in tree.nodes] == list(range(-1, 5))
    assert [node.tokens for node in tree.nodes] == [s.tokens for s in candidates]
    assert [node.step_ends for node in tree.nodes] == [s.step_ends for s in candidates]
    assert [node.answer for node in tree.nodes] == [s.answer for s in candidates]
    for place, solution in enumerate(candidates):
        before = [s.tokens for s in candidates[:place] if s.answer is not None]
        assert list(solution.history) == before[-4:]


def test_a_revision_of_a_solution_without_an_answer_is_whole_in_the_tree(store):
    blank = Problem("?", "")
    cut, ended = (
        Solution(blank, (1, 2, 3), (2,), truncated=True),
        Solution(blank, (4, 5), (2,), True, answer="5"),
    )
    engine = Dictated([(Drawn(cut, 1, 2, 3), None), (Drawn(ended, 1, 2, 3), None)])
    verifier = ScriptedVerifier(silence=1.0)
    tree, first, second = twice(store, chain_of, engine, verifier, n=2)
    assert first == second
    assert [(node.parent, node.tokens, node.step_ends) for node in tree.nodes] == [
        (-1, (1, 2, 3), (2,)),
        (0, (4, 5), (2,)),
    ]


def test_a_solution_that_does_not_begin_with_its_prefix_comes_back(store):
    class Rewriting(Dictated):
        def extend(self, prefix, row):
            return replace(row, solution=replace(row.solution, problem=prefix.problem))

    def search(problem, budget):
        pool = yield Propose([Solution.start(problem)])
        pool = yield Propose(pool)
        return Choice(None, None, tuple(pool))

    blank = Problem("?", "")
    engine = Rewriting(
        (Drawn(Solution(blank, tokens, (2,)), 1, 2, 3), None) for tokens in ((1, 2, 3), (4, 5))
    )
    tree, first, second = twice(store, search, engine, None, n=1)
    assert first == second
    assert [(node.tokens, node.step_ends) for node in tree.nodes] == [
        ((1, 2, 3), (2,)),
        ((4, 5), (2,)),
    ]


def test_a_solution_asked_about_again_is_charged_once_in_the_replay_too(store):
    def search(problem, budget):
        pool = yield Propose([Solution.start(problem)] * 2)
        read = yield Verify(pool + pool)
        again = yield Verify([*pool, Solution.start(problem)])
        return Choice(None, None, tuple(pool), (*read, *again))

    _, first, second = twice(store, search, ScriptedProposer(), ScriptedVerifier(), n=2)
    assert first == second
    tokens = sum(len(s.tokens) for s in first[1].candidates)
    assert first[0].usage.verifier_tokens == tokens


@pytest.mark.parametrize("name", MIX)
def test_a_finished_job_runs_again_without_engines(path, name):
    with writing(path) as store:
        first = run(store, jobs(name, n=6))
        again = run(store, jobs(name, n=6), Refusing(), Refusing())
    assert again == first
    with writing(path) as store:
        assert run(store, jobs(name, n=6), Refusing(), Refusing()) == first


def kept(solution, **costs):
    return KeptDraw(Drawn(solution, 1, 0, 1, **costs), 0.0, has_state=False, reread=False)


WRITER = Writer("by hand")


def test_nothing_is_there_before_it_is_committed(path):
    [job] = jobs("majority", of=1)
    start, drawn = Solution.start(job.problem), Solution(job.problem, (1,))
    with writing(path) as store, reading(path) as reader:
        book = store.book(job)
        book.keep_draws(WRITER, [1], [start], [kept(drawn)])
        assert reader.counts().draws == 0
        store.commit()
        assert reader.counts().draws == 1
        book.keep_draws(WRITER, [2], [start], [kept(drawn)])
    with reading(path) as store:
        assert (store.counts().draws, store.counts().searches) == (1, 0)


def test_what_a_solution_says_is_kept_with_it(path):
    [job] = jobs("beam", of=1)
    start = Solution.start(job.problem)
    step = Solution(job.problem, (1, 2), (2,), number=0)
    rest = Solution(job.problem, (7, 8, 9), (2,), number=1)  # behind its last step, and open
    mute = Solution(job.problem, (1,), number=2)
    rows = [
        (start, step, ("\u00e4",)),
        (start, rest, ("c", "d")),
        (start, mute, None),
        (step, Solution(job.problem, (1, 2, 3), (2, 3), True, number=3), ("b\ud800",)),
        (rest, Solution(job.problem, (7, 8, 9, 4), (2, 4), number=4), ("e\n",)),
        (mute, Solution(job.problem, (1, 5), (2,), number=5), ("f",)),
        (start, Solution(job.problem, (), (), truncated=True, number=6), ()),
    ]
    with writing(path) as store:
        book = store.book(job)
        for key, (prefix, solution, said) in enumerate(rows):
            drawn = kept(solution, texts=said)
            book.keep_draws(WRITER, [key], [prefix], [drawn])
            book.numbered(WRITER, [key], [prefix.number], [drawn.row])
        outcome = Outcome(job.problem.id, "beam", 4, None, False, None, Usage())
        book.finish(Result(job, outcome, Choice(None, None, ())), {"proposer": WRITER})
        store.commit()
    with reading(path) as store:
        texts = [node.texts for node in store.view().tree(job.problem.id, "beam", 4).nodes]
    assert texts[:3] == [("\u00e4",), ("c", "d"), None]
    assert texts[3:] == [("\u00e4", "b?"), ("c", "de\n"), None, ()]


def test_a_job_searched_twice_at_once_is_paid_for_once(path):
    proposer, verifier = Counted(PROPOSER, name="scripted"), Counted(VERIFIER, name="scripted")
    wanted = jobs("best_of_n", of=1) * 2
    with writing(path) as store:
        team = Team.of(proposer, verifier)
        first, second = results(team, wanted, journal=store)
        assert first == second
        assert (len(proposer.rows), len(verifier.rows)) == (4, 4)
        assert (store.counts().draws, store.counts().scores, store.counts().searches) == (4, 4, 1)


def test_an_answer_that_two_searches_end_in_at_once_is_judged_once(path):
    both_ended, judged = threading.Event(), []

    def grade(answer, reference):
        judged.append(answer)
        assert both_ended.wait(60)
        return True

    def ending(is_last):
        def search(problem, budget):
            pool = yield Propose([Solution.start(problem)])
            if is_last:
                both_ended.set()
            return Choice(pool[0].answer, 0, tuple(pool))

        return search

    problem = Problem("p", "how many?", "right")
    wanted = [
        Job(problem, searching(ending(is_last), name), Budget(1))
        for name, is_last in (("first", False), ("last", True))
    ]
    with writing(path) as store:
        came = results(Team.of(ScriptedProposer()), wanted, grader=grade, journal=store)
        assert [result.outcome.right for result in came] == [True, True]
        assert judged == [came[0].outcome.answer]
        assert store.counts().verdicts == 1


def test_the_first_outcome_stays(path):
    wanted = jobs("best_of_n", of=1)
    with writing(path) as store:
        [first] = run(store, wanted).values()
        assert first.outcome.usage.seconds > 0
        run(store, wanted)
        [outcome] = store.view().outcomes()
        assert outcome == first.outcome
        assert outcome.usage.seconds == first.outcome.usage.seconds


# Reading ------------------------------------------------------------------------------------------


def test_outcomes_come_back_by_stream(path):
    came = filled(path, *MIX)
    filled(path, "majority", stream="difficulty")
    with reading(path) as store:
        view = store.view()
        known = {(o.problem_id, o.strategy): o for o in view.outcomes()}
        assert known == {key: result.outcome for key, result in came.items()}
        assert [o.strategy for o in view.outcomes(stream="difficulty")] == ["majority"] * 3
        assert view.streams() == ["", "difficulty"]
        finished = {(p, name, 4, "") for p, name in came}
        assert view.finished() == finished | {
            (p.id, "majority", 4, "difficulty") for p in problems(3)
        }
        assert all(
            view.answer(p, name, 4) == result.outcome.answer for (p, name), result in came.items()
        )
        assert store.problems() == problems(3)


def test_a_pool_has_the_answers_and_last_scores_in_draw_order(path):
    came = filled(path, "best_of_n", n=32)
    with reading(path) as store:
        for (problem, name), result in came.items():
            answers, last = store.view().pool(problem, name, 32)
            assert answers == [s.answer for s in result.choice.candidates]
            assert last == [read.last for read in result.choice.scores]
            assert None in last and None in answers


def test_a_pool_that_was_never_scored_has_no_scores(path):
    filled(path, "majority")
    with reading(path) as store:
        assert store.view().pool("p0", "majority", 4)[1] == [None] * 4


@given(st.lists(scores, min_size=1, max_size=20))
@same_every_time
def test_the_last_score_of_a_pool_is_the_last_of_the_steps(store, given_scores):
    blank = Drawn(Solution(Problem("?", ""), finished=True), 0, 0, 0)
    engine = Dictated([(blank, Verified(read, 0, 0)) for read in given_scores])
    n, problem_id = len(given_scores), f"p{store.counts().problems}"
    run(store, [one_job(problem_id=problem_id, n=n)], engine, engine)
    view = store.view()
    assert view.pool(problem_id, "best_of_n", n)[1] == [read.last for read in given_scores]
    for step in StepAggregation:
        reduced = [reduce_steps(read, step) for read in given_scores]
        assert view.pool(problem_id, "best_of_n", n, step=step)[1] == reduced


def test_costs_of_every_place_of_a_chain_add_up_to_those_of_its_jobs(path):
    came = filled(path, "revise(sequential=3)", n=8)
    filled(path, "revise(sequential=3)", n=4)
    filled(path, "revise(sequential=3)", n=8, of=1, stream="difficulty")
    with reading(path) as store:
        costs = store.view().costs("revise(sequential=3)", 8, {"p0", "p2"})
        trees = [store.view().tree(p, "revise(sequential=3)", 8) for p in ("p0", "p2")]
    assert len(costs) == 8
    spent = [result.outcome.usage for (p, _), result in came.items() if p != "p1"]
    for name in (
        "generations",
        "prompt_tokens",
        "cached_tokens",
        "decoded_tokens",
        "verifier_tokens",
        "prompt_attended",
        "decoded_attended",
        "verifier_attended",
    ):
        assert sum(getattr(c, name) for c in costs) == sum(getattr(s, name) for s in spent), name
    for number, cost in enumerate(costs):
        nodes = [tree.nodes[number] for tree in trees]
        assert cost.decoded_tokens == sum(node.decoded_tokens for node in nodes)
        assert cost.verifier_tokens == sum(node.verifier_tokens for node in nodes)
        assert (cost.generations, cost.seconds) == (2, 0.0)


def test_a_tree_has_every_step_its_scores_and_what_it_cost(path):
    result = filled(path, "beam(width=2)")["p0", "beam(width=2)"]
    with reading(path) as store:
        tree = store.view().tree("p0", "beam(width=2)", 4)
    usage = result.outcome.usage
    assert tree.outcome == result.outcome
    assert tree.problem == result.job.problem
    assert [node.number for node in tree.nodes] == list(range(len(tree.nodes)))
    assert sum(node.prompt_tokens for node in tree.nodes) == usage.prompt_tokens
    assert sum(node.cached_tokens for node in tree.nodes) == usage.cached_tokens
    assert sum(node.decoded_tokens for node in tree.nodes) == usage.decoded_tokens
    assert sum(node.verifier_tokens for node in tree.nodes) == usage.verifier_tokens
    assert sum(node.verifier_cached_tokens for node in tree.nodes) == usage.verifier_cached_tokens
    for node in tree.nodes:
        parent = tree.nodes[node.parent] if node.parent >= 0 else None
        assert parent is None or node.tokens[: len(parent.tokens)] == parent.tokens
    chosen = result.choice.candidates[result.choice.index]
    assert tree.nodes[chosen.number].tokens == chosen.tokens


def test_what_was_never_scored_has_no_scores_and_what_gave_none_has_none(store):
    def search(problem, budget):
        pool = yield Propose([Solution.start(problem)] * 2)
        yield Verify(pool[:1])
        return Choice(None, None, tuple(pool))

    tree, *_ = twice(store, search, ScriptedProposer(), ScriptedVerifier(silence=1), n=2)
    assert [node.scores for node in tree.nodes] == [Scores(), None]


def test_a_job_that_is_not_finished_keeps_its_rows_and_has_no_tree(path):
    class Broken(ScriptedVerifier):
        def verify_batch(self, solutions):
            raise RunError("out of memory")

    with writing(path) as store:
        [failed] = run(store, jobs("best_of_n", of=1), verifier=Broken()).values()
        assert failed.outcome.error == "RunError: out of memory"
        assert (store.counts().draws, store.counts().searches) == (4, 0)
        view = store.view()
        for ask in (view.tree, view.pool, view.answer):
            with refused(StoreError, path, "best_of_n at 4", "not finished"):
                ask("p0", "best_of_n", 4)
        [done] = run(store, jobs("best_of_n", of=1), Refusing()).values()
        assert done == run(None, jobs("best_of_n", of=1))["p0", "best_of_n"]


def test_what_was_never_run_is_an_error_that_says_how_to_run_it(path):
    filled(path, "majority")
    with reading(path) as store:
        view = store.view()
        for ask in (view.tree, view.pool):
            with refused(StoreError, path, "beam at 4", "'p9'", "began it again"):
                ask("p9", "beam", 4)
            with refused(StoreError, "stream 'difficulty'"):
                ask("p0", "majority", 4, "difficulty")


def test_counts_are_of_everything(path):
    came = filled(path, "majority", "best_of_n")
    with reading(path) as store:
        counts = store.counts()
        size = store.bytes_per_solution()
    answers = {(key[0], result.outcome.answer) for key, result in came.items()}
    assert (counts.problems, counts.searches) == (3, 6)
    assert (counts.draws, counts.scores) == (12, 12)  # both searches draw the same rows
    assert counts.verdicts == len({answer for answer in answers if answer[1] is not None})
    assert size == path.stat().st_size / 12


def test_an_empty_store_has_no_size_per_solution(path):
    with writing(path) as store:
        assert store.bytes_per_solution() is None
        assert list(store.view().outcomes()) == store.problems() == []


def test_a_solution_of_forty_tokens_and_its_score_take_less_than_170_bytes(path):
    n = 8192
    blank = Problem("?", "")
    tokens, step_ends = tuple(range(40)), (6, 13, 20, 27, 34, 39)
    steps = struct.unpack("6f", struct.pack("6f", *(0.1 * at for at in range(6))))
    drawn = Drawn(Solution(blank, tokens, step_ends, True, answer="42"), 17, 0, 40)
    engine = Dictated([(drawn, Verified(Scores(steps), 57, 0))] * n)
    with writing(path) as store:
        run(store, [one_job(n=n)], engine, engine)
    assert path.stat().st_size / n < 170


def test_reading_a_job_takes_no_longer_in_a_large_store(path):
    def work(store):
        """Steps of SQLite's machine for a replay, a pool and a tree of one job, in hundreds."""
        steps = []
        store._db.set_progress_handler(lambda: steps.append(1), 100)
        run(store, jobs("best_of_n", of=1), Refusing(), Refusing())
        store.view().pool("p0", "best_of_n", 4)
        store.view().tree("p0", "best_of_n", 4)
        return len(steps)

    with writing(path) as store:
        run(store, jobs("best_of_n", of=1))
        work(store)  # SQLite counts the steps of a statement over all its runs
        alone = work(store)
        run(store, jobs("best_of_n", of=400))
        assert work(store) <= 2 * alone + 2


# Another search, another problem -----------------------------------------------------------------


def test_a_search_that_changed_draws_what_it_asks_for_now(path):
    def drawing(*rounds):
        def search(problem, budget):
            pool = [Solution.start(problem)]
            for take in rounds:
                if take == 0:
                    yield Verify(pool)
                else:
                    pool = yield Propose(pool[:1] * take, until=STEP)
            return Choice(None, None, tuple(pool))

        return [one_job(search)]

    def paid(*rounds):
        proposer = Counted(ScriptedProposer(max_steps=9), name="scripted")
        verifier = Counted(VERIFIER, name="scripted")
        with writing(path) as store:
            run(store, drawing(*rounds), proposer, verifier)
        return len(proposer.rows), len(verifier.rows)

    assert paid(2, 0, 3) == (5, 2)
    assert paid(2, 0, 3) == (0, 0)
    assert paid(3) == (1, 0)
    assert paid(0) == (0, 1)
    assert paid(2, 2) == (2, 0)  # the same prefix, but another place in the search
    assert paid(2, 0, 3, 0) == (0, 3)


@pytest.mark.parametrize("change", [{"prompt": "how few?"}, {"reference": None}])
def test_a_problem_that_changed_under_its_id_is_refused(path, change):
    job = one_job()
    changed = replace(job, problem=replace(job.problem, **change))
    with writing(path) as store:
        run(store, [job])
        with refused(StoreError, path, "'p'", *change, "new id"):
            store.book(changed)
        other = replace(changed, budget=Budget(2))
        with refused(StoreError, "new id"):
            run(store, [other])


def test_two_problems_of_one_id_in_one_batch_are_refused(path):
    job = one_job()
    other = replace(job, problem=replace(job.problem, prompt="x" * 99), budget=Budget(2))
    with writing(path) as store, refused(StoreError, "'p'", "prompt", "..."):
        run(store, [job, other])


def test_a_score_that_is_not_a_number_is_refused(path):
    blank = Drawn(Solution(Problem("?", ""), finished=True), 0, 0, 0)
    engine = Dictated([(blank, Verified(Scores((0.5, float("nan"), None)), 0, 0))])
    with writing(path) as store, refused(RunError, "NaN", "None"):
        run(store, [one_job()], engine, engine)


@pytest.mark.parametrize("token", [-1, 2**32])
def test_a_token_id_out_of_range_is_refused(path, token):
    engine = Dictated([(Drawn(Solution(Problem("?", ""), (token,)), 0, 0, 0), None)])
    with writing(path) as store, refused(RunError, token):
        run(store, [one_job()], engine)


def test_half_a_character_is_refused(path):
    job = Job(Problem("p", "\ud83d"), strategy("majority"), Budget(1))
    with writing(path) as store, refused(UsageError, path, "half a character"):
        run(store, [job])


# The file -----------------------------------------------------------------------------------------


def test_a_missing_store_names_the_command_that_makes_one(path):
    with refused(StoreError, path, "outthink sweep"):
        reading(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("version", "way"),
    [
        (FORMAT + 1, "use the outthink that wrote it"),
        (2, "`outthink convert "),
        (1, "use the outthink that wrote it, or another store"),
    ],
)
def test_a_store_of_another_format_is_refused(path, version, way):
    filled(path, "majority")
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    content = path.read_bytes()
    for write in (True, False):
        with refused(StoreError, path, f"format {version}", f"format {FORMAT}", way):
            Store.open(path, write=write)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "content", [b"not a store", b"x" * 5000, b"SQLite format 3\0" + b"x" * 500]
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    for write in (True, False):
        with refused(StoreError, path, "no outthink store"):
            Store.open(path, write=write)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_the_database_of_another_program_is_refused_and_left_alone(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (it)")
    database.close()
    content = path.read_bytes()
    for write in (True, False):
        with refused(StoreError, path, "no outthink store"):
            Store.open(path, write=write)
    assert path.read_bytes() == content


def test_a_folder_is_no_store(tmp_path):
    for write in (True, False):
        with refused(StoreError, tmp_path, "cannot be opened"):
            Store.open(tmp_path, write=write)


def test_a_place_that_is_not_there_is_refused(tmp_path):
    with refused(StoreError, "nowhere", "No such file"):
        writing(tmp_path / "nowhere" / "a.store")


@pytest.mark.parametrize("wal", [False, True])
def test_a_file_left_half_made_is_made_again(path, wal):
    path.touch()
    if wal:
        sqlite3.connect(path).execute("PRAGMA journal_mode = WAL").connection.close()
    with refused(StoreError, "no outthink store"):
        reading(path)
    filled(path, "majority")


def test_odd_names_of_files_are_no_trouble(tmp_path):
    path = tmp_path / "a b?mode=rw#%41é.store"
    came = filled(path, "majority")
    with reading(path) as store:
        assert len(list(store.view().outcomes())) == len(came)


def test_closing_leaves_one_file(path):
    filled(path, "majority")
    assert os.listdir(path.parent) == [path.name]


HOLDER = """
import sys
from outthink.run.store import Store
with Store.open(sys.argv[1], write=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_writes_and_any_number_read(path):
    came = filled(path, "majority")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout.readline() == b"held\n"
        with refused(StoreError, path, f"written by process {child.pid}"):
            writing(path)
        with reading(path) as store, reading(path) as other:
            assert store.view().finished() == other.view().finished()
            assert len(store.view().finished()) == len(came)
        child.send_signal(signal.SIGKILL)
    with writing(path), refused(StoreError, path, f"written by process {os.getpid()}"):
        writing(path)
    with writing(path):
        pass


def test_a_store_is_waited_for_as_long_as_is_said(path):
    with Store.open(path, write=True, waits_s=0.25) as store:
        assert store._db.execute("PRAGMA busy_timeout").fetchall() == [(250,)]
    with Store.open(path, write=True) as store:
        assert store._db.execute("PRAGMA busy_timeout").fetchall() == [(5000,)]


def test_readers_see_what_is_committed_while_it_is_written(path):
    with writing(path) as store, reading(path) as reader:
        assert reader.counts().draws == 0
        came = run(store, jobs("beam"))
        assert {o.problem_id: o for o in reader.view().outcomes()} == {
            problem: result.outcome for (problem, _), result in came.items()
        }


# The disk -----------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_loses_nothing(path):
    wanted = jobs("best_of_n", n=64, of=40)
    whole = run(None, wanted)
    with writing(path) as store:
        run(store, wanted[:3])
        before = store.counts().draws
        store._db.execute("PRAGMA max_page_count = 20")
        with refused(RunError, path, "full", "nothing recorded was lost", "same command"):
            run(store, wanted)
        with reading(path) as reader:
            assert reader.counts().draws >= before
        store._db.execute("PRAGMA max_page_count = 1000000")
        again = run(store, wanted)
        assert store.counts().draws == 40 * 64
    assert again == whole


SMALL_DISK = """
import asyncio, os, resource, signal, sys
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.models.scripted import ScriptedProposer, scripted_problems
from outthink.search import strategy
from outthink.run.store import Store
from outthink.types import Budget
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = os.path.getsize(sys.argv[1]) + 40_000
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
jobs = [Job(problem, strategy("majority"), Budget(64)) for problem in scripted_problems(99)]
with Store.open(sys.argv[1], write=True) as store:
    team = Team.of(ScriptedProposer())
    asyncio.run(Runner(team, journal=store, rows_in_flight=64).results(jobs))
"""


def test_what_could_not_be_written_is_written_once_there_is_room(path):
    [job] = jobs("majority", n=2000, of=1)
    start = Solution.start(job.problem)
    keys = draw_keys("", 0, range(2000), [Draw(start, None, 1.0, 0)] * 2000)
    drawn = kept(Solution(job.problem, (1,) * 40))

    def record(store):
        book = store.book(job)
        for key in keys:
            book.keep_draws(WRITER, [key], [start], [drawn])
        return book

    with writing(path) as store:
        store._db.execute("PRAGMA max_page_count = 20")
        record(store)
        with refused(RunError, "full"):
            store.commit()
        store._db.execute("PRAGMA max_page_count = 1000000")
        store.commit()
        assert store.counts().draws == 2000
        assert store.book(job).draws(WRITER, keys, [start] * 2000) == [drawn] * 2000


def test_rows_that_wait_for_room_outlive_a_name_that_there_is_no_room_for(path):
    [job, other] = jobs("majority", n=1, of=2)
    start = Solution.start(job.problem)
    [key] = draw_keys("", 0, [0], [Draw(start, None, 1.0, 0)])
    drawn = kept(Solution(job.problem, (1,) * 40))
    with writing(path) as store:
        store.book(job).keep_draws(WRITER, [key], [start], [drawn])
        store._db.execute("PRAGMA query_only = 1")
        with refused(DiskError, "cannot be written"):
            store.book(other)
        store._db.execute("PRAGMA query_only = 0")
        store.commit()
        assert store.book(job).draws(WRITER, [key], [start]) == [drawn]


def test_a_disk_that_fails_is_one_line_and_loses_nothing(path):
    wanted = jobs("majority", n=64, of=9)
    with writing(path) as store:
        run(store, wanted[:1], ScriptedProposer())
    script = [sys.executable, "-c", SMALL_DISK, path]
    failed = subprocess.run(script, env=ENVIRONMENT, capture_output=True, text=True)
    last = failed.stderr.splitlines()[-1]
    assert last.startswith(f"outthink.errors.DiskError: {path}: cannot be written: ")
    assert "nothing recorded was lost" in last
    with writing(path) as store:
        assert store.counts().searches >= 1
        assert run(store, wanted, ScriptedProposer()) == run(None, wanted, ScriptedProposer())


# Parquet ------------------------------------------------------------------------------------------


def test_everything_goes_to_parquet(path, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    came = filled(path, *MIX)
    filled(path, "majority", stream="difficulty")
    with reading(path) as store:
        view = store.view()
        files = export_parquet(store, view, tmp_path / "new" / "folder")
        trees = [view.tree(problem, name, 4) for problem, name in came]
    assert [file.name for file in files] == [
        "problems.parquet",
        "outcomes.parquet",
        "solutions.parquet",
    ]
    found = {file.stem: parquet.ParquetFile(file).read().to_pylist() for file in files}
    assert [Problem(**row) for row in found["problems"]] == problems(3)
    outcomes = {(r["problem_id"], r["strategy"]): r for r in found["outcomes"] if not r["stream"]}
    assert len(found["outcomes"]) == 3 * len(MIX) + 3
    for key, result in came.items():
        assert outcomes[key]["answer"] == result.outcome.answer
        assert outcomes[key]["right"] is result.outcome.right
        assert outcomes[key]["verifier_tokens"] == result.outcome.usage.verifier_tokens
    kept = [row for row in found["solutions"] if not row["stream"]]
    nodes = [node for tree in trees for node in tree.nodes]
    assert len(kept) == len(nodes)
    rows = {(row["problem_id"], row["strategy"], row["number"]): row for row in kept}
    for tree in trees:
        for node in tree.nodes:
            row = rows[tree.problem.id, tree.strategy, node.number]
            assert tuple(row["tokens"]) == node.tokens
            assert tuple(row["step_ends"]) == node.step_ends
            assert row["scores"] == (None if node.scores is None else list(node.scores.steps))
            assert (row["parent"], row["finished"]) == (node.parent, node.finished)
            assert row["text"] is None


def test_an_empty_store_goes_to_parquet(path, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    with writing(path) as store:
        files = export_parquet(store, store.view(), tmp_path)
    assert [parquet.ParquetFile(file).metadata.num_rows for file in files] == [0, 0, 0]


def test_parquet_without_pyarrow_names_the_extra(path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with writing(path) as store, refused(UsageError, "outthink[parquet]"):
        export_parquet(store, store.view(), tmp_path)


def test_parquet_into_a_place_that_cannot_be_written_is_one_line(path, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "taken").touch()
    with writing(path) as store, refused(RunError, "taken"):
        export_parquet(store, store.view(), tmp_path / "taken")


def test_problems_keep_the_order_in_which_they_were_announced(path):
    with writing(path) as store:
        store.add_problems(problems(3))
        store.add_problems([*reversed(problems(4))])
        assert store.problems() == problems(4)
