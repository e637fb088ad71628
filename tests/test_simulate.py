"""Simulators against their closed forms, and the estimators against the simulators."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import hyp2f1

from outthink.errors import UsageError
from outthink.measure import intervals, pools, quality, votes
from outthink.measure.pools import NO_ANSWER, Pool
from outthink.paper.simulate import (
    BetaGrid,
    Binormal,
    Revision,
    ScaledBeta,
    allocate,
    auc_needed,
    competing,
    coverage,
    linear_revision,
    majority_accuracy,
    majority_bound,
    pool,
    resample_limit,
    resample_until_pass,
)

WORLDS = [(0.15, 3.5, 0.8), (0.15, 5.0, 0.1), (2.0, 3.0, 1.0), (1.0, 1.0, 0.3), (40.0, 60.0, 0.5)]
chances = st.floats(0, 1)


def log_beta(a, b):
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def four_errors(values):
    return 4 * np.std(values) / math.sqrt(len(values))


# Coverage ----------------------------------------------------------------------------------------


def test_coverage_is_what_its_formula_says():
    found = coverage(np.array([0.0, 0.1, 0.5, 1.0]), [0, 1, 10])
    np.testing.assert_allclose(found[0], 0)
    np.testing.assert_allclose(found[1], [0, 0.1, 0.5, 1])
    np.testing.assert_allclose(found[2], [0, 1 - 0.9**10, 1 - 0.5**10, 1])


def test_twenty_nine_samples_make_a_chance_of_one_in_ten_95_percent_sure():
    before, after = coverage(np.array([0.1]), [28, 29])[:, 0]
    assert before < 0.95 <= after


def test_coverage_of_a_tiny_chance_keeps_its_digits():
    assert coverage(np.array([1e-18]), [10])[0, 0] == pytest.approx(1e-17, rel=1e-12)


@pytest.mark.parametrize(("alpha", "beta", "scale"), WORLDS)
def test_coverage_of_a_distribution_is_the_sum_over_its_moments(alpha, beta, scale):
    moments = [math.exp(log_beta(alpha + j, beta) - log_beta(alpha, beta)) for j in range(9)]
    exact = [
        1 - sum(math.comb(k, j) * (-scale) ** j * moments[j] for j in range(k + 1))
        for k in range(9)
    ]
    found = ScaledBeta(alpha, beta, scale).coverage(range(9))
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.02, 1.0), (0.3, 0.4), (2.0, 3.0), (40.0, 60.0)])
def test_failure_of_a_whole_beta_is_a_ratio_of_beta_functions_at_any_budget(alpha, beta):
    ks = [1, 64, 2048, 1e5, 1e7]
    exact = [log_beta(alpha, beta + k) - log_beta(alpha, beta) for k in ks]
    np.testing.assert_allclose(ScaledBeta(alpha, beta).log_failure(ks), exact, atol=1e-7)


def test_coverage_of_a_scaled_beta_is_a_hypergeometric_function():
    for alpha, beta, scale in WORLDS[:2]:
        exact = [1 - hyp2f1(-k, alpha, alpha + beta, scale) for k in (50, 500, 5000)]
        found = ScaledBeta(alpha, beta, scale).coverage([50, 500, 5000])
        np.testing.assert_allclose(found, exact, rtol=1e-9)


@pytest.mark.parametrize(("alpha", "beta", "scale"), WORLDS[:4])
def test_the_tail_has_the_exponent_and_amplitude_of_the_density_near_zero(alpha, beta, scale):
    world = ScaledBeta(alpha, beta, scale)
    ks = np.array([1e15, 1e16, 1e17]) if alpha < 1 else np.array([1e4, 1e5, 1e6])
    # -log of coverage is log1p(failure) up to its square, and all of it where failure is small.
    tail = -np.log1p(-np.exp(world.log_failure(ks)))
    np.testing.assert_allclose(tail, world.amplitude * ks**-world.exponent, rtol=0.01)
    # A uniform density is the case with exponent 1.
    assert np.diff(np.log(tail)) == pytest.approx(-alpha * math.log(10), rel=0.01)


@pytest.mark.parametrize(("alpha", "beta", "scale"), [*WORLDS, (0.5, 0.02, 0.6)])
def test_counts_are_a_distribution_that_agrees_with_coverage(alpha, beta, scale):
    world = ScaledBeta(alpha, beta, scale)
    found = world.counts(64)
    assert found.sum() == pytest.approx(1, abs=1e-10)
    assert 1 - found[0] == pytest.approx(world.coverage([64])[0], rel=1e-9)
    assert found @ np.arange(65) == pytest.approx(64 * scale * alpha / (alpha + beta))


def test_counts_of_a_whole_beta_are_beta_binomial():
    alpha, beta, n = 0.3, 2.5, 40
    exact = [
        math.comb(n, x) * math.exp(log_beta(x + alpha, n - x + beta) - log_beta(alpha, beta))
        for x in range(n + 1)
    ]
    np.testing.assert_allclose(ScaledBeta(alpha, beta).counts(n), exact, rtol=1e-9)


@given(st.floats(0.01, 50), st.floats(0.01, 50))
@settings(max_examples=50, deadline=None)
def test_slopes_of_the_weights_are_their_differences(alpha, beta):
    grid = BetaGrid.over(64, 50, 50, binomial=True)
    by_alpha, by_beta = grid.log_weights_slopes(alpha, beta)
    up, down = 1 + 1e-5, 1 - 1e-5
    rise = grid.log_weights(alpha * up, beta) - grid.log_weights(alpha * down, beta)
    np.testing.assert_allclose(by_alpha, rise / (2e-5 * alpha), rtol=1e-5, atol=1e-5)
    rise = grid.log_weights(alpha, beta * up) - grid.log_weights(alpha, beta * down)
    np.testing.assert_allclose(by_beta, rise / (2e-5 * beta), rtol=1e-5, atol=1e-5)


def test_drawn_chances_have_the_coverage_of_their_distribution():
    world = ScaledBeta(0.3, 2.0, 0.6)
    drawn = world.draw(20_000, np.random.default_rng(0))
    assert 0.5 < drawn.max() <= 0.6
    for k in (1, 10, 100):
        solved = coverage(drawn, [k])[0]
        assert abs(solved.mean() - world.coverage([k])[0]) < four_errors(solved)


# Verifiers ---------------------------------------------------------------------------------------


@given(st.floats(0.5, 0.99), st.floats(0.3, 3))
def test_a_verifier_has_the_auc_it_was_made_for(auc, spread):
    assert Binormal.of_auc(auc, spread=spread).auc == pytest.approx(auc)


@pytest.mark.parametrize("verifier", [Binormal(1.2), Binormal(1, 2), Binormal(2, flips=0.2)])
def test_drawn_scores_have_the_auc_of_the_verifier(verifier):
    rng = np.random.default_rng(1)
    right = rng.random(40_000) < 0.3
    scores = verifier.score(right, rng)
    assert scores.min() > 0 and scores.max() < 1
    assert quality.auc(scores, right) == pytest.approx(verifier.auc, abs=0.01)


def test_half_of_the_scores_flipped_leaves_nothing():
    assert Binormal(3, flips=0.5).auc == pytest.approx(0.5)
    assert Binormal(3, flips=1).auc == pytest.approx(1 - Binormal(3).auc)


@given(chances, st.floats(0, 4), st.floats(0.5, 2), chances)
@settings(max_examples=50, deadline=None)
def test_the_best_of_two_is_right_where_both_are_or_the_pair_is_in_order(p, d, spread, flips):
    verifier = Binormal(d, spread, flips)
    one, two = verifier.best_of_n(np.array([p]), [1, 2])[:, 0]
    assert one == pytest.approx(p, abs=1e-9)
    assert two == pytest.approx(p * p + 2 * p * (1 - p) * verifier.auc, abs=1e-9)


def test_best_of_n_lies_between_guessing_and_coverage():
    p, ns = np.array([0.0, 0.01, 0.3, 0.9, 1.0]), [1, 2, 16, 256, 100_000]
    blind, sharp = Binormal(0.0).best_of_n(p, ns), Binormal(30.0).best_of_n(p, ns)
    np.testing.assert_allclose(blind, np.tile(p, (5, 1)), atol=1e-9)
    np.testing.assert_allclose(sharp, coverage(p, ns), atol=1e-9)
    middle = Binormal(1.0).best_of_n(p, ns)
    assert (np.diff(middle, axis=0) >= -1e-9).all() and (middle <= sharp + 1e-9).all()


def test_best_of_ten_at_even_odds_needs_a_very_good_verifier():
    # 0.999 = 1 - 0.5^10 is what a perfect one gets (C24).
    assert coverage(np.array([0.5]), [10])[0, 0] == pytest.approx(0.99902, abs=1e-5)
    needed = auc_needed(0.5, 10, 0.99)
    assert needed == pytest.approx(0.965, abs=0.001)
    again = Binormal.of_auc(needed).best_of_n(np.array([0.5]), [10])
    assert again[0, 0] == pytest.approx(0.99)


def test_no_verifier_gets_more_than_coverage_and_any_gets_the_chance_itself():
    assert auc_needed(0.5, 10, 0.9991) is None
    assert auc_needed(0.5, 10, 0.5) == 0.5


def test_a_fifth_of_the_scores_flipped_still_beats_one_sample():
    # C25: a verifier need not be perfect to help.
    p = np.array([0.05, 0.3, 0.7])
    flipped = Binormal.of_auc(0.9)
    flipped = Binormal(flipped.separation, flips=0.2)
    assert (flipped.best_of_n(p, [16]) > p + 0.02).all()
    assert (flipped.best_of_n(p, [16]) < Binormal(flipped.separation).best_of_n(p, [16])).all()


def test_an_exploited_verifier_is_ever_happier_and_less_right():
    # C26: the best score is no measure of the answer.
    verifier, p, ns = Binormal(1.5, spread=2.0), np.array([0.3]), [1, 4, 16, 64, 256, 1024]
    accuracy, score = verifier.best_of_n(p, ns)[:, 0], verifier.best_score(p, ns)[:, 0]
    assert (np.diff(score) > 0).all()
    assert accuracy.argmax() in (1, 2) and accuracy[-1] < accuracy[0]


def test_the_mean_best_score_of_one_is_the_mean_score():
    rng = np.random.default_rng(2)
    verifier = Binormal(1, 1.5, 0.1)
    right = rng.random(40_000) < 0.4
    scores = verifier.score(right, rng)
    exact = verifier.best_score(np.array([0.4]), [1])[0, 0]
    assert abs(scores.mean() - exact) < four_errors(scores)


# Votes -------------------------------------------------------------------------------------------


def elected(votes):
    """The answer given most often, a tie to the one seen first; `NO_ANSWER` is no vote."""
    given = [vote for vote in votes if vote != NO_ANSWER]
    return max(given, key=lambda vote: (given.count(vote), -given.index(vote)), default=None)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=3), st.floats(0, 0.5), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_majority_equals_the_sum_over_all_sequences_of_votes(weights, silent, n):
    answers = np.array(weights) / sum(weights) * (1 - silent)
    names = [*range(answers.size), NO_ANSWER]
    chance = [*answers, silent]
    slow = sum(
        math.prod(chance[vote] for vote in votes)
        for votes in product(names, repeat=n)
        if elected(votes) == 0
    )
    assert majority_accuracy(answers, [n])[0] == pytest.approx(slow, abs=1e-9)


def test_majority_of_two_answers_is_a_binomial_tail():
    p, n = 0.55, 200
    exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n // 2 + 1, n + 1))
    exact += math.comb(n, n // 2) * (p * (1 - p)) ** (n // 2) / 2
    assert majority_accuracy(np.array([p, 1 - p]), [n])[0] == pytest.approx(exact)


def test_majority_goes_to_who_leads_and_not_to_who_is_likely():
    # 40 % right beats three wrong answers of 20 %, and loses to one of 60 %.
    assert majority_accuracy(competing(0.4, 3), [128])[0] > 0.99
    assert majority_accuracy(competing(0.4, 1), [128])[0] < 0.05


@given(st.floats(0.05, 0.95), st.integers(1, 4), st.floats(0.1, 1), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_majority_is_wrong_no_more_often_than_its_bound(p, wrong, decay, n):
    answers = competing(p, wrong, decay=decay)
    assert 1 - majority_accuracy(answers, [n])[0] <= majority_bound(answers, n) + 1e-9


def test_the_bound_closes_in_where_the_right_answer_leads_and_nowhere_else():
    assert majority_bound(np.array([0.6, 0.4]), 1000) == pytest.approx(2 * math.exp(-20))
    assert majority_bound(np.array([0.4, 0.6]), 1000) == 1


@given(chances, st.integers(1, 6), chances)
def test_competing_answers_share_out_all_that_is_not_right(p, wrong, decay):
    answers = competing(p, wrong, decay=decay)
    assert answers.size == wrong + 1 and answers[0] == p
    assert answers.sum() == pytest.approx(1)
    assert (np.diff(answers[1:]) <= 1e-12).all()


def test_a_pool_holds_answers_as_often_as_their_chances_say():
    answers = np.array([0.2, 0.5, 0.1])
    drawn = pool("p", answers, 50_000, np.random.default_rng(3))
    shares = [np.mean(drawn.answers == answer) for answer in (0, 1, 2, NO_ANSWER)]
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.1, 0.2], atol=0.01)
    assert (drawn.right == (drawn.answers == 0)).all()
    assert not drawn.scored.any()


# Revisions ---------------------------------------------------------------------------------------


@given(chances, chances, chances)
def test_a_chain_of_revisions_is_a_power_of_its_matrix(p, improve, spoil):
    step = np.array([[1 - spoil, spoil], [improve, 1 - improve]])
    exact = [(np.array([p, 1 - p]) @ np.linalg.matrix_power(step, i))[0] for i in range(12)]
    found = Revision(improve, spoil).accuracy(np.array([p]), 12)[:, 0]
    np.testing.assert_allclose(found, exact, atol=1e-12)


def test_drawn_chains_have_the_accuracy_and_coverage_of_the_kernel():
    kernel, p = Revision(improve=0.1, spoil=0.38), np.full(40_000, 0.3)
    drawn = kernel.draw(p, 8, np.random.default_rng(4))
    ever = np.logical_or.accumulate(drawn, axis=0)
    np.testing.assert_allclose(drawn.mean(axis=1), kernel.accuracy(p[:1], 8)[:, 0], atol=0.01)
    np.testing.assert_allclose(ever.mean(axis=1), kernel.coverage(p[:1], 8)[:, 0], atol=0.01)
    turned = ~drawn[1:][drawn[:-1]]
    assert turned.mean() == pytest.approx(0.38, abs=0.01)


def test_long_chains_settle_where_as_many_turn_right_as_wrong():
    kernel = Revision(improve=0.1, spoil=0.38)
    assert kernel.limit == pytest.approx(0.1 / 0.48)
    assert kernel.accuracy(np.array([0.9]), 200)[-1, 0] == pytest.approx(kernel.limit)
    assert Revision(0, 0).limit is None and Revision(1, 1).limit is None


def test_a_linear_rule_does_not_get_from_a_tenth_to_065_in_ten_rounds():
    # C23: 0.55 if the first answer is round 1, 0.60 if it is round 0. What is 0.651 is the coverage
    # of ten samples, and the chance that one answer of the chain is right is another number still.
    line = linear_revision(0.1, 0.05, 10)
    assert (line[9], line[10]) == pytest.approx((0.55, 0.60))
    assert coverage(np.array([0.1]), [10])[0, 0] == pytest.approx(0.651, abs=0.0005)
    assert 1 - np.prod(1 - line[:10]) == pytest.approx(0.984, abs=0.001)
    assert linear_revision(0.9, 0.05, 4)[-1] == 1


# Resampling --------------------------------------------------------------------------------------


def test_resampling_until_a_check_passes_stops_at_the_share_of_true_passes():
    right, wrong = np.array([0.1, 0.1, 0.0]), np.array([0.05, 0.0, 0.2])
    found = resample_until_pass(right, wrong, [1, 10, 1000])
    np.testing.assert_allclose(found[0], right)
    np.testing.assert_allclose(found[-1], resample_limit(right, wrong))
    np.testing.assert_allclose(found[-1], [2 / 3, 1, 0], atol=1e-12)


def test_resampling_is_right_as_often_as_when_played_out():
    rng = np.random.default_rng(5)
    draws = rng.random((40_000, 6))
    right, passes = draws < 0.2, draws < 0.5
    first = passes.argmax(axis=1)
    hits = right[np.arange(40_000), first]
    exact = resample_until_pass(np.array([0.2]), np.array([0.3]), [6])[0, 0]
    assert abs(hits.mean() - exact) < four_errors(hits)


def test_a_check_without_false_passes_gives_coverage():
    p = np.array([0.0, 0.2, 1.0])
    found = resample_until_pass(p, np.zeros(3), [1, 5])
    np.testing.assert_allclose(found, coverage(p, [1, 5]))


def test_a_check_that_nothing_passes_gives_no_answer():
    assert resample_limit(np.zeros(1), np.zeros(1))[0] == 0
    assert resample_until_pass(np.zeros(1), np.zeros(1), [9])[0, 0] == 0


# Allocation --------------------------------------------------------------------------------------


@given(st.lists(chances, min_size=1, max_size=3), st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_greedy_allocation_is_the_best_of_all(p, budget):
    p = np.array(p)
    found = allocate(p, budget)
    every = [
        sum(1 - (1 - chance) ** n for chance, n in zip(p, ns, strict=True))
        for ns in product(range(budget + 1), repeat=p.size)
        if sum(ns) <= budget
    ]
    assert found.solved == pytest.approx(max(every), abs=1e-12)
    assert found.samples.sum() <= budget


@given(st.lists(chances, min_size=1, max_size=30), st.integers(0, 200))
@settings(max_examples=50, deadline=None)
def test_sharing_out_by_need_is_never_worse_than_sharing_alike(p, budget):
    found = allocate(np.array(p), budget)
    assert found.solved >= found.uniform - 1e-9


@given(st.floats(0.001, 0.9), st.integers(1, 50))
def test_for_one_problem_the_best_number_of_samples_is_all_of_them_whatever_its_chance(p, budget):
    # C27: argmax over N of 1 - (1 - p)^N adapts to nothing.
    assert allocate(np.array([p]), budget).samples.tolist() == [budget]


def test_what_cannot_be_helped_gets_no_sample():
    found = allocate(np.array([0.0, 1.0, 0.5]), 10)
    assert found.samples.tolist() == [0, 1, 9]
    assert allocate(np.array([0.0, 1.0]), 10).samples.tolist() == [0, 1]


def test_uniform_gives_the_remainder_to_the_first():
    found = allocate(np.array([0.5, 0.5, 0.5]), 4)
    assert found.uniform == pytest.approx(0.75 + 0.5 + 0.5)


# Estimators --------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.97])
def test_pass_at_k_is_exactly_unbiased(p):
    n, ks = 30, [1, 2, 7, 30]
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    mean = sum(w * pools.pass_at_k(counted(n, c), ks) for c, w in enumerate(chance))
    np.testing.assert_allclose(mean, coverage(np.array([p]), ks)[:, 0], atol=1e-12)


def counted(n, right):
    right = np.arange(n) < right
    return Pool("p", (~right).astype(np.int32), np.zeros(n, np.float32), right)


def many_pools(count, answers, size, seed, verifier=None):
    rng = np.random.default_rng(seed)
    return [pool(f"p{i}", answers, size, rng, verifier=verifier) for i in range(count)]


@pytest.mark.parametrize("verifier", [Binormal(1.0), Binormal(1.5, 2.0), Binormal(2, flips=0.2)])
def test_best_of_n_and_its_score_are_unbiased_under_a_noisy_verifier(verifier):
    ns, p = [1, 4, 16, 32], np.array([0.3])
    drawn = many_pools(1500, competing(0.3, 3), 32, 6, verifier)
    for found, exact in (
        (pools.curve(drawn, votes.best_of_n, ns), verifier.best_of_n(p, ns)[:, 0]),
        (pools.curve(drawn, votes.max_score, ns), verifier.best_score(p, ns)[:, 0]),
    ):
        for row, truth in zip(found, exact, strict=True):
            assert abs(row.mean() - truth) < four_errors(row)


@pytest.mark.parametrize("answers", [competing(0.35, 3), np.array([0.3, 0.25, 0.2])])
def test_majority_is_unbiased_among_competing_answers(answers):
    ns = [1, 2, 5, 12]
    found = pools.curve(many_pools(600, answers, 16, 7), votes.majority, ns)
    for row, truth in zip(found, majority_accuracy(answers, ns), strict=True):
        assert abs(row.mean() - truth) < four_errors(row)


def test_a_vote_weighted_by_equal_scores_is_a_majority():
    answers = competing(0.35, 3)
    equal = [
        Pool(p.problem_id, p.answers, np.full(p.size, 0.5, np.float32), p.right)
        for p in many_pools(600, answers, 16, 8)
    ]
    found = pools.curve(equal, votes.weighted, [5])[0]
    assert abs(found.mean() - majority_accuracy(answers, [5])[0]) < four_errors(found)


WORLD, SAMPLES, KS = ScaledBeta(0.4, 2.0, 0.9), 32, [1, 4, 16]


def repeated(problems, repeats, seed):
    """Curves [K, problems] of repeated experiments on new problems with new samples."""
    table = np.stack([pools.pass_at_k(counted(SAMPLES, c), KS) for c in range(SAMPLES + 1)])
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        yield table[rng.binomial(SAMPLES, WORLD.draw(problems, rng))].T


def held(truth, measured):
    return np.mean([found.low <= truth <= found.high for found in measured])


@pytest.mark.parametrize("row", range(len(KS)))
def test_intervals_of_coverage_hold_the_truth_as_often_as_they_say(row):
    measured = [
        intervals.interval(curves[row], resamples=300, seed=seed)
        for seed, curves in enumerate(repeated(150, 2000, 9 + row))
    ]
    assert 0.93 <= held(WORLD.coverage(KS)[row], measured) <= 0.97


def test_intervals_of_a_difference_hold_the_truth_as_often_as_they_say():
    truth = float(np.diff(WORLD.coverage([4, 16]))[0])
    measured = [
        intervals.paired(curves[2], curves[1], resamples=300, seed=seed)
        for seed, curves in enumerate(repeated(150, 2000, 12))
    ]
    assert 0.93 <= held(truth, measured) <= 0.97


def test_intervals_of_best_of_n_hold_the_truth_as_often_as_they_say():
    verifier, rng = Binormal(1.0), np.random.default_rng(13)
    truth = float(verifier.best_of_n(WORLD.draw(40_000, rng), [8]).mean())
    many = np.array(
        [
            votes.best_of_n(pool("p", competing(p, 2), 16, rng, verifier=verifier), [8])[0]
            for p in WORLD.draw(12_000, rng)
        ]
    )
    assert abs(many.mean() - truth) < 2 * four_errors(many)
    # Experiments of 150 problems out of those, with replacement: 2000 that are all but independent.
    measured = [
        intervals.interval(rng.choice(many, 150), resamples=300, seed=seed) for seed in range(2000)
    ]
    assert 0.93 <= held(many.mean(), measured) <= 0.97


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: coverage(np.array([1.1]), [1]), "one in \\[0, 1\\]"),
        (lambda: coverage(np.array([np.nan]), [1]), "one in \\[0, 1\\]"),
        (lambda: coverage(np.array([0.5]), []), "n = \\[\\]"),
        (lambda: coverage(np.array([0.5]), [-1]), "at least 0"),
        (lambda: ScaledBeta(0, 1), "alpha and beta above 0"),
        (lambda: ScaledBeta(1, 1, 1.2), "scale in \\(0, 1\\]"),
        (lambda: Binormal(-1), "separation -1"),
        (lambda: Binormal(1, 0), "spread 0"),
        (lambda: Binormal(1, 1, 2), "flips 2"),
        (lambda: Binormal.of_auc(1.0), "AUC 1"),
        (lambda: Binormal(1).best_of_n(np.array([0.5]), [0]), "at least 1"),
        (lambda: auc_needed(0.5, 10, 1.5), "accuracy 1.5"),
        (lambda: competing(0.5, 0), "0 wrong answers"),
        (lambda: pool("p", np.array([0.7, 0.7]), 4, np.random.default_rng(0)), "total chance 1.4"),
        (lambda: pool("p", np.array([0.7]), 0, np.random.default_rng(0)), "0 samples"),
        (lambda: Revision(0.5, 1.5), "0.5 and 1.5"),
        (lambda: Revision(0.5, 0.5).accuracy(np.array([0.5]), 0), "chain of 0"),
        (lambda: resample_limit(np.array([0.7]), np.array([0.7])), "one in \\[0, 1\\]"),
        (lambda: allocate(np.array([0.5]), -1), "budget -1"),
        (lambda: allocate(np.array([]), 1), "0 problems"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(ask, said):
    with pytest.raises(UsageError, match=said) as refused:
        ask()
    assert "\n" not in str(refused.value)
