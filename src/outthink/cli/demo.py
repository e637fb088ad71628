"""`outthink demo`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options, reads
from outthink.cli.commands import GOES_ON, command, command_line, stopping
from outthink.cli.output import print_json, print_notes, say
from outthink.cli.results import print_sequential, print_swept
from outthink.errors import UsageError
from outthink.study.plan import Plan

if TYPE_CHECKING:
    from outthink.policy.results import Reported

PLAN = Plan(
    (
        *("greedy", "majority", "best_of_n(answer=max)", "best_of_n", "beam"),
        # Both ways to choose, so that the policy is compared with the better one.
        *("revise(sequential=8)", "revise(sequential=8,answer=max)"),
    ),
    (1, 4, 8, 16),
    pool=128,
    chains=16,
    oracle_samples=0,
    predicted_samples=4,
    stages=("beam(width=2)@2", "beam@4", "greedy(scored=yes)@1", "revise(sequential=8)@8"),
    trials=4,
)
PROBLEMS = 300
STORE = Path("runs/demo.store")
REAL = Path("runs/real.store")


@command("demo", "Killed at any moment, the same command goes on and pays for nothing twice.")
@options.flag(
    "--real",
    "A real model's study in its place: samples that ship, read again in seconds; no model is "
    "asked.",
)
@options.count("--problems", None, "Test problems.", usual=PROBLEMS, metavar="P")
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
    real: bool,
    problems: int | None,
    out: Path,
    store: Path | None,
    seed: int,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Runs the main job on the lab's models: samples, verifies, searches and revises, fits the
    sequential policy by two-fold cross-fitting, compares it with every fixed strategy with
    everything charged, and writes the report. Takes about three minutes.
    """
    from outthink.policy import as_json as wire

    if real and (problems is not None or weights is not None or seed):
        raise UsageError("--real reads what ships: leave out --problems, --seed and --weights")
    count = PROBLEMS if problems is None else problems
    if count < 2:
        raise UsageError(f"{count} problem has no two halves; give at least 2, better {PROBLEMS}")
    began = time.monotonic()
    outcome = (
        _real(out, store or REAL)
        if real
        else _demo(f"lab:test?size={count}&seed={seed}", out, store or STORE, seed, weights)
    )
    seconds = time.monotonic() - began
    if as_json:
        return print_json({**wire.reported(outcome), "seconds": round(seconds, 1)})
    _print(outcome, seconds)
    policy = None if outcome.sequential is None else outcome.sequential.path
    if real:
        return say("next:    outthink sweep, on a model of your own: see docs/real.md")
    if policy is not None:
        say(f"next:    outthink solve '40713 *7 *13' --policy {policy} --average 8")
    return None


def _real(out: Path, store: Path) -> Reported:
    """Report what ships."""
    from outthink.models.cores import cores
    from outthink.report.store import report_store
    from outthink.study.shipped import unpack

    unpack(store)
    policy = store.with_suffix(".policy.json")
    return report_store(store, out, command=command_line(), policy=policy, jobs=cores())


def _demo(problems: str, out: Path, store: Path, seed: int, weights: Path | None) -> Reported:
    """Sweep, fit and report."""
    from outthink.models.cores import cores
    from outthink.report.store import report_sweep
    from outthink.study.models import Models
    from outthink.study.sweep import Sweep, make_place, swept

    make_place(out)
    asked = Sweep(problems, PLAN, Models(weights=weights), seed)
    with swept(asked, store) as opened:
        policy = opened.store.path.with_suffix(".policy.json")
        return report_sweep(opened, out, command=command_line(), policy=policy, jobs=cores())


def _print(outcome: Reported, seconds: float) -> None:
    print_swept(outcome.accuracies)
    if outcome.sequential is not None:
        print_sequential(outcome.sequential)
    print_notes(outcome.notes)
    path = None if outcome.sequential is None else outcome.sequential.path
    say(f"\nreport:  {outcome.page}     (open it in a browser)")
    if path is not None:
        say(f"policy:  {path}")
    say(f"store:   {outcome.accuracies.store}     {seconds:.0f} s in all")
