"""Answers that are one number: equal by value, and never by a part of what is written."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outthink.grade import number

EQUAL = [
    ("72", "72"),
    ("72.0", "72"),
    ("072", "72"),
    ("1,234", "1234"),
    ("1 234", "1234"),
    ("1{,}234", "1234"),
    (r"1,\!234", "1234"),
    ("1\u202f234", "1234"),
    ("1,234,567.50", "1234567.5"),
    ("$1,234", "1234"),
    (r"\$1,234.00", "1234"),
    ("18 dollars per day", "18"),
    ("18 dollars", r"18 \text{ dollars}"),
    ("\u221218", "-18"),
    ("- 18", "-18"),
    ("+18", "18"),
    ("\uff11\uff18", "18"),
    ("1/2", "0.5"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac12", "1/2"),
    (r"\dfrac{-1}{2}", "-0.5"),
    ("2 1/2", "2.5"),
    (r"2\frac{1}{2}", "5/2"),
    (r"-2\frac{1}{2}", "-2.5"),
    ("\u00bd", "0.5"),
    ("50%", "50"),
    (r"50\%", "50 percent"),
    ("1.5e3", "1500"),
    (r"1.5 \times 10^{3}", "1500"),
    ("5 million", "5000000"),
    ("x = 5", "5"),
    (r"5 \text{ cm}", "5 centimeters"),
    ("5 cm", "5"),
    ("0.333333", "1/3"),
    ("0.30000000000000004", "0.3"),
    ("33333.33", "100000/3"),
    ("**7**", "7"),
    ("7.", "7"),
    (r"\text{42}", "42"),
    (r"\mathbf{42}", "42"),
    (r"\textbf{42 cm}", "42"),
    (r"\underline{42}", "42"),
    (r"\textcolor{red}{42}", "42"),
    (r"\boxed{\mathbf{1,234}}", "1234"),
    (r"\mathbf{\frac{1}{2}}", "0.5"),
    (r"x = \textbf{5}", "5"),
    (r"0.\overline{3}", "1/3"),
    (r"0.1\overline{6}", "1/6"),
    ("0.333...", "1/3"),
    (r"0.\bar{9}", "1"),
    (r"{1 \over 2}", "0.5"),
    (r"15\frac{39}{40}, \frac{639}{40}", "639/40"),
    (r"0.5, or \frac{1}{2}", "1/2"),
    (r"5\text{ mol}^{-1}", "5"),
    (r"9.8\ \mathrm{m}/\mathrm{s}^2", "9.8"),
]
DIFFERENT = [
    ("12", "112"),
    ("112", "12"),
    ("12", "1.2"),
    ("1/2", "11/2"),
    ("-3", "3"),
    ("0.5", "5"),
    ("50%", "0.5"),
    ("1,234", "234"),
    ("12 or 13", "12"),
    ("12, 13", "12"),
    ("12 and 13", "12"),
    ("not 12", "12"),
    ("12 out of 20", "12"),
    ("12 more than 5", "12"),
    ("about a dozen", "12"),
    ("twelve", "12"),
    ("1 2", "12"),
    ("12x", "12"),
    ("x12", "12"),
    ("12:30", "12"),
    ("1.2.3", "1.2"),
    ("5 million", "5"),
    ("5 cm", "5 m"),
    ("5 hours", "5 minutes"),
    ("", "0"),
    ("none", "0"),
    ("nan", "nan"),
    ("inf", "inf"),
    ("1/0", "1/0"),
    ("0.333", "1/3"),
    ("1000000.1", "1000000.2"),
    ("33333.34", "100000/3"),
    ("-0.333333", "1/3"),
    ("2.0000001", "2"),
    ("1e-7", "2e-7"),
    ("1e99999", "1e99999"),
    ("9**9**9", "9"),
    ("2^3", "8"),
    ("0x10", "16"),
    ("1_000", "1000"),
    (r"\textbf{42 or 43}", "42"),
    (r"0.\overline{3}", "0.3"),
    ("0.5, 0.51", "0.5"),
    ("42, 42, 43", "42"),
    (r"3\mathrm{i}", "3"),
    (r"\text{forty-two}", "42"),
]
numbers = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6)


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_numbers_are_equal_however_written(a, b):
    assert number.grade(a, b)
    assert number.grade(b, a)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_what_is_not_the_number_is_wrong(a, b):
    assert not number.grade(a, b)
    assert not number.grade(b, a)


def test_a_number_too_long_to_compute_with_is_left_alone():
    assert not number.grade("9" * 5000, "9" * 5000)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("0.50", "0.5"),
        ("-1/8", "-0.125"),
        ("1/3", "1/3"),
        ("50%", "50"),
        ("$1,200", "1200"),
        ("x = 3", "3"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1/10000000"),
        ("a dozen", "a dozen"),
    ],
)
def test_votes_are_counted_by_value(written, wanted):
    assert number.canonical(written) == wanted


@settings(deadline=None)
@given(numbers)
def test_every_way_to_write_a_number_is_the_number(value):
    ways = [
        str(value),
        f"\\frac{{{value.numerator}}}{{{value.denominator}}}",
        f"$ {value} $",
        f"{value} apples",
    ]
    assert len({number.canonical(way) for way in ways}) == 1
    assert number.number(number.canonical(ways[0])).value == value
    assert all(number.grade(a, b) for a in ways for b in ways)


@settings(deadline=None)
@given(numbers, numbers)
def test_grading_is_by_value_and_symmetric(a, b):
    assert number.grade(str(a), str(b)) is (a == b)
    assert number.grade(str(b), str(a)) is (a == b)


@settings(deadline=None)
@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**8), max_value=10**8
    )
)
def test_decimals_keep_their_value(value):
    assert number.number(f"{value:,}").value == Fraction(value)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_grader(text):
    once = number.canonical(text)
    assert number.canonical(once) == once
    assert number.grade(text, "7") in {True, False}
