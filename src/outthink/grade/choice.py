r"""Grades multiple choice: the letter of an option, or several of them.

A letter counts where it is the whole answer or is marked as an option, as in `(B)`, `B.`, `B) 12`
or `option B`; the `A` of "A triangle" is no choice.
"""

from __future__ import annotations

import re

from outthink.grade import extract
from outthink.grade.clean import clean

_NAMED = r"(?:(?:option|choice|answer)s?\s*:?\s*)?"
_OPTION = re.compile(
    rf"{_NAMED}(?:\(\s*(?P<a>[A-Za-z])\s*\)|\[\s*(?P<b>[A-Za-z])\s*\]"
    r"|(?P<c>[A-Z])\s*[).:,](?=\s|$|[^a-z])"
    r"|(?P<d>[A-Za-z])$|(?P<e>[A-Z])(?=\s*(?:[-=]|\n)))"
)
_AND = r"\s*(?:[,;&/]\s*(?:and\b)?|\band\b|\s)\s*"
_SEVERAL = re.compile(
    rf"{_NAMED}(?:[A-Z](?:{_AND}[A-Z])+|\([A-Z]\)(?:{_AND}\([A-Z]\))+|\[[A-Z]\](?:{_AND}\[[A-Z]\])+)"
    r"\s*,?"
)
"""Several options, all of them marked in one way: `(D) B, D and F` is option D."""
_RUN = re.compile(r"[A-H]{2,8}")
_LETTER = r"[*_\s]*(?:\(\s*(?P<{0}>[A-Za-z])\s*\)|(?-i:(?P<{1}>[A-Z]))(?![a-zA-Z'\u2019]))"
_CHOSEN = re.compile(
    r"\b(?:correct|right|best|final|appropriate|likely|true)\s+(?:option|choice|statement|one)"
    rf"(?:\s+(?:here|is|would\s+be|must\s+be|should\s+be)|\s*:)+{_LETTER.format('a', 'b')}"
    rf"|\b(?:option|choice|statement){_LETTER.format('c', 'd')}[*_\s]*\bis\s+(?:therefore\s+)?"
    r"(?:the\s+)?(?:correct|right|best|true)\b"
    rf"|\bI\s+(?:would\s+)?(?:choose|pick|select)\s+(?:option\s+)?{_LETTER.format('e', 'f')}",
    re.IGNORECASE,
)
"""An option that a text chooses without calling it its answer."""


def grade(answer: str, reference: str) -> bool:
    """Whether both name the same options; the order of several does not count."""
    given, wanted = letters(answer), letters(reference)
    return given is not None and given == wanted


def canonical(answer: str) -> str:
    """The letters in order, such as `B` or `AC`; what names no option stays as it is."""
    return letters(answer) or clean(answer)


def letters(answer: str) -> str | None:
    """The options an answer names, as capital letters in order; `None` where it names none."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", clean(answer)).strip()
    text = re.sub(r"^(?:\\\w+\s*)?\{(.*)\}$", r"\1", text).strip(" *_.`\"'")
    if _RUN.fullmatch(text) and len(set(text)) == len(text) and text == "".join(sorted(text)):
        return text
    if _SEVERAL.fullmatch(text):
        named = re.sub(rf"^{_NAMED}|and", "", text, flags=re.IGNORECASE)
        return "".join(sorted(set(re.findall(r"[A-Z]", named))))
    match = re.compile(_OPTION.pattern, re.IGNORECASE if len(text) < 12 else 0).match(text)
    if match is None:
        return None
    option = next(group for group in match.groups() if group is not None)
    return option.upper()


def answer(text: str) -> str | None:
    """The option a solution ends in: boxed, declared, chosen, or all that it says.

    A box that holds no option is one of a formula, and does not hide the declared one.
    """
    said = extract.spoken(text)
    if said is None:
        return None
    for candidate in (extract.answer(text), extract.declared(said)):
        if candidate is not None and (named := letters(candidate)):
            return named
    chosen = list(_CHOSEN.finditer(said))
    if chosen:
        return next(group for group in chosen[-1].groups() if group is not None).upper()
    return letters(said) if len(said) < 40 else None
