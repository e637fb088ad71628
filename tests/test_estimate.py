"""Exact estimators against enumeration with `Selection`, statistics against closed forms."""

import math
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from outthink.errors import UsageError
from outthink.measure.equivalence import equivalence
from outthink.measure.intervals import interval, paired
from outthink.measure.pools import NO_ANSWER, Pool, curve, pass_at_k
from outthink.measure.quality import auc, calibration_error, reliability, spearman
from outthink.measure.votes import best_of_n, majority, max_score, weighted
from outthink.search.select import AnswerAggregation, Selection
from outthink.types import Problem, Scores, Solution

PROBLEM = Problem("p", "")
EVERY = 1000  # no pool here has more n-subsets: votes are exact


def pool_of(samples, right="a"):
    answers = [answer for answer, _ in samples]
    return Pool.of("p", answers, [score for _, score in samples], [a == right for a in answers])


def random_pool(size, rng, *, answers=4, name="p"):
    ids = rng.integers(NO_ANSWER, answers, size).astype(np.int32)
    return Pool(name, ids, rng.random(size, np.float32), ids == 0)


def mean_over_subsets(pool, n, selection, *, with_scores=True):
    """The slow reference: run the live selection on every n-subset in draw order."""
    solutions = [Solution(PROBLEM, answer=str(i) if i >= 0 else None) for i in pool.answers]
    scores = [Scores(() if math.isnan(score) else (float(score),)) for score in pool.scores]
    hits = []
    for subset in combinations(range(pool.size), n):
        given_scores = [scores[i] for i in subset] if with_scores else None
        choice = selection([solutions[i] for i in subset], given_scores)
        hits.append(choice.index is not None and pool.right[subset[choice.index]])
    return np.mean(hits)


samples = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]), st.sampled_from([None, 0.0, 0.1, 0.2, 0.3, 1.0])
    ),
    min_size=1,
    max_size=6,
)


# Pools -------------------------------------------------------------------------------------------


def test_a_pool_takes_nine_bytes_a_sample():
    pool = random_pool(2048, np.random.default_rng(0))
    assert pool.answers.nbytes + pool.scores.nbytes + pool.right.nbytes == 9 * 2048


def test_a_pool_numbers_answers_in_order_of_appearance():
    pool = Pool.of("p", ["7", None, "3", "7"], [0.5, None, 1.0, 0.25], [True, False, False, True])
    assert pool.answers.tolist() == [0, NO_ANSWER, 1, 0]
    assert pool.scored.tolist() == [True, False, True, True]
    assert pool.answered.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("answers", "scores", "right", "said"),
    [
        ([-1, 0], [0.5, 0.5], [True, False], "without an answer is right"),
        ([0, 0], [0.5, 1.5], [True, True], "outside"),
        ([0, 0], [0.5, np.inf], [True, True], "outside"),
        ([0, -2], [0.5, 0.5], [True, False], "answer id -2"),
        ([0, 0], [0.5], [True, True], "scores is float32[1]"),
        ([], [], [], "answers is int32[0]"),
    ],
)
def test_an_impossible_pool_is_refused(answers, scores, right, said):
    with pytest.raises(UsageError) as refused:
        Pool("p", np.array(answers, np.int32), np.array(scores, np.float32), np.array(right, bool))
    assert said in str(refused.value)


def test_a_pool_of_other_types_is_refused():
    with pytest.raises(UsageError, match="answers is int64"):
        Pool("p", np.array([0]), np.array([0.5], np.float32), np.array([True]))


@pytest.mark.parametrize("estimator", [pass_at_k, best_of_n, max_score, weighted, majority])
@pytest.mark.parametrize("n", [0, 4])
def test_a_budget_the_pool_cannot_give_is_refused(estimator, n):
    with pytest.raises(UsageError, match="give 1 to 3"):
        estimator(pool_of([("a", 0.5)] * 3), [n])


# Exact estimators --------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "hits"), [(1, 0), (1, 1), (7, 3), (64, 1), (2048, 5), (50, 50)])
def test_pass_at_k_equals_its_closed_form(size, hits):
    right = np.arange(size) < hits
    pool = Pool("p", (~right).astype(np.int32), np.zeros(size, np.float32), right)
    ks = [k for k in (1, 2, 3, 10, 64, 100, 1024, 2047, 2048) if k <= size]
    exact = [1 - math.comb(size - hits, k) / math.comb(size, k) for k in ks]
    np.testing.assert_allclose(pass_at_k(pool, ks), exact, rtol=1e-12, atol=1e-14)


