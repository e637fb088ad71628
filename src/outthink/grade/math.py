r"""Grades mathematics: is this answer equal to the reference, whatever way it is written?

What can be decided exactly is decided here: numbers by their value, intervals by their brackets,
tuples place by place, sets and lists in any order. Formulas go to `worker`. An answer that cannot
be read equals only the same words. Nothing is ever looked for inside something else.

A decimal fraction of six or more digits may stand for the number it is rounded from (0.333333 for
1/3); a shorter one is exact. A percent sign and a unit may be left out on one side; two units have
to be the same. `x = 5` and `5` are the same answer, `x = 5` and `y = 5` are not. Of words, case and
punctuation around them do not count.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from outthink.grade.clean import clean
from outthink.grade.notation import ORDERED, Equation, Form, Formula, Group, Words, read
from outthink.grade.numerals import Number
from outthink.grade.worker import require, workers

ROUNDED_DIGITS = 6
"""Digits from which a decimal fraction may stand for the number it is rounded from."""

DOUBLE_DIGITS = 15
"""Digits from which it may be what doubles made of it, as 0.30000000000000004 is of 0.3."""

_MEMORY = 1 << 14
"""Verdicts remembered: the samples of one problem repeat their answers."""


def grade(answer: str, reference: str) -> bool:
    """Whether the answer equals the reference. Raises `UsageError` without the extra `math`."""
    require()
    return _graded(answer, reference)


def canonical(answer: str) -> str:
    """One way to write equal answers: what votes are counted by, and itself an answer.

    Numbers by value, lists and sets in one order, formulas as algebra simplifies them; units,
    percent signs and the name in `x = 5` are left out. Two equal formulas that algebra does not
    see to be equal stay two votes.
    """
    require()
    return _canonical(answer)


@lru_cache(maxsize=_MEMORY)
def _graded(answer: str, reference: str) -> bool:
    given, wanted = read(answer), read(reference)
    if given == Words("") or wanted == Words(""):
        return False
    return same(given, wanted)


@lru_cache(maxsize=_MEMORY)
def _canonical(answer: str) -> str:
    form = read(answer)
    if isinstance(form, Words):
        # Words without their marks must not be read as something that the answer was not read as.
        return form.text if _same_words(read(form.text), form) else clean(answer)
    text = _written(form)
    for _ in range(3):
        again = _written(read(text))
        if again == text:
            return text
        text = again  # what algebra does to its own result
    return clean(answer)


# Equality ----------------------------------------------------------------------------------------


def same(a: Form, b: Form) -> bool:
    """Whether answer `a` is reference `b`."""
    if a == b:
        return True
    a, b = _computed(a), _computed(b)
    if isinstance(a, Equation) or isinstance(b, Equation):
        return _same_equations(a, b)
    if isinstance(a, Group) or isinstance(b, Group):
        return _same_groups(a, b)
    if isinstance(a, Words) or isinstance(b, Words):
        return _same_words(a, b)
    if isinstance(a, Number) and isinstance(b, Number):
        return same_numbers(a, b)
    return _same_formulas(a, b)


def _computed(form: Form) -> Form:
    """A formula with matrices as the matrix that it gives; every other form as it is."""
    if isinstance(form, Formula) and r"\begin" in form.latex and _is_algebra(form.latex):
        simplest = _ask("simplest", form.latex)
        return read(simplest) if isinstance(simplest, str) else form
    return form


def same_numbers(a: Number, b: Number) -> bool:
    """Whether two numbers are equal, or one is the other rounded to six digits or more."""
    if a.unit and b.unit and a.unit != b.unit:
        return False
    if a.value == b.value:
        return True
    return any(
        _rounds(one, other.value)
        for one, other in ((a, b), (b, a))
        if other.places is None or _digits(other) >= ROUNDED_DIGITS or _digits(one) >= DOUBLE_DIGITS
    )


def _rounds(number: Number, value: Fraction) -> bool:
    """Whether a decimal fraction stands for a value: rounded, cut off, or off as doubles are."""
    if _digits(number) < ROUNDED_DIGITS:
        return False
    assert number.places is not None
    if _digits(number) >= DOUBLE_DIGITS and abs(number.value - value) <= abs(value) / 10**12:
        return True
    step = Fraction(1, 10**number.places)
    lost = abs(value) - abs(number.value)
    return number.value * value > 0 and -step / 2 <= lost < step


def _digits(number: Number) -> int:
    """Significant digits of a decimal fraction; 0 for what is written exactly."""
    if number.places is None or number.places <= 0:
        return 0
    digits = abs(number.value.numerator) * 10**number.places // number.value.denominator
    return len(str(digits).lstrip("0"))


def _same_equations(a: Form, b: Form) -> bool:
    if not isinstance(b, Equation):
        # What a side is said to be equal to: `AB = 5` for 5, `a + b = 5` too.
        assert isinstance(a, Equation)
        return a.relation == "=" and not isinstance(a.left, Number) and same(a.right, b)
    if not isinstance(a, Equation):
        return b.name is not None and same(a, b.right)
    if a.relation != b.relation:
        return False
    if same(a.left, b.left) and same(a.right, b.right):
        return True
    if a.relation == r"\ne" and same(a.left, b.right) and same(a.right, b.left):
        return True
    if a.relation != "=":
        return False
    sides = [_latex(side) for side in (a.left, a.right, b.left, b.right)]
    if any(side is None for side in sides):
        return False
    return _ask("same_equation", f"{sides[0]}-({sides[1]})", f"{sides[2]}-({sides[3]})") is True


def _same_groups(a: Form, b: Form) -> bool:
    a, b = _single(a), _single(b)
    if not (isinstance(a, Group) and isinstance(b, Group)):
        return not (isinstance(a, Group) or isinstance(b, Group)) and same(a, b)
    kinds = {_kind(a), _kind(b)}
    if len(a.members) != len(b.members) or not (len(kinds) == 1 or kinds == {"list", "set"}):
        return False
    if kinds & ORDERED or kinds == {"row"}:
        return all(same(x, y) for x, y in zip(a.members, b.members, strict=True))
    left = list(b.members)
    for member in a.members:
        match = next((index for index, other in enumerate(left) if same(member, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def _single(form: Form) -> Form:
    """The member of a set or list of one value."""
    if not isinstance(form, Group) or form.kind not in {"set", "list", "union"}:
        return form
    if len(form.members) == 1:
        return form.members[0]
    # One value in several ways, as the boxes of `\frac{\sqrt2}{2}` or `\frac{1}{\sqrt2}` are.
    first, *others = form.members or (form,)
    distinct = form.kind == "list" and len(set(form.members)) > 1
    return first if distinct and all(same(first, one) for one in others) else form


def _kind(group: Group) -> str:
    """A list of intervals, as `x < 1 or x > 3` is read, is their union."""
    intervals = all(
        isinstance(member, Group) and member.kind in ORDERED and _is_interval(member)
        for member in group.members
    )
    return "union" if group.kind == "list" and group.members and intervals else group.kind


def _is_interval(group: Group) -> bool:
    infinite = any(
        isinstance(member, Formula) and member.latex in {r"\infty", r"-\infty", r"+\infty"}
        for member in group.members
    )
    return len(group.members) == 2 and (group.kind in {"(]", "[)"} or infinite)


def _same_words(a: Form, b: Form) -> bool:
    texts = [_text(form) for form in (a, b)]
    return texts[0] is not None and texts[0] == texts[1]


def _text(form: Form) -> str | None:
    """Words and lone letters as words: `\\text{C}` is `C`."""
    if isinstance(form, Words):
        return form.text
    if isinstance(form, Formula) and re.fullmatch(r"[A-Za-z]+", form.latex):
        return form.latex
    return None


def _same_formulas(a: Form, b: Form) -> bool:
    """Two formulas, or a formula and a number."""
    for number, other in ((a, b), (b, a)):
        if isinstance(number, Number) and isinstance(other, Formula) and _is_algebra(other.latex):
            value = _ask("value", other.latex) if _digits(number) >= ROUNDED_DIGITS else None
            if isinstance(value, str):
                return _rounds(number, Fraction(value))
    if isinstance(b, Formula) and (based := _BASE.fullmatch(b.latex)):
        return a == Number(Fraction(int(based[1])))  # the question names the base
    left, right = _latex(a), _latex(b)
    if left is None or right is None:
        return False
    return _ask("same", left, right) is True


_BASE = re.compile(r"(\d{1,400})_\{\d{1,2}\}")


def _latex(form: Form) -> str | None:
    """What computer algebra can read; `None` where there is nothing to read."""
    if isinstance(form, Number):
        top, bottom = form.value.numerator, form.value.denominator
        return str(top) if bottom == 1 else f"\\frac{{{top}}}{{{bottom}}}"
    if isinstance(form, Formula) and _is_algebra(form.latex):
        return form.latex
    return None


_NOT_ALGEBRA = re.compile(r"[:;?@#~`'\"]|\d_|\\text|\\mathbb|\\ldots|\.\.\.|\\overline")


_EXPLODES = re.compile(
    r"\^\{?-?(?:[1-9]\d{4,}|[^a-zA-Z{}]*\d[^a-zA-Z{}]*\^)"  # 10000th powers, towers of numbers
    r"|(?:\d{4,}|[})])!"
)
MOST_CHARACTERS = 500
"""Of a formula that is worth computing with."""


def _is_algebra(latex: str) -> bool:
    """Whether a formula is one to compute with: no ratio, clock time, number of another base.

    Numbers too large to write out are left to the words they are written in: the limit on time
    would end them too, only later.
    """
    return (
        len(latex) <= MOST_CHARACTERS
        and not _NOT_ALGEBRA.search(latex)
        and not _EXPLODES.search(latex)
    )


def _ask(*request: str) -> object:
    return workers().ask(*request)


# One way to write each ---------------------------------------------------------------------------


def _written(form: Form) -> str:
    if isinstance(form, Number):
        return written_number(form)
    if isinstance(form, Words):
        return form.text
    if isinstance(form, Equation):
        if form.name is not None:
            return _written(form.right)
        return f"{_written(form.left)} {form.relation} {_written(form.right)}"
    if isinstance(form, Group):
        single = _single(form)
        return _written(single) if single is not form else _written_group(form)
    if re.fullmatch(r"[a-zA-Z]|[-+]?\\infty", form.latex) or not _is_algebra(form.latex):
        return form.latex
    simplest = _ask("simplest", form.latex)
    if not isinstance(simplest, str):
        return form.latex
    simplest_form = read(simplest)
    return simplest if isinstance(simplest_form, Formula | Words) else _written(simplest_form)


def written_number(number: Number) -> str:
    """A number by its value: `1/2`, whether it was 0.5, 50/100 or 1/2; its unit is left out."""
    return str(number.value)


def _written_group(group: Group) -> str:
    inside = [_written(member) for member in group.members]
    kind = _kind(group)
    if kind in {"list", "set", "union"}:
        inside = sorted(dict.fromkeys(inside) if kind == "set" else inside)
    if kind == "union":
        return r" \cup ".join(inside)
    if kind in {"list", "set"}:
        return ", ".join(inside) if inside else r"\emptyset"
    if kind == "row":
        return " & ".join(inside)
    if kind == "matrix":
        return "\\begin{pmatrix}" + r" \\ ".join(inside) + "\\end{pmatrix}"
    return kind[0] + ", ".join(inside) + kind[1]
