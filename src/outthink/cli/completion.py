"""Completion of commands, options and the names of strategies, by the shell.

    outthink --install-completion         once, for the shell that is in use
    outthink --show-completion zsh        the script, to put it somewhere else

The script asks `outthink` itself, by a variable of the environment.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from outthink import whole
from outthink.errors import UsageError

VARIABLE = "_OUTTHINK_COMPLETE"
"""Set by a shell that asks for completions: `bash_complete`, `zsh_source`, ..."""
SHELLS = ("bash", "zsh", "fish")
_AUTO = "auto"
_FISH = Path(".config/fish/completions/outthink.fish")


def complete(program: click.Command, asked: str) -> int:
    """Answer a shell."""
    from click.shell_completion import shell_complete

    return shell_complete(program, {}, "outthink", VARIABLE, asked)


def options() -> list[click.Option]:
    """`--install-completion` and `--show-completion`."""
    return [
        _option("--install-completion", "Complete commands in this shell from now on.", _install),
        _option("--show-completion", "Print what --install-completion would install.", _show),
    ]


def _option(name: str, help: str, act: Callable[[click.Command, str], None]) -> click.Option:
    def callback(call: click.Context, _: click.Parameter, shell: Any) -> None:
        if shell is not None and not call.resilient_parsing:
            act(call.command, _current() if shell == _AUTO else str(shell))
            call.exit()

    return click.Option(
        [name],
        type=click.Choice((_AUTO, *SHELLS)),
        is_flag=False,
        flag_value=_AUTO,
        is_eager=True,
        expose_value=False,
        callback=callback,
        metavar="[SHELL]",
        help=f"{help} SHELL is bash, zsh or fish. (default: the one in use)",
    )


def _current() -> str:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise UsageError(
            f"no completion for the shell {shell or 'that $SHELL does not name'}; give bash, zsh "
            "or fish, as --show-completion bash"
        )
    return shell


def _script(program: click.Command, shell: str) -> str:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    # Not `kind.source()`, which starts the shell to ask for its version.
    made = kind(program, {}, "outthink", VARIABLE)
    return kind.source_template % made.source_vars()


def _show(program: click.Command, shell: str) -> None:
    click.echo(_script(program, shell))


def _install(program: click.Command, shell: str) -> None:
    """Put the script where the shell reads it, or where a line in its own file says so."""
    home = Path.home()
    path = home / (_FISH if shell == "fish" else f".local/share/outthink/complete.{shell}")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.write(path, _script(program, shell))
    if shell != "fish":
        _add_line(home / f".{shell}rc", f". {shlex.quote(str(path))}")
    click.echo(f"{shell} completes outthink from its next start on, by {path}")


def _add_line(path: Path, line: str) -> None:
    """Add a line to a file that does not have it."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    if line not in lines:
        whole.write(path.resolve(), "\n".join([*lines, line, ""]))