def test_best_of_n_equals_its_closed_form_on_a_large_pool():
    size, n = 300, 40
    rng = np.random.default_rng(1)
    pool = random_pool(size, rng)
    answered = np.where(pool.answered, pool.scores, -1)
    ascending = np.argsort(answered, kind="stable")
    chances = [math.comb(i - 1, n - 1) / math.comb(size, n) for i in range(1, size + 1)]
    assert best_of_n(pool, [n])[0] == pytest.approx(np.dot(chances, pool.right[ascending]))


@given(samples)
@settings(max_examples=200, deadline=None)
def test_every_estimator_equals_selection_on_all_subsets(drawn):
    pool = pool_of(drawn)
    ns = range(1, pool.size + 1)
    by_max, by_weight, by_count = (
        Selection(answer=how)
        for how in (AnswerAggregation.MAX, AnswerAggregation.WEIGHTED, AnswerAggregation.MAJORITY)
    )
    for estimator, selection, with_scores in (
        (partial(best_of_n, subsets=EVERY), by_max, True),
        (partial(weighted, subsets=EVERY), by_weight, True),
        (partial(majority, subsets=EVERY), by_count, False),
        (partial(majority, subsets=EVERY, ties_by_score=True), by_count, True),
    ):
        slow = [mean_over_subsets(pool, n, selection, with_scores=with_scores) for n in ns]
        np.testing.assert_allclose(estimator(pool, ns), slow, atol=1e-12)


@given(samples)
@settings(max_examples=30, deadline=None)
def test_max_score_is_the_mean_best_score_over_subsets_that_have_one(drawn):
    pool = pool_of(drawn)
    usable = np.where(pool.answered, pool.scores, np.nan).astype(np.float64)
    for n in range(1, pool.size + 1):
        best = [
            np.nanmax(usable[list(subset)])
            for subset in combinations(range(pool.size), n)
            if not np.isnan(usable[list(subset)]).all()
        ]
        expected = np.mean(best) if best else np.nan
        np.testing.assert_allclose(max_score(pool, [n])[0], expected, atol=1e-12)


def test_a_tie_at_the_top_goes_to_the_earliest_draw():
    pool = pool_of([("b", 0.9), ("a", 0.9)])
    assert best_of_n(pool, [2])[0] == 0.0
    assert weighted(pool, [2])[0] == 0.0
    assert majority(pool, [2])[0] == 0.0


def test_a_sample_without_score_or_answer_is_never_taken_over_one_with_both():
    pool = pool_of([(None, 1.0), ("b", None), ("a", 0.0)])
    assert best_of_n(pool, [3])[0] == 1.0


def test_best_of_n_falls_back_on_a_majority_where_nothing_is_scored():
    pool = pool_of([("b", None), ("a", None), ("a", None), ("c", 0.5)])
    # Three in four subsets of 3 have the wrong c; the fourth elects a, two votes to one.
    assert best_of_n(pool, [3])[0] == pytest.approx(1 / 4)
    assert best_of_n(pool, [4])[0] == 0.0


def test_majority_uses_no_score_unless_asked_to():
    pool = pool_of([("b", 0.1), ("a", 0.9), ("c", 0.5), ("c", 0.5), ("a", 0.9), ("b", 0.1)])
    assert majority(pool, [6])[0] == 0.0
    assert majority(pool, [6], ties_by_score=True)[0] == 1.0


def test_a_score_of_zero_breaks_a_tie_with_no_score_at_all():
    pool = pool_of([("b", None), ("a", 0.0), (None, None)])
    assert majority(pool, [3], ties_by_score=True)[0] == 1.0
    assert weighted(pool, [3])[0] == 1.0


# Sub-sampled votes -------------------------------------------------------------------------------


@pytest.mark.parametrize("vote", [weighted, partial(majority, ties_by_score=True)])
def test_sub_sampled_votes_are_unbiased(vote):
    pool = random_pool(12, np.random.default_rng(2), answers=3)
    exact = vote(pool, [6], subsets=EVERY)[0]
    subsets, seeds = 50, range(200)
    sampled = np.array([vote(pool, [6], subsets=subsets, seed=seed)[0] for seed in seeds])
    assert 0.05 < exact < 0.95
    assert abs(sampled.mean() - exact) < 4 * 0.5 / math.sqrt(subsets * len(seeds))
    assert sampled.std() < 0.5 / math.sqrt(subsets) * 1.2


