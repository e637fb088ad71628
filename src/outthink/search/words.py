"""Asking a model in words: critiques that are read, and solutions that are written after others.

A critique may say what it likes, and ends with one line that says what it comes to. One that has no
such line, or was cut off, is asked for once more, at temperature 1; then there is no judgement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from outthink.types import Ask, Purpose, Reply, Request, Solution

T = TypeVar("T")

_LINE = re.compile(r"^\W*judge?ment\W*:(.*)$", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
MOST = 10
"""The best mark."""


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How a critique ends."""

    what: str
    """What X is, in words."""
    read: Callable[[str, int], T | None]
    """What an X says of so many solutions; `None` where it says nothing."""

    @property
    def told(self) -> str:
        return f'End with one line, "Judgement: X", where X is {self.what}.'

    def of(self, reply: Reply, count: int) -> T | None:
        """What a reply about so many solutions comes to."""
        lines = _LINE.findall(reply.text or "")
        return self.read(lines[-1].strip(" \t*_`.[](){}<>$\"'"), count) if lines else None


def _number(text: str, count: int) -> int | None:
    """A place, from 0, of what is numbered from 1."""
    numbers = re.findall(r"\d+", text)
    if len(numbers) != 1 or not 1 <= int(numbers[0]) <= count:
        return None
    return int(numbers[0]) - 1


def _marks(text: str, count: int) -> tuple[float, ...] | None:
    marks = tuple(float(number) / MOST for number in _NUMBER.findall(text))
    return marks if len(marks) == count and max(marks) <= 1 else None


def _better(text: str, count: int) -> float | None:
    """How far the first of two is the better one."""
    return {"1": 1.0, "2": 0.0, "same": 0.5}.get(text.lower().removeprefix("solution "))


def _right(text: str, count: int) -> bool | None:
    return {"right": True, "wrong": False}.get(text.lower())


NUMBER = Form("the number of that solution", _number)
MARKS = Form(f"a mark from 0 to {MOST} for each solution, in order, with commas between", _marks)
BETTER = Form("1, 2 or same", _better)
RIGHT = Form("right or wrong", _right)


class Judged(NamedTuple, Generic[T]):
    """A critique, and what it comes to."""

    value: T | None
    """`None` where it could not be read, twice."""
    solution: Solution
    """The critique itself, which can be shown."""


def judged(
    about: Sequence[Sequence[Solution]],
    words: str,
    form: Form[T],
    *,
    role: str,
    purpose: Purpose = Purpose.JUDGEMENT,
) -> Generator[Request, Any, list[Judged[T]]]:
    """A critique of each row of `about`, in order; nobody is asked where there are none."""
    if not about:
        return []
    ask = Ask(about, f"{words}\n\n{form.told}", purpose, role, temperature=0.0)
    said = _read(ask, form, (yield ask))
    again = [place for place, one in enumerate(said) if one.value is None]
    if again:
        ask = replace(ask, about=[about[place] for place in again], temperature=1.0)
        for place, one in zip(again, _read(ask, form, (yield ask)), strict=True):
            said[place] = one
    return said


def _read(ask: Ask, form: Form[T], replies: Sequence[Reply]) -> list[Judged[T]]:
    return [
        Judged(form.of(reply, len(shown)), reply.solution)
        for shown, reply in zip(ask.about, replies, strict=True)
    ]


def written(
    about: Sequence[Sequence[Solution]], words: str, *, role: str
) -> Generator[Request, Any, list[Solution]]:
    """A new solution after each row of `about`, in order; each is one generation."""
    if not about:
        return []
    replies: list[Reply] = yield Ask(about, words, Purpose.REVISION, role)
    return [reply.solution for reply in replies]


def note(values: Sequence[object], instead: str) -> str:
    """What an outcome says where critiques could not be read; empty where all could."""
    unread = sum(value is None for value in values)
    return f"{unread} of {len(values)} judgements could not be read; {instead}" if unread else ""
