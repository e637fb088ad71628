"""`outthink overthinking`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from outthink.measure.intervals import Interval
    from outthink.measure.lengths import Halves
    from outthink.study.overthinking import Along, Guard, Overthinking, Recipe


@command(
    "overthinking",
    """See docs/overthinking.md for what each figure is.

\b
  outthink sweep problems.jsonl -o my.store --strategies majority --chains 16
  outthink overthinking my.store""",
)
@options.store("What 'outthink sweep' or 'outthink import' made.")
@options.count("--k", 1, "How many of those who finish first or last vote.")
def overthinking(store: Path, k: int, as_json: bool) -> None:
    """Whether longer solutions are better, and how much of what was written was needed."""
    from outthink.study import overthinking as study
    from outthink.study.sweep import reopened

    with reopened(store) as opened:
        outcome = study.overthinking(opened.study, k=k)
        notes = opened.notes
    if as_json:
        return print_json(asdict(outcome))
    for note in notes:
        say(note)
    return _print(outcome)


def _print(outcome: Overthinking) -> None:
    print(f"{outcome.problems} problems, {outcome.samples} samples each\n")
    halves = {"all samples": outcome.all, "those with an answer": outcome.answered}
    rows = [_halves(name, one) for name, one in halves.items() if one is not None]
    if rows:
        print_table(("", "shorter half", "longer half", "longer - shorter", "tokens", ""), rows)
    if outcome.recipes:
        names = [one.level for one in outcome.recipes[0].levels]
        columns = ("strategy", "N", "accuracy", "over the vote", *names)
        print_table(columns, [_recipe(one) for one in outcome.recipes])
    if outcome.guard is not None:
        print(_guard("Samples one by one, stopped", outcome.guard, "the vote of all"))
    if outcome.along:
        shown = ("chain", "outcome efficiency", "process efficiency", "right at once of solved")
        print_table(shown, [_along(one) for one in outcome.along])
        for one in outcome.along:
            name = f"Chains of {one.length}, stopped"
            print(_guard(name, one.guard, "the last answer"))


def _halves(name: str, halves: Halves) -> tuple[str, ...]:
    return (
        name,
        _share(halves.short),
        _share(halves.long),
        _change(halves.difference),
        f"{halves.short_tokens:.0f}",
        f"{halves.long_tokens:.0f}",
    )


def _recipe(recipe: Recipe) -> tuple[str | int, ...]:
    return (
        recipe.strategy,
        recipe.budget,
        _share(recipe.accuracy),
        _change(recipe.over_vote),
        *(f"{100 * one.accuracy.mean:.1f} ({one.accuracy.problems})" for one in recipe.levels),
    )


def _along(along: Along) -> tuple[str | int, ...]:
    at_once = "-" if along.right_at_once is None else f"{along.right_at_once:.1%}"
    return (
        along.length,
        _share(along.outcome_efficiency),
        _share(along.process_efficiency),
        at_once,
    )


def _guard(name: str, guard: Guard, against: str) -> str:
    return (
        f"{name} at the first answer that is given twice: {guard.solutions:.1f} of {guard.of} "
        f"solutions, {guard.tokens:.0%} of the tokens, {_share(guard.accuracy)} % right, "
        f"{_change(guard.difference)} points over {against}"
    )


def _share(value: Interval) -> str:
    return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _change(value: Interval) -> str:
    return f"{100 * value.mean:+.1f} [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"
