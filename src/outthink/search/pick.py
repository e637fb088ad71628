"""The pick of a model among solutions: it reads several at a time, and those picked meet again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from outthink.errors import UsageError
from outthink.search.duel import popularity
from outthink.search.words import NUMBER, judged, note
from outthink.types import Choice, Request, Solution

INSTEAD = "a vote picked in their place"


def picked(
    solutions: Sequence[Solution], words: str, *, group: int, role: str
) -> Generator[Request, Any, Choice]:
    """Choose. At most `group` are shown at a time; those of a group that agree are not asked about.

    Solutions without an answer are not shown. Where a pick cannot be read, the answer goes on that
    most of all solutions give. Raises `UsageError` for a group below 2.
    """
    if group < 2:
        raise UsageError(f"a pick among group={group} solutions; give at least 2")
    left = [place for place, one in enumerate(solutions) if one.answer is not None]
    ranks = popularity(solutions)
    said: list[int | None] = []
    while len(left) > 1:
        groups = [left[begin : begin + group] for begin in range(0, len(left), group)]
        split = [some for some in groups if len({solutions[i].answer for i in some}) > 1]
        shown = [[solutions[i] for i in some] for some in split]
        picks = [one.value for one in (yield from judged(shown, words, NUMBER, role=role))]
        said += picks
        ready = iter(picks)
        left = [_of(some, next(ready) if some in split else 0, ranks) for some in groups]
    told = note(said, INSTEAD)
    if not left:
        return Choice(None, None, tuple(solutions), note=told)
    return Choice(solutions[left[0]].answer, left[0], tuple(solutions), note=told)


def _of(group: Sequence[int], pick: int | None, ranks: Mapping[int, tuple[bool, int, int]]) -> int:
    """The index that is picked of a group; by votes where nothing was said."""
    return min(group, key=lambda i: ranks[i][1:]) if pick is None else group[pick]
