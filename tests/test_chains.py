"""Every split of a budget, read from one pool of chains, against running it and all its subsets."""

from itertools import combinations

import numpy as np
import pytest
from contract import problems, results, same_every_time
from hypothesis import given
from hypothesis import strategies as st
from test_select import by_chains

from outthink.errors import UsageError
from outthink.measure.chains import Chains, curve
from outthink.measure.pools import Pool
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.chains import pool_lengths
from outthink.search.select import AnswerAggregation
from outthink.study.plan import CHAINS
from outthink.types import Budget

HIERARCHICAL, MAJORITY = AnswerAggregation.HIERARCHICAL, AnswerAggregation.MAJORITY
SPLITS = [
    (budget, length) for budget in (1, 2, 4, 8) for length in (1, 2, 4, 8) if length <= budget
]


def chains_of(pairs, problem_id="p", right="a"):
    """A pool of chains from (answer, score) pairs in draw order."""
    answers, scores = zip(*pairs, strict=True)
    size = next(n for n in (1, 2, 4, 8, 16) if sum(pool_lengths(n)) == len(pairs))
    return Chains(Pool.of(problem_id, answers, scores, [a == right for a in answers]), size)


eighths = st.integers(0, 8).map(lambda eighth: eighth / 8)
pairs_of_eight = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), eighths | st.none()),
    min_size=sum(pool_lengths(8)),
    max_size=sum(pool_lengths(8)),
)


def by_hand(size):
    """The chains of a pool, lists of places, drawn one round after the other."""
    lengths, chains, at = pool_lengths(size), [[] for _ in range(size)], 0
    for place in range(size):
        for chain, length in zip(chains, lengths, strict=True):
            if place < length:
                chain.append(at)
                at += 1
    return chains