@pytest.mark.parametrize("vote", [weighted, partial(majority, ties_by_score=True)])
def test_votes_of_a_small_part_of_a_pool_are_unbiased(vote):
    # So few of a pool that orders are shuffled no further than that.
    pool = random_pool(24, np.random.default_rng(5), answers=3)
    exact = vote(pool, [3], subsets=3000)[0]  # of 2,024
    sampled = np.array([vote(pool, [3], subsets=50, seed=seed)[0] for seed in range(200)])
    assert abs(sampled.mean() - exact) < 4 * 0.5 / math.sqrt(50 * 200)
    assert 0.05 < exact < 0.95 and len(set(sampled)) > 10


@pytest.mark.parametrize(("n", "fewest"), [(255, 100), (513, 49), (8001, 16)])
def test_votes_of_many_are_unbiased_over_fewer_subsets(n, fewest):
    size, right = 8 * n + 1, 4 * n + 5
    pool = pool_of([("a", None)] * right + [("b", None)] * (size - right))
    seeds = range(100 if n < 1000 else 12)
    won = np.array([majority(pool, [n], seed=seed)[0] for seed in seeds])
    np.testing.assert_allclose(won * fewest, np.round(won * fewest), atol=1e-9)
    exact = hypergeom(size, right, n).sf(n // 2)
    assert abs(won.mean() - exact) < 4 * 0.5 / math.sqrt(fewest * len(seeds))


def test_a_sub_sampled_tie_goes_to_the_answer_drawn_first():
    pool = pool_of([("a", None)] * 6 + [("b", None)] * 6)
    ties = math.comb(6, 3) ** 2 / math.comb(12, 6)
    won = majority(pool, [6], subsets=900)[0]
    assert won == pytest.approx(0.5 + ties / 2, abs=4 * 0.5 / 900**0.5)


def test_a_vote_is_exact_at_one_two_and_all_samples():
    pool = random_pool(40, np.random.default_rng(3))
    for vote in (weighted, majority):
        a, b = vote(pool, [1, 2, 40], seed=1, subsets=1), vote(pool, [1, 2, 40], seed=2, subsets=1)
        np.testing.assert_array_equal(a, b)
        assert a[0] == pytest.approx(pool.right.mean())
        assert a[2] in (0.0, 1.0)


def test_a_problem_gets_the_same_curve_whatever_stands_beside_it():
    rng = np.random.default_rng(4)
    pools = [random_pool(40, rng, name=f"p{i}") for i in range(4)]
    together = curve(pools, weighted, [4, 16])
    assert together.shape == (2, 4)
    np.testing.assert_array_equal(together[:, 2:3], curve(pools[2:3], weighted, [4, 16]))
    other_seed = curve(pools, partial(weighted, seed=1), [4, 16])
    assert (together != other_seed).any()


def test_memory_chunks_do_not_change_a_vote(monkeypatch):
    pool = random_pool(40, np.random.default_rng(5))
    whole = weighted(pool, [8, 20])
    monkeypatch.setattr("outthink.measure.intervals._CELLS", 40 * 7)
    np.testing.assert_allclose(weighted(pool, [8, 20]), whole, atol=1e-12)


def test_a_pool_without_answers_is_never_right():
    pool = Pool.of("p", [None] * 5, [0.5] * 5, [False] * 5)
    for estimator in (pass_at_k, best_of_n, weighted, majority):
        assert not estimator(pool, [1, 2, 3, 5]).any()
    assert np.isnan(max_score(pool, [3])).all()


# Intervals ---------------------------------------------------------------------------------------


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(6)
    truth, held = 0.25, 0
    for seed in range(400):
        found = interval(rng.beta(0.5, 1.5, 80), resamples=400, seed=seed)
        held += found.low <= truth <= found.high
    assert 0.915 <= held / 400 <= 0.98


def test_an_interval_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(7).random(500)
    found = interval(values)
    assert found.problems == 500
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 500**0.5, rel=0.06)


def test_pairing_cancels_what_makes_problems_hard():
    rng = np.random.default_rng(8)
    hard = rng.random(200)
    a, b = 0.1 + 0.8 * hard + 0.01 * rng.random(200), 0.8 * hard
    difference = paired(a, b)
    assert 0.1 < difference.low < difference.mean < difference.high < 0.11
    assert interval(a).high - interval(a).low > 10 * (difference.high - difference.low)


