"""`outthink bench store`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table


@command("store", "\b\n  outthink bench store --solutions 1000000")
@options.option(
    "--solutions",
    type=reads.POSITIVE,
    default=1_000_000,
    metavar="N",
    help="How many solutions the store holds, over all problems.",
)
@options.problems(1000)
@options.option(
    "--keep",
    type=reads.PATH,
    metavar="FOLDER",
    help="Leave the store, the policies and the page there.",
)
@options.seed
def store(solutions: int, problems: int, keep: Path | None, seed: int, as_json: bool) -> None:
    """Writes a store of made-up solutions, fits both policies on it and writes its report: rows a
    second, seconds, and the most memory that the process ever had.
    """
    from outthink.bench.store import measure

    outcome = measure(solutions=solutions, problems=problems, folder=keep, seed=seed)
    if as_json:
        return print_json(outcome)
    rows = [
        (name, f"{value:,}" if isinstance(value, int) else value) for name, value in outcome.items()
    ]
    return print_table(("figure", "value"), rows)
