"""Fits recover the laws that made their data, and refuse what no law could have made."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outthink.errors import UsageError
from outthink.paper.scaling import Law, Lead, Overtaking, crossing, fit_coverage, fit_laws, fit_tail
from outthink.paper.simulate import ScaledBeta, coverage

BUDGETS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
X = np.log2(BUDGETS)


def alike(curve, problems=20):
    """[B, problems]: the same curve for every problem."""
    return np.repeat(np.asarray(curve, float)[:, None], problems, axis=1)


# Coverage ----------------------------------------------------------------------------------------


@given(st.floats(-5, -0.05), st.floats(-0.8, -0.05))
@settings(max_examples=50, deadline=None)
def test_a_curve_that_follows_the_coverage_law_is_fitted_exactly(a, b):
    curve = np.exp(a * np.power(BUDGETS, b))
    found = fit_coverage(BUDGETS, alike(curve), resamples=10)
    assert (found.a, found.b.value) == pytest.approx((a, b))
    assert (found.b.low, found.b.high) == pytest.approx((b, b))
    assert (found.error, found.log_error) == pytest.approx((0, 0), abs=1e-9)
    assert (found.problems, found.unfitted) == (20, 0)


def test_the_exponential_law_and_the_power_law_are_one_curve():
    found = fit_coverage(BUDGETS, alike(np.exp(-2 * np.power(BUDGETS, -0.3))), resamples=10)
    np.testing.assert_allclose(
        -np.log(found.predict([3, 1000])),
        found.amplitude * np.array([3, 1000.0]) ** -found.exponent,
    )
    assert (found.amplitude, found.exponent) == pytest.approx((2, 0.3))


@pytest.mark.parametrize(("alpha", "scale"), [(0.3, 1.0), (0.3, 0.2), (1.0, 0.5)])
def test_far_out_the_exponent_is_that_of_the_chances_near_zero(alpha, scale):
    # C31: what decides is how many problems are all but never solved.
    world, ks = ScaledBeta(alpha, 3.0, scale), [10**6, 10**7, 10**8, 10**9]
    found = fit_coverage(ks, alike(world.coverage(ks)), resamples=10)
    assert found.exponent == pytest.approx(alpha, rel=0.02)


def test_without_a_tail_of_hard_problems_coverage_is_no_power_law():
    heavy = fit_coverage(BUDGETS, alike(ScaledBeta(0.3, 3.0).coverage(BUDGETS)), resamples=10)
    none = fit_coverage(BUDGETS, alike(coverage(np.array([0.05]), BUDGETS)[:, 0]), resamples=10)
    assert none.log_error > 10 * heavy.log_error


def test_intervals_of_the_exponent_hold_the_one_of_all_problems():
    world, ks, rng = ScaledBeta(0.4, 2.0, 0.9), [1, 4, 16, 64], np.random.default_rng(0)
    truth = fit_coverage(ks, alike(world.coverage(ks)), resamples=1).b.value
    held = 0
    for seed in range(400):
        found = fit_coverage(ks, coverage(world.draw(150, rng), ks), resamples=300, seed=seed)
        held += found.b.low <= truth <= found.b.high
    assert 0.92 * 400 <= held <= 0.98 * 400


def test_a_resample_without_a_logarithm_is_left_out_and_counted():
    rare = np.zeros((3, 20))
    rare[0, 0], rare[1, 0], rare[2, 0] = 0.1, 0.2, 0.3
    found = fit_coverage([1, 2, 4], rare, resamples=2000)
    # The one problem with any coverage is missing from (19 / 20)^20 of resamples.
    assert found.unfitted / 2000 == pytest.approx(0.95**20, abs=0.05)
    assert np.isfinite([found.b.low, found.b.high]).all()
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize(
    ("ks", "curve", "said"),
    [
        ([1, 2], [0.1, 0.2], "at 2 values of k"),
        ([1, 2, 4], [0.0, 0.2, 0.3], "coverage is 0 at k = 1"),
        ([1, 2, 4], [0.1, 0.2, 1.0], "coverage is 1 at k = 4"),
        ([1, 2, 2], [0.1, 0.2, 0.3], "rising"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "rising ones of at least 1"),
        ([1, 2, 4], [0.1, 0.2, np.nan], "missing or outside"),
        ([1, 2, 4], [0.1, 0.2, 1.2], "missing or outside"),
        ([1, 2, 4, 8], [0.1, 0.2, 0.3], "at 4 budgets"),
    ],
)
def test_coverage_that_no_law_gives_is_refused(ks, curve, said):
    with pytest.raises(UsageError, match=said) as refused:
        fit_coverage(ks, alike(curve))
    assert "\n" not in str(refused.value)


def test_coverage_of_too_few_problems_is_refused():
    with pytest.raises(UsageError, match="19 problems; give at least 20"):
        fit_coverage([1, 2, 4], alike([0.1, 0.2, 0.3], problems=19))


# Distribution of chances -------------------------------------------------------------------------


def expected_counts(world, samples, problems):
    """Counts of problems as the distribution has them, without the noise of drawing."""
    times = np.round(world.counts(samples) * problems).astype(int)
    return np.repeat(np.arange(samples + 1), times)


@pytest.mark.parametrize(
    "world", [ScaledBeta(0.15, 3.5, 0.8), ScaledBeta(0.5, 2.0), ScaledBeta(1.5, 1.0, 0.3)]
)
def test_the_distribution_that_made_the_counts_is_recovered(world):
    found = fit_tail(expected_counts(world, 64, 10**6), 64, [10_000], resamples=2)
    assert found.distribution.alpha == pytest.approx(world.alpha, rel=0.02)
    assert found.distribution.beta == pytest.approx(world.beta, rel=0.05)
    assert found.distribution.scale == pytest.approx(world.scale, rel=0.02)
    assert found.exponent.value == found.distribution.alpha
    (forecast,) = found.forecasts
    assert forecast.k == 10_000
    assert forecast.coverage.value == pytest.approx(world.coverage([10_000])[0], abs=0.005)
    assert found.at_bound == ()


@pytest.mark.parametrize("seed", range(5))
def test_no_distribution_nearby_makes_the_counts_likelier(seed):
    world, rng = ScaledBeta(0.3, 2.0, 0.7), np.random.default_rng(seed)
    counts = rng.binomial(32, world.draw(200, rng))
    found = fit_tail(counts, 32, resamples=1)

    def likelihood(one):
        return float(np.log(one.counts(32))[counts].mean())

    best = found.distribution
    assert found.log_likelihood == pytest.approx(likelihood(best))
    assert likelihood(best) >= likelihood(world)
    for factor in (0.97, 1.03):
        for near in (
            ScaledBeta(best.alpha * factor, best.beta, best.scale),
            ScaledBeta(best.alpha, best.beta * factor, best.scale),
            ScaledBeta(best.alpha, best.beta, min(1.0, best.scale * factor)),
        ):
            assert likelihood(near) <= likelihood(best) + 1e-9


def test_a_forecast_goes_beyond_what_was_ever_solved():
    world, rng = ScaledBeta(0.3, 2.0, 0.7), np.random.default_rng(6)
    p = world.draw(400, rng)
    counts = rng.binomial(32, p)
    found = fit_tail(counts, 32, [32, 1000], resamples=40)
    near, far = found.forecasts
    assert near.coverage.value == pytest.approx(np.mean(counts > 0), abs=0.02)
    assert far.coverage.value > np.mean(counts > 0) + 0.05
    assert far.coverage.low <= world.coverage([1000])[0] <= far.coverage.high
    assert far.coverage.low < far.coverage.value < far.coverage.high
    json.dumps(asdict(found), allow_nan=False)


def test_intervals_of_the_tail_hold_its_exponent():
    world, rng, held = ScaledBeta(0.5, 1.5, 0.8), np.random.default_rng(7), 0
    for seed in range(30):
        counts = rng.binomial(16, world.draw(150, rng))
        found = fit_tail(counts, 16, resamples=30, seed=seed)
        held += found.exponent.low <= world.exponent <= found.exponent.high
    assert held >= 25


def test_a_parameter_that_the_data_do_not_pin_down_is_named():
    # Problems more alike than samples of one problem are: all of the mass is at the scale.
    same = np.repeat([30, 31, 32, 33, 34], [30, 60, 80, 60, 30])
    assert fit_tail(same, 64, resamples=1).at_bound == ("alpha", "beta")
    narrow = expected_counts(ScaledBeta(2000, 2000), 64, 10**5)
    assert "alpha" in fit_tail(narrow, 64, resamples=1).at_bound


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (np.zeros(30, int), "only 1 different counts among 8 samples"),
        (np.arange(30) % 2, "only 2 different counts"),
        (np.arange(30) % 10, "from 0 to 9 among 8 samples"),
        (np.arange(30) - 1, "from -1 to 28"),
        (np.arange(8), "counts of 8 problems; give at least 20"),
        (np.linspace(0, 8, 30), "counts are float64"),
        (np.zeros((30, 2), int), "one whole number a problem"),
    ],
)
def test_counts_without_a_distribution_are_refused(counts, said):
    with pytest.raises(UsageError, match=said) as refused:
        fit_tail(counts, 8)
    assert "\n" not in str(refused.value)


def test_a_fit_without_resamples_is_refused():
    with pytest.raises(UsageError, match="0 bootstrap resamples"):
        fit_tail(np.arange(30) % 8, 8, resamples=0)


# Accuracy against budget -------------------------------------------------------------------------

CURVES = {
    Law.LOG_LINEAR: ({"c": 0.1, "d": 0.05}, 0.1 + 0.05 * X),
    Law.POWER: ({"d": 0.1, "r": 0.1937}, 0.1 * 2 ** (0.1937 * X)),
    Law.ERROR_POWER: ({"d": 0.8, "r": 0.1571}, 1 - 0.8 * 2 ** (-0.1571 * X)),
    Law.SATURATING: ({"c": 0.6, "d": 0.5, "r": 0.3111}, 0.6 - 0.5 * 2 ** (-0.3111 * X)),
    Law.LOGISTIC: ({"c": 0.7, "m": 3.13, "w": 1.57}, 0.7 / (1 + np.exp(-(X - 3.13) / 1.57))),
}


@pytest.mark.parametrize("law", list(Law))
def test_a_law_recovers_its_own_curve_and_is_nearest_beyond_it(law):
    parameters, curve = CURVES[law]
    found = {fit.law: fit for fit in fit_laws(BUDGETS, alike(curve), held_out=3, resamples=5)}
    assert set(found) == set(Law)
    own = found[law]
    assert own.parameters == pytest.approx(parameters, rel=0.01)
    assert own.error < 1e-5 and own.held_out.value < 2e-4
    np.testing.assert_allclose(own.predict(BUDGETS), curve, atol=5e-4)
    for other in Law:
        # An error power law is a saturating one whose limit happens to be 1.
        if other is not law and (law, other) != (Law.ERROR_POWER, Law.SATURATING):
            assert found[other].held_out.value > 10 * own.held_out.value


def test_fits_come_nearest_first_and_share_out_the_resamples():
    rng = np.random.default_rng(8)
    noisy = np.clip(alike(CURVES[Law.SATURATING][1], 400) + rng.normal(0, 0.2, (9, 400)), 0, 1)
    found = fit_laws(BUDGETS, noisy)
    errors = [fit.held_out.value for fit in found]
    assert errors == sorted(errors)
    assert sum(fit.best for fit in found) == pytest.approx(1)
    assert found[0].best > 0.5
    json.dumps([asdict(fit) for fit in found], allow_nan=False)


def test_the_log_linear_fit_is_least_squares_and_never_sees_what_is_held_out():
    rng = np.random.default_rng(9)
    accuracy = np.clip(alike(0.2 + 0.06 * X, 50) + rng.normal(0, 0.3, (9, 50)), 0, 1)
    slope, start = np.polyfit(X[:7], accuracy[:7].mean(axis=1), 1)
    (found,) = fit_laws(BUDGETS, accuracy, laws=[Law.LOG_LINEAR], resamples=5)
    assert found.parameters == pytest.approx({"c": start, "d": slope})
    off = start + slope * X[7:] - accuracy[7:].mean(axis=1)
    assert found.held_out.value == pytest.approx(np.sqrt(np.mean(off**2)))
    moved = accuracy.copy()
    moved[7:] = 0.5
    (again,) = fit_laws(BUDGETS, moved, laws=[Law.LOG_LINEAR], resamples=5)
    assert again.parameters == found.parameters
    assert found.best == 1


def test_more_numbers_fit_better_and_need_not_foresee_better():
    rng = np.random.default_rng(10)
    worse = 0
    for seed in range(20):
        accuracy = np.clip(alike(0.2 + 0.05 * X, 100) + rng.normal(0, 0.3, (9, 100)), 0, 1)
        laws = [Law.LOG_LINEAR, Law.SATURATING]
        fits = fit_laws(BUDGETS, accuracy, held_out=3, laws=laws, resamples=2, seed=seed)
        found = {fit.law: fit for fit in fits}
        # A saturating law at its slowest is a straight line to within a few thousandths.
        assert found[Law.SATURATING].error < found[Law.LOG_LINEAR].error + 0.003
        worse += found[Law.SATURATING].held_out.value > found[Law.LOG_LINEAR].held_out.value
    assert worse > 10


@pytest.mark.parametrize(
    ("budgets", "options", "said"),
    [
        ([1, 2, 4, 8, 16], {}, "has 3 numbers to fit to 3 budgets; give at least 4 besides the 2"),
        ([1, 2, 4], {"held_out": 5}, "fit to 0 budgets"),
        (BUDGETS, {"held_out": 0}, "0 budgets held out"),
        (BUDGETS, {"laws": []}, "for 0 laws"),
        (BUDGETS[::-1], {}, "rising"),
    ],
)
def test_laws_that_cannot_be_told_apart_are_refused(budgets, options, said):
    with pytest.raises(UsageError, match=said) as refused:
        fit_laws(budgets, alike(np.full(len(budgets), 0.5)), **options)
    assert "\n" not in str(refused.value)


# Crossings ---------------------------------------------------------------------------------------


def last_overtaking(apart):
    """The slow reference: log2 of the budget after the last one at which the difference is below 0.

    Interpolated; `None` where there is none, infinity where it is the last.
    """
    below = [i for i, value in enumerate(apart) if value < -1e-12]
    if not below:
        return None
    i = below[-1]
    if i == len(apart) - 1:
        return math.inf
    after = max(apart[i + 1], 0)
    return X[i] + (X[i + 1] - X[i]) * apart[i] / (apart[i] - after)


@given(st.lists(st.sampled_from([-0.3, -0.1, 0.0, 0.1, 0.2]), min_size=1, max_size=9))
@settings(max_examples=200, deadline=None)
def test_a_crossing_is_where_the_slow_reference_finds_it(apart):
    budgets = BUDGETS[: len(apart)]
    found = crossing(budgets, alike(0.5 + np.array(apart)), alike([0.5] * len(apart)), resamples=2)
    exact = last_overtaking(apart)
    if exact is None:
        assert found.estimate == Overtaking(Lead.ALWAYS, None)
    elif exact == math.inf:
        assert found.estimate == Overtaking(Lead.NEVER, None)
    else:
        assert found.estimate.lead is Lead.FROM
        assert found.estimate.budget == pytest.approx(2**exact)


def test_a_search_that_wins_early_and_loses_late_is_overtaken():
    beam, best_of_n = alike(0.3 + 0.01 * X), alike(0.2 + 0.03 * X)
    found = crossing(BUDGETS, best_of_n, beam, resamples=20)
    for end in (found.estimate, found.low, found.high):
        assert end.lead is Lead.FROM and end.budget == pytest.approx(32)
    assert (found.changes, found.problems) == (1, 20)
    assert crossing(BUDGETS, beam, best_of_n, resamples=20).estimate.lead is Lead.NEVER


def test_equal_curves_lead_each_other_always():
    found = crossing(BUDGETS, alike(X / 10), alike(X / 10), resamples=20)
    assert found.estimate.lead is found.low.lead is found.high.lead is Lead.ALWAYS
    assert found.changes == 0


def test_a_lead_that_comes_and_goes_is_counted():
    apart = alike([0.5, 0.6, 0.4, 0.6, 0.4])
    assert crossing(BUDGETS[:5], apart, alike([0.5] * 5), resamples=2).changes == 3


def test_intervals_of_a_crossing_hold_it_and_may_end_in_never():
    rng, held, open_ended = np.random.default_rng(11), 0, 0
    for seed in range(200):
        first = alike(0.2 + 0.03 * X, 100) + rng.normal(0, 0.15, (9, 100))
        second = alike(0.3 + 0.01 * X, 100) + rng.normal(0, 0.15, (9, 100))
        found = crossing(
            BUDGETS, np.clip(first, 0, 1), np.clip(second, 0, 1), resamples=200, seed=seed
        )
        json.dumps(asdict(found), allow_nan=False)
        soon = found.low.lead is Lead.ALWAYS or (found.low.budget or math.inf) <= 32
        late = found.high.lead is Lead.NEVER or (found.high.budget or 0) >= 32
        held += soon and late
        open_ended += found.high.lead is Lead.NEVER
    assert held >= 0.9 * 200
    assert open_ended < 0.5 * 200


def test_curves_that_do_not_belong_together_are_refused():
    with pytest.raises(UsageError, match="20 and 21 problems"):
        crossing([1, 2], alike([0.1, 0.2]), alike([0.1, 0.2], 21))
    with pytest.raises(UsageError, match="second curve of shape"):
        crossing([1, 2], alike([0.1, 0.2]), alike([0.1]))
