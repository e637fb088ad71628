"""Options that say how a model is asked, made of the table of `models.asking`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outthink.cli.options import Decorator, option
from outthink.cli.reads import PATH
from outthink.models.asking import OPTIONS, Option

if TYPE_CHECKING:
    from outthink.models.asking import Asking

_PREFIX = "asked_"
_METAVARS = {int: "N", float: "X", str: "TEXT", dict: "NAME=VALUE"}
_OWN_METAVARS = {
    "examples": "FILE|N",
    "requests_in_flight": "N",
    "request_s": "S",
    "patience_s": "S",
    "deadline_s": "S",
    "reasoning_effort": "WORD",
}


@dataclass(frozen=True, slots=True)
class Told:
    """How a model is asked, as a command line says it: a file, and what was typed."""

    file: Path | None
    typed: dict[str, Any]
    """Words of a command line, by the name of the option."""

    @property
    def is_given(self) -> bool:
        return self.file is not None or bool(self.typed)

    def read(self, problems: str | None = None) -> Asking:
        """The options; `--shots N` takes examples from a source of problems. Raises `UsageError`
        where an option cannot be."""
        from outthink.models.asking import read

        kinds = {one.name: one.kinds[-1] for one in OPTIONS}
        typed = {
            name: _examples(value, problems) if name == "examples" else _value(name, kinds, value)
            for name, value in self.typed.items()
        }
        return read(self.file, typed)


def asking(run: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how a model is asked; the command is given them as `asking`, a `Told`."""

    @wraps(run)
    def call(**given: Any) -> Any:
        words = {one.name: given.pop(f"{_PREFIX}{one.name}") for one in OPTIONS if one.flag}
        typed = {name: value for name, value in words.items() if value not in (None, False, ())}
        file = given.pop("asking")
        return run(**given, asking=Told(file, typed))

    made: Callable[..., Any] = call
    for one in reversed([one for one in OPTIONS if one.flag]):
        made = _flag(one)(made)
    return option(
        "--asking",
        type=PATH,
        metavar="FILE",
        help="How a model of any text is asked, a TOML file of the options below and of more; see "
        "docs/asking.md. What is typed comes before what is in the file.",
        usual="as suits the problems",
    )(made)


def _flag(one: Option) -> Decorator:
    name, kind = f"{_PREFIX}{one.name}", one.kinds[-1]
    if kind is bool:
        return click.option(one.flag, name, is_flag=True, help=one.help)
    several = kind is dict or one.name == "stop"
    metavar = _OWN_METAVARS.get(one.name, _METAVARS.get(kind, "TEXT"))
    read = kind if kind in (int, float) else str
    return click.option(one.flag, name, type=read, metavar=metavar, multiple=several, help=one.help)


def _value(name: str, kinds: dict[str, type], word: Any) -> Any:
    """A word as a file would have it."""
    if kinds[name] is dict:
        return dict(_pair(name, one) for one in word)
    if name == "stop":
        return [_unescaped(one) for one in word]
    if name == "delimiter":
        return _unescaped(word)
    if name in ("system", "instruction") and word.startswith("@"):
        from outthink.models.asking import text_of

        return text_of(Path(word[1:])).strip()
    return word


def _pair(name: str, word: str) -> tuple[str, Any]:
    """`NAME=VALUE`; a value that is no JSON is text."""
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{word!r} is no NAME=VALUE", param_hint=f"--{name}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _unescaped(word: str) -> str:
    return word.replace("\\n", "\n").replace("\\t", "\t")


def _examples(word: str, problems: str | None) -> list[dict[str, str]]:
    from outthink.data.shots import shots
    from outthink.models.asking import examples_of

    if not word.isdecimal():
        return examples_of(Path(word))
    if problems is None:
        raise click.BadParameter(
            f"{word} examples are taken from a file of problems, and none is named; name a file "
            "of examples",
            param_hint="--shots",
        )
    pairs = shots(problems, int(word))
    return [{"question": question, "answer": answer} for question, answer in pairs]
