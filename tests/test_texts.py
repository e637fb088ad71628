"""Texts of token ids, cut where steps end."""

import pytest

from outthink.models.texts import cut, past
from outthink.types import Problem, Solution

PROBLEM = Problem("p", "?")


def letters(tokens):
    """One byte a token."""
    return bytes(tokens).decode("utf-8", "replace")


def solution(text, *ends):
    return Solution(PROBLEM, tuple(text.encode()), ends)


@pytest.mark.parametrize(
    ("prefix", "whole", "said"),
    [
        (solution(""), solution("a\nbc\n", 2, 5), ("a\n", "bc\n")),
        (solution("a\n", 2), solution("a\nbc\nd", 2, 5), ("bc\n", "d")),
        (solution(""), solution("never done"), ("never done",)),
        (solution("a", 1), solution("a", 1), ()),
        # A step that ends in the middle of a letter.
        (solution(""), solution("aé", 2, 3), ("a\N{REPLACEMENT CHARACTER}", "é")),
    ],
)
def test_what_is_past_a_prefix_comes_in_steps(prefix, whole, said):
    assert past(prefix, whole, letters) == said


def test_nothing_is_cut_from_nothing():
    assert cut([]) == ()
