"""`outthink merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outthink.cli import options
from outthink.cli.commands import GOES_ON, command
from outthink.cli.output import print_json, say
from outthink.cli.reads import PATH

if TYPE_CHECKING:
    from outthink.study.merge import Part


@command("merge", GOES_ON)
@options.argument(
    "stores",
    "STORE...",
    "What 'outthink sweep' or 'outthink import' made.",
    type=PATH,
    nargs=-1,
    required=True,
)
@options.out("STORE", "The store that they are added to; made where it is missing.")
def merge(stores: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Makes one store of several: parts of one set of problems that were swept on several machines
    (FILE?part=1/4), whose report is that of one sweep of everything; or sweeps of other strategies,
    after which a sweep of all of them pays for nothing. What several hold is held once. The stores
    stay as they are.
    """
    from outthink.study.merge import merge

    parts = merge(stores, out)
    if as_json:
        return print_json({"store": str(out), "parts": [_wire(part) for part in parts]})
    for part in parts:
        say(_line(part))
    return say(f"store: {out}")


def _wire(part: Part) -> dict[str, Any]:
    merged = part.merged
    return {
        "store": str(part.store),
        "problems": merged.problems,
        "draws": merged.draws,
        "scores": merged.scores,
        "verdicts": merged.verdicts,
        "searches": merged.searches,
        "shared": merged.shared,
        "contradictions": list(merged.contradictions),
    }


def _line(part: Part) -> str:
    merged = part.merged
    said = (
        f"{part.store}: {merged.problems} problems, {merged.draws} draws, {merged.scores} scores, "
        f"{merged.verdicts} verdicts and {merged.searches} searches added"
    )
    if merged.shared:
        said += f"; {merged.shared} draws and scores were there"
    if merged.contradictions:
        first, count = merged.contradictions[0], len(merged.contradictions)
        said += (
            f"; LEFT OUT: {count} of its problems, {first!r} first, since it says other things of "
            "draws, scores or verdicts that are there (a server that does not keep to its seeds?)"
        )
    return said
