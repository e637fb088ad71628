"""`outthink early`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import between, percent, points, print_json, print_table, say


@command(
    "early",
    """A part of the traces gives the threshold, the score that its best share reaches; any other
trace ends at its first step below. Votes are of what is left. Live it is the search early_end.

\b
  outthink sweep lab:test?size=100 -o s.store --verifier 'deepconf(window=8)'
  outthink early s.store""",
)
@options.store()
@options.verifier
def early(store: Path, verifier: str | None, as_json: bool) -> None:
    """What ending unsure traces early would save, from traces that were drawn whole."""
    from outthink.study.early import early as measured
    from outthink.study.sweep import reopened

    with reopened(store, verifier=verifier) as opened:
        outcome = measured(opened)
        notes = opened.notes
    if as_json:
        return print_json({"endings": [asdict(one) for one in outcome], "notes": list(notes)})
    for note in notes:
        say(note)
    heads = ("best share", "N", "accuracy", "less that of all", "tokens a problem", "saved")
    print_table(
        heads,
        [
            (
                f"{one.keep:g}",
                one.budget,
                between(one.accuracy),
                points(one.difference.mean, one.difference.low, one.difference.high),
                f"{one.tokens:.1f}",
                f"{percent(one.saved.mean)} %",
            )
            for one in outcome
        ],
    )
