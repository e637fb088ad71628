"""Revisions: what a chain sees, how a budget is split, and what the chains come to."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from contract import (
    Chain,
    Counted,
    RandomTree,
    Tree,
    Words,
    Worth,
    problems,
    results,
    run_all,
    same_every_time,
    solve_one,
    traced,
    word,
)
from hypothesis import given
from hypothesis import strategies as st
from test_select import brute_force, by_chains

from outthink.errors import UsageError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.chain import WINDOW
from outthink.search.chains import pool_lengths
from outthink.search.select import MAJORITY
from outthink.study.plan import CHAINS, UNSCORED_CHAINS
from outthink.types import REVISER, Budget, Drawn, Propose, Solution, Strategy, Verify


@dataclass
class Diary:
    """Solutions of one token, 0, 1, 2, ... as they are drawn; some end without an answer."""

    unanswered: tuple[int, ...] = ()
    seen: list[list[Solution]] = field(default_factory=list)
    name: str = "diary"

    def propose_batch(self, draws):
        first = sum(map(len, self.seen))
        self.seen.append([draw.prefix for draw in draws])
        return [self._write(draw.prefix, first + at) for at, draw in enumerate(draws)]

    def _write(self, prefix, token):
        answer = None if token in self.unanswered else str(token)
        solution = Solution(prefix.problem, (token,), (1,), True, answer=answer)
        return Drawn(solution, 1, 0, 1)

    def decode(self, tokens):
        return str(tokens)


def histories(name, n, **options):
    """What every request's revisions saw: the numbers written before, by request."""
    diary = Diary(**options)
    solve_one(name, n, diary, ScriptedVerifier())
    return [[[token for (token,) in p.history] for p in asked] for asked in diary.seen]


# What a revision sees ----------------------------------------------------------------------------


def test_a_revision_sees_the_last_four_answers_oldest_first():
    assert histories("revise(sequential=7)", 7) == [
        [[]],
        [[0]],
        [[0, 1]],
        [[0, 1, 2]],
        [[0, 1, 2, 3]],
        [[1, 2, 3, 4]],
        [[2, 3, 4, 5]],
    ]
    assert WINDOW == 4


def test_a_solution_without_an_answer_pushes_none_out_of_sight():
    seen = histories("revise(sequential=7,window=2)", 7, unanswered=(0, 3, 4))
    assert seen == [[[]], [[]], [[1]], [[1, 2]], [[1, 2]], [[1, 2]], [[2, 5]]]


def test_chains_see_their_own_solutions_alone():
    assert histories("revise(sequential=3)", 6) == [[[], []], [[0], [1]], [[0, 2], [1, 3]]]


def test_a_revision_is_a_child_of_what_it_revises_answered_or_not():
    diary = Diary(unanswered=(1,))
    solve_one("revise(sequential=3)", 6, diary, ScriptedVerifier())
    assert [[p.number for p in asked] for asked in diary.seen] == [[-1, -1], [0, 1], [2, 3]]


def test_a_solution_keeps_what_it_saw_whatever_its_proposer_hands_on():
    result = solve_one("revise", 4, Diary(), ScriptedVerifier())
    saw = [[token for (token,) in s.history] for s in result.choice.candidates]
    assert saw == [[], [0], [0, 1], [0, 1, 2]]


# How a budget is split ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequential", "n", "rows"),
    [(4, 10, [3, 3, 2, 2]), (4, 8, [2] * 4), (1, 5, [5]), (8, 3, [1] * 3), (3, 7, [3, 2, 2])],
)
def test_what_is_left_over_is_a_shorter_chain(sequential, n, rows):
    assert [len(asked) for asked in histories(f"revise(sequential={sequential})", n)] == rows


def test_everything_is_verified_at_once_and_a_flat_vote_asks_nobody():
    for how, kinds in (("hierarchical", [Propose] * 4 + [Verify]), ("majority", [Propose] * 4)):
        log = []
        made = traced(strategy(f"revise(answer={how})"), log)
        solve_one(made, 8, ScriptedProposer(), ScriptedVerifier())
        assert [type(request) for request, _ in log] == kinds


@pytest.mark.parametrize("text", ["revise(sequential=0)", "revise(window=0)"])
def test_a_chain_of_nothing_is_refused(text):
    with pytest.raises(UsageError, match="at least one of each"):
        strategy(text)


# Equals the slow reference -----------------------------------------------------------------------


