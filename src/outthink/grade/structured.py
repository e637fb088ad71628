"""Answers that are JSON: two are equal that hold the same values.

The order of keys does not count, nor how a number, a letter or the space between is written. All of
a text has to be JSON: what stands in a block of code, or after a sentence, is none, since a program
that reads the text would fail too.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from outthink.grade import text


def answer(said: str) -> str | None:
    """What a text says after its thought, where all of it is JSON; `None` where it is not."""
    whole = text.whole(said)
    return None if whole is None or canonical(whole) == "" else whole


def canonical(answer: str) -> str:
    """One text for all that hold the same values; empty for what is no JSON."""
    try:
        return written(value(answer))
    except (ValueError, RecursionError):
        return ""


def equal(answer: str, reference: str) -> bool:
    """Whether two texts hold the same values."""
    return canonical(answer) == canonical(reference) != ""


def value(told: str) -> Any:
    """The value of a JSON text, with numbers as they are written. Raises `ValueError`."""
    return json.loads(told, parse_int=Decimal, parse_float=Decimal, parse_constant=_refused)


def written(one: Any) -> str:
    """A value in one way: keys sorted, no space, equal numbers alike."""
    if isinstance(one, dict):
        pairs = (f"{json.dumps(key)}:{written(one[key])}" for key in sorted(one))
        return f"{{{','.join(pairs)}}}"
    if isinstance(one, list):
        return f"[{','.join(map(written, one))}]"
    return _number(one) if isinstance(one, Decimal) else json.dumps(one)


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_PLAIN = 20
"""Digits up to which a number is written without an exponent."""


def _number(one: Decimal) -> str:
    sign, digits, exponent = one.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).lstrip("0")
    kept = significant.rstrip("0")
    if not kept:
        return "0"
    exponent += len(significant) - len(kept)
    short = Decimal(f"{'-' if sign else ''}{kept}E{exponent}")
    is_plain = len(kept) + abs(exponent) <= _PLAIN
    return f"{short:f}" if is_plain else f"{'-' if sign else ''}{kept}E{exponent}"
