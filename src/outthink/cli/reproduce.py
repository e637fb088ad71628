"""`outthink reproduce`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from outthink.cli import options, reads
from outthink.cli.commands import command, command_line, stopping
from outthink.cli.output import cost_factor, percent, print_json, print_table, say


@command(
    "reproduce",
    "Killed at any moment, the same command goes on and pays for nothing twice. Given again, it "
    "only reads, and writes the same page.",
)
# As `paper.evidence` has it, whose module takes long to import.
@options.flag("--quick", "200 problems instead of 2000, and smaller budgets.")
@options.out("REPORT", "Where the page goes.", "reproduction.html")
@options.option(
    "--folder",
    type=reads.PATH,
    default=Path("runs/reproduce"),
    metavar="DIR",
    help="Where everything is kept.",
)
@options.seed
@options.weights
@options.jobs
@stopping()
def reproduce(
    quick: bool,
    out: Path,
    folder: Path,
    seed: int,
    weights: Path | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Measures everything Snell et al. 2024 show, on the lab's models: searches against a verifier,
    revisions, policies by difficulty, the exchange with a larger model and the ablations. Judges
    the claims made about it by rules fixed beforehand, and writes it all as one HTML page.
    """
    from outthink.models.cores import cores
    from outthink.paper.evidence import FULL, QUICK
    from outthink.paper.reproduce import reproduce

    began = time.monotonic()
    outcome = reproduce(
        QUICK if quick else FULL,
        seed=seed,
        weights=weights,
        folder=folder,
        out=out,
        command=command_line(),
        jobs=jobs or cores(),
    )
    if as_json:
        return print_json(outcome)
    _print(outcome)
    return say(
        f"\nreport:  {outcome['report']}     (open it in a browser)\n"
        f"stores:  {folder}     {time.monotonic() - began:.0f} s in all"
    )


def _print(outcome: dict[str, Any]) -> None:
    print(f"claims, judged on {outcome['problems']} problems")
    judged = [(claim["id"], claim["verdict"]) for claim in outcome["claims"]]
    print_table(("claim", "verdict"), judged)
    print(
        "\nthe compute-optimal policies, difficulty charged: how many times their cost the others\n"
        "would need to be as good (CEF)"
    )
    rows = [
        (row["axis"], row["budget"], f"{row['cost']:g}", row["against"], cost_factor(row))
        for row in outcome["cef"]
        if row["charged"]
    ]
    print_table(("axis", "N", "cost", "against", "CEF"), rows)
    for name, fitted in outcome["sequential"].items():
        print(
            f"\nthe sequential policy, menu {name!r}, in {fitted['currency']}; everything charged"
        )
        print_table(
            ("cost", "accuracy", f"{fitted['baseline']} needs", "the strongest fixed needs"),
            [
                (
                    f"{row['cost']['mean']:.3g}",
                    percent(row["accuracy"]["mean"]),
                    cost_factor(row["versus_baseline"]),
                    cost_factor(row["versus_strongest"]),
                )
                for row in fitted["frontier"]
            ],
        )
