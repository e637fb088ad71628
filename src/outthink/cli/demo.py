"""`outthink demo`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options, reads
from outthink.cli.commands import GOES_ON, command, command_line, stopping
from outthink.cli.output import print_json, print_notes, say
from outthink.cli.results import print_policy, print_swept
from outthink.errors import UsageError
from outthink.study.plan import Plan

if TYPE_CHECKING:
    from outthink.policy.results import Reported

PLAN = Plan(pool=128, oracle_samples=128)
STORE = Path("runs/demo.store")


@command("demo", "Killed at any moment, the same command goes on and pays for nothing twice.")
@options.problems(200, "Test problems; fewer than 100 fill fewer bins.")
@options.out("REPORT", "Where the page goes.", "report.html")
@options.option(
    "--store",
    type=reads.PATH,
    metavar="STORE",
    help="Where everything is kept.",
    usual="a new one in runs/",
)
@options.seed
@options.weights
@stopping(GOES_ON)
def demo(
    problems: int, out: Path, store: Path | None, seed: int, weights: Path | None, as_json: bool
) -> None:
    """Runs the paper's main job on the lab's models: samples, verifies, searches, estimates
    difficulty, fits the compute-optimal policy by two-fold cross-validation, compares it with
    best-of-N at equal cost, and writes the report. Takes about two minutes.
    """
    from outthink.policy import as_json as wire

    if problems < 2:
        raise UsageError(f"{problems} problem has no two halves; give at least 2, better 200")
    began = time.monotonic()
    outcome = _demo(f"lab:test?size={problems}&seed={seed}", out, store or STORE, seed, weights)
    seconds = time.monotonic() - began
    if as_json:
        return print_json({**wire.reported(outcome), "seconds": round(seconds, 1)})
    return _print(outcome, seconds)


def _demo(problems: str, out: Path, store: Path, seed: int, weights: Path | None) -> Reported:
    """Sweep, fit and report."""
    from outthink.report.store import report_sweep
    from outthink.study.models import Models
    from outthink.study.sweep import Sweep, make_place, swept

    make_place(out)
    asked = Sweep(problems, PLAN, Models(weights=weights), seed)
    with swept(asked, store) as opened:
        policy = opened.store.path.with_suffix(".policy.json")
        return report_sweep(opened, out, command=command_line(), policy=policy)


def _print(outcome: Reported, seconds: float) -> None:
    print_swept(outcome.accuracies)
    assert outcome.fitting is not None  # two problems, and what `PLAN` runs, are enough
    print_policy(outcome.fitting)
    print_notes(outcome.notes)
    path = outcome.fitting.path
    say(f"\nreport:  {outcome.page}     (open it in a browser)")
    say(f"policy:  {path}")
    say(f"store:   {outcome.accuracies.store}     {seconds:.0f} s in all")
    say(f"next:    outthink solve '40713 *7 *13' --policy {path} --budget 16")
