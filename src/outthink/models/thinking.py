"""The thoughts of a reasoning model, kept apart from its answer.

Two forms come back: the thought in the text, up to `</think>` (its beginning may be in the prompt,
where the chat template puts it), and the thought in a field of its own, which `dialects` writes in
the first form. A thought is counted, and read by verifiers step by step; graders never see it
(`grade.extract`), and neither does a model that revises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"
_OPEN = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
_CLOSE = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parted:
    """A text in two parts; both are empty where there is none."""

    thought: str
    answer: str


def parted(text: str) -> Parted:
    """The thought of a text without its marks, and the answer after it. A thought that never ends
    is all thought."""
    marks = list(_CLOSE.finditer(text))
    begun = _OPEN.match(text)
    if not marks:
        return Parted(text[begun.end() :], "") if begun else Parted("", text)
    start = begun.end() if begun else 0
    return Parted(text[start : marks[-1].start()], text[marks[-1].end() :])


def joined(thought: str, answer: str) -> str:
    """A thought and an answer as one text, which `parted` takes apart."""
    return f"{OPEN}{thought}{CLOSE}\n\n{answer}" if answer else f"{OPEN}{thought}"


def thinking_share(text: str) -> float:
    """The share of a text, in bytes, that is thought; its marks are."""
    answer = len(parted(text).answer.encode())
    return 1 - answer / len(text.encode()) if text else 0.0


def thinking_tokens(texts: Sequence[str], tokens: int) -> int:
    """Tokens of thought among the `tokens` of an answer that is written in `texts`, by its share of
    them: servers do not count them apart."""
    return round(tokens * thinking_share("".join(texts)))
