"""Formulas at random: equal when they are equal, however written, and one vote exactly then."""

from importlib.util import find_spec

import pytest
from formulas import faults, pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from outthink.grade import math, number
from outthink.grade.latex import Unreadable, explicit, without_fonts

needs_algebra = pytest.mark.skipif(
    find_spec("math_verify") is None, reason="math-verify is not installed (extra 'math')"
)


@needs_algebra
@pytest.mark.parametrize("seed", range(6))
def test_random_pairs_of_formulas_are_judged_as_their_values_are(seed):
    assert [(pair, faults(pair)) for pair in pairs(40, seed) if faults(pair)] == []


def test_the_generator_makes_pairs_of_every_kind():
    made = list(pairs(200))
    assert {pair.how for pair in made} == {"spelling", "order", "law", "symbol", "case", "brace"}
    assert all(pair.equal is (pair.how in {"spelling", "order", "law"}) for pair in made)
    assert made == list(pairs(200))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a^2b^{2c}", "a^{2}b^{2c}"),
        (r"\frac Mm", r"\frac{M}{m}"),
        (r"\frac12x", r"\frac{1}{2}x"),
        (r"\log_2 55", r"\log_{2}55"),
        (r"x^2_1", "x_{1}^{2}"),
        (r"\sqrt[3] 2", r"\sqrt[3]{2}"),
        (r"e^\frac12", r"e^{\frac{1}{2}}"),
        (r"{n \choose k}", r"\binom{n}{k}"),
        (r"\sin{2x}y", r"\sin(2x)y"),
        ("2*x**(n+1)", r"2\cdot x^{n+1}"),
        ("sqrt(x)/pi", r"\sqrt{x}/\pi"),
        (r"\alpha x", r"\alpha x"),
    ],
)
def test_a_formula_gets_the_braces_that_it_means(written, meant):
    assert explicit(written) == meant
    assert explicit(meant) == meant


@pytest.mark.parametrize("text", ["9^9^9", "x_1_2", r"\frac{1}", "1 2", "{", "}", r"\sqrt", "x^{"])
def test_what_can_be_read_in_two_ways_or_in_none_is_no_formula(text):
    with pytest.raises(Unreadable):
        explicit(text)


texts = st.text(alphabet="012xyXR+-*/^_(){}[],.;=<>\\ $%abcdefrtx|!:&'", max_size=25)


@given(texts)
def test_braces_once_given_stay(text):
    try:
        once = explicit(text)
    except Unreadable:
        return
    assert explicit(once) == once


@given(st.text(max_size=60))
def test_taking_fonts_away_is_done_once(text):
    assert without_fonts(without_fonts(text)) == without_fonts(text)


values = st.sampled_from(
    [
        "42",
        "-7",
        "0.25",
        r"\frac{3}{4}",
        "1,234",
        r"2\frac{1}{2}",
        r"5\%",
        "x = 3",
        r"0.\overline{6}",
    ]
)
looks = st.lists(
    st.sampled_from(
        [" {} ", "{{{}}}", r"\mathbf{{{}}}", r"\textcolor{{blue}}{{{}}}", r"\underline{{{}}}",
         r"\displaystyle {}", r"\boxed{{{}}}", r"\left. {} \right.", r"\, {}"]
    ),
    max_size=3,
)  # fmt: skip
frames = st.sampled_from(["{}", "${}$", r"\({}\)", r"\[ {} \]", "$${}$$", "{}.", "**{}**", "${}$."])


@needs_algebra
@settings(deadline=None)
@given(values, looks, frames)
def test_how_a_value_looks_changes_neither_verdict_nor_vote(value, ways, frame):
    written = value
    for way in (*ways, frame):
        written = way.format(written)
    for grader in (number, math):
        assert grader.grade(written, value)
        assert grader.grade(value, written)
        assert grader.canonical(written) == grader.canonical(value)


answers = st.one_of(
    st.sampled_from(["R", "r", "C", r"\text{C}", "AB", "ab", "BA", "x_1", "x_{1}", "no", "No"]),
    st.sampled_from(
        ["x^2y^3", "y^3x^2", "x^{2y}", "0.5", "1/2", r"\frac12", "2, 1", "1,2", "(1,2)"]
    ),
    st.text(alphabet="012xyR^+-(){}", min_size=1, max_size=6),
)


@needs_algebra
@settings(deadline=None, max_examples=150)
@given(answers, answers)
def test_one_vote_is_one_value_and_the_order_of_a_pair_does_not_count(a, b):
    verdict = math.grade(a, b)
    assert math.grade(b, a) is verdict
    if math.canonical(a) == math.canonical(b):
        assert verdict or not math.grade(a, a)
