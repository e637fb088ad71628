"""Grades answers that are one number, as those of GSM8K are (Cobbe et al. 2021, arXiv 2110.14168).

The whole answer has to be the number: a currency sign, a unit, a percent sign and thousands
separators may be written or left out, a second number may not. Equal is equal by value; a decimal
fraction of six or more digits may stand for the number it is rounded from.
"""

from __future__ import annotations

from outthink.grade.clean import clean
from outthink.grade.math import same_numbers
from outthink.grade.notation import Equation, Form, read
from outthink.grade.numerals import Number

PLACES = 6
"""Digits after the point up to which a number is written as a decimal fraction."""


def grade(answer: str, reference: str) -> bool:
    """Whether both are numbers and equal; two units, where both are known, have to be the same."""
    given, wanted = number(answer), number(reference)
    return given is not None and wanted is not None and same_numbers(given, wanted)


def canonical(answer: str) -> str:
    """The number by its value: `0.5` for 0.50 or 1/2, `1/3` as it is; other text stays as it is."""
    parsed = number(answer)
    if parsed is None:
        return clean(answer)
    value = parsed.value
    if value.denominator == 1 or 10**PLACES % value.denominator:
        return str(value)
    digits = str(abs(value.numerator) * (10**PLACES // value.denominator)).rjust(PLACES + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-PLACES]}.{digits[-PLACES:].rstrip('0')}"


def number(answer: str) -> Number | None:
    """The number that the answer is, or gives to a name; `None` where it is none."""
    form: Form = read(answer)
    if isinstance(form, Equation) and form.name is not None:
        form = form.right
    return form if isinstance(form, Number) else None
