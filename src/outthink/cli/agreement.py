"""`outthink agreement`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table

if TYPE_CHECKING:
    from outthink.measure.intervals import Interval


@command(
    "agreement",
    """Judges are named as the grader of open tasks is:

\b
  outthink sweep 'tasks.jsonl?grader=judge(rubric=r.toml,model=http://A:8000)' -o s.store ...
  outthink agreement s.store 'judge(rubric=r.toml,model=http://A:8000)' \\
    'judge(rubric=r.toml,model=http://B:8000)'""",
)
@options.store()
@options.argument("judges", "JUDGE", "The judge, and a second one.", nargs=-1)
@options.count("--answers", 2, "Different answers of each problem that are judged.")
@options.seed
def agreement(store: Path, judges: tuple[str, ...], answers: int, seed: int, as_json: bool) -> None:
    """Holds the judge of open tasks against a second one, and tells its bias to a place."""
    from outthink.study.agreement import agreement as measured
    from outthink.study.sweep import reopened

    with reopened(store) as opened:
        outcome = measured(opened, judges, answers=answers, seed=seed)
    if as_json:
        return print_json(asdict(outcome))
    rows = [
        ("Cohen's kappa of verdicts", _told(outcome.kappa), outcome.answers),
        ("Spearman of scores", _told(outcome.spearman), outcome.answers),
        ("same opinion in both orders", _told(outcome.consistent), outcome.pairs),
        ("prefers what is shown first", _told(outcome.first_place), outcome.pairs),
    ]
    print_table(("of the first judge", "95 % interval", "answers or pairs"), rows)
    for name, unread, cost in zip(outcome.judges, outcome.unread, outcome.cost, strict=True):
        print(
            f"\n{name}\n  no readable marks of {unread} answers; {cost.verdicts} verdicts took "
            f"{cost.tokens} tokens, {cost.written_tokens} of them written"
        )


def _told(value: Interval | None) -> str:
    return "-" if value is None else f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"
