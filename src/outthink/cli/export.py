"""`outthink export`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_notes, say


@command("export", "outthink export my.store -o samples.jsonl")
@options.store("What 'outthink sweep' or 'outthink import' made.")
@options.option(
    "-o",
    "--out",
    type=reads.PATH,
    metavar="FILE",
    help="A table with a row a sample: .jsonl, .csv or .parquet.",
    required=True,
)
def export(store: Path, out: Path, as_json: bool) -> None:
    """Writes the pool of a store as a table that other tools read, and 'outthink import' too."""
    from outthink.lab.tokenizer import WRITER, decode
    from outthink.study.exports import export_samples

    made = export_samples(store, out, texts={WRITER: decode})
    if as_json:
        return print_json(
            {
                "file": str(out),
                "problems": made.problems,
                "samples": made.samples,
                "grader": made.grader,
                "notes": list(made.notes),
            }
        )
    say(f"samples: {out}, {made.samples} of {made.problems} problems")
    print_notes(made.notes)
    return say(f"next:  outthink import {out} -o new.store --grader {made.grader}")
