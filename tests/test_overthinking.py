"""What length is worth: halves, who finishes first, efficiency of chains, guards, levels."""

import itertools
import json

import numpy as np
import pytest

from outthink.cli import main
from outthink.data.samples import Reading
from outthink.errors import UsageError
from outthink.measure import finish
from outthink.measure.difficulty import levels
from outthink.measure.lengths import (
    Response,
    at_first_agreement,
    halved,
    halves,
    outcome_efficiency,
    process_efficiency,
)
from outthink.measure.pools import Pool
from outthink.search import strategy
from outthink.search.finish import Finish
from outthink.study.imports import Import, import_samples
from outthink.types import Problem, Solution


def booleans(*values):
    return np.array(values, np.bool_)


# Halves ------------------------------------------------------------------------------------------


def test_the_shorter_half_and_the_longer_half_are_told_apart():
    half = halved(np.array([5.0, 1.0, 9.0, 2.0]), booleans(False, True, False, True))
    assert (half.short, half.long) == (1.0, 0.0)
    assert (half.short_tokens, half.long_tokens) == (1.5, 7.0)


def test_the_middle_of_an_odd_number_is_in_neither_half():
    half = halved(np.array([1.0, 2.0, 3.0]), booleans(True, False, True))
    assert (half.short, half.long) == (1.0, 1.0)


def test_solutions_that_tie_at_the_cap_are_in_either_half_by_chance():
    lengths, right = np.array([1.0, 8.0, 8.0, 8.0]), booleans(True, False, False, True)
    half = halved(lengths, right)
    drawn = []
    for order in itertools.permutations(range(4)):
        ranked = sorted(order, key=lambda place: lengths[place])  # ties in the order drawn
        drawn.append([right[ranked[:2]].mean(), right[ranked[2:]].mean()])
    assert (half.short, half.long) == pytest.approx(np.mean(drawn, axis=0))
    assert halved(lengths, right[[0, 3, 2, 1]]) == half


def test_all_of_one_length_are_no_different():
    half = halved(np.full(6, 4.0), booleans(True, True, False, False, False, False))
    assert half.short == half.long == pytest.approx(1 / 3)


def test_halves_of_problems_are_compared_within_problems():
    hard = (np.array([100.0, 200.0]), booleans(False, False))
    easy = (np.array([1.0, 2.0]), booleans(True, False))
    outcome = halves([hard, easy] * 10)
    assert outcome.difference.mean == -0.5
    assert outcome.difference.problems == 20
    assert halves([(np.array([1.0]), booleans(True))]) is None


def test_a_length_that_nobody_counted_is_refused():
    with pytest.raises(UsageError, match="one known length"):
        halved(np.array([1.0, np.nan]), booleans(True, True))


# Efficiency and guards ---------------------------------------------------------------------------


def test_outcome_efficiency_is_the_share_up_to_the_first_right_solution():
    right = Response((39.0, 862.0), (True, True), ("5", "5"))
    assert outcome_efficiency(right) == pytest.approx(39 / 901)  # the paper's example, 4.3 %
    assert outcome_efficiency(Response((2.0, 2.0), (False, True), ("4", "5"))) == 1.0
    assert outcome_efficiency(Response((2.0, 2.0), (False, False), ("4", "4"))) == 0.0


def test_process_efficiency_is_the_share_of_answers_not_given_before():
    answers = ("5", "5", None, "4")
    response = Response((1.0, 2.0, 3.0, 4.0), (False,) * 4, answers)
    assert process_efficiency(response) == pytest.approx(5 / 10)


def test_a_guard_stops_at_the_first_answer_that_is_given_twice():
    response = Response((1.0, 2.0, 4.0, 8.0), (False, True, True, False), ("1", "2", "2", "3"))
    stopped = at_first_agreement(response)
    assert (stopped.solutions, stopped.tokens, stopped.right) == (3, 7.0, True)


def test_a_guard_without_agreement_gives_the_last_answer_there_is():
    response = Response((1.0, 2.0, 4.0), (False, True, False), ("1", "2", None))
    stopped = at_first_agreement(response)
    assert (stopped.solutions, stopped.tokens, stopped.right) == (3, 7.0, True)


