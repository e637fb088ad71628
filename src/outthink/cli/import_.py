"""`outthink import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_notes, say
from outthink.errors import UsageError


@command(
    "import",
    """\b
  outthink import samples.jsonl -o my.store
  outthink import table.csv -o my.store --column correct=is_right --column score=prm""",
)
@options.argument(
    "files",
    "FILE...",
    "Samples that another tool recorded: a log of lm-eval or inspect_ai, a table with a row a "
    "sample (.jsonl, .json, .csv, .tsv, .parquet), and others; docs/import.md lists them.",
    nargs=-1,
    required=True,
    type=reads.PATH,
)
@options.option(
    "-o", "--store", type=reads.PATH, metavar="STORE", help="A new store.", required=True
)
@options.option(
    "--column",
    multiple=True,
    metavar="NAME=THEIRS",
    help="What a column is called in the files; may be given several times. See docs/import.md.",
)
@options.option(
    "--scores",
    type=click.Choice(("probability", "logit")),
    default="probability",
    help="What the scores are.",
)
@options.option(
    "--grader",
    metavar="NAME",
    default="math",
    help="Reads answers from texts, and judges where the files do not.",
)
@options.flag("--grade", "Judge again where the files have verdicts, and say how many differ.")
@options.option(
    "--verifier",
    metavar="NAME",
    help="Scores the steps of every sample, in place of the files' scores: prm:MODEL and others.",
)
@options.count("--samples", None, "Samples a problem; problems with fewer are left out.")
def import_(
    files: tuple[Path, ...],
    store: Path,
    column: tuple[str, ...],
    scores: str,
    grader: str,
    grade: bool,
    verifier: str | None,
    samples: int | None,
    as_json: bool,
) -> None:
    """Makes a store of samples that other tools recorded; fit and report read it as a sweep's."""
    from outthink.data.samples import Reading
    from outthink.study.imports import Import, import_samples

    reading = Reading(dict(map(_named, column)), scores)
    made = import_samples(Import(files, reading, grader, grade, verifier, samples), store)
    if as_json:
        sources = [asdict(one) for one in made.sources]
        return print_json(
            {
                "store": str(store),
                "sources": sources,
                "problems": made.problems,
                "samples": made.samples,
                "notes": list(made.notes),
                "steps": None if made.steps is None else asdict(made.steps),
            }
        )
    say(f"store: {store}, {made.problems} problems x {made.samples} samples")
    print_notes(made.notes)
    return say(f"next:  outthink report {store} -o report.html")


def _named(text: str) -> tuple[str, str]:
    name, equals, theirs = text.partition("=")
    if not equals or not theirs:
        raise UsageError(
            f"--column {text!r} is not NAME=THEIRS; write as --column correct=is_right"
        )
    return name, theirs
