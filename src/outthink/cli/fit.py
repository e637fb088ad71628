"""`outthink fit`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_notes, say
from outthink.cli.results import print_policy


@command("fit", "\b\n  outthink fit mine.store -o policy.json")
@options.store()
@options.verifier
@options.out("POLICY", "Where the policy goes, a JSON file.")
def fit(store: Path, verifier: str | None, out: Path, as_json: bool) -> None:
    """Fits the compute-optimal policy: which strategy at which difficulty and budget. Difficulty is
    predicted without labels; the accuracies are of two-fold cross-validation inside the bins. 100
    problems with references fill the five bins; of fewer there are fewer bins, and the intervals
    say how little that is. A sweep that is not finished is fitted on what there is.
    """
    from outthink.policy import as_json as wire
    from outthink.policy.store import fit_store

    outcome = fit_store(store, out, verifier)
    if as_json:
        return print_json(wire.fitting(outcome))
    print_policy(outcome)
    print_notes(outcome.notes)
    return say(f"\npolicy: {out}\nnext:   outthink solve PROBLEM --policy {out} --budget 16")
