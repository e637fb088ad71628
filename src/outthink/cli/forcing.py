"""`outthink forcing`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from outthink.study.forcing import Forcing

_MANY = 1000


@command(
    "forcing",
    """Control is the share of thoughts within their limit, scaling what 1000 more thinking tokens
add to accuracy, performance the best accuracy (Muennighoff et al. 2025, section 3.2).

\b
  outthink sweep problems.jsonl -o s1.store --model http://localhost:8000 --budgets 1 \\
    --strategies 'budget_forcing(thinking=256),budget_forcing(thinking=1024,waits=2)'
  outthink forcing s1.store""",
)
@options.store()
def forcing(store: Path, as_json: bool) -> None:
    """What longer thoughts of a reasoning model are worth, of a sweep with budget forcing."""
    from outthink.study.forcing import forced
    from outthink.study.sweep import reopened

    with reopened(store) as opened:
        outcome = forced(opened)
        notes = opened.notes
    if as_json:
        return print_json({"budgets": [asdict(one) for one in outcome]})
    for note in notes:
        say(note)
    for one in outcome:
        _print(one)


def _print(outcome: Forcing) -> None:
    head = ("strategy", "N", "thinking tokens", "control", "accuracy", "interval")
    print_table(
        head,
        [
            (
                one.strategy,
                one.budget,
                f"{one.thinking_tokens:.0f}",
                f"{one.control:.0%}",
                f"{one.accuracy.mean:.1%}",
                f"{one.accuracy.low:.1%} to {one.accuracy.high:.1%}",
            )
            for one in outcome.settings
        ],
    )
    slope = "unknown, as all thoughts are of one length"
    if outcome.scaling is not None:
        slope = f"{outcome.scaling * _MANY:+.1%} a thousand thinking tokens"
    print(
        f"control {outcome.control:.0%}, scaling {slope}, performance {outcome.performance:.1%}\n"
    )
