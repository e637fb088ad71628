"""How the name of a verifier is written: what it is, of which model, with which options and parts.

    prm:MODEL?family=trl&device=cpu     deepconf(window=512,by=tail)     judge:http://HOST:PORT#MODEL
    genrm:http://HOST:PORT(votes=4)     all_of(lab:prm,genrm(votes=4),how=min)

Options follow a question mark or stand in brackets; what stands there without `=` is the name of
another verifier. Knows the grammar alone, not which verifiers there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from outthink.errors import UsageError

_OPTION = re.compile(r"\s*(\w+)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spelled:
    """A name, taken apart."""

    kind: str
    model: str
    """What follows the colon; empty for none."""
    options: Mapping[str, str]
    parts: tuple[str, ...]
    """Names of further verifiers in its brackets."""


def kind_of(name: str) -> str:
    """What a verifier is, without a look at the rest of its name."""
    return re.split(r"[:?(]", name, maxsplit=1)[0]


def spelled(name: str) -> Spelled:
    """A name, taken apart. Raises `UsageError` for brackets that do not match, and an option that
    is given twice."""
    whole, inside = _bracketed(name.strip())
    whole, _, asked = whole.partition("?")
    kind, _, model = whole.partition(":")
    options, parts = dict(parse_qsl(asked, keep_blank_values=True)), []
    for piece in _pieces(name, inside):
        match = _OPTION.fullmatch(piece)
        if match is None:
            parts.append(piece.strip())
        elif match[1] in options:
            raise UsageError(f"{name}: option {match[1]!r} is given twice; keep one")
        else:
            options[match[1]] = match[2].strip()
    return Spelled(kind, model, options, tuple(parts))


def _bracketed(name: str) -> tuple[str, str]:
    """What is before the last pair of brackets, and what is in it."""
    if not name.endswith(")"):
        if "(" in name:
            raise UsageError(f"{name!r}: a bracket is not closed, or something follows it")
        return name, ""
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        depth += (name[at] == ")") - (name[at] == "(")
        if depth == 0:
            return name[:at], name[at + 1 : -1]
    raise UsageError(f"{name!r}: a bracket is closed and was not opened")


def _pieces(name: str, inside: str) -> Iterator[str]:
    """What stands between commas that are in no further brackets."""
    depth, begin = 0, 0
    for at, letter in enumerate(f"{inside},"):
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            raise UsageError(f"{name!r}: a bracket is closed and was not opened")
        if letter == "," and depth == 0:
            if inside[begin:at].strip():
                yield inside[begin:at]
            begin = at + 1
    if depth:
        raise UsageError(f"{name!r}: a bracket is not closed")
