r"""Reads how an answer is written: a number, list, tuple, set, interval, matrix, words or formula.

The outer form is read here, without any computer algebra, so that an open interval is never a
closed one and a list never a number; what remains inside is a number with an exact value, a
formula for `symbolic` to judge, or words. Reading never fails: what has no other form is words.
It does not protect against ambiguity in the notation itself: `(1, 2)` is a point and an open
interval at once and equals only what is written with the same brackets, `1,234` is one number.

The normalisations begin at those of Hendrycks et al. 2021 (arXiv 2103.03874, appendix) and
Lewkowycz et al. 2022 (arXiv 2206.14858, appendix G), and are stricter about units and brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from outthink.grade.clean import CHARACTERS, SPACES, balanced, clean, closing, split, unwrapped
from outthink.grade.latex import Unreadable, explicit
from outthink.grade.numerals import FUNCTIONS, Number, read_number

MOST_CHARACTERS = 4000
"""Of an answer that is read; a longer one is compared as it is written."""

ORDERED = {"()", "[]", "(]", "[)", "matrix"}
"""Groups whose members have places; lists, sets and unions have none."""


@dataclass(frozen=True, slots=True)
class Words:
    """Text, in lower case."""

    text: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula in LaTeX, without spaces that mean nothing."""

    latex: str


@dataclass(frozen=True, slots=True)
class Group:
    """Several forms: `list`, `set`, `union`, `matrix`, or the brackets of a tuple or interval."""

    kind: str
    members: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Equation:
    """`left relation right`; a value given to a name is one with a name on its left."""

    left: Form
    relation: str
    right: Form

    @property
    def name(self) -> str | None:
        """The name on the left of `name = value`, or `None` where this is another relation."""
        if self.relation != "=":
            return None
        if isinstance(self.left, Group):  # `(x, y) = (1, 2)`
            members = [Equation(member, "=", self.right).name for member in self.left.members]
            return None if None in members else f"({','.join(map(str, members))})"
        written = self.left.latex if isinstance(self.left, Formula) else None
        if isinstance(self.left, Words):
            written = self.left.text
        return written if written is not None and _NAME.fullmatch(written) else None


Form = Number | Words | Formula | Group | Equation

