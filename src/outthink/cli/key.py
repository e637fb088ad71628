"""`outthink key`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, say


@command("key", "outthink key alice -o keys.json --tokens-per-day 1000000")
@options.argument("name", "NAME", "Whose key it is.")
@options.count("--tokens-per-minute", None, "The most it may spend within a minute.")
@options.count("--tokens-per-day", None, "The most it may spend within a day.")
@options.out("FILE", "Where its hash is kept, beside those of others.")
def key(
    name: str,
    tokens_per_minute: int | None,
    tokens_per_day: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Makes a key for 'outthink serve --keys FILE', and prints it once: the file has its hash
    alone."""
    from outthink.gateway.keys import add
    from outthink.gateway.spent import Allowance

    made = add(out, name, Allowance(tokens_per_minute, tokens_per_day))
    if as_json:
        return print_json({"name": name, "key": made})
    say(f"the key of {name}, which is shown this once:")
    print(made)
