"""Questions with options to choose from: in the prompt by letter, and a letter as the reference.

    Correct Answer, Incorrect Answer 1 ...   GPQA (Rein et al. 2023), SciQ, TruthfulQA: in an order
                                             that a hash of the texts gives
    choices or options, with answer          MMLU (Hendrycks et al. 2021), ARC, AQuA: as listed; the
                                             answer is a letter, a label, a place, or the text
    A, B, C, D, with answer                  tables of MMLU

Where the right option always comes first, it must not stay there: a model that likes one letter
would score high or low without knowing anything. The order depends on the question and its options
alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

from outthink.data.tables import Row, plain
from outthink.errors import ProblemFileError

CORRECT = ("correct answer", "best answer", "right answer", "correct option", "correct choice")
_INCORRECT = re.compile(r"(?:(?:incorrect|wrong) (?:answers?|options?|choices?)|distractors?) ?\d*")
OPTIONS = ("choices", "options", "endings", "answer choices", "mc options")
KEYS = (
    "answer", "answerkey", "answer key", "answer idx", "answer index", "correct answer", "label",
    "target", "gold", "correct", "correct option",
)  # fmt: skip
_LETTER = re.compile(r"\(?([A-Z])\)?[.)]?")

Read = Callable[[Row, str], tuple[str, str | None]]
"""A row and its question become a prompt and a reference."""


def recognised(first: Row, reference: str | None) -> Read | None:
    """How to read rows like this one; `None` where they offer no options.

    `reference` is the column that the caller named, if any.
    """
    columns = {plain(name): name for name in reversed(first.values)}
    wrong = [name for name in first.values if _INCORRECT.fullmatch(plain(name))]
    right = next((columns[name] for name in CORRECT if name in columns), None)
    if wrong and right is not None and reference in {None, right}:
        return lambda row, question: _shuffled(row, question, right, wrong)
    key = reference or next((columns[name] for name in KEYS if name in columns), None)
    listed = next((columns[name] for name in OPTIONS if name in columns), None)
    if key is None:
        return None
    if listed is not None and _several(first.values[listed]) is not None:
        return lambda row, question: _as_listed(row, question, listed, key)
    lettered = [letter for letter in string.ascii_uppercase if letter in first.values]
    if len(lettered) > 1 and lettered == list(string.ascii_uppercase[: len(lettered)]):
        return lambda row, question: _by_letter(row, question, lettered, key)
    return None


def prompt(question: str, options: Sequence[str]) -> str:
    """The question, its options by letter, and the form that an answer has to have."""
    letters = string.ascii_uppercase[: len(options)]
    listed = (f"({letter}) {option}" for letter, option in zip(letters, options, strict=True))
    return "\n".join([question.rstrip(), "", *listed, "", "Answer with the letter of one option."])


def _shuffled(row: Row, question: str, right: str, wrong: Sequence[str]) -> tuple[str, str | None]:
    correct = _option(row, right, row.values.get(right))
    others: list[str] = []
    for name in wrong:
        value = row.values.get(name)
        several = _several(value)
        if several is not None:
            others += [_option(row, name, one) for one in several[1]]
        elif isinstance(value, str) and plain(name).endswith("s"):  # TruthfulQA: in one text
            others += [one.strip() for one in value.split(";") if one.strip()]
        elif value is not None and str(value).strip():  # some questions have fewer
            others.append(_option(row, name, value))
    options = list(dict.fromkeys([correct, *others]))
    _count(row, options)

    def place(option: str) -> bytes:
        return hashlib.blake2b(f"{question}\0{option}".encode(), digest_size=16).digest()

    options.sort(key=place)
    return prompt(question, options), string.ascii_uppercase[options.index(correct)]


def _as_listed(row: Row, question: str, listed: str, key: str) -> tuple[str, str | None]:
    several = _several(row.values.get(listed))
    if several is None:
        raise ProblemFileError(
            f"{row.where}: {listed!r} has to be a list of options, "
            f"saw {str(row.values.get(listed))[:40]!r}"
        )
    labels, texts = several
    options = [_option(row, listed, text) for text in texts]
    _count(row, options)
    marks = [
        re.match(rf"\(?{letter}\s*[).:]\s*(?=\S)", option)
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    ]
    if all(marks):  # AQuA: "A)21"
        options = [
            option[mark.end() :] for mark, option in zip(marks, options, strict=True) if mark
        ]
    return prompt(question, options), _chosen(row, key, labels, options)


def _by_letter(
    row: Row, question: str, lettered: Sequence[str], key: str
) -> tuple[str, str | None]:
    filled = [letter for letter in lettered if str(row.values.get(letter) or "").strip()]
    options = [_option(row, letter, row.values[letter]) for letter in filled]
    _count(row, options)
    return prompt(question, options), _chosen(row, key, filled, options)


def _several(value: Any) -> tuple[list[str], list[Any]] | None:
    """Labels and texts of options; `None` where a value holds none. CSV keeps lists as JSON."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, dict):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels):
            return [str(label) for label in labels], texts
        return list(map(str, value)), list(value.values())
    if isinstance(value, list):
        if value and all(
            isinstance(one, dict) and {"label", "text"} <= one.keys() for one in value
        ):
            return [str(one["label"]) for one in value], [one["text"] for one in value]
        return list(string.ascii_uppercase[: len(value)]), value
    return None


def _chosen(row: Row, key: str, labels: Sequence[str], options: Sequence[str]) -> str | None:
    """The letter of the option that an answer names: by label, letter, place from 0, or text."""
    value = row.values.get(key)
    if value is None or value == "":
        return None
    text = str(value).strip()
    place = len(options)
    if text in labels:
        place = labels.index(text)
    elif letter := _LETTER.fullmatch(text):
        place = string.ascii_uppercase.index(letter[1])
    elif text in options and not isinstance(value, int):
        place = options.index(text)
    elif re.fullmatch(r"\d{1,2}", text):
        place = int(text)
    if place >= len(options):
        raise ProblemFileError(
            f"{row.where}: {key!r} names none of its {len(options)} options, saw {text[:40]!r}; "
            "write a letter, a place counted from 0, or the option itself"
        )
    return string.ascii_uppercase[place]


def _count(row: Row, options: Sequence[str]) -> None:
    if not 2 <= len(options) <= len(string.ascii_uppercase):
        raise ProblemFileError(
            f"{row.where}: a question to choose from has 2 to 26 options, saw {len(options)}: "
            f"{', '.join(options)[:60]!r}"
        )


def _option(row: Row, column: str, value: Any) -> str:
    if isinstance(value, bool | list | dict) or value is None or not str(value).strip():
        raise ProblemFileError(
            f"{row.where}: {column!r} has to be the text of an option, saw {str(value)[:40]!r}"
        )
    return str(value).strip()
