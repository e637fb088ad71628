"""`outthink exchange`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table, say


@command(
    "exchange",
    """R is tokens written in the model's life over tokens it was pretrained on.

\b
  outthink sweep 'lab:test?size=500' -o small.store
  outthink sweep 'lab:test?size=500' -o large.store --model lab:l --verifier none \\
    --strategies greedy --budgets 1 --oracle-samples 0
  outthink exchange small.store large.store --ratios 0.16,0.79,22""",
)
@options.argument("small", "SMALL", "A store of the smaller model.", type=reads.PATH)
@options.argument(
    "large", "LARGE", "A store of the larger one, with greedy in it.", type=reads.PATH
)
@options.option(
    "--ratios",
    type=reads.RATIOS,
    default="0.16,0.79,22",
    metavar="R,R",
    help="R to compare at.",
    usual="the paper's, 0.16,0.79,22",
)
@options.option(
    "--size-ratio",
    type=reads.ABOVE_0,
    metavar="M",
    help="The larger model's parameters over the smaller one's.",
    usual="as the stores say",
)
@options.option(
    "--accounting",
    type=click.Choice(("v1", "iclr", "charged")),
    default="charged",
    help="Who pays for the verifier: nobody, both, or who uses it.",
)
@options.option(
    "--strategy",
    type=reads.STRATEGY,
    metavar="A",
    help="What the smaller model does.",
    usual="the policy fitted on its store",
)
def exchange(
    small: Path,
    large: Path,
    ratios: tuple[float, ...],
    size_ratio: float | None,
    accounting: str,
    strategy: str | None,
    as_json: bool,
) -> None:
    """Answers one question about two measured models: with this much use ahead, buy the larger one,
    or let the smaller one think longer? Both at equal FLOPs, pretraining included; the larger one
    answers once, greedily.
    """
    from outthink.measure.exchange import CHARGED, ICLR, V1
    from outthink.policy.exchange import exchange

    compared = exchange(
        small,
        large,
        token_ratios=ratios,
        size_ratio=size_ratio,
        accounting={rule.name: rule for rule in (V1, ICLR, CHARGED)}[accounting],
        strategy=strategy,
    )
    return print_json(compared) if as_json else _print(compared)


def _print(compared: dict[str, Any]) -> None:
    print(
        f"{compared['problems']} problems; {compared['small']}, {compared['strategy']}, against "
        f"{compared['large']}, greedy, {compared['size_ratio']:.1f} times as large\n"
    )
    print_table(
        ("problems", "R", "budget", "small", "large", "difference", "better buy"),
        map(_comparison, compared["comparisons"]),
    )
    print()
    print_table(
        ("problems", "k*", "small is better", "95 % interval"),
        map(_crossover, compared["crossovers"]),
    )
    for note in dict.fromkeys(row["note"] for row in compared["comparisons"] if row["note"]):
        say(note)


def _comparison(row: dict[str, Any]) -> tuple[str, ...]:
    unknown = row["difference"] is None
    return (
        _which(row),
        f"{row['R']:g}",
        "-" if row["budget"] is None else str(row["budget"]),
        "-" if row["small"] is None else f"{row['small']:.1%}",
        f"{row['large']:.1%}",
        "-" if unknown else f"{row['difference']:+.1%} [{row['low']:+.1%}, {row['high']:+.1%}]",
        _better(row),
    )


def _crossover(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        _which(row),
        "-" if row["k_star"] is None else f"{row['k_star']:.1f}",
        _until(row),
        f"{_until(row['low'])} to {_until(row['high'])}",
    )


def _which(row: dict[str, Any]) -> str:
    return "all" if row["bin"] is None else f"bin {row['bin']}"


def _better(row: dict[str, Any]) -> str:
    if row["difference"] is None or row["low"] <= 0 <= row["high"]:
        return "undecided" if row["budget"] is not None else "large"
    return "small" if row["low"] > 0 else "large"


def _until(row: dict[str, Any]) -> str:
    ratio = row["R_star"]
    return str(row["verdict"]) if ratio is None else f"R < {ratio:.3g}"
