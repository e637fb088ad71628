"""`outthink fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_notes, say
from outthink.cli.results import print_policy, print_sequential
from outthink.errors import UsageError

if TYPE_CHECKING:
    from outthink.policy.currency import Price

KINDS = ("sequential", "table")
CURRENCIES = ("generations", "tokens", "seconds", "flops", "money")


@command(
    "fit",
    """\b
  outthink fit mine.store -o policy.json
  outthink fit mine.store -o policy.json --currency flops
  outthink fit mine.store -o table.json --kind table""",
)
@options.store()
@options.option(
    "--kind",
    type=click.Choice(KINDS),
    help="sequential decides after every stage whether to answer or to go on, and with what; table "
    "is the paper's: a strategy for each difficulty and budget.",
    usual="sequential, and table where there are fewer than 20 problems",
)
@options.option(
    "--currency",
    type=click.Choice(CURRENCIES),
    default=CURRENCIES[0],
    help="What a sequential policy saves. A larger model is in its menu in all but generations.",
)
@options.option(
    "--prices",
    type=reads.PATH,
    metavar="FILE",
    help="For --currency money, a JSON file: by role (proposer, verifier, reviser, larger ...) the "
    'price of a million tokens, as {"proposer": {"read": 1, "cached": 0.1, "written": 4}}.',
)
@options.option(
    "--most",
    type=reads.ABOVE_0,
    metavar="X",
    help="What one problem may cost at most, in the currency.",
    usual="64 samples",
)
@options.verifier
@options.jobs
@options.out("POLICY", "Where the policy goes, a JSON file.")
def fit(
    store: Path,
    kind: str | None,
    currency: str,
    prices: Path | None,
    most: float | None,
    verifier: str | None,
    jobs: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Fits a policy on what a store holds; nothing is generated. Costs and accuracies are those of
    problems that the policy was not fitted on. A sweep that is not finished is fitted on what there
    is.
    """
    from outthink.models.cores import cores
    from outthink.policy.store import is_small

    if kind == "table" or (kind is None and is_small(store)):
        return _table(store, verifier, out, as_json)
    money = price_list(currency, prices)
    return _sequential(store, verifier, out, currency, money, most, jobs or cores(), as_json)


def _table(store: Path, verifier: str | None, out: Path, as_json: bool) -> None:
    from outthink.policy import as_json as wire
    from outthink.policy.store import fit_store

    outcome = fit_store(store, out, verifier)
    if as_json:
        return print_json(wire.fitting(outcome))
    print_policy(outcome)
    print_notes(outcome.notes)
    return say(f"\npolicy: {out}\nnext:   outthink solve PROBLEM --policy {out} --budget 16")


def _sequential(
    store: Path,
    verifier: str | None,
    out: Path,
    currency: str,
    prices: dict[str, Price] | None,
    most: float | None,
    jobs: int,
    as_json: bool,
) -> None:
    from outthink.policy import as_json as wire
    from outthink.policy.store import fit_sequential_store

    outcome = fit_sequential_store(
        store, out, verifier, name=currency, prices=prices, most=most, jobs=jobs
    )
    if as_json:
        return print_json(wire.sequential(outcome))
    print_sequential(outcome)
    print_notes(outcome.notes)
    average = outcome.family.members[0].cost.mean
    return say(
        f"\npolicy: {out}\nnext:   outthink solve PROBLEM --policy {out} --average {average:.3g}"
    )


def price_list(currency: str, path: Path | None) -> dict[str, Price] | None:
    """What a currency needs of a file. Raises `UsageError` for money without one."""
    if path is None:
        if currency == "money":
            raise UsageError("--currency money needs a price list; give it as --prices FILE")
        return None
    from outthink.policy.currency import read_prices

    return read_prices(path)
