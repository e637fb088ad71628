"""Early ending: which traces are given up, and what that saves."""

import pytest
from contract import RandomTree, Tree, Words, Worth, search, solve_one

from outthink.errors import UsageError
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
