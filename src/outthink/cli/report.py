"""`outthink report`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command, command_line
from outthink.cli.output import print_json, print_notes, say
from outthink.cli.results import print_policy, print_promises, print_swept


@command("report", "\b\n  outthink report mine.store -o mine.html")
@options.store()
@options.verifier
@options.jobs
@options.out("REPORT", "Where the page goes.", "report.html")
def report(store: Path, verifier: str | None, jobs: int | None, out: Path, as_json: bool) -> None:
    """Writes the report of a store as one page that needs nothing else. It shows what there is,
    also of a sweep that is not finished or failed in part, and says what is missing.
    """
    from outthink.models.cores import cores
    from outthink.policy import as_json as wire
    from outthink.report.store import report_store

    outcome = report_store(
        store, out, command=command_line(), verifier=verifier, jobs=jobs or cores()
    )
    if as_json:
        return print_json(wire.reported(outcome))
    print_swept(outcome.accuracies)
    if outcome.fitting is not None:
        print_policy(outcome.fitting)
    print_promises(outcome.kept)
    print_notes(outcome.notes)
    return say(f"\nreport: {out}")