_COMMA = re.compile(
    r"\s*(?:(?:,|;)\s*(?:(?:\\text\s*\{\s*(?:and|or)\s*\}|(?:and|or)(?![a-zA-Z]))\s*)?"
    r"|\\text\s*\{\s*,?\s*(?:and|or)\s*\}\s*|(?<![a-zA-Z\\])(?:and|or)(?=[\s(\\\d])\s*)"
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_CUP = re.compile(r"\s*(?:\\cup(?![a-zA-Z])|(?<=[)\]]) ?U ?(?=[(\[]))\s*")
_RELATION = re.compile(
    r"\s*(\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|\\ne(?![a-zA-Z])|\\in(?![a-zA-Z])"
    r"|\\approx(?![a-zA-Z])|\\equiv(?![a-zA-Z])|==|=|<|>)\s*"
)
_PLUS_MINUS = re.compile(r"\s*\\pm(?![a-zA-Z])\s*")
_MATRIX = re.compile(
    r"([(\[]?)\s*\\begin\{([pb]?matrix|smallmatrix|array)\}(?:\{[^}]*\})?(.*)\\end\{\2\}\s*([)\]]?)",
    re.DOTALL,
)
_NAME = re.compile(
    r"(?:\\(?:alpha|beta|gamma|delta|theta|phi|lambda|mu|rho|sigma|omega|angle|triangle)\s*)?"
    r"(?:[a-zA-Z](?:_\{?\w+\}?)?|[a-zA-Z]{1,3})?'?(?:\([a-z](?:,[a-z])*\))?"
    r"|[a-z ]{1,60}|\\text\{[^{}]{1,60}\}"
    r"|\|[A-Z]{1,3}\||[A-Z]{1,4}:[A-Z]{1,4}|\\frac\{[A-Z]{2}\}\{[A-Z]{2}\}"
    r"|\\(?:angle|triangle|sin|cos|tan)\s*[A-Z]{1,3}"
)


def read(text: str) -> Form:
    """The form of an answer. Never raises; what cannot be read otherwise is words."""
    if len(text) > MOST_CHARACTERS:
        return Words(text.strip().casefold())
    try:
        return _read(clean(text), 0)
    except RecursionError:
        return Words(_plain(text))


def _read(text: str, depth: int) -> Form:
    text = unwrapped(text)
    if depth > 12 or not balanced(text):
        return Words(_plain(text))
    number = read_number(text)
    if number is not None:
        return number
    text = _ungrouped(text)
    for reader in (_read_list, _read_union, _read_relation, _read_matrix, _read_brackets):
        form = reader(text, depth + 1)
        if form is not None:
            return form
    return _read_leaf(text)


def _ungrouped(text: str) -> str:
    """Without thousands separators, save in brackets, where a comma stands between members."""

    def bare(match: re.Match[str]) -> str:
        before = text[: match.start()]
        inside = sum(before.count(sign) for sign in "([") - sum(before.count(sign) for sign in ")]")
        return (
            match[0]
            if inside or before.count(r"\{") > before.count(r"\}")
            else match[0].replace(",", "")
        )

    return _GROUPED.sub(bare, text)


def _read_list(text: str, depth: int) -> Form | None:
    parts = [part.strip() for part in split(text, _COMMA)]
    if len(parts) > 1:
        if not all(parts) or _is_prose(parts):
            return Words(_plain(text))
        members = [_read(part, depth) for part in parts]
        first, *others = members
        if (
            len(set(parts)) > 1
            and isinstance(first, Number)
            and all(isinstance(one, Number) and one.value == first.value for one in others)
        ):
            return first  # one value written in several ways
        return _flat("list", members)
    signs = split(text, _PLUS_MINUS)
    if len(signs) == 2 and signs[1]:
        both = [f"{signs[0]}{sign}{signs[1]}" if signs[0] else f"{sign}{signs[1]}" for sign in "+-"]
        return Group("list", tuple(_read(one.removeprefix("+"), depth) for one in both))
    return None


def _is_prose(parts: list[str]) -> bool:
    """A sentence with commas, no list: a part of it has many words."""
    return any(len(re.findall(r"[a-zA-Z]{2,}", part)) > 4 for part in parts)


def _read_union(text: str, depth: int) -> Form | None:
    parts = split(text, _CUP)
    if len(parts) < 2 or not all(parts):
        return None
    return _flat("union", [_read(part, depth) for part in parts])


def _flat(kind: str, members: list[Form]) -> Group:
    """A group in which the members of a list, such as `1 \\pm 2` is one, are its own."""
    inner = {"union": "union"}.get(kind, "list")
    flat: list[Form] = []
    for member in members:
        if isinstance(member, Group) and member.kind == inner:
            flat.extend(member.members)
        else:
            flat.append(member)
    return Group(kind, tuple(flat))


def _read_relation(text: str, depth: int) -> Form | None:
    parts = split(text, _RELATION)
    if len(parts) < 2:
        return None
    signs = [match[1] for match in _relations(text)]
    if len(signs) != len(parts) - 1 or not all(part.strip() for part in parts):
        return Words(_plain(text))
    if r"\approx" in signs:  # what stands before it is exact
        cut = signs.index(r"\approx")
        exact = "".join(
            part + sign for part, sign in zip(parts[: cut + 1], [*signs[:cut], ""], strict=True)
        )
        if cut or not _NAME.fullmatch(parts[0].strip()):
            return _read(exact, depth)
        signs[cut] = "="
    if signs == [r"\in"] and _NAME.fullmatch(parts[0].strip()):
        return _read(parts[-1], depth)
    if set(signs) <= {"=", "==", r"\equiv"}:
        return Equation(_read(parts[0], depth), "=", _read(parts[-1], depth))
    interval = _interval(parts, signs, depth)
    if interval is not None:
        return interval
    if len(signs) == 1:
        return _turned(_read(parts[0], depth), signs[0], _read(parts[1], depth))
    return Words(_plain(text))


def _relations(text: str) -> list[re.Match[str]]:
    """The relation signs that `split` cuts at."""
    relations: list[re.Match[str]] = []
    position = 0
    for part in split(text, _RELATION)[:-1]:
        position += len(part)
        match = _RELATION.match(text, position)
        assert match is not None
        relations.append(match)
        position = match.end()
    return relations


def _turned(left: Form, sign: str, right: Form) -> Equation:
    """`a > b` as `b < a`, so that one relation is written in one way."""
    if sign in {">", r"\ge"}:
        return Equation(right, {">": "<", r"\ge": r"\le"}[sign], left)
    return Equation(left, sign, right)


_LETTER = re.compile(r"[a-zA-Z](?:_\{?\w\}?)?(?:\([a-z]\))?|\\(?:theta|alpha|beta|lambda|phi)")


def _interval(parts: list[str], signs: list[str], depth: int) -> Group | None:
    """The interval that inequalities leave to a lone letter; `None` where there is none."""
    parts = [part.strip() for part in parts]
    if any(sign not in {"<", ">", r"\le", r"\ge"} for sign in signs):
        return None
    if signs[0] in {">", r"\ge"}:
        turn = {">": "<", r"\ge": r"\le", "<": ">", r"\le": r"\ge"}
        parts, signs = parts[::-1], [turn[sign] for sign in signs[::-1]]
    if any(sign in {">", r"\ge"} for sign in signs):
        return None
    infinity = Formula(r"\infty")
    if len(parts) == 3 and _LETTER.fullmatch(parts[1]):
        kind = ("[" if signs[0] == r"\le" else "(") + ("]" if signs[1] == r"\le" else ")")
        return Group(kind, (_read(parts[0], depth), _read(parts[2], depth)))
    if len(parts) == 2 and _LETTER.fullmatch(parts[0]):
        high = _read(parts[1], depth)
        return Group("(]" if signs[0] == r"\le" else "()", (Formula(r"-\infty"), high))
    if len(parts) == 2 and _LETTER.fullmatch(parts[1]):
        low = _read(parts[0], depth)
        return Group("[)" if signs[0] == r"\le" else "()", (low, infinity))
    return None


def _read_brackets(text: str, depth: int) -> Form | None:
    if text in {r"\emptyset", r"\{\}", r"\{ \}", "{}"}:
        return Group("set", ())
    opening = r"\{" if text.startswith(r"\{") else text[:1]
    if opening not in {"(", "[", r"\{"} or closing(text, 0) != len(text) - 1:
        return None
    right = r"\}" if text.endswith(r"\}") else text[-1]
    inside = text[len(opening) : len(text) - len(right)].strip()
    parts = [part.strip() for part in split(inside, _COMMA)]
    if not all(parts):
        return Words(_plain(text))
    if (opening == r"\{") != (right == r"\}"):
        return None
    if opening == r"\{":
        if re.search(r"\\mid|\||:", inside):
            return _formula(text)
        return _flat("set", [_read(part, depth) for part in parts])
    if len(parts) == 1:
        return _read(inside, depth) if (opening, right) == ("(", ")") else None
    return Group(opening + right, tuple(_read(part, depth) for part in parts))


def _formula(text: str) -> Form:
    """A formula; words where it cannot be read."""
    try:
        return Formula(explicit(text))
    except Unreadable:
        return Words(_plain(text))


def _read_matrix(text: str, depth: int) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None or r"\begin" in match[3] or match[1] + match[4] not in {"", "()", "[]"}:
        return None
    rows = [row for row in re.split(r"\\\\|\\cr", match[3]) if row.strip()]
    return Group(
        "matrix",
        tuple(Group("row", tuple(_read(cell, depth) for cell in row.split("&"))) for row in rows),
    )


# Leaves ------------------------------------------------------------------------------------------

_WORDS = re.compile(r"\\text\s*\{([^{}]*)\}")
_LABELLED = re.compile(r"\([a-zA-Z]\)\s+(?:\w|\\(?:frac|sqrt|text|pi)(?![a-zA-Z]))")  # `(b) 0`
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_LONE_LETTER = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-z]*\*?\}(?:\{[lcr|]*\})?")
_RUN = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}")
_UNITS_AFTER = re.compile(
    r"(?<=[\d})\]a-z])(?:\s*\\degree)?"
    r"(?:\s*(?:/|\\cdot(?![a-zA-Z]))?\s*\\text\s*\{[^{}]*\}(?:\s*\^\s*\{?\s*-?\s*\d\s*\}?)?)*\s*$"
)
_SHORT_WORDS = {
    *("no", "yes", "odd", "one", "two", "six", "ten", "red", "all", "any", "not", "tie", "win"),
    *("sum", "day", "mon", "tue", "wed", "thu", "fri", "sat", "sun"),
}
_SIGNS = re.compile(r"\\(?!text)|[\^_+*/]")
"""What formulas have and prose has not."""
_SMALL_WORDS = _SHORT_WORDS | {
    *("or", "and", "of", "to", "in", "is", "at", "if", "per", "for", "the", "as", "on", "by"),
    *("are", "has", "was", "cm", "km", "kg", "ft", "with", "than", "but"),
}
_NAMELIKE = re.compile(r"[B-DF-HJ-NP-TV-Z][aeiouy][a-z]|[AEIOU][a-z]{2}")


