"""Commands by name: each is imported when it is given, so that help for the others waits for none.

A command is a function with options (`options`); a new one is a file, and a line in `app`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ParamSpec

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem

Given = ParamSpec("Given")
"""What a command is given, by the names of its options."""

SETTINGS = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
GOES_ON = "stopped; the same command goes on from here and pays for nothing twice"


class Commands(click.Group):
    """Commands by name, as (`module:command`, what it does in a few words)."""

    def __init__(self, name: str, places: Mapping[str, tuple[str, str]], **about: Any) -> None:
        super().__init__(
            name,
            commands=dict.fromkeys(places, click.Command(None)),  # the names alone, for suggestions
            context_settings=SETTINGS,
            subcommand_metavar="COMMAND ...",
            **about,
        )
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name][0].partition(":")
        command = getattr(import_module(f"outthink.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise click.UsageError(f"COMMAND is missing; give {_or(self._places)}", ctx)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, does) for name, (_, does) in self._places.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=does)
            for name, (_, does) in self._places.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def _or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


class Command(click.Command):
    """One command; `--json` is among its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a word such as '-3 + 4' for a problem, not for options."""
        texts = () if "--" in args else self._texts(args)
        if texts:
            rest = [word for at, word in enumerate(args) if at not in texts]
            args = [*rest, "--", *(args[at] for at in texts)]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it out of some
            raise

    def _texts(self, words: Sequence[str]) -> tuple[int, ...]:
        options = [option for option in self.params if isinstance(option, click.Option)]
        names = {name: not option.is_flag for option in options for name in option.opts}
        return tuple(
            at
            for at, (before, word) in enumerate(pairwise(("", *words)))
            if re.match(r"-[^-]* |-\d+$", word)
            and not names.get(before)  # it would be the value of that option
            and word[:2] not in names
        )


def command(name: str, epilog: str | None = None) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function, whose docstring is the help, and whose parameters are options.

    `as_json` is one of them.
    """

    def decorate(run: Callable[..., None]) -> Command:
        as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object.")
        made = click.command(name, cls=Command, epilog=epilog, context_settings=SETTINGS)(run)
        made.params.append(as_json)
        return made

    return decorate


def command_line() -> str:
    """What was typed."""
    typed = click.get_current_context().obj
    return typed if isinstance(typed, str) else ""


@contextmanager
def stopping(said: str = GOES_ON) -> Iterator[None]:
    """What Ctrl-C says in here."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(said) from None
