"""Isotonic calibration on held-out problems, AUC within problems, and paired differences."""

import json
import math

import numpy as np
import pytest

from outthink.cli import main
from outthink.errors import UsageError
from outthink.measure.calibrate import Isotonic, held_out
from outthink.measure.quality import auc, auc_within


def labels(text):
    return np.array([letter == "1" for letter in text])


def test_neighbours_in_the_wrong_order_are_pooled():
    fit = Isotonic.fit(np.array([0.1, 0.2, 0.3, 0.4]), labels("0101"))
    assert fit.chances == (0.0, 0.5, 0.5, 1.0)
    assert fit.places == (0.1, 0.2, 0.3, 0.4)
    assert fit(np.array([0.0, 0.25, 0.35, 1.0])).tolist() == pytest.approx([0, 0.5, 0.75, 1])


def test_equal_scores_have_one_probability():
    fit = Isotonic.fit(np.full(4, 0.5), labels("0111"))
    assert (fit.places, fit.chances) == ((0.5,), (0.75,))


def test_the_fit_is_the_nearest_monotone_function():
    rng = np.random.default_rng(3)
    for _ in range(20):
        scores, right = rng.random(12), rng.random(12) < 0.5
        fitted = Isotonic.fit(scores, right)(scores)[np.argsort(scores)]
        ordered = right[np.argsort(scores)]
        # max over lower sets of the min over upper sets of the mean (Barlow et al. 1972).
        slow = [
            max(min(ordered[a : b + 1].mean() for b in range(i, 12)) for a in range(i + 1))
            for i in range(12)
        ]
        assert fitted.tolist() == pytest.approx(slow)


def test_what_has_no_score_has_no_probability_and_is_not_fitted_on():
    fit = Isotonic.fit(np.array([0.2, np.nan, 0.8]), labels("010"))
    assert (fit.places, fit.chances) == ((0.2, 0.8), (0.0, 0.0))
    assert math.isnan(fit(np.array([np.nan]))[0])
    with pytest.raises(UsageError, match="a score at least"):
        Isotonic.fit(np.array([np.nan]), labels("1"))


def test_a_problem_is_calibrated_by_other_problems_alone():
    scores = [np.array([0.5, 0.5])] * 4
    right = [labels("11"), labels("00"), labels("11"), labels("00")]
    after = held_out(scores, right)
    assert [some.tolist() for some in after] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert held_out(scores[:1], right[:1]) is None


def test_within_problems_a_verifier_that_only_knows_hard_from_easy_is_no_better_than_chance():
    scores = [np.full(4, 0.9), np.full(4, 0.1)]
    right = [labels("1110"), labels("0001")]
    assert auc_within(scores, right) == (0.5, 2)
    assert auc(np.concatenate(scores), np.concatenate(right)) == 0.75
    assert auc_within([np.array([0.5])], [labels("1")]) is None


SWEEP = ["--strategies", "majority,best_of_n,beam", "--budgets", "1,4", "--pool", "4"]
SWEEP += ["--oracle-samples", "0", "--difficulty-samples", "2", "--json"]


def test_verifiers_of_a_store_are_compared_on_the_same_samples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for verifier in ("lab:prm", "lab:orm"):
        sweep = ["sweep", "lab:test?size=6", "-o", "a.store", "--verifier", verifier, *SWEEP]
        assert main(sweep) == 0
    capsys.readouterr()
    assert main(["compare", "a.store", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    one, other = said["verifiers"]
    assert one["tokens"] > 0 and other["error_after"] is not None
    by_what = {row["what"]: row["value"]["mean"] for row in said["between_verifiers"]}
    assert by_what["AUC within problems"] == pytest.approx(other["auc"] - one["auc"])
    gain = other["weighted"][1]["mean"] - one["weighted"][1]["mean"]
    assert by_what["best_of_n at N = 4"] == pytest.approx(gain)
    assert {row["one"] for row in said["between_strategies"]} == {"best_of_n", "beam"}
    assert main(["compare", "a.store", "--against", "best_of_n"]) == 0
    told = capsys.readouterr().out
    assert "AUC within problems" in told and "best_of_n" in told
    assert main(["compare", "a.store", "--against", "mcts"]) == 2
    assert "mcts was not run" in capsys.readouterr().err