def test_an_interval_is_fixed_by_its_seed_and_not_by_memory(monkeypatch):
    values = np.random.default_rng(9).random(30)
    whole = interval(values, resamples=100)
    monkeypatch.setattr("outthink.measure.intervals._CELLS", 30 * 7)
    again = interval(values, resamples=100)
    assert (again.low, again.high) == pytest.approx((whole.low, whole.high), abs=1e-12)
    assert interval(values, resamples=100, seed=1).low != whole.low


@pytest.mark.parametrize("values", [[], [0.5, np.nan], [[0.5]]])
def test_an_interval_over_nothing_or_a_gap_is_refused(values):
    with pytest.raises(UsageError):
        interval(np.array(values))


def test_options_that_make_no_sense_are_refused():
    values = np.array([0.0, 1.0])
    with pytest.raises(UsageError):
        interval(values, level=95)
    with pytest.raises(UsageError):
        interval(values, resamples=0)
    with pytest.raises(UsageError):
        paired(values, values[:1])
    with pytest.raises(UsageError):
        weighted(pool_of([("a", 0.5)] * 3), [3], subsets=0)


# Compute equivalence -----------------------------------------------------------------------------

BASE_NS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
HARD = np.random.default_rng(10).random(150) * 0.3


def rising(ns, shift=1.0):
    """[len(ns), P]: accuracy linear in log2 n, reached at `shift` times fewer generations."""
    return 0.2 + HARD + 0.05 * np.log2(shift * np.array(ns, float))[:, None]


def test_a_curve_that_needs_four_times_fewer_has_factor_four():
    ns = [1, 3, 16, 64]
    found = equivalence(rising(BASE_NS), BASE_NS, rising(ns, shift=4), ns)
    for one, n in zip(found, ns, strict=True):
        assert one.n == one.cost == n
        assert one.problems == 150
        assert (one.factor, one.low, one.high) == pytest.approx((4, 4, 4))
        assert not (one.at_least or one.at_most or one.high_at_least or one.low_at_most)


def test_extra_cost_is_charged_to_the_optimised_curve():
    (one,) = equivalence(rising(BASE_NS), BASE_NS, rising([16], shift=4), [16], extra_cost=16)
    assert (one.cost, one.factor) == pytest.approx((32, 2))


def test_what_the_base_never_reaches_is_a_lower_bound():
    (one,) = equivalence(rising(BASE_NS), BASE_NS, rising([128], shift=4), [128])
    assert (one.factor, one.high) == pytest.approx((2, 2))
    assert one.at_least and one.high_at_least and not one.at_most


def test_what_the_base_beats_at_its_smallest_budget_is_an_upper_bound():
    (one,) = equivalence(rising(BASE_NS[2:]), BASE_NS[2:], rising([8], shift=1 / 16), [8])
    assert (one.factor, one.low) == pytest.approx((0.5, 0.5))
    assert one.at_most and one.low_at_most and not one.at_least


def test_a_curve_is_worth_exactly_itself_at_both_ends():
    for one in equivalence(rising(BASE_NS), BASE_NS, rising(BASE_NS), BASE_NS):
        assert one.factor == pytest.approx(1)
        assert not (one.at_least or one.at_most or one.high_at_least or one.low_at_most)


def test_rounding_does_not_put_a_curve_out_of_reach():
    for last in (np.nextafter(0.6, 0), 0.6, np.nextafter(0.6, 1)):
        (one,) = equivalence(np.array([[0.2], [0.6]]), [1, 4], np.array([[last]]), [2])
        assert one.factor == pytest.approx(2) and not one.at_least


def test_a_base_that_falls_counts_at_its_best_so_far():
    base = np.array([[0.2], [0.4], [0.3], [0.6]])
    found = equivalence(base, [1, 2, 4, 8], np.array([[0.4], [0.5], [0.2]]), [1, 1, 1])
    assert [one.factor for one in found] == pytest.approx([2, 2**2.5, 1])


def test_an_interval_with_an_unknown_end_says_so():
    rng = np.random.default_rng(11)
    noisy = rising([64], shift=4) + rng.normal(0, 0.2, (1, 150))
    base = rising(BASE_NS)
    (one,) = equivalence(base, BASE_NS, noisy - noisy.mean() + base[-1].mean() - 0.005, [64])
    assert not one.at_least
    assert one.high_at_least and one.high == pytest.approx(4)
    assert one.low < one.factor < 4


