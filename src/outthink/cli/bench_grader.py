"""`outthink bench grader`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json


@command("grader", "\b\n  outthink bench grader verdicts.jsonl --grader math")
@options.argument(
    "file",
    "FILE",
    "JSON Lines: 'reference', 'right' (true or false), and 'solution' or 'answer'.",
    type=reads.PATH,
)
@options.option("--grader", default="math", metavar="NAME", help="Its name.")
def grader(file: Path, grader: str, as_json: bool) -> None:
    """Measures how often a grader agrees with verdicts that others published, and prints every
    disagreement, so that each can be judged. With --grader code it also takes the files of
    HumanEval and MBPP as published, whose own solutions have to pass.
    """
    from outthink.grade import agreement, grading
    from outthink.run.progress import Progress

    judge = grading(grader)
    solutions = list(agreement.read(file, judge))
    with Progress("grading", len(solutions), "solutions") as bar:
        outcome = agreement.agreement(solutions, judge, advance=bar.advance)
    if as_json:
        return print_json(agreement.summary(outcome))
    for line in agreement.report(outcome):
        print(line)
    return None
