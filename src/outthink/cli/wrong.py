"""What was asked wrongly, in our words: what was seen, the way out, and where help is."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import click

from outthink.errors import UsageError


def as_asked(error: click.ClickException) -> UsageError:
    """One line of what the parser of the command line refused."""
    call = getattr(error, "ctx", None)
    where = call.command_path if isinstance(call, click.Context) else "outthink"
    said = _said(error).rstrip(".")
    return UsageError(f"{said}{' ' if said.endswith('?') else '; '}see '{where} --help'")


def _said(error: click.ClickException) -> str:
    match error:
        case click.exceptions.NoSuchCommand():
            near = _nearest(error.command_name, error.possibilities)
            return f"no command {error.command_name!r}{near}"
        case click.NoSuchOption():
            return (
                f"no option {error.option_name}{_nearest(error.option_name, error.possibilities)}"
            )
        case click.MissingParameter():
            return f"{_name(error)} is missing"
        case click.BadParameter():
            return f"{_name(error)}: {error.message}"
    said = error.format_message()
    return said[:1].lower() + said[1:] if said[1:2].islower() else said


def _nearest(typed: str, names: Sequence[str] | None) -> str:
    """The names that are like what was typed. Dashes, which all options have, do not count."""
    bare = {name.lstrip("-"): name for name in names or ()}
    near = [bare[name] for name in get_close_matches(typed.lstrip("-"), bare)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _name(error: click.BadParameter) -> str:
    """`-o/--out`, or PROBLEMS."""
    parameter = error.param
    if isinstance(parameter, click.Option):
        return "/".join(parameter.opts)
    return parameter.human_readable_name if parameter else "a value"
