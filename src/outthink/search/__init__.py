"""The searches, and the strategies made of them.

A strategy is written as a call: `beam(width=4)`, `lookahead(depth=3, width=sqrt)`, `best_of_n`.
Its canonical name leaves out what is at its default, so one algorithm has one name.

It knows nothing of models, batches, files or other problems. `run` advances its generators.

Stands on: errors, types.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from enum import Enum
from functools import cache, partial
from typing import Any

from outthink.errors import UsageError
from outthink.search.beam import SQRT, beam
from outthink.search.best_of_n import best_of_n
from outthink.search.greedy import greedy
from outthink.search.lookahead import lookahead
from outthink.search.majority import majority
from outthink.search.revise import revise
from outthink.search.select import AnswerAggregation, StepAggregation
from outthink.types import Budget, Problem, Search, Strategy

SEARCHES: dict[str, Callable[..., Search]] = {
    "greedy": greedy,
    "majority": majority,
    "best_of_n": best_of_n,
    "beam": beam,
    "lookahead": lookahead,
    "revise": revise,
}
"""Every search by the name it is written with."""

_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*")


@cache
def strategy(text: str) -> Strategy:
    """The strategy that `text` names. Raises `UsageError` for an unknown search or option."""
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in SEARCHES:
        raise UsageError(
            f"unknown strategy {text!r}; write one of {', '.join(SEARCHES)}, "
            "with options as in 'beam(width=4)'"
        )
    search = SEARCHES[match[1]]
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(search).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    options: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in (match[2] or "").split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in known:
            raise UsageError(
                f"{text!r}: {match[1]} has no option {name!r}; "
                f"it takes {', '.join(known) or 'none'}"
            )
        if name in options:
            raise UsageError(f"{text!r}: option {name!r} is given twice; keep one")
        options[name] = _value(text, name, value, known[name])
    changed = {name: value for name, value in options.items() if value != known[name]}
    # A search checks its options before it asks for anything: here, not in the middle of a run.
    next(search(Problem("", ""), Budget(1), **changed))
    shown = ",".join(f"{name}={changed[name]}" for name in known if name in changed)
    return Strategy(
        f"{match[1]}({shown})" if shown else match[1],
        partial(search, **changed),
        changed,
        revises=search is revise,
    )


def _value(text: str, name: str, value: str, default: Any) -> Any:
    """`value` as the kind of thing `default` is."""
    if isinstance(default, Enum):
        kind = type(default)
        try:
            return kind(value)
        except ValueError:
            choices = ", ".join(str(member) for member in kind)
            raise UsageError(f"{text!r}: {name}={value!r} is none of {choices}") from None
    if value == SQRT and name == "width":
        return SQRT
    if not re.fullmatch(r"-?\d+", value):
        raise UsageError(f"{text!r}: {name}={value!r} is not a whole number")
    return int(value)


__all__ = [
    "SEARCHES",
    "AnswerAggregation",
    "StepAggregation",
    "beam",
    "best_of_n",
    "greedy",
    "lookahead",
    "majority",
    "revise",
    "strategy",
]
