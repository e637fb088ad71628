"""The FLOPs-matched comparison against its formulas, curves of known crossover, and simulation."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outthink.errors import UsageError
from outthink.measure import intervals, pools
from outthink.measure.exchange import (
    CHARGED,
    ICLR,
    V1,
    Accounting,
    Match,
    Measured,
    SmallerWins,
    Threshold,
    compare,
    crossover_ratio,
    crossovers,
    inference_flops,
    matched_budget,
    matched_size,
    pretraining_flops,
)
from outthink.paper.simulate import ScaledBeta, coverage

sizes = st.floats(1.01, 1000)
ratios = st.floats(1e-4, 1e4)
accountings = st.builds(
    Accounting,
    st.just("any"),
    verifier=st.floats(0, 4),
    large_verifier=st.floats(0, 4),
    difficulty=st.floats(0, 64),
)

BUDGETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
HARD = np.random.default_rng(0).random(100) * 0.3


def rising(budgets=BUDGETS, start=0.1):
    """[B, 100]: accuracy linear in log2 of the budget, 0.05 a doubling."""
    return start + HARD + 0.05 * np.log2(np.array(budgets, float))[:, None]


def level_with(k):
    """[100]: accuracies with which the larger model equals `rising` at k generations."""
    return 0.1 + HARD + 0.05 * math.log2(k)


def measured(large, size_ratio=14.2, small=None, bins=None, budgets=BUDGETS):
    return Measured(budgets, rising(budgets) if small is None else small, large, size_ratio, bins)


# Accounting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token_ratio", "size_ratio", "accounting", "k"),
    [
        (22, 14.2, V1, 16),
        (0.795, 14.2, V1, 64),
        (0.164, 14.2, V1, 256),
        (11, 14.2, ICLR, 16),
        (0.398, 14.2, ICLR, 64),
        (0.082, 14.2, ICLR, 256),
    ],
)
def test_both_papers_land_on_the_same_three_budgets(token_ratio, size_ratio, accounting, k):
    assert round(matched_budget(token_ratio, size_ratio, accounting)) == k


@pytest.mark.parametrize(("token_ratio", "k"), [(11, 8.9), (0.398, 56.85), (0.082, 248.56)])
def test_a_verifier_charged_to_its_user_costs_half_the_budget_at_large_ratios_alone(token_ratio, k):
    found = matched_budget(token_ratio, 14.2, CHARGED)
    assert found == pytest.approx(k, abs=0.005)
    assert found == pytest.approx(matched_budget(token_ratio, 14.2, ICLR) - 14.2 / 2)


@pytest.mark.parametrize(("token_ratio", "k"), [(0.1, 404), (1, 53), (10, 17.9)])
def test_fourteen_times_larger_allows_14_plus_39_over_r(token_ratio, k):
    assert matched_budget(token_ratio, 14) == pytest.approx(14 + 39 / token_ratio)
    assert matched_budget(token_ratio, 14) == pytest.approx(k, abs=0.05)


@given(ratios, sizes)
def test_the_three_accountings_are_their_formulas(r, m):
    assert matched_budget(r, m, V1) == pytest.approx(m + 3 * (m - 1) / r)
    assert matched_budget(r, m, ICLR) == pytest.approx(m + 1.5 * (m - 1) / r)
    assert matched_budget(r, m, CHARGED) == pytest.approx(m / 2 + 1.5 * (m - 1) / r)


@given(ratios, sizes, accountings, st.floats(1e6, 1e9), st.floats(1e8, 1e12))
def test_at_the_matched_budget_both_models_cost_the_same(r, m, accounting, parameters, tokens):
    k = matched_budget(r, m, accounting) + accounting.difficulty
    small = inference_flops(parameters, k * r * tokens, verifier=accounting.verifier)
    large = inference_flops(m * parameters, r * tokens, verifier=accounting.large_verifier)
    assert pretraining_flops(parameters, tokens) + small == pytest.approx(
        pretraining_flops(m * parameters, tokens) + large
    )


def test_the_token_ratio_is_three_times_the_compute_ratio():
    # C20: R is D_inf / D_pre; in FLOPs that is R / 3, and 2 R / 3 with a verifier.
    pretraining = pretraining_flops(7, 100)
    assert inference_flops(7, 50) / pretraining == pytest.approx(0.5 / 3)
    assert inference_flops(7, 50, verifier=1) / pretraining == pytest.approx(1 / 3)


@given(ratios, sizes, accountings)
def test_the_crossover_inverts_the_matched_budget(r, m, accounting):
    k = matched_budget(r, m, accounting)
    if k <= 0:
        return
    found = crossover_ratio(k, m, accounting)
    # Where R is huge, k is all but what the larger model's one answer costs, and digits are lost.
    if found.smaller_wins is SmallerWins.BELOW:
        assert found.budget == k
        assert matched_budget(found.token_ratio, m, accounting) == pytest.approx(k)
    else:
        assert found.smaller_wins is SmallerWins.ALWAYS and r > 1e3


@given(st.floats(1, 1000), ratios, accountings)
@settings(deadline=None, derandomize=True)
def test_the_matched_size_inverts_the_matched_budget(k, r, accounting):
    m = matched_size(k, r, accounting)
    if m > 1:
        # The budget is a difference of larger numbers where difficulty is charged.
        assert matched_budget(r, m, accounting) == pytest.approx(k, rel=1e-6, abs=1e-6)
    else:
        spent = (1 + accounting.verifier) * (k + accounting.difficulty)
        assert spent <= (1 + accounting.large_verifier) * (1 + 1e-9)


def test_a_budget_no_dearer_than_one_answer_of_the_larger_model_wins_at_every_ratio():
    assert crossover_ratio(14.2, 14.2) == Threshold(SmallerWins.ALWAYS, 14.2, None)
    assert crossover_ratio(7.1, 14.2, CHARGED).smaller_wins is SmallerWins.ALWAYS
    above = crossover_ratio(14.3, 14.2)
    assert above.smaller_wins is SmallerWins.BELOW
    assert above.token_ratio == pytest.approx(3 * 13.2 / 0.1)


def test_what_is_never_reached_wins_at_no_ratio():
    assert crossover_ratio(None, 14.2) == Threshold(SmallerWins.NEVER, None, None)


def test_difficulty_comes_out_of_the_budget():
    charged = replace(V1, difficulty=32)
    assert matched_budget(1, 14, charged) == pytest.approx(53 - 32)
    assert matched_budget(100, 14, charged) < 0
    assert crossover_ratio(21, 14, charged).token_ratio == pytest.approx(1)
    assert crossover_ratio(1, 14, charged).smaller_wins is SmallerWins.BELOW


# Crossovers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [16, 40, 100, 256])
@pytest.mark.parametrize("accounting", [V1, ICLR, CHARGED, replace(V1, difficulty=8)])
def test_a_curve_that_catches_up_at_k_crosses_over_at_its_ratio(k, accounting):
    (found,) = crossovers(measured(level_with(k)), accounting, resamples=20)
    exact = crossover_ratio(k, 14.2, accounting)
    for end in (found.estimate, found.low, found.high):
        assert end.smaller_wins is SmallerWins.BELOW
        assert end.budget == pytest.approx(k)
        assert end.token_ratio == pytest.approx(exact.token_ratio)
    assert (found.bin, found.problems, found.at_most, found.note) == (None, 100, False, None)


def test_the_three_cases_are_told_apart():
    always, never = level_with(10), level_with(300)
    (found,) = crossovers(measured(always), resamples=20)
    for end in (found.estimate, found.low, found.high):
        assert (end.smaller_wins, end.token_ratio) == (SmallerWins.ALWAYS, None)
        assert end.budget == pytest.approx(10)
    (found,) = crossovers(measured(never), resamples=20)
    assert found.estimate == found.low == found.high == Threshold(SmallerWins.NEVER, None, None)
    assert "within 256 generations" in found.note and "not measured" in found.note


def test_a_falling_curve_counts_at_its_best_so_far():
    small = np.repeat([[0.2], [0.4], [0.3], [0.6]], 20, axis=1)
    budgets, large = (1, 4, 16, 64), np.full(20, 0.5)
    (found,) = crossovers(Measured(budgets, small, large, 2.0), resamples=20)
    # From 0.4, the best so far, to 0.6: half way between 16 and 64 in log2.
    assert found.estimate.budget == pytest.approx(32)
    (found,) = crossovers(Measured(budgets, small, np.full(20, 0.35), 2.0), resamples=20)
    assert found.estimate.budget == pytest.approx(2**1.5)


def test_a_curve_that_starts_above_is_said_to_bound():
    late = (32, 64, 128)
    (found,) = crossovers(measured(level_with(16), budgets=late), resamples=20)
    assert found.at_most and found.estimate.budget == 32
    assert "at least" in found.note
    # One generation is the least there is: nothing is unknown below it.
    charged = replace(V1, difficulty=32)
    (found,) = crossovers(measured(level_with(0.5)), charged, resamples=20)
    assert not found.at_most and found.note is None
    assert (found.estimate.budget, found.estimate.smaller_wins) == (1, SmallerWins.BELOW)


def test_an_interval_may_end_in_never_and_nothing_of_it_is_infinite():
    noise = np.random.default_rng(1).normal(0, 0.2, (1, 100))
    small = np.clip(rising() + noise, 0, 1)
    large = np.clip(level_with(200) + (small.mean(axis=1)[-1] - rising().mean(axis=1)[-1]), 0, 1)
    (found,) = crossovers(measured(large, small=small))
    assert found.estimate.smaller_wins is found.high.smaller_wins is SmallerWins.BELOW
    assert found.low.smaller_wins is SmallerWins.NEVER
    assert found.high.budget < found.estimate.budget
    assert found.high.token_ratio > found.estimate.token_ratio
    (again,) = crossovers(measured(large, small=small), seed=1)
    assert again.estimate == found.estimate and again.high != found.high
    written = json.dumps(asdict(found), allow_nan=False)
    assert json.loads(written)["low"] == {
        "smaller_wins": "never",
        "budget": None,
        "token_ratio": None,
    }


def test_a_bin_gets_what_it_would_get_alone():
    rng = np.random.default_rng(2)
    bins = np.arange(100) % 5
    small = np.clip(rising() - 0.08 * bins + rng.normal(0, 0.1, (9, 100)), 0, 1)
    large = rng.random(100)
    found = crossovers(measured(large, small=small, bins=bins), resamples=50)
    assert [one.bin for one in found] == [None, 0, 1, 2, 3, 4]
    alone = Measured(BUDGETS, small[:, bins == 3], large[bins == 3], 14.2)
    (one,) = crossovers(alone, resamples=50)
    assert replace(found[4], bin=None) == one
    assert found[4].problems == 20


def test_easy_bins_win_always_and_hard_ones_never():
    # C19: low R for the small model, high R for the larger one, and by how hard problems are.
    bins = np.repeat([0, 1, 2], 40)
    hard = np.zeros(120)
    small = np.array([0.6, 0.3, 0.0])[bins] + 0.04 * np.log2(BUDGETS)[:, None] * (bins < 2)
    large = hard + np.array([0.65, 0.5, 0.2])[bins]
    easy, middle, last = crossovers(Measured(BUDGETS, small, large, 14.2, bins), resamples=50)[1:]
    assert easy.estimate.smaller_wins is SmallerWins.ALWAYS
    assert (
        middle.estimate.smaller_wins is SmallerWins.BELOW
        and middle.estimate.budget == pytest.approx(32)
    )
    assert last.estimate.smaller_wins is SmallerWins.NEVER


def test_crossover_intervals_hold_a_known_budget():
    world, budgets, rng = ScaledBeta(0.5, 2.0), (1, 4, 16, 64), np.random.default_rng(3)
    samples = 64
    table = np.stack([pools.pass_at_k(counted(samples, c), budgets) for c in range(samples + 1)])
    k, held = 32, 0
    for seed in range(1000):
        p = world.draw(150, rng)
        small = table[rng.binomial(samples, p)].T
        # Half way in accuracy between 16 and 64 samples is 32, half way in log2.
        large = (rng.random(150) < coverage(p, [16, 64]).mean(axis=0)).astype(float)
        (found,) = crossovers(Measured(budgets, small, large, 14.2), resamples=300, seed=seed)
        never = found.low.smaller_wins is SmallerWins.NEVER
        held += found.high.budget <= k and (never or k <= found.low.budget)
    assert 0.93 * 1000 <= held <= 0.97 * 1000


def counted(n, right):
    right = np.arange(n) < right
    ids = (~right).astype(np.int32)
    return pools.Pool("p", ids, np.zeros(n, np.float32), right)


# Comparisons -------------------------------------------------------------------------------------


def test_the_papers_ratios_compare_at_16_64_and_256():
    budgets = (4, 16, 64, 256)
    for accounting, token_ratios in ((V1, (22, 0.795, 0.164)), (ICLR, (11, 0.398, 0.082))):
        found = compare(measured(level_with(64), budgets=budgets), token_ratios, accounting)
        assert [one.budget for one in found] == [16, 64, 256]
        assert {one.match for one in found} == {Match.EXACT}
        assert {one.note for one in found} == {None}
        assert [one.difference.mean for one in found] == pytest.approx([-0.1, 0, 0.1])


def test_a_budget_between_two_takes_the_lower_and_one_beyond_the_last_takes_that():
    between, beyond = compare(measured(level_with(64), 14.0), [1, 0.1])
    assert (between.matched, between.budget, between.match) == (53, 32, Match.BELOW)
    assert between.note == "R = 1 allows 53 generations; compared at 32, the next measured below"
    assert (beyond.matched, beyond.budget, beyond.match) == (404, 256, Match.CAPPED)
    assert beyond.note == "R = 0.1 allows 404 generations; compared at 256, the largest measured"


def test_a_budget_below_the_smallest_is_not_compared():
    charged = replace(V1, difficulty=32)
    (found,) = compare(measured(level_with(64), 14.0), [10], charged)
    assert (found.match, found.budget, found.small, found.difference) == (
        Match.NONE,
        None,
        None,
        None,
    )
    assert found.matched == pytest.approx(17.9 - 32)
    assert "not compared" in found.note
    json.dumps(asdict(found), allow_nan=False)


def test_a_comparison_is_paired_over_the_problems_of_its_bin():
    rng = np.random.default_rng(4)
    bins = np.arange(100) % 2
    small, large = rng.random((9, 100)), rng.random(100)
    found = compare(measured(large, 14.0, small, bins), [1, 10], seed=5, resamples=100)
    assert [(one.bin, one.token_ratio) for one in found] == [
        (None, 1),
        (None, 10),
        (0, 1),
        (0, 10),
        (1, 1),
        (1, 10),
    ]
    inside = bins == 1
    row = BUDGETS.index(32)
    assert found[4].difference == intervals.paired(
        small[row, inside], large[inside], seed=5, resamples=100
    )
    assert found[4].small == pytest.approx(small[row, inside].mean())
    assert found[4].large == pytest.approx(large[inside].mean())
    assert found[4].problems == 50


@given(st.lists(st.floats(0, 0.2), min_size=5, max_size=5), st.floats(0, 1), st.floats(1.5, 40))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_small_model_is_ahead_exactly_where_the_crossover_says(rises, target, m):
    budgets = (1, 4, 16, 64, 256)
    small = np.repeat(np.minimum(np.cumsum(rises), 1)[:, None], 20, axis=1)
    both = Measured(budgets, small, np.full(20, target), m)
    (found,) = crossovers(both, resamples=2)
    exact = [crossover_ratio(k, m).token_ratio for k in budgets if k > m + 0.01]
    for one in compare(both, exact, resamples=2) if exact else ():
        assert one.match is Match.EXACT
        wins = {
            SmallerWins.ALWAYS: True,
            SmallerWins.NEVER: False,
            SmallerWins.BELOW: one.token_ratio <= (found.estimate.token_ratio or 0) * (1 + 1e-9),
        }[found.estimate.smaller_wins]
        if abs(one.difference.mean) > 1e-9:  # nearer than that, both are as good
            assert wins == (one.difference.mean > 0)


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [1, 0.5, 0, -3, math.inf, math.nan])
def test_a_larger_model_that_is_not_larger_is_refused(m):
    for ask in (
        lambda: matched_budget(1, m),
        lambda: crossover_ratio(20, m),
        lambda: measured(level_with(16), m),
    ):
        with pytest.raises(UsageError, match="give a size ratio above 1"):
            ask()


@pytest.mark.parametrize("r", [0, -1, math.inf, math.nan])
def test_a_ratio_of_no_tokens_is_refused(r):
    for ask in (
        lambda: matched_budget(r, 14),
        lambda: matched_size(16, r),
        lambda: compare(measured(level_with(16)), [r]),
    ):
        with pytest.raises(UsageError, match="token ratio R = "):
            ask()


@pytest.mark.parametrize("k", [0, -1, math.inf, math.nan])
def test_a_budget_of_nothing_is_refused(k):
    with pytest.raises(UsageError, match="give a number above 0"):
        crossover_ratio(k, 14)
    with pytest.raises(UsageError, match="give a number above 0"):
        matched_size(k, 1)


@pytest.mark.parametrize("cost", [-1, math.inf, math.nan])
def test_a_cost_that_cannot_be_charged_is_refused(cost):
    for name in ("verifier", "large_verifier", "difficulty"):
        with pytest.raises(UsageError, match="'odd' charges"):
            Accounting("odd", **{name: cost})


SHARES = np.full(40, 0.5)
TWO = np.full((2, 40), 0.5)


@pytest.mark.parametrize(
    ("budgets", "small", "large", "bins", "said"),
    [
        ((1, 2), TWO, SHARES[:30], None, r"shapes \[2, 40\] and \[30\] at 2 budgets"),
        ((1,), TWO, SHARES, None, "at 1 budgets"),
        ((), TWO[:0], SHARES, None, "at 0 budgets"),
        ((2, 1), TWO, SHARES, None, "rising"),
        ((0, 1), TWO, SHARES, None, "rising budgets of at least 1"),
        ((1, 2), TWO * np.nan, SHARES, None, "missing or outside"),
        ((1, 2), TWO, SHARES * 3, None, "missing or outside"),
        ((1, 2), TWO[:, :19], SHARES[:19], None, "at least 20 problems"),
        ((1, 2), TWO, SHARES, np.arange(40) % 3, "40 problems for 3 bins; give at least 60"),
        ((1, 2), TWO, SHARES, np.arange(40) % 2 * 2, "at least 60"),
        ((1, 2), np.tile(TWO, 2), np.tile(SHARES, 2), np.arange(80) % 2 * 2, "bin 1 of 3 has no"),
        ((1, 2), TWO, SHARES, np.full(40, -1), "number bins from 0"),
        ((1, 2), TWO, SHARES, np.zeros(40), "bins are float64"),
        ((1, 2), TWO, SHARES, np.zeros(39, int), "for 40 problems"),
    ],
)
def test_measurements_that_do_not_belong_together_are_refused(budgets, small, large, bins, said):
    with pytest.raises(UsageError, match=said) as refused:
        Measured(budgets, small, large, 14.2, bins)
    assert "\n" not in str(refused.value)


def test_a_comparison_at_no_ratio_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        compare(measured(level_with(16)), [])
