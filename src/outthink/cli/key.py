"""`outthink key`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, say


@command("key", "outthink key alice -o keys.json")
@options.argument("name", "NAME", "Whose key it is.")
@options.out("FILE", "Where its hash is kept, beside those of others.")
def key(name: str, out: Path, as_json: bool) -> None:
    """Makes a key for 'outthink serve --keys FILE', and prints it once: the file has its hash
    alone."""
    from outthink.gateway.keys import add

    made = add(out, name)
    if as_json:
        return print_json({"name": name, "key": made})
    say(f"the key of {name}, which is shown this once:")
    print(made)