def slow(pairs, size, budget, length, how):
    """Accuracy over all sets of chains that are long enough, each voted on in full."""
    long_enough = [chain[:length] for chain in by_hand(size) if len(chain) >= length]
    right = []
    for some in combinations(long_enough, budget // length):
        if how is HIERARCHICAL:
            answer, _ = by_chains(some, [(a, [s]) for a, s in pairs], "last")
        else:
            votes = [pairs[i][0] for i in sorted(i for chain in some for i in chain)]
            votes = [answer for answer in votes if answer is not None]
            answer = max(votes, key=votes.count, default=None)
        right.append(answer == "a")
    return np.mean(right)


# Equals the slow reference -----------------------------------------------------------------------


@same_every_time
@given(pairs_of_eight)
def test_hierarchical_accuracy_is_that_of_all_sets_of_chains(pairs):
    pool = chains_of(pairs)
    for budget, length in SPLITS:
        expected = slow(pairs, 8, budget, length, HIERARCHICAL)
        found = pool.accuracy(budget, length, HIERARCHICAL)
        assert found == pytest.approx(expected), (budget, length)


@same_every_time
@given(pairs_of_eight, st.sampled_from([1, 2, 4, 8]))
def test_a_flat_vote_over_all_chains_of_a_pool_is_counted_once(pairs, length):
    expected = slow(pairs, 8, 8, length, MAJORITY)
    assert chains_of(pairs).accuracy(8, length, MAJORITY) == expected


def test_a_flat_vote_over_some_chains_is_unbiased():
    rng = np.random.default_rng(3)
    pairs = [(str(a), None) for a in rng.choice(list("aabc"), sum(pool_lengths(8)))]
    for budget, length in SPLITS:
        expected = slow(pairs, 8, budget, length, MAJORITY)
        found = [chains_of(pairs, f"p{i}").accuracy(budget, length, MAJORITY) for i in range(200)]
        slack = 4 * np.std(found) / len(found) ** 0.5 + 1e-12
        assert abs(np.mean(found) - expected) < slack, (budget, length)
        assert len(set(found)) > 1 or expected in (0, 1) or budget == 8


def test_a_flat_vote_is_the_same_every_time_it_is_read():
    pairs = [("abc"[i * i % 3], 0.5) for i in range(sum(pool_lengths(8)))]
    first, again = (chains_of(pairs).accuracy(4, 2, MAJORITY) for _ in range(2))
    assert first == again


def test_scores_have_no_say_in_a_flat_vote():
    pairs = [("a", 0.0), ("b", 1.0), ("a", 0.0), ("b", 1.0)] + [("a", 0.0)] * 4
    assert chains_of(pairs).accuracy(4, 2, MAJORITY) == 1.0
    assert chains_of(pairs).accuracy(4, 1, HIERARCHICAL) == 0.0


# By hand -----------------------------------------------------------------------------------------


def test_chains_of_a_pool_of_four():
    pool = chains_of([("a", 0.5)] * 8)
    assert pool.first(1).tolist() == [[0], [1], [2], [3]]
    assert pool.first(2).tolist() == [[0, 4], [1, 5]]
    assert pool.first(4).tolist() == [[0, 4, 6, 7]]


def test_a_representative_has_its_own_score_and_not_its_chains():
    #        first answers                                    second ones
    pairs = [("a", 0.5), ("b", 0.75), ("c", 1.0), ("c", 1.0), ("a", 0.25), ("c", 0.125)]
    pool = chains_of([*pairs, ("d", 0.0), ("d", 0.0)])
    kept = pool.representatives(2)
    assert kept.scores.tolist() == [0.5, 0.75]  # a with 0.5 of 0.75, b
    assert pool.accuracy(4, 2, HIERARCHICAL) == 0.0
    assert pool.accuracy(2, 2, HIERARCHICAL) == 0.5


def test_a_tie_in_a_flat_vote_goes_to_what_was_drawn_first_in_any_chain():
    first, second = [(None, 0.5), ("a", 0.5), (None, 0.5), (None, 0.5)], [("b", 0.5)]
    pool = chains_of([*first, *second, *[(None, 0.5)] * 3])
    assert pool.accuracy(4, 2, MAJORITY) == 1.0
    assert pool.accuracy(4, 4, MAJORITY) == 0.0  # the first chain alone


def test_a_budget_below_the_length_is_one_chain_of_it():
    pool = chains_of([("a", 0.5), ("b", 0.75)] * 4)
    for how in (HIERARCHICAL, MAJORITY):
        assert pool.accuracy(2, 4, how) == pool.accuracy(2, 2, how)


def test_a_chain_without_an_answer_has_none():
    pool = chains_of([(None, 0.5)] * 8)
    for budget, length in ((1, 1), (4, 2), (4, 4)):
        for how in (HIERARCHICAL, MAJORITY):
            assert pool.accuracy(budget, length, how) == 0


@pytest.mark.parametrize("length", [0, 3, 8, -1])
def test_chains_that_a_pool_does_not_hold_are_refused(length):
    with pytest.raises(UsageError, match=r"chains of .* from a pool of 4; give a power of two"):
        chains_of([("a", 0.5)] * 8).first(length)


def test_a_pool_with_solutions_missing_is_refused():
    drawn = Pool.of("p", ["a"] * 7, [0.5] * 7, [True] * 7)
    with pytest.raises(UsageError, match="'p': 7 solutions for a pool of chains of 4; give 8"):
        Chains(drawn, 4)


# Against running it ------------------------------------------------------------------------------


class Improving:
    """Each answer that it sees makes it better."""

    name = "improving"

    def propose_batch(self, draws):
        return [
            ScriptedProposer(3, 0.5 + 0.12 * len(draw.prefix.history), 0.05).propose_batch([draw])[
                0
            ]
            for draw in draws
        ]

    def decode(self, tokens):
        return ""


PROPOSER, VERIFIER = Improving(), ScriptedVerifier(noise=0.6)


def live(made, n, of, seed=0):
    jobs = [Job(problem, strategy(made), Budget(n)) for problem in of]
    return results(Team.of(PROPOSER, VERIFIER), jobs, seed=seed)


def read(result, size):
    candidates = result.choice.candidates
    answers = [s.answer for s in candidates]
    scores = [score.last for score in result.choice.scores]
    right = [answer == "right" for answer in answers]
    return Chains(Pool.of(result.job.problem.id, answers, scores, right), size)


def test_the_chains_of_a_pool_are_chains():
    (result,) = live(CHAINS, 8, problems(1))
    candidates = result.choice.candidates
    for length in (1, 2, 4, 8):
        for chain in read(result, 8).first(length):
            for place, at in enumerate(chain):
                before = [candidates[i].tokens for i in chain[:place] if candidates[i].answer]
                assert list(candidates[at].history) == before[-4:]


def test_the_whole_pool_of_one_split_is_what_running_it_would_choose():
    # The longest chain of a pool, and its first answers, draw what a search of one split draws.
    of = problems(60)
    pools = {result.job.problem.id: read(result, 8) for result in live(CHAINS, 8, of)}
    for how in (HIERARCHICAL, MAJORITY):
        made = f"revise(sequential=1,answer={how})"
        ran = {r.job.problem.id: float(r.outcome.right) for r in live(made, 8, of)}
        assert ran == {id_: pool.accuracy(8, 1, how) for id_, pool in pools.items()}
        assert 0 < sum(ran.values()) < 60


@pytest.fixture(scope="module")
def many():
    """Problems, and the pool of chains of each."""
    of = problems(400)
    return of, [read(result, 8) for result in sorted_by_problem(live(CHAINS, 8, of), of)]


@pytest.mark.parametrize("how", [HIERARCHICAL, MAJORITY])
def test_accuracies_of_a_pool_are_those_of_running_every_split(how, many):
    # At four standard errors of 400 problems it sees a split that is off by some 12 points; that
    # much and up to 35 is between chains of one length and of half of it.
    of, pools = many
    means = []
    for budget, length in SPLITS:
        made = f"revise(sequential={length},answer={how})"
        ran = sorted_by_problem(live(made, budget, of, seed=1), of)
        right = np.array([float(result.outcome.right) for result in ran])
        (found,) = curve(pools, length, how, [budget])
        difference = found - right
        slack = 4 * difference.std() / len(of) ** 0.5
        assert abs(difference.mean()) < slack, (budget, length)
        means.append(found.mean())
    assert max(means) - min(means) > 0.2  # there is something to get wrong


def sorted_by_problem(results, of):
    by_id = {result.job.problem.id: result for result in results}
    return [by_id[problem.id] for problem in of]


def test_a_curve_has_a_row_a_budget_and_a_column_a_problem():
    pools = [chains_of([(answer, 0.5)] * 8) for answer in ("a", "b", None)]
    assert curve(pools, 2, HIERARCHICAL, [1, 4]).tolist() == [[1, 0, 0], [1, 0, 0]]
