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
@options.jobs
def strategies(
    problems: int,
    store: Path | None,
    weights: Path | None,
    planned: Planned,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Compares the strategies on fresh test problems of the lab, with paired intervals."""
    from outthink.bench.engine import strategies
    from outthink.models.cores import cores
    from outthink.study.models import Models
    from outthink.study.sweep import Sweep

    models = Models(weights=weights)
    asked = Sweep(f"lab:test?size={problems}&seed={seed}", planned.plan(models), models, seed)
    with stopping(
        GOES_ON if store else "stopped; with --store, the same command would go on from here"
    ):
        outcome = strategies(asked, store=store, jobs=jobs or cores())
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
    if outcome["against"]:
        _print_against(outcome["against"])


def _by_bin(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["strategy"], row["budget"], *(f"{100 * share:.1f}" for share in row["bins"]))


def _pair(pair: dict[str, Any]) -> tuple[Any, ...]:
    return (
        f"{pair['a']} - {pair['b']}",
        pair["budget"],
        "all" if pair["bins"] is None else "-".join(map(str, pair["bins"])),
        _points(pair),
    )


def _print_against(rows: list[dict[str, Any]]) -> None:
    print("\nabove or below beam in points, same problems, 95 % interval")
    told = ((row["strategy"], row["budget"], _points(row), row["verdict"]) for row in rows)
    print_table(("strategy", "N", "difference", "beam"), told)
    if "bins" in rows[0]:
        print("\nthe same by difficulty bin, easiest first")
        bins = (f"bin {number}" for number in range(1, 6))
        by_bin = ((row["strategy"], row["budget"], *map(_points, row["bins"])) for row in rows)
        print_table(("strategy", "N", *bins), by_bin)
    print()
    by_verdict: dict[tuple[int, str], list[str]] = {}
    for row in sorted(rows, key=lambda row: (row["budget"], row["verdict"])):
        by_verdict.setdefault((row["budget"], row["verdict"]), []).append(row["strategy"])
    for (budget, verdict), names in by_verdict.items():
        print(f"N = {budget}, {verdict}: {', '.join(names)}")
    by_chance = f"{0.025 * len(rows):.1f}"
    print(
        f"{len(rows)} comparisons: were there no difference at all, {by_chance} of them would be "
        f"above and {by_chance} below by chance."
    )


def _points(row: dict[str, Any]) -> str:
    return points(row["difference"], row["low"], row["high"])
