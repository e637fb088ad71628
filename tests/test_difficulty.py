"""Difficulty from pools, and bins that new problems can be put in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outthink.errors import UsageError
from outthink.measure.difficulty import (
    Binning,
    Method,
    agreement,
    bins,
    oracle,
    predicted,
    require_enough,
)
from outthink.measure.pools import Pool


def pool_of(name, samples, right="a"):
    answers = [answer for answer, _ in samples]
    return Pool.of(name, answers, [score for _, score in samples], [a == right for a in answers])


EASY = pool_of("easy", [("a", 0.75), ("a", 1.0), ("b", 0.5), ("a", 0.0)])
TORN = pool_of("torn", [("b", 0.25), (None, 1.0), ("b", 0.5), ("a", 0.0)])
UNSCORED = pool_of("unscored", [("b", None), ("b", None), ("a", None), (None, None)])
SILENT = pool_of("silent", [(None, None)] * 4)


# Estimates ---------------------------------------------------------------------------------------


def test_oracle_difficulty_is_the_share_that_is_right():
    found = oracle([EASY, TORN, SILENT])
    assert found.problems == ("easy", "torn", "silent")
    assert found.values.tolist() == [0.75, 0.25, 0.0]
    assert (found.method, found.samples) == (Method.ORACLE, 4)


def test_predicted_difficulty_reads_the_first_samples_alone():
    found = predicted([EASY], 3)
    assert found.values[0] == pytest.approx(0.75)
    assert (found.method, found.samples, found.without_score) == (Method.PREDICTED, 3, 0)


def test_a_sample_without_answer_counts_as_wrong_whatever_its_score():
    assert predicted([TORN], 2).values[0] == pytest.approx(0.125)


def test_a_missing_score_is_left_out_and_not_a_zero():
    pool = pool_of("p", [("a", None), ("a", 0.5), ("b", None)])
    assert predicted([pool], 3).values[0] == pytest.approx(0.5)


def test_without_any_score_the_votes_decide():
    found = predicted([UNSCORED, SILENT], 4)
    assert found.values.tolist() == [0.5, 0.0]
    assert (found.method, found.without_score) == (Method.VOTES, 1)


def test_a_problem_the_verifier_could_not_score_is_counted():
    found = predicted([EASY, UNSCORED, SILENT], 4)
    assert (found.method, found.without_score) == (Method.PREDICTED, 1)


def test_predicted_difficulty_sees_no_label():
    flipped = pool_of("easy", [("a", 0.75), ("a", 1.0), ("b", 0.5), ("a", 0.0)], right="b")
    assert predicted([EASY], 4).values == predicted([flipped], 4).values
    assert oracle([EASY]).values != oracle([flipped]).values


@pytest.mark.parametrize("samples", [0, 5])
def test_more_samples_than_were_drawn_are_refused(samples):
    with pytest.raises(UsageError, match="give 1 to 4"):
        predicted([EASY], samples)


# Bins --------------------------------------------------------------------------------------------


def test_bin_zero_is_the_easiest_and_bins_are_equal():
    values = np.random.default_rng(0).permutation(np.arange(100) / 100)
    numbers, binning = bins(values)
    assert np.bincount(numbers).tolist() == [20] * 5
    assert values[numbers == 0].min() > values[numbers == 1].max()
    assert binning.edges == (0.79, 0.59, 0.39, 0.19)


def test_ties_are_split_in_the_order_of_the_problems():
    numbers, binning = bins(np.array([0.0, 1.0, 0.0, 0.0]), count=2)
    assert numbers.tolist() == [0, 0, 1, 1]
    assert binning.place(0.0) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 6))
def test_a_problem_is_placed_in_the_bin_it_was_cut_into(values, count):
    count = min(count, len(values))
    numbers, binning = bins(np.array(values), count)
    sizes = np.bincount(numbers, minlength=count)
    assert binning.count == count
    assert sizes.max() - sizes.min() <= 1
    for value, number in zip(values, numbers, strict=True):
        assert binning.place(value) == number or value in binning.edges


def test_a_new_problem_is_placed_by_its_estimate():
    binning = Binning((0.8, 0.6, 0.2))
    assert [binning.place(v) for v in (1.0, 0.81, 0.8, 0.5, 0.2, 0.0)] == [0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("values", "count"), [([0.5, np.nan], 1), ([0.5], 2), ([0.5], 0), ([[0.5]], 1)]
)
def test_bins_that_cannot_be_cut_are_refused(values, count):
    with pytest.raises(UsageError):
        bins(np.array(values), count)


def test_no_place_without_an_estimate_or_with_rising_edges():
    with pytest.raises(UsageError):
        Binning((0.5,)).place(float("nan"))
    with pytest.raises(UsageError):
        Binning((0.2, 0.5))
    with pytest.raises(UsageError):
        Binning((float("inf"),))


def test_too_few_problems_for_the_bins_are_refused():
    require_enough(100)
    require_enough(40, 2)
    with pytest.raises(UsageError, match="at least 100 problems"):
        require_enough(99)


# Oracle against predicted ------------------------------------------------------------------------


def test_equal_difficulties_agree_wholly():
    values = np.random.default_rng(1).random(50)
    found = agreement(values, values**3)
    assert (found.spearman, found.same_bin, found.within_one) == (pytest.approx(1), 1, 1)
    assert found.confusion.tolist() == (10 * np.eye(5, dtype=int)).tolist()
    assert found.problems == 50


def test_confusion_has_oracle_rows_and_predicted_columns():
    oracle_values = np.array([0.9, 0.8, 0.1, 0.0])
    found = agreement(oracle_values, np.array([0.9, 0.1, 0.8, 0.0]), count=2)
    assert found.confusion.tolist() == [[1, 1], [1, 1]]
    three = agreement(np.array([3.0, 2.0, 1.0]), np.array([2.0, 1.0, 3.0]), count=3)
    assert three.confusion.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert (three.same_bin, three.within_one) == (0, pytest.approx(2 / 3))


def test_a_constant_estimate_has_no_correlation():
    assert agreement(np.arange(5.0), np.ones(5)).spearman is None


def test_difficulties_of_other_problems_are_not_compared():
    with pytest.raises(UsageError):
        agreement(np.arange(5.0), np.arange(6.0))
