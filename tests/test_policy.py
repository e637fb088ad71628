"""Fitting that cannot flatter itself, and a file that reads back or says why not."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from outthink.errors import PolicyError, UsageError
from outthink.measure.difficulty import Binning, Method
from outthink.measure.grid import Grid
from outthink.measure.intervals import Interval
from outthink.policy.table import Cell, Policy, Provenance, fit


def grid_of(accuracy, strategies=None, budgets=None):
    accuracy = np.asarray(accuracy, float)
    s, n, p = accuracy.shape
    return Grid(
        tuple(f"p{i}" for i in range(p)),
        strategies or tuple("abcdefghijkl"[:s]),
        budgets or tuple(2**i for i in range(n)),
        accuracy,
    )


def engines(proposer, verifier):
    return {"proposer": proposer, **({"verifier": verifier} if verifier else {})}


def with_reviser(plain, reviser, verifier):
    return {**plain, "reviser": reviser, **({"revision_verifier": verifier} if verifier else {})}


def one_bin(grid):
    return np.zeros(len(grid.problems), int)


# Fitting -----------------------------------------------------------------------------------------


def test_each_bin_and_budget_gets_its_best_strategy():
    accuracy = np.full((2, 2, 40), 0.5)
    accuracy[0, :, :20] = 0.9  # a is best on the easy half
    accuracy[1, 1, 20:] = 0.8  # b on the hard half, once there is budget
    fitted = fit(grid_of(accuracy), np.repeat([0, 1], 20))
    chosen = {(cell.bin, cell.budget): cell.strategy for cell in fitted.cells}
    assert chosen == {(0, 1): "a", (0, 2): "a", (1, 1): "a", (1, 2): "b"}
    assert all(cell.chosen == 1 for cell in fitted.cells)
    assert [cell.accuracy.problems for cell in fitted.cells] == [20] * 4
    np.testing.assert_allclose(fitted.held_out[1], np.repeat([0.9, 0.8], 20))


def test_noise_gains_nothing_held_out_and_much_in_sample():
    rng = np.random.default_rng(0)
    held_out, in_sample, average = [], [], []
    for seed in range(60):
        grid = grid_of((rng.random((8, 1, 30)) < 0.3).astype(float))
        fitted = fit(grid, one_bin(grid), repeats=20, seed=seed)
        held_out.append(fitted.held_out.mean())
        in_sample.append(fitted.in_sample.mean())
        average.append(grid.accuracy.mean())
    gain = np.array(held_out) - average
    assert abs(gain.mean()) < 3 * gain.std() / 60**0.5
    assert np.mean(in_sample) - np.mean(average) > 0.08


def test_held_out_accuracy_never_comes_from_a_choice_the_problem_took_part_in():
    # Each strategy solves one problem alone. A problem that took part in its choice would be
    # solved whenever its strategy wins its fold; held out, its own strategy has no vote for it.
    grid = grid_of(np.eye(6)[:, None])
    fitted = fit(grid, one_bin(grid), repeats=50)
    assert fitted.held_out.max() == 0
    assert fitted.in_sample.sum() == 1


def test_held_out_equals_a_plain_loop_over_all_halves():
    grid = grid_of(np.random.default_rng(1).random((3, 1, 5)))
    accuracy = grid.accuracy[:, 0]
    splits = list(combinations(range(5), 2))
    expected = np.zeros(5)
    for half in map(list, splits):
        rest = [i for i in range(5) if i not in half]
        for chosen_on, measured_on in ((half, rest), (rest, half)):
            best = accuracy[:, chosen_on].mean(axis=1).argmax()
            expected[measured_on] += accuracy[best, measured_on] / len(splits)
    fitted = fit(grid, one_bin(grid), repeats=4000)
    np.testing.assert_allclose(fitted.held_out[0], expected, atol=0.03)


def test_ties_go_to_the_first_strategy_even_after_rounding():
    shares = np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    accuracy = np.stack([shares, shares + 1e-14, shares])[:, None]
    assert accuracy[1].mean() > accuracy[0].mean()
    (cell,) = fit(grid_of(accuracy), np.zeros(6, int)).cells
    assert (cell.strategy, cell.chosen) == ("a", 1)


def test_a_strategy_is_only_chosen_where_it_was_run():
    accuracy = np.full((2, 2, 10), 0.5)
    accuracy[0, 1] = 0.9
    accuracy[0, 0] = np.nan
    fitted = fit(grid_of(accuracy), np.zeros(10, int))
    assert [cell.strategy for cell in fitted.cells] == ["b", "a"]
    assert np.isfinite(fitted.held_out).all()


def test_chosen_is_the_share_of_folds_and_falls_where_strategies_are_alike():
    rng = np.random.default_rng(2)
    grid = grid_of((rng.random((4, 1, 40)) < 0.5).astype(float))
    (cell,) = fit(grid, one_bin(grid)).cells
    assert 0.2 < cell.chosen < 0.95


def test_the_accuracy_of_a_cell_is_the_held_out_one():
    grid = grid_of((np.random.default_rng(5).random((6, 2, 40)) < 0.5).astype(float))
    fitted = fit(grid, np.arange(40) % 2)
    for cell in fitted.cells:
        held_out = fitted.held_out[grid.budgets.index(cell.budget), cell.bin :: 2]
        assert cell.accuracy.mean == pytest.approx(held_out.mean())
        assert cell.accuracy.low < cell.accuracy.mean < cell.accuracy.high


def test_same_seed_same_fit():
    grid = grid_of(np.random.default_rng(3).random((3, 2, 20)))
    numbers = np.arange(20) % 2
    a, b = fit(grid, numbers, repeats=5), fit(grid, numbers, repeats=5)
    assert a.cells == b.cells
    np.testing.assert_array_equal(a.held_out, b.held_out)
    assert (fit(grid, numbers, repeats=5, seed=1).held_out != a.held_out).any()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([0, 0, 0, 1], "bin 1 has 1 problems"),
        ([0, 0, 2, 2], "bin 1 has 0 problems"),
        ([0, 0, -1, -1], "bin -1"),
        ([0, 0, 0], "4 problems"),
        ([0.0, 0.0, 1.0, 1.0], "whole number"),
    ],
)
def test_bins_that_cannot_be_halved_are_refused(numbers, said):
    with pytest.raises(UsageError, match=said):
        fit(grid_of(np.zeros((1, 1, 4))), np.array(numbers))


def test_no_repeats_are_refused():
    with pytest.raises(UsageError, match="0 splits"):
        fit(grid_of(np.zeros((1, 1, 4))), np.zeros(4, int), repeats=0)


# The grid ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accuracy": np.zeros((2, 2, 2))}, "shape"),
        ({"strategies": ("a", "a")}, "'a' twice"),
        ({"problems": ("p", "q", "p")}, "'p' twice"),
        ({"budgets": (2, 1)}, "rising"),
        ({"budgets": (0, 1)}, "rising"),
        ({"accuracy": np.full((2, 2, 3), 1.5)}, "outside"),
        ({"accuracy": np.full((2, 2, 3), np.nan)}, "no strategy was run at budget 1"),
        ({"accuracy": np.array([[[0, 0, 0], [0, 0, np.nan]]] * 2)}, "a at budget 2 misses"),
    ],
)
def test_a_grid_that_does_not_fit_together_is_refused(change, said):
    with pytest.raises(UsageError, match=said):
        replace(grid_of(np.zeros((2, 2, 3))), **change)


def test_the_digest_changes_with_any_number_or_name():
    accuracy = np.zeros((2, 2, 3))
    accuracy[0, 0] = np.nan
    grid = grid_of(accuracy)
    other = accuracy.copy()
    other[1, 1, 2] = 0.5
    assert grid.digest == grid_of(accuracy.copy()).digest
    assert len({grid.digest, grid_of(other).digest, grid_of(accuracy, ("a", "c")).digest}) == 3


# The policy --------------------------------------------------------------------------------------

PROVENANCE = Provenance("small", "prm", "sha256", 40, 100, 0, "outthink 0.1.0")


def policy_of(**changes):
    cells = tuple(
        Cell(number, budget, f"s{number}-{budget}", Interval(0.5, 0.4, 0.6, 20), 0.75)
        for number in range(2)
        for budget in (4, 16)
    )
    policy = Policy(Binning((1 / 3,)), Method.PREDICTED, 8, cells, PROVENANCE)
    return replace(policy, **changes)


def test_an_unseen_budget_takes_the_largest_fitted_one_below_and_says_so():
    policy = policy_of()
    assert policy.choose(1, 16).strategy == "s1-16"
    assert policy.choose(1, 16).note is None
    between = policy.choose(0, 15)
    assert (between.strategy, between.budget, between.cell.budget) == ("s0-4", 15, 4)
    assert between.note == "not fitted at budget 15; chosen as at budget 4"
    assert policy.choose(0, 256).strategy == "s0-16"


def test_a_budget_below_the_smallest_or_an_unknown_bin_is_refused():
    with pytest.raises(PolicyError, match="at least 4"):
        policy_of().choose(0, 3)
    with pytest.raises(PolicyError, match="no bin 2"):
        policy_of().choose(2, 4)


def test_a_policy_places_new_problems():
    assert [policy_of().place(value) for value in (0.9, 0.1)] == [0, 1]


def test_a_policy_for_another_model_is_refused_by_both_names():
    policy_of().check(engines("small", "prm"))
    with pytest.raises(PolicyError, match=r"proposer small.*large"):
        policy_of().check(engines("large", "prm"))
    with pytest.raises(PolicyError, match=r"with verifier prm.*none"):
        policy_of().check(engines("small", None))


def test_a_policy_asks_for_its_reviser_where_it_revises():
    fitted = replace(PROVENANCE, reviser="reviser", revision_verifier="judge")
    policy, plain = policy_of(provenance=fitted), engines("small", "prm")
    policy.check(with_reviser(plain, "reviser", "judge"))
    policy.check(plain)  # nothing of it revises at this budget
    with pytest.raises(PolicyError, match=r"reviser reviser, this run has small"):
        policy.check(with_reviser(plain, "small", "prm"))
    with pytest.raises(PolicyError, match=r"revision verifier judge, this run has none"):
        policy.check(with_reviser(plain, "reviser", None))


def test_answers_are_read_as_the_policys_grader_read_them():
    policy = policy_of(provenance=replace(PROVENANCE, grader="math"))
    assert policy.reading() == policy.reading("math") == "math"
    with pytest.raises(PolicyError, match=r"as grader math reads them, this run asks for number"):
        policy.reading("number")


def test_a_policy_reads_back_as_it_was_written(tmp_path):
    path = tmp_path / "policy.json"
    fitted = [replace(PROVENANCE, **each) for each in ({"verifier": None}, {"reviser": "r"})]
    fitted.append(replace(PROVENANCE, grader="math"))
    for policy in (policy_of(), *(policy_of(provenance=each) for each in fitted)):
        policy.save(path)
        assert Policy.load(path) == policy
    assert [p.name for p in tmp_path.iterdir()] == ["policy.json"]
    assert path.read_text().startswith('{\n  "format": 3,\n')


def test_a_fitted_policy_reads_back(tmp_path):
    fitted = fit(grid_of(np.random.default_rng(4).random((2, 2, 20))), np.arange(20) % 2)
    policy = policy_of(cells=fitted.cells)
    policy.save(tmp_path / "policy.json")
    assert Policy.load(tmp_path / "policy.json") == policy


def test_a_policy_that_would_need_labels_is_refused():
    with pytest.raises(PolicyError, match="predicted"):
        policy_of(method=Method.ORACLE)


def test_a_policy_with_gaps_is_refused():
    cells = policy_of().cells
    for broken in (cells[:-1], (*cells, cells[0]), ()):
        with pytest.raises(PolicyError, match="fit it again"):
            policy_of(cells=broken)


def edited(path, edit):
    policy_of().save(path)
    wire = json.loads(path.read_text())
    edit(wire)
    path.write_text(json.dumps(wire))
    return path


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda wire: wire.update(format=1), "format 1, this version reads 3"),
        (lambda wire: wire.pop("format"), "'format' is missing"),
        (lambda wire: wire.pop("cells"), "'cells' is missing"),
        (lambda wire: wire["cells"].pop(), "has 3 cells"),
        (lambda wire: wire["cells"].append(7), "'cells' is 7"),
        (lambda wire: wire["cells"][0].pop("strategy"), "'strategy' is missing"),
        (lambda wire: wire["cells"][0].update(bin=True), "'bin' is True"),
        (lambda wire: wire["cells"][0].update(chosen=float("nan")), "'chosen' is nan"),
        (lambda wire: wire["cells"][0].update(chosen=10**400), "too large"),
        (lambda wire: wire["cells"][0]["accuracy"].update(low=None), "'low' is None"),
        (lambda wire: wire["provenance"].pop("verifier"), "'verifier' is missing"),
        (lambda wire: wire["provenance"].update(proposer=3), "'proposer' is 3"),
        (lambda wire: wire["provenance"].pop("grader"), "'grader' is missing"),
        (lambda wire: wire["provenance"].update(grader="oracle"), "unknown grader 'oracle'"),
        (lambda wire: wire["difficulty"].update(method="guess"), "'method' is 'guess'"),
        (lambda wire: wire["difficulty"].update(edges=["0.5"]), "'edges' is '0.5'"),
        (lambda wire: wire["difficulty"].update(edges=[0.1, 0.5]), "do not rise"),
    ],
)
def test_a_garbled_policy_is_refused_in_one_line_that_names_it(tmp_path, edit, said):
    path = edited(tmp_path / "policy.json", edit)
    with pytest.raises(PolicyError) as refused:
        Policy.load(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"policy"', "[" * 100_000, "\udcff"])
def test_a_file_that_is_no_policy_is_refused(tmp_path, text):
    path = tmp_path / "policy.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(PolicyError, match="fit it again"):
        Policy.load(path)


def test_a_policy_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PolicyError, match=r"cannot read policy .*; fit one"):
        Policy.load(tmp_path / "absent.json")