def reference(world, n, sequential):
    """Candidates in the order in which they are drawn, and the chains: lists of their places."""
    drawn, texts = Counter(), []
    chains = [[] for _ in range(-(-n // sequential))]
    for place in range(sequential):
        for at, chain in enumerate(chains):
            if at * sequential + place < n:
                text = ""
                while not world.ended(text):
                    drawn[text] += 1
                    text += world.letter(text, drawn[text] - 1)
                chain.append(len(texts))
                texts.append(text)
    return texts, chains


@same_every_time
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 16),
    sequential=st.integers(1, 6),
    holes=st.sampled_from([0, 0.2]),
    how=st.sampled_from(["hierarchical", "weighted", "max", "majority"]),
)
def test_revise_equals_the_slow_reference(seed, n, sequential, holes, how):
    world = RandomTree(seed, holes=holes)
    name = f"revise(sequential={sequential},answer={how})"
    result = solve_one(name, n, Words(world), Worth(world))
    texts, chains = reference(world, n, sequential)
    assert [word(s) for s in result.choice.candidates] == texts
    values = [None if how == "majority" else world.value(text) for text in texts]
    pairs = [(world.answer(text), [value]) for text, value in zip(texts, values, strict=True)]
    voted = by_chains(chains, pairs, "last")
    expected = voted if how == "hierarchical" else brute_force(pairs, "last", how)
    assert (result.choice.answer, result.choice.index) == expected


# The pool of chains ------------------------------------------------------------------------------


def test_pool_lengths_are_the_largest_powers_of_two_that_fit():
    assert pool_lengths(8) == [8, 4, 2, 2, 1, 1, 1, 1]
    for power in range(9):
        lengths = pool_lengths(2**power)
        assert sum(lengths) == 2**power * (2 + power) // 2  # N (1 + log2(N) / 2)
        for length in (2**k for k in range(power + 1)):
            assert sum(each >= length for each in lengths) == 2**power // length


def pooled(n, proposer, verifier=None, made=CHAINS):
    job = Job(problems(1)[0], strategy(made), Budget(n))
    [result] = run_all([job], proposer, verifier)
    return result


def test_a_pool_draws_chains_of_every_length_side_by_side():
    diary = Diary()
    pooled(4, diary, ScriptedVerifier())
    saw = [[[token for (token,) in p.history] for p in asked] for asked in diary.seen]
    assert saw == [[[], [], [], []], [[0], [1]], [[0, 4]], [[0, 4, 6]]]


def test_a_pool_without_scores_asks_no_verifier():
    assert pooled(4, ScriptedProposer(), made=UNSCORED_CHAINS).choice.scores == ()
    verifier = Counted(ScriptedVerifier())
    result = pooled(8, ScriptedProposer(), verifier)
    assert len(verifier.rows) == len(result.choice.candidates) == 20
    assert result.outcome.usage.generations == 20


@pytest.mark.parametrize("n", [3, 6, 12])
def test_a_pool_of_another_size_than_a_power_of_two_is_refused(n):
    with pytest.raises(UsageError, match="give a power of two"):
        pooled(n, ScriptedProposer())


# Engines of their own ----------------------------------------------------------------------------


def test_revisions_are_asked_of_their_own_engines_and_searches_of_theirs():
    plain = Counted(ScriptedProposer()), Counted(ScriptedVerifier())
    revising = Counted(ScriptedProposer(6)), Counted(ScriptedVerifier(noise=0.1))
    names = ("best_of_n", "revise", "beam", "revise(sequential=2)")
    jobs = [Job(p, strategy(name), Budget(4)) for name in names for p in problems(3)]
    team = Team.of(*plain, reviser=revising[0], revision_verifier=revising[1])
    together = facts(results(team, jobs))
    for engines, revises in ((plain, False), (revising, True)):
        engine, check = engines
        own = [job for job in jobs if (REVISER in job.strategy.about.roles) == revises]
        alone = facts(run_all(own, engine.engine, check.engine))
        assert alone.items() <= together.items()
        drawn = sum(outcome.usage.generations for outcome, _ in alone.values())
        rows = len(engine.rows)
        assert rows == drawn if revises else rows > drawn  # a beam's rows are steps
        assert len(check.rows) > 0
    assert len(together) == len(jobs)


def facts(results):
    return {(r.job.problem.id, r.job.strategy.name): (r.outcome, r.choice) for r in results}


def test_without_engines_of_their_own_revisions_use_those_of_searches():
    proposer = Counted(ScriptedProposer())
    solve_one("revise", 4, proposer, ScriptedVerifier())
    assert len(proposer.rows) == 4


# Greedy ------------------------------------------------------------------------------------------


def test_greedy_is_the_likeliest_solution_at_any_budget():
    world = Tree({"": "ab", "b": "cd"}, likeliest={"": "b", "b": "d"})
    for n in (1, 16):
        result = solve_one("greedy", n, Words(world))
        assert (result.outcome.answer, result.outcome.usage.generations) == ("bd", 1)
        assert [word(s) for s in result.choice.candidates] == ["bd"]


# What it costs -----------------------------------------------------------------------------------


def test_revisions_that_see_the_same_are_read_once_for_both():
    class Same(Diary):
        def _write(self, prefix, token):
            read = 10 + sum(map(len, prefix.history))
            solution = Solution(prefix.problem, (7,), (1,), True, answer="7")
            return Drawn(solution, read, 0, 1, 0 if prefix.history else 10)

    usage = solve_one("revise(sequential=2,answer=majority)", 6, Same()).outcome.usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (10 + 11, 2 * 10 + 2 * 11)


def test_revisions_that_see_different_answers_read_them_all():
    class Counting(Diary):
        def _write(self, prefix, token):
            row = super()._write(prefix, token)
            history = sum(map(len, prefix.history))
            return replace(row, prompt_tokens=10 + history, shared_tokens=0 if history else 10)

    usage = solve_one("revise(sequential=2,answer=majority)", 6, Counting()).outcome.usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (10 + 3 * 11, 2 * 10)


def test_a_revision_of_a_solution_without_an_answer_reads_the_prompt_from_the_cache():
    class Blank(Diary):
        def _write(self, prefix, token):
            return replace(super()._write(prefix, token), prompt_tokens=10, shared_tokens=10)

    blank = Blank(unanswered=tuple(range(6)))
    usage = solve_one("revise(sequential=2,answer=majority)", 6, blank).outcome.usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (10, 5 * 10)
    assert usage.generations == 6


def test_a_revision_is_a_generation_even_of_a_beam():
    # A search of anyone's: it goes on with one step, then revises it.
    def start(problem, budget):
        (begun,) = yield Propose([Solution.start(problem)], until=1)
        (ended,) = yield Propose([begun])
        (better,) = yield Propose([Solution.revision([begun, ended], 4)])
        return MAJORITY([begun, ended, better])

    result = solve_one(Strategy("mixed", start), 4, Chain(3))
    assert result.outcome.usage.generations == 2
