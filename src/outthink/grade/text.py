"""Grades answers that have one way to be written: the same characters are the same answer."""

from __future__ import annotations

import re
import unicodedata

from outthink.grade import extract


def exact(answer: str, reference: str) -> bool:
    """Whether the two are the same text; how a letter is encoded and space around do not count."""
    return canonical(answer) == canonical(reference)


def canonical(answer: str) -> str:
    """The text in Unicode's normal form C, without space around it."""
    return unicodedata.normalize("NFC", answer).strip()


def answer(text: str) -> str | None:
    """What the text declares as its answer, or else all of it where it is a single line."""
    declared, whole = extract.answer(text), canonical(text)
    if declared is None and "\n" not in whole:
        declared = whole
    return (declared and canonical(declared)) or None


def whole(text: str) -> str | None:
    """All that the text says after its thought, if it thinks; `None` where that is nothing."""
    return canonical(_THOUGHT.split(text)[-1]) or None


_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
