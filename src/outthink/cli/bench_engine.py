"""`outthink bench engine`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table


@command("engine", "\b\n  outthink bench engine --problems 100 --pool 256")
@options.problems(500)
@options.option(
    "--pool",
    type=reads.POSITIVE,
    default=2048,
    metavar="N",
    help="Samples a problem of the large pool.",
)
@options.weights
def engine(problems: int, pool: int, weights: Path | None, as_json: bool) -> None:
    """Measures the lab's engines on this machine: share of time in the models, tokens a second,
    memory of a large pool, and the store. Wants the machine to itself.
    """
    from outthink.bench.engine import engine

    outcome = engine(problems=problems, pool=pool, weights=weights)
    if as_json:
        return print_json(outcome)
    rows = [
        (name, f"{value:,}" if isinstance(value, int) else value) for name, value in outcome.items()
    ]
    return print_table(("figure", "value"), rows)