# First and last finish ---------------------------------------------------------------------------


def drawn(*said):
    return [
        Solution(Problem("p", ""), tuple(range(length)), finished=True, answer=answer)
        for length, answer in said
    ]


def test_the_first_to_finish_answers():
    solutions = drawn((9, "a"), (2, "b"), (5, "b"), (1, None))
    assert Finish(1)(solutions).answer == "b"
    assert Finish(1, last=True)(solutions).answer == "a"
    assert Finish(1)(solutions).index == 1


def test_k_of_them_vote():
    solutions = drawn((1, "a"), (2, "b"), (3, "b"), (4, "c"), (5, "c"), (6, "c"))
    assert Finish(3)(solutions).answer == "b"
    assert Finish(3, last=True)(solutions).answer == "c"
    assert Finish(6)(solutions).answer == "c"


def test_nobody_who_answers_is_no_answer():
    assert Finish(2)(drawn((1, None), (2, None))).answer is None


@pytest.mark.parametrize("name", ["first_finish(k=0)", "last_finish(k=0)"])
def test_a_vote_of_none_is_refused(name):
    with pytest.raises(UsageError, match="k=0"):
        strategy(name)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_what_is_read_from_a_pool_is_what_the_search_does_on_every_subset(k, last):
    rng = np.random.default_rng(k)
    answers = rng.integers(-1, 3, 7)
    lengths = rng.integers(1, 6, 7).astype(float)
    pool = Pool(
        "p", answers.astype(np.int32), np.full(7, np.nan, np.float32), (answers == 1).astype(bool)
    )
    for n in (1, 2, 5, 7):
        chosen = []
        for some in itertools.combinations(range(7), n):
            solutions = drawn(
                *((int(lengths[i]), None if answers[i] < 0 else str(answers[i])) for i in some)
            )
            chosen.append(Finish(k, last)(solutions).answer == "1")
        read = finish.by_finish(pool, lengths, [n], k=k, last=last, subsets=6000)[0]
        assert read == pytest.approx(np.mean(chosen), abs=1e-9 if k == 1 else 0.03)


# Levels ------------------------------------------------------------------------------------------


def test_levels_are_by_pass_at_1_and_not_by_rank():
    assert levels(np.array([1.0, 0.5, 0.49, 0.1, 0.09, 0.0])).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(UsageError, match="outside"):
        levels(np.array([1.5]))


# The command -------------------------------------------------------------------------------------


def stored(tmp_path, rows):
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    import_samples(Import((file,), Reading({}), "exact"), tmp_path / "a.store")
    return tmp_path / "a.store"


def longer_is_wrong(problems=12, tokens=True):
    return [
        {
            "problem_id": f"p{p}",
            "answer": "1" if s < 2 else str(s),
            "correct": s < 2,
            **({"tokens": 10 * (s + 1)} if tokens else {}),
        }
        for p in range(problems)
        for s in range(4)
    ]


def test_a_store_says_what_length_is_worth(tmp_path, capsys):
    store = stored(tmp_path, longer_is_wrong())
    assert main(["overthinking", str(store), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["all"]["difference"]["mean"] == -1.0
    by_name = {(one["strategy"], one["budget"]): one for one in said["recipes"]}
    assert by_name["first_finish", 4]["accuracy"]["mean"] == 1.0
    assert by_name["last_finish", 4]["accuracy"]["mean"] == 0.0
    assert by_name["first_finish", 4]["levels"][0]["level"] == "easy"
    assert said["guard"]["solutions"] < 4
    assert said["along"] == []


def test_it_is_told_in_tables_too(tmp_path, capsys):
    assert main(["overthinking", str(stored(tmp_path, longer_is_wrong())), "--k", "2"]) == 0
    said = capsys.readouterr().out
    assert "longer - shorter" in said
    assert "first_finish(k=2)" in said


def test_a_store_whose_tokens_nobody_counted_is_refused(tmp_path, capsys):
    store = stored(tmp_path, longer_is_wrong(tokens=False))
    assert main(["overthinking", str(store)]) == 2
    assert "48 of 48 samples have no count of tokens" in capsys.readouterr().err
