"""Early ending: which traces are given up, and what that saves."""

import json

import pytest
from contract import RandomTree, Tree, Words, Worth, search, solve_one

from outthink.cli import main
from outthink.errors import UsageError
from outthink.measure.early import Trace, replayed
from outthink.search import strategy
from outthink.search.early_end import threshold
from outthink.types import Scores


def scores(*values):
    return [Scores((value,)) for value in values]


@pytest.mark.parametrize(
    ("keep", "least"), [(0.1, 0.9), (0.25, 0.9), (0.5, 0.8), (0.9, 0.2), (1.0, 0.2)]
)
def test_the_threshold_is_what_the_best_share_of_traces_reaches(keep, least):
    assert threshold(scores(0.5, 0.9, 0.2, 0.8), keep) == least


def test_without_scores_nothing_is_given_up():
    assert threshold(scores(None, None), 0.5) is None
    assert threshold([Scores()], 0.5) is None


WORLD = Tree(
    {"": "ab", "a": "c", "b": "d", "ac": "e", "bd": "f"},
    {"a": 0.9, "ac": 0.9, "ace": 0.9, "b": 0.9, "bd": 0.2, "bdf": 0.9},
)


def test_a_trace_that_falls_below_it_is_given_up_at_that_step():
    result, asked = search("early_end", 4, WORLD)
    drawn = [words for kind, words in asked if kind == "draw"]
    assert drawn == [[""], ["", "", ""], ["b", "a", "b"], ["ac"]]
    assert {"".join(map(chr, one.tokens)) for one in result.choice.candidates} == {"ace"}
    assert result.outcome.usage.generations == 4
    assert result.outcome.usage.discarded_tokens == 4


def test_where_no_trace_is_given_up_it_is_best_of_n():
    world = RandomTree(3)
    flat = Tree({}, {})
    flat.branches = {"": "abc", "a": "xy", "b": "x", "c": "z"}
    early = solve_one("early_end", 8, Words(flat), Worth(flat))
    best = solve_one("best_of_n", 8, Words(flat), Worth(flat))
    assert early.outcome.answer == best.outcome.answer
    assert len(early.choice.candidates) == 8
    assert early.outcome.usage.decoded_tokens == best.outcome.usage.decoded_tokens
    whole = solve_one("early_end(keep=0.1)", 8, Words(world), Worth(world))
    assert len(whole.choice.candidates) < 8


@pytest.mark.parametrize("name", ["early_end(keep=0.0)", "early_end(warmup=0)"])
def test_options_that_cannot_be_are_refused(name):
    with pytest.raises(UsageError, match="early_end"):
        strategy(name)


# Replayed from whole traces -----------------------------------------------------------------------


SURE = Trace((3, 6), (0.9, 0.9), 0, True)
UNSURE = Trace((3, 6), (0.2, 0.2), 1, False)


def test_a_trace_that_is_ended_costs_its_steps_up_to_there_and_has_no_vote():
    traces = [SURE, UNSURE, UNSURE, UNSURE]
    rows = replayed(traces, 4, 1.0, repeats=50, seed=1)
    begun_sure = rows[:, 1] == 6 + 3 * 3
    # One trace of four is the warm-up: the sure one ends all others, an unsure one ends none.
    assert set(rows[:, 1]) == {15.0, 24.0} and (rows[:, 3] == 24).all()
    assert (rows[begun_sure, 0] == 1).all() and (rows[~begun_sure, 0] == 0).all()
    assert not rows[:, 2].any()


def test_steps_without_a_score_end_nothing():
    silent = Trace((3, 6), (None, None), 0, True)
    rows = replayed([SURE, silent, silent, silent], 4, 0.5, repeats=10, seed=1)
    assert (rows[:, 1] == rows[:, 3]).all()
    with pytest.raises(UsageError, match="give 1 to 4"):
        replayed([SURE] * 4, 5, 0.5, repeats=1, seed=1)


def test_early_ending_is_told_of_a_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sweep = ["sweep", "lab:test?size=5", "-o", "a.store", "--strategies", "majority,best_of_n"]
    sweep += ["--budgets", "1,4", "--pool", "8", "--oracle-samples", "0", "--json"]
    assert main([*sweep, "--difficulty-samples", "0", "--verifier", "deepconf(window=4)"]) == 0
    capsys.readouterr()
    assert main(["early", "a.store", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["endings"]
    assert [(row["keep"], row["budget"]) for row in rows] == [(0.1, 4), (0.5, 4), (0.9, 4)]
    saved = [row["saved"]["mean"] for row in rows]
    assert saved == sorted(saved, reverse=True) and 0 <= saved[-1] <= saved[0] < 1 and saved[0] > 0
    assert main(["early", "a.store"]) == 0
    assert "tokens a problem" in capsys.readouterr().out
