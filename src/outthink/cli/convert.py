"""`outthink convert`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, say


@command("convert", "Killed at any moment, the same command begins again; the store is as it was.")
@options.store()
def convert(store: Path, as_json: bool) -> None:
    """Makes a store of the present format of one of format 2 or 3, in its place: nothing that was
    paid for is lost. The old one stays beside it, as STORE.format2 or STORE.format3.
    """
    from outthink.study.convert import convert

    kept = convert(store)
    if as_json:
        return print_json({"store": str(store), "kept": str(kept)})
    return say(f"store: {store}\nkept:  {kept}, which can be removed")
