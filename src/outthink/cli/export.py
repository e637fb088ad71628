"""`outthink export`."""

from __future__ import annotations

from pathlib import Path

import click

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_notes, say
from outthink.errors import UsageError


@command(
    "export",
    """\b
  outthink export my.store -o samples.jsonl
  outthink export my.store -o searches.parquet --searches""",
)
@options.store("What 'outthink sweep' or 'outthink import' made.")
@options.option(
    "-o",
    "--out",
    type=reads.PATH,
    metavar="FILE",
    help="A table with a row a sample: .jsonl, .csv or .parquet.",
    required=True,
)
@options.option(
    "--format",
    "form",
    type=click.Choice(("plain", "lm-eval")),
    default="plain",
    help="Of the file; lm-eval writes a line a problem, as its --log_samples does.",
)
@options.flag("--searches", "Everything that searches drew: samples, chains, steps.")
def export(store: Path, out: Path, form: str, searches: bool, as_json: bool) -> None:
    """Writes the pool of a store as a table that other tools read, and 'outthink import' too."""
    from outthink.lab.tokenizer import WRITER, decode
    from outthink.study.exports import PLAIN, export_samples, export_searches

    if searches and form != PLAIN:
        raise UsageError("--searches writes a plain table; leave out --format")
    texts = {WRITER: decode}
    made = (
        export_searches(store, out, texts=texts)
        if searches
        else export_samples(store, out, texts=texts, form=form)
    )
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
    if searches:
        return None
    return say(f"next:  outthink import {out} -o new.store --grader {made.grader}")