def _read_leaf(text: str) -> Form:
    if (match := _UNITS_AFTER.search(text)) and match.start() > 0 and match[0].strip():
        inner = text[: match.start()].strip()
        angle = r"\degree" in match[0] and _TRIGONOMETRY.search(inner)
        formula = re.search(r"[\d\\]", inner) and not _WORDS.search(inner) and not angle
        if formula and balanced(inner):
            return _read(inner, 1)
    if r"\text" in text and not re.search(r"[\d^_+=]", _WORDS.sub("", text)):
        return Words(_plain(text))
    if _is_wordy(text):
        return Words(_plain(text))
    form = _formula(text)
    if not isinstance(form, Formula):
        return form
    if not _LONE_LETTER.search(form.latex) and (number := read_number(form.latex)):
        return number  # such as `1 \over 2`
    return Words(_plain(text)) if not form.latex or r"\text" in form.latex else form


def _is_wordy(text: str) -> bool:
    """Whether letters are words and not a product: long, apart, or known to be one."""
    if "?" in text or '"' in text or _LABELLED.match(text):
        return True
    text = _ENVIRONMENT.sub("", text)
    runs = [run for run in _RUN.finditer(text) if run[0].lower() not in FUNCTIONS]
    if re.fullmatch(r"[a-zA-Z]+", text):
        short = text.lower() in _SHORT_WORDS or _NAMELIKE.fullmatch(text)
        return bool(runs) and (len(text) > 3 or bool(short))
    if re.fullmatch(r"[a-zA-Z' -]*", text) and any(len(run[0]) > 2 for run in runs):
        return True
    return any(len(run[0]) > 3 or _stands_alone(text, run) for run in runs)


def _stands_alone(text: str, run: re.Match[str]) -> bool:
    """Whether letters have a space on both sides, as words have and products have not.

    In a formula that has signs, products too may stand apart, and only small words tell prose.
    """
    if (text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]) != (" ", " "):
        return False
    return run[0] in _SMALL_WORDS or not _SIGNS.search(text)


def _plain(text: str) -> str:
    """Words as compared: without LaTeX or marks around; letters of formulas keep their case."""
    text = text.translate(CHARACTERS)
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text)
    letters = 4 if _SIGNS.search(text) else 2  # in a formula, few letters are a product
    text = re.sub(r"[{}$\\]", "", text)
    text = SPACES.sub(" ", text).strip(" .,;:!'\"`*")
    text = re.sub(rf"[^\W\d_]{{{letters},}}|^A(?= )", lambda run: run[0].casefold(), text)
    text = re.sub(r"(?<=[^\W\d_])[\s-]+(?=[^\W\d_])", " ", text)
    text = re.sub(r"\s*([<>=+*/^_|()\[\]])\s*", r"\1", text)
    return text.strip()
