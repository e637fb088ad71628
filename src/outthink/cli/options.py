"""Options that several commands have, and how an option is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any

import click

from outthink.cli.reads import PATH, POSITIVE, WHOLE, Read

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(
    *names: str, help: str, usual: object = None, default: object = None, **more: Any
) -> Decorator:
    """An option; `usual` says what is meant by leaving it out, where that is no default."""
    told = default if usual is None else usual
    if told is not None:
        help = f"{help} (default: {told})"
    if default is not None:  # click takes `None` for a default too, and nothing is then missing
        more["default"] = default
    return click.option(*names, help=help, **more)


def count(
    name: str, default: int | None, help: str, *, least: Read[int] = POSITIVE, **more: Any
) -> Decorator:
    return option(name, type=least, default=default, help=help, **{"metavar": "N", **more})


def flag(name: str, help: str) -> Decorator:
    return click.option(name, is_flag=True, help=help)


def argument(name: str, metavar: str, help: str, **more: Any) -> Decorator:
    return click.argument(name, metavar=metavar, help=help, **more)


def together(name: str, value: Callable[..., Any], *options: Decorator) -> Decorator:
    """Options that a command is given as one value, a dataclass, by a name."""

    def decorate(run: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(run)
        def call(**given: Any) -> Any:
            own = {field.name: given.pop(field.name) for field in fields(value)}  # type: ignore[arg-type]
            return run(**given, **{name: value(**own)})

        made: Callable[..., Any] = call
        for decorate_with in reversed(options):
            made = decorate_with(made)
        return made

    return decorate


def out(metavar: str, help: str, default: str | None = None) -> Decorator:
    path = None if default is None else Path(default)
    return option(
        *("-o", "--out"),
        type=PATH,
        metavar=metavar,
        help=help,
        default=path,
        required=default is None,
    )


jobs = option(
    "--jobs",
    type=POSITIVE,
    metavar="N",
    help="Processes that work side by side, each on one core. It changes no figure.",
    usual="as many as there are cores",
)


def store(help: str = "What 'outthink sweep' made.") -> Decorator:
    return argument("store", "STORE", help, type=PATH)


def problems(default: int, help: str = "How many problems.") -> Decorator:
    return count("--problems", default, help, metavar="P")


seed = count("--seed", 0, "Fixes every draw.", least=WHOLE, metavar="S")
weights = option(
    "--weights",
    type=PATH,
    metavar="DIR",
    help="Lab weights of your own, as 'lab train' leaves them.",
    usual="those shipped",
)
verifier = option(
    "--verifier",
    metavar="NAME",
    help="Whose scores are meant where several verifiers scored the samples: what the sweep was "
    "given, or the name that a report shows, or how that begins.",
)
