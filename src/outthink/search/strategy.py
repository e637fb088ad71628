"""Strategies by name: a search and its options, written as a call.

    beam(width=4)     lookahead(depth=3,width=sqrt)     best_of_n     my_module:my_search(rounds=2)

The canonical name leaves out what is at its default, so one algorithm has one name. Options are
the keyword parameters of a search: whole numbers, fractions, words and switches, by their types.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from typing import Any, Literal, Union

from outthink.errors import UsageError
from outthink.plugin import is_plugin, load
from outthink.search.ab_mcts import ab_mcts
from outthink.search.beam import beam
from outthink.search.best_first import best_first
from outthink.search.best_of_n import best_of_n
from outthink.search.budget_forcing import budget_forcing
from outthink.search.chains import chains
from outthink.search.debate import debate
from outthink.search.describe import about, settled
from outthink.search.dvts import dvts
from outthink.search.early_end import early_end
from outthink.search.first_finish import first_finish
from outthink.search.genselect import genselect
from outthink.search.gensynthesis import gensynthesis
from outthink.search.gibbs import gibbs
from outthink.search.greedy import greedy
from outthink.search.groupwise import groupwise
from outthink.search.knockout import knockout
from outthink.search.last_finish import last_finish
from outthink.search.lookahead import lookahead
from outthink.search.majority import majority
from outthink.search.mcts import mcts
from outthink.search.particles import particles
from outthink.search.rebase import rebase
from outthink.search.revise import revise
from outthink.search.revision_beam import revision_beam
from outthink.search.round_robin import round_robin
from outthink.search.self_refine import self_refine
from outthink.search.ucb import ucb
from outthink.search.usc import usc
from outthink.types import Ask, Budget, Problem, Propose, Search, Strategy, Verify

SEARCHES: dict[str, Callable[..., Search]] = {
    "greedy": greedy,
    "majority": majority,
    "first_finish": first_finish,
    "last_finish": last_finish,
    "best_of_n": best_of_n,
    "beam": beam,
    "lookahead": lookahead,
    "dvts": dvts,
    "rebase": rebase,
    "particles": particles,
    "gibbs": gibbs,
    "best_first": best_first,
    "mcts": mcts,
    "revise": revise,
    "revision_beam": revision_beam,
    "ab_mcts": ab_mcts,
    "ucb": ucb,
    "self_refine": self_refine,
    "debate": debate,
    "genselect": genselect,
    "gensynthesis": gensynthesis,
    "groupwise": groupwise,
    "knockout": knockout,
    "round_robin": round_robin,
    "usc": usc,
    "budget_forcing": budget_forcing,
    "early_end": early_end,
}
"""Every search that ships, by the name it is written with."""

_POOLS: dict[str, Callable[..., Search]] = {"chains": chains}
"""Pools that are drawn to measure strategies; they are no strategies themselves."""

_LATER = {
    "policy": "outthink.policy.strategy:policy",
    "rollouts": "outthink.train.rollouts:roll_out",
}
"""Searches of rooms that stand on this one, by where they are."""

_CALL = re.compile(r"\s*([\w.:/\\-]+?)\s*(?:\((.*)\))?\s*", re.DOTALL)


@cache
def strategy(text: str) -> Strategy:
    """The strategy that `text` names.

    Raises `UsageError` for an unknown search or option, an option of the wrong type, a module that
    cannot be imported, and a search whose first request is neither a `Propose` nor a `Verify`.
    """
    match = _CALL.fullmatch(text)
    ours = {**SEARCHES, **_POOLS}
    if match is None or not (match[1] in ours or match[1] in _LATER or is_plugin(match[1])):
        raise UsageError(
            f"unknown strategy {text!r}; write one of {', '.join(SEARCHES)}, with options as in "
            "'beam(width=4)', or one of your own as my_module:my_search"
        )
    name = match[1]
    search = ours[name] if name in ours else load(_LATER.get(name, name))
    known = _options(name, search)
    given: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in (match[2] or "").split(","))):
        option, _, value = (word.strip() for word in part.partition("="))
        if option not in known:
            raise UsageError(
                f"{text!r}: {name} has no option {option!r}; it takes {', '.join(known) or 'none'}"
            )
        if option in given:
            raise UsageError(f"{text!r}: option {option!r} is given twice; keep one")
        given[option] = _value(text, option, value, known[option].kind)
    changed = {option: value for option, value in given.items() if value != known[option].default}
    missing = [option for option in known if known[option].required and option not in given]
    if missing:
        raise UsageError(f"{text!r}: {name} needs {missing[0]}; write {name}({missing[0]}=...)")
    changed = settled(search, changed)
    _try(text, search, changed)
    shown = ",".join(f"{option}={_word(changed[option])}" for option in known if option in changed)
    defaults = {option: known[option].default for option in known}
    return Strategy(
        f"{name}({shown})" if shown else name,
        partial(search, **changed),
        changed,
        about(search, {**defaults, **changed}),
    )


class _Option:
    """A keyword parameter of a search."""

    def __init__(self, kind: Any, default: Any) -> None:
        self.kind = kind
        self.required = default is inspect.Parameter.empty
        self.default = None if self.required else default


def _options(name: str, search: Callable[..., Any]) -> dict[str, _Option]:
    try:
        hints = typing.get_type_hints(search)
    except NameError as error:
        raise UsageError(f"{name}: the type of an option cannot be read ({error})") from error
    return {
        parameter.name: _Option(
            hints.get(parameter.name, type(parameter.default)), parameter.default
        )
        for parameter in inspect.signature(search).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _try(text: str, search: Callable[..., Search], options: Mapping[str, Any]) -> None:
    """Run a search up to its first request, so that it refuses a wrong option here and not in the
    middle of a run."""
    begun = search(Problem("", ""), Budget(1), **options)
    if not isinstance(begun, types.GeneratorType):
        raise UsageError(
            f"{text!r}: returns {type(begun).__name__}; a search is a generator, which yields "
            "Propose, Verify or Ask and returns a Choice"
        )
    code = begun.gi_code
    try:
        request = next(begun)
    except StopIteration:
        raise UsageError(
            f"{code.co_filename}:{code.co_firstlineno}: {text!r} asks for nothing; a search yields "
            "Propose, Verify or Ask"
        ) from None
    if not isinstance(request, Propose | Verify | Ask):
        line = begun.gi_frame.f_lineno if begun.gi_frame else code.co_firstlineno
        raise UsageError(
            f"{code.co_filename}:{line}: {text!r} yields {type(request).__name__}; a search yields "
            "Propose, Verify or Ask"
        )
    begun.close()


# Options -----------------------------------------------------------------------------------------


def _value(text: str, option: str, word: str, kind: Any) -> Any:
    """`word` as one of the types that an option may have."""
    kinds = (
        typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)
    )
    for one in kinds:
        value = _READ[one](word) if one in _READ else _choice(one, word)
        if value is not None:
            return value
    wanted = " or ".join(_wanted(one) for one in kinds)
    raise UsageError(f"{text!r}: {option}={word!r} is not {wanted}")


def _whole(word: str) -> int | None:
    return int(word) if re.fullmatch(r"-?\d+", word) else None


def _fraction(word: str) -> float | None:
    return float(word) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e-?\d+)?", word) else None


def _switch(word: str) -> bool | None:
    return {"yes": True, "true": True, "no": False, "false": False}.get(word.lower())


def _text(word: str) -> str | None:
    return word


def _choice(kind: Any, word: str) -> Any:
    """The value of an enumeration or a `Literal` type that `word` names."""
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return next((member for member in kind if str(member.value) == word), None)
    return next((choice for choice in typing.get_args(kind) if str(choice) == word), None)


_READ: dict[Any, Callable[[str], Any]] = {
    int: _whole,
    float: _fraction,
    bool: _switch,
    str: _text,
}


def _wanted(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "yes or no", str: "a word"}
    if kind in names:
        return names[kind]
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}"
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    return "of a type that can be written; options are whole numbers, numbers, words, yes or no"


def _word(value: Any) -> str:
    """The value of an option as a user writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.value) if isinstance(value, Enum) else str(value)
