"""`outthink bench strategies`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outthink.cli import named, options, reads
from outthink.cli.commands import GOES_ON, command, stopping
from outthink.cli.output import accuracy, points, print_json, print_table
from outthink.cli.results import print_accuracies

if TYPE_CHECKING:
    from outthink.cli.named import Planned


@command(
    "strategies",
    f"{named.BY_DEFAULT}With --store, the same command goes on where it was killed.",
)
@options.problems(2000)
@options.option("--store", type=reads.PATH, metavar="STORE", help="Keep everything here.")
@options.weights
@named.plan(pool=64, oracle=64, difficulty=0)
@options.seed
def strategies(
    problems: int,
    store: Path | None,
    weights: Path | None,
    planned: Planned,
    seed: int,
    as_json: bool,
) -> None:
    """Compares the strategies on fresh test problems of the lab, with paired intervals."""
    from outthink.bench.engine import strategies
    from outthink.study.models import Models
    from outthink.study.sweep import Sweep

    models = Models(weights=weights)
    asked = Sweep(f"lab:test?size={problems}&seed={seed}", planned.plan(models), models, seed)
    with stopping(
        GOES_ON if store else "stopped; with --store, the same command would go on from here"
    ):
        outcome = strategies(asked, store=store)
    return print_json(outcome) if as_json else _print(outcome)


def _print(outcome: dict[str, Any]) -> None:
    rows = outcome["rows"]
    told = [
        (row["strategy"], row["budget"], accuracy(row["accuracy"], row["low"], row["high"]))
        for row in rows
    ]
    print_accuracies(outcome["graded"], told)
    if any("bins" in row for row in rows):
        print("\naccuracy in % by difficulty bin, easiest first")
        bins = (f"bin {number}" for number in range(1, 6))
        print_table(("strategy", "N", *bins), map(_by_bin, rows))
    if outcome["pairs"]:
        print("\ndifference in points, same problems, 95 % interval")
        print_table(("pair", "N", "bins", "difference"), map(_pair, outcome["pairs"]))


def _by_bin(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["strategy"], row["budget"], *(f"{100 * share:.1f}" for share in row["bins"]))


def _pair(pair: dict[str, Any]) -> tuple[Any, ...]:
    return (
        f"{pair['a']} - {pair['b']}",
        pair["budget"],
        "all" if pair["bins"] is None else "-".join(map(str, pair["bins"])),
        points(pair["difference"], pair["low"], pair["high"]),
    )
