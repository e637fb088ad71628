"""What the words of options are read as; a word that cannot be read is told with what would do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

T = TypeVar("T")


class Read(click.ParamType[T]):
    """Words that a function reads; what it raises as a `ValueError` says what would do."""

    def __init__(
        self,
        name: str,
        read: Callable[[str], T],
        complete: Callable[[str], list[str]] = lambda _: [],
    ) -> None:
        self.name, self._read, self._complete = name, read, complete

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self._complete(incomplete)]


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if number < 0:
        raise ValueError(f"{text} is below 0; give 0 or more")
    return number


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise ValueError(f"{text} is below 1; give at least 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError(f"{text!r} is no share of 1; give 0 or more, and less than 1")
    return value


def _above_0(text: str) -> float:
    if not 0 < _number(text) < math.inf:
        raise ValueError(f"{text!r} is not a number above 0")
    return float(text)


def _price(text: str) -> float:
    if not 0 <= _number(text) < math.inf:
        raise ValueError(f"{text!r} is not a price; give 0 or more")
    return float(text)


def _budgets(text: str) -> tuple[int, ...]:
    """`1,4,16` or `1..64`, which is every power of two in between."""
    if ".." not in text:
        return tuple(sorted({_positive(part) for part in text.split(",")}))
    first, _, last = text.partition("..")
    low, high = _positive(first), _positive(last)
    powers = [2**power for power in range(high.bit_length()) if low <= 2**power <= high]
    if not powers:
        raise ValueError(f"{text!r} holds no power of two")
    return tuple(powers)


def _strategies(text: str) -> tuple[str, ...]:
    from outthink.study.every import ALL

    if text.strip() == ALL:
        return (ALL,)
    return tuple(map(_strategy, _split(text)))


def _stages(text: str) -> tuple[str, ...]:
    from outthink.study.plan import stage_parts

    return tuple("{}@{}".format(*stage_parts(part)) for part in _split(text))


def _split(text: str) -> list[str]:
    """Names separated by commas outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _strategy(text: str) -> str:
    from outthink.search import strategy

    return strategy(text).name


def _names(incomplete: str) -> list[str]:
    """Strategies whose names begin so."""
    from outthink.search import SEARCHES

    return [name for name in SEARCHES if name.startswith(incomplete)]


def _more_names(incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _names(last)]


WHOLE = Read("number", _whole)
POSITIVE = Read("number", _positive)
ABOVE_0 = Read("number", _above_0)
SHARE = Read("share", _share)
PRICE = Read("price", _price)
RATIOS = Read("numbers", lambda text: tuple(map(_above_0, text.split(","))))
BUDGETS = Read("budgets", _budgets)
STRATEGY = Read("strategy", _strategy, _names)
STRATEGIES = Read("strategies", _strategies, _more_names)
STAGES = Read("stages", _stages, _more_names)
PATH = click.Path(path_type=Path)
