"""`outthink exchange`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.fit import price_list
from outthink.cli.output import print_json, print_table, say
from outthink.errors import UsageError

if TYPE_CHECKING:
    from outthink.policy.cascade import Cascade


@command(
    "exchange",
    """R is tokens written in the model's life over tokens it was pretrained on.

\b
  outthink sweep 'lab:test?size=500' -o small.store
  outthink sweep 'lab:test?size=500' -o large.store --model lab:l --verifier none \\
    --strategies greedy --budgets 1 --oracle-samples 0
  outthink exchange small.store large.store --ratios 0.16,0.79,22
  outthink sweep 'lab:test?size=500' -o both.store --larger lab:l \\
    --strategies 'majority,best_of_n,best_of_n(answer=max)' --stages 'greedy(by=larger)@1'
  outthink exchange both.store --currency flops -o exchange.html""",
)
@options.argument("small", "SMALL", "A store of the smaller model.", type=reads.PATH)
@options.argument(
    "large",
    "[LARGE]",
    "A store of the larger one, with greedy in it. Left out where SMALL has stages that ask it: "
    "then each alone is compared with the cascade of both.",
    type=reads.PATH,
    required=False,
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
@options.option(
    "--currency",
    type=click.Choice(("tokens", "seconds", "flops", "money")),
    default="flops",
    help="What a cascade saves.",
)
@options.option(
    "--prices",
    type=reads.PATH,
    metavar="FILE",
    help="For --currency money, by role the price of a million tokens, as 'outthink fit' has it.",
)
@options.option(
    "--within",
    type=reads.SHARE,
    default=0.01,
    metavar="X",
    help="How far below the larger model's accuracy counts as good, of a cascade.",
)
@options.option(
    "-o", "--out", type=reads.PATH, metavar="PAGE", help="A page of the cascade, in HTML."
)
def exchange(
    small: Path,
    large: Path | None,
    ratios: tuple[float, ...],
    size_ratio: float | None,
    accounting: str,
    strategy: str | None,
    currency: str,
    prices: Path | None,
    within: float,
    out: Path | None,
    as_json: bool,
) -> None:
    """Answers one question about two measured models: with this much use ahead, buy the larger one,
    or let the smaller one think longer? Both at equal FLOPs, pretraining included; the larger one
    answers once, greedily. Of one store that has answers of both: when to ask which, and at which
    price each alone is the better buy; pretraining is not charged there.
    """
    if large is None:
        return _cascade(small, currency, prices, within, out, as_json)
    if out is not None:
        raise UsageError("a page is made of one store with answers of both models; leave out -o")
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


def _cascade(
    store: Path,
    currency: str,
    prices: Path | None,
    within: float,
    out: Path | None,
    as_json: bool,
) -> None:
    from outthink.policy import as_json as wire
    from outthink.policy.cascade import cascade
    from outthink.report.cascade import write

    listed = price_list(currency, prices)
    result = cascade(store, name=currency, prices=listed, within=within)
    if out is not None:
        write(result, out)
    return print_json(wire.cascade(result)) if as_json else _print_cascade(result, out)


def _print_cascade(result: Cascade, out: Path | None) -> None:
    from outthink.report.cascade import sentences, way_rows

    head, *told = sentences(result)
    print(head + "\n")
    print_table(*way_rows(result))
    print()
    for sentence in told:
        print(sentence)
    if out is not None:
        say(f"\npage: {out}")


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