def test_factor_intervals_hold_a_known_shift():
    rng = np.random.default_rng(12)
    held = 0
    for seed in range(100):
        noise = rng.normal(0, 0.1, (len(BASE_NS) + 1, 150))
        base, better = rising(BASE_NS) + noise[1:], rising([8], shift=4) + noise[:1]
        (one,) = equivalence(base, BASE_NS, better, [8], resamples=300, seed=seed)
        held += one.low <= 4 <= one.high
    assert held >= 88


def test_a_base_of_one_budget_only_bounds():
    base = np.array([[0.5, 0.5]])
    found = equivalence(base, [4], np.array([[0.4, 0.4], [0.5, 0.5], [0.6, 0.6]]), [1, 1, 1])
    assert [one.factor for one in found] == [4, 4, 4]
    assert [(one.at_most, one.at_least) for one in found] == [
        (True, False),
        (False, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("base_ns", "ns", "problems"),
    [([1, 2], [1], 2), ([2, 1, 4], [1], 2), ([1, 2, 4], [0], 2), ([1, 2, 4], [1], 1)],
)
def test_curves_that_do_not_belong_together_are_refused(base_ns, ns, problems):
    with pytest.raises(UsageError):
        equivalence(np.zeros((3, 2)), base_ns, np.zeros((1, problems)), ns)


def test_a_gap_in_a_curve_or_a_negative_cost_is_refused():
    with pytest.raises(UsageError, match="missing"):
        equivalence(np.zeros((1, 2)), [1], np.array([[0.5, np.nan]]), [1])
    with pytest.raises(UsageError, match="extra cost"):
        equivalence(np.zeros((1, 2)), [1], np.zeros((1, 2)), [1], extra_cost=-1)


# How good the scores are -------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan]), st.booleans()), max_size=12)
)
@settings(max_examples=50, deadline=None)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    scores, right = np.array([s for s, _ in rows]), np.array([r for _, r in rows], bool)
    high = [s for s, r in rows if r and not math.isnan(s)]
    low = [s for s, r in rows if not r and not math.isnan(s)]
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    found = auc(scores, right)
    assert found is None if not pairs else found == pytest.approx(np.mean(pairs))


def test_a_calibrated_score_has_no_error_and_a_flattering_one_has_its_excess():
    scores = np.repeat([0.1, 0.5, 0.9], 10)
    right = np.concatenate([np.arange(10) < hits for hits in (1, 5, 9)])
    assert calibration_error(scores, right) == pytest.approx(0)
    assert calibration_error(np.repeat([0.2, 0.6, 1.0], 10), right) == pytest.approx(0.1)


def test_reliability_rows_hold_means_rates_and_counts():
    scores = np.array([0.0, 0.1, 0.5, 1.0, np.nan])
    right = np.array([False, True, False, True, True])
    first, middle, last = reliability(scores, right, rows=4)
    assert (first.low, first.high, first.score, first.rate, first.count) == (0, 0.25, 0.05, 0.5, 2)
    assert (middle.low, middle.count, middle.rate) == (0.5, 1, 0)
    assert (last.low, last.high, last.count) == (0.75, 1.0, 1)


def test_nothing_scored_is_no_measurement():
    nothing = np.array([np.nan]), np.array([True])
    assert reliability(*nothing) == ()
    assert calibration_error(*nothing) is None
    assert auc(*nothing) is None


@pytest.mark.parametrize(
    ("scores", "right"), [([0.5], [True, False]), ([1.5], [True]), ([-0.1], [True])]
)
def test_scores_that_cannot_be_read_are_refused(scores, right):
    with pytest.raises(UsageError):
        calibration_error(np.array(scores), np.array(right))


def test_spearman_equals_its_closed_form_without_ties():
    rng = np.random.default_rng(13)
    a, b = rng.random(30), rng.random(30)
    apart = a.argsort().argsort() - b.argsort().argsort()
    assert spearman(a, b) == pytest.approx(1 - 6 * (apart**2).sum() / (30 * (30**2 - 1)))


def test_spearman_gives_ties_their_middle_rank():
    # Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5 over sqrt(4.5 * 5).
    found = spearman(np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    assert found == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_spearman_of_a_constant_is_no_measurement():
    assert spearman(np.ones(3), np.arange(3.0)) is None
    assert spearman(np.array([]), np.array([])) is None
    with pytest.raises(UsageError):
        spearman(np.array([np.nan]), np.array([1.0]))
