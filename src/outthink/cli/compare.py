"""`outthink compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.options import option
from outthink.cli.output import number, points, print_json, print_table, say

if TYPE_CHECKING:
    from outthink.study.compare import Difference
    from outthink.study.verifiers import VerifierQuality


@command(
    "compare",
    """Differences are paired over problems, with 95 % intervals.

\b
  outthink sweep lab:test?size=100 -o s.store
  outthink sweep lab:test?size=100 -o s.store --verifier lab:orm
  outthink compare s.store""",
)
@options.store()
@option(
    "--against",
    metavar="STRATEGY",
    help="What the other strategies are held against.",
    usual="the first of the sweep",
)
def compare(store: Path, against: str | None, as_json: bool) -> None:
    """Strategies and verifiers of a store against one another, on the same problems."""
    from outthink.study.compare import compared
    from outthink.study.sweep import reopened

    with reopened(store) as opened:
        outcome = compared(opened, against)
        notes = opened.notes
    if as_json:
        return print_json({**asdict(outcome), "notes": list(notes)})
    for note in notes:
        say(note)
    if outcome.verifiers:
        print_qualities(outcome.verifiers)
    for what in (outcome.between_verifiers, outcome.between_strategies):
        _print_differences(what, outcome.problems)


def print_qualities(several: Sequence[VerifierQuality]) -> None:
    print("verifiers on the samples of the pool; calibration errors in %")
    heads = ("AUC within problems", "problems", "AUC over all", "calibration error", "held out")
    print_table(
        ("verifier", *heads, "tokens a solution"),
        [
            (
                one.verifier,
                number(one.auc, 3),
                one.auc_problems,
                number(one.auc_all, 3),
                number(None if one.error is None else 100 * one.error, 1),
                number(None if one.error_after is None else 100 * one.error_after, 1),
                number(one.tokens, 1),
            )
            for one in several
        ],
    )


def _print_differences(several: Sequence[Difference], problems: int) -> None:
    if not several:
        return
    print(f"\ndifferences in points, paired over {problems} problems at most")
    print_table(
        ("one", "less the other", "in", "difference", "problems"),
        [
            (
                one.one,
                one.other,
                one.what,
                points(one.value.mean, one.value.low, one.value.high),
                one.value.problems,
            )
            for one in several
        ],
    )
