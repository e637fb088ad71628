"""`outthink sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import named, options, reads
from outthink.cli.cluster import Cluster, on_ray
from outthink.cli.commands import command, stopping
from outthink.cli.output import print_json, print_notes, say
from outthink.cli.results import print_promises, print_swept
from outthink.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from outthink.cli.named import NamedModels, Planned
    from outthink.policy.promise import Promises
    from outthink.study.forecast import Forecast
    from outthink.study.results import Accuracies
    from outthink.study.sweep import OpenStudy, Sweep, Watch


def _price(name: str, what: str) -> options.Decorator:
    help = f"Money for a million tokens that are {what}."
    return options.option(name, type=reads.PRICE, metavar="X", help=help)


@command(
    "sweep",
    f"""{named.BY_DEFAULT}Killed at any moment, the same command goes on and pays for nothing
twice.

\b
  outthink sweep 'lab:test?size=200&seed=1' -o test.store
  outthink sweep problems.jsonl -o mine.store --strategies 'best_of_n,beam(width=8)'
  outthink sweep problems.jsonl -o mine.store --model http://a:8000,http://b:8000 --ray""",
)
@options.argument(
    "problems",
    "PROBLEMS",
    "lab:STREAM?size=200&seed=0, where STREAM is test, calibration or train; for served models "
    "also a table of questions and answers (.jsonl, .json, .csv, .tsv, .parquet), such as GSM8K, "
    "MATH, HumanEval or MBPP, or reasoning-gym:GENERATOR?size=200&seed=0. FILE?grader=NAME names "
    "another grader than the one that fits.",
)
@options.option(
    *("-o", "--store"),
    type=reads.PATH,
    metavar="STORE",
    help="Where everything is kept; made where it is missing, gone on with where not.",
    usual="named after the problems, as gsm8k.store",
)
@named.models()
@named.plan()
@options.seed
@on_ray
@options.flag(
    "--dry-run",
    "Print how many generations, tokens, seconds, bytes and how much money it will take, as far as "
    "that is known, and spend nothing.",
)
@options.flag("--yes", "Run it even where it takes more than a day, or more than the disk holds.")
@_price("--price-in", "read")
@_price("--price-out", "written")
@stopping()
def sweep(
    problems: str,
    store: Path | None,
    models: NamedModels,
    planned: Planned,
    seed: int,
    cluster: Cluster,
    dry_run: bool,
    yes: bool,
    price_in: float | None,
    price_out: float | None,
    as_json: bool,
) -> None:
    """Runs strategies at budgets over problems, into a store."""
    from outthink.data.source import called
    from outthink.policy import as_json as wire
    from outthink.policy.promise import promises
    from outthink.study.ahead import Pace, ahead
    from outthink.study.forecast import Prices
    from outthink.study.results import measured
    from outthink.study.sweep import Sweep

    engines = models.models(problems=problems)
    asked = Sweep(problems, planned.plan(engines), engines, seed)
    store = store or Path(f"{called(problems)}.store")
    cluster.check()
    forecast = ahead(asked, store, Prices(price_in, price_out))
    if dry_run and as_json:
        return print_json(wire.forecast(forecast))
    if dry_run:
        return print("\n".join([*forecast.sentences(), *forecast.objections()]))
    _object_to(forecast, yes)  # before models are loaded and servers asked
    pace = Pace(forecast, lambda known: _consider(known, yes))
    with _swept(asked, store, pace, cluster) as opened:
        outcome = measured(opened)
        held = promises(opened.study)
    if as_json:
        return print_json({**wire.sweep(outcome), **wire.promises(held.kept)})
    return _print(outcome, held, store)


def _swept(
    asked: Sweep, store: Path, pace: Watch, cluster: Cluster
) -> AbstractContextManager[OpenStudy]:
    """Here, or by workers."""
    from outthink.study.shards import gather, swept_in_shards
    from outthink.study.sweep import swept

    start = cluster.start
    if start is None:
        gather(store)  # what workers left when they were stopped
        return swept(asked, store, pace)
    return swept_in_shards(asked, store, start, pace, shards=cluster.shards)


def _object_to(forecast: Forecast, meant: bool) -> None:
    """Ask for a word where it takes very much."""
    if (objections := forecast.objections()) and not meant:
        raise UsageError(
            f"of {forecast.generations_left:,} generations {' and '.join(objections)}: give "
            "--yes if that is meant, or smaller --budgets, a smaller --pool or fewer problems"
        )


def _consider(forecast: Forecast, meant: bool) -> None:
    """Say what it will take, and object."""
    if forecast.generations_left:
        say("; ".join(forecast.sentences()))
    _object_to(forecast, meant)


def _print(outcome: Accuracies, held: Promises, store: Path) -> None:
    from outthink.study.grading import in_words

    print_swept(outcome)
    print_promises(held.kept)
    judged = () if outcome.graded_for is None else (in_words(outcome.graded_for),)
    print_notes((*held.notes, *judged))
    if missing := outcome.problems - outcome.graded:
        say(f"{missing} of {outcome.problems} problems have no reference and are not in here")
    say(f"\nnext: outthink fit {store} -o policy.json")
