"""Blocks of code in Markdown, as CommonMark fences them and as models do.

A fence is three or more backticks or tildes; it ends at a line of as many or more of the same.
Around it may be a list's mark or indentation, which the block's lines lose, and text in front of it
on its line. A fence in a docstring ends nothing. Knows nothing of programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_OPENING = re.compile(
    r"(?P<indent>[ \t]*(?:>[ \t]?)*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)"
    r"(?:(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)"
    r"|[^`\n]*[ \t:](?P<late>`{3,})[ \t]*(?P<language>[a-zA-Z]\w*)[ \t]*)"
)
_CODE = re.compile(r"(?:def|class|async|import|from|return)\b.*|@.*")
"""After a fence: no language, but the first line of the program."""
_CLOSING = re.compile(r"(?P<indent>[ \t>]*)(?P<fence>`{3,}|~{3,})[ \t]*")
_CLOSING_AFTER = re.compile(r"(?P<code>.*[^`~\s])[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*")
_QUOTES = ('"""', "'''")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    """The first word after the fence, such as `python` or `{.python}`; empty for none."""
    text: str
    """Its lines, each ended by a newline."""
    closed: bool
    """Whether it ends at a fence, and not with the text."""
    start: int
    """The line of its opening fence; 0 is the first."""


def blocks(text: str) -> Iterator[Block]:
    """The outermost fenced blocks of a text, in order."""
    lines = text.split("\n")
    line = 0
    while line < len(lines):
        opening = _OPENING.fullmatch(lines[line])
        if opening is None:
            line += 1
            continue
        end, last = _end(lines, line, opening)
        margin = len(opening["indent"].expandtabs(4))
        inside = [*lines[line + 1 : end], *([] if last is None else [last])]
        inside = _outdented(inside, margin)
        info = (opening["info"] or opening["language"] or "").strip()
        if _CODE.fullmatch(info):
            inside.insert(0, info)
            info = ""
        yield Block(
            info.partition(" ")[0],
            "".join(f"{line}\n" for line in inside),
            end < len(lines),
            line,
        )
        line = end + 1


def _end(lines: list[str], start: int, opening: re.Match[str]) -> tuple[int, str | None]:
    """The line at which a block ends, and what it holds of it; one past the last for no end."""
    fence = opening["fence"] or opening["late"]
    quoted = ""
    within: int | None = None  # a fence in a docstring, in case that this one never ends
    for number in range(start + 1, len(lines)):
        line = lines[number]
        closing = _CLOSING.fullmatch(line)
        if closing is not None and _closes(closing["fence"], fence):
            if not quoted:
                return number, None
            within = number if within is None else within
        after = None if quoted else _CLOSING_AFTER.fullmatch(line)
        if after is not None and _closes(after["fence"], fence) and "`" not in after["code"]:
            return number, after["code"]
        quoted = _quoted(line, quoted)
    return (len(lines) if within is None else within), None


def _closes(closing: str, opening: str) -> bool:
    return closing[0] == opening[0] and len(closing) >= len(opening)


def _quoted(line: str, quoted: str) -> str:
    """The triple quote that is open after a line; empty where there is none."""
    while True:
        if quoted:
            _, end, line = line.partition(quoted)
            if not end:
                return quoted
            quoted = ""
        else:
            line = line.partition("#")[0] if "#" in line else line
            begins = [(line.find(quote), quote) for quote in _QUOTES if quote in line]
            if not begins:
                return ""
            _, quoted = min(begins)
            line = line.partition(quoted)[2]


def _outdented(lines: list[str], margin: int) -> list[str]:
    """Lines without the space that their fence was indented by, as far as all of them have it."""
    if not margin:
        return lines
    expanded = [line.expandtabs(4) for line in lines]
    spaces = [len(line) - len(line.lstrip(" >")) for line in expanded if line.strip(" >")]
    cut = min([margin, *spaces])
    return [line[cut:] for line in expanded]
