"""`outthink bench fleet`."""

from __future__ import annotations

from typing import Any

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table


# The defaults are those of `bench.fleet.Load`, whose module takes long to import.
@command("fleet", "\b\n  outthink bench fleet\n  outthink bench fleet --servers 5 --slower 10")
@options.count("--servers", 3, "Servers, the last of which is slow.")
@options.count("--slots", 16, "Requests that a server runs at once.")
@options.option(
    "--seconds", type=reads.ABOVE_0, default=1.0, metavar="X", help="Seconds that an answer takes."
)
@options.option(
    "--slower",
    type=reads.ABOVE_0,
    default=4.0,
    metavar="X",
    help="Times that an answer of the slow server takes.",
)
@options.problems(120)
@options.count("--at-once", 48, "Problems that are searched at one time.")
@options.count("--rounds", 5, "Rounds of requests of a problem.")
@options.count("--width", 4, "Requests of a round.")
@options.option(
    "--killed-at",
    type=reads.SHARE,
    default=0.33,
    metavar="X",
    help="The share of the requests after which a quick server is killed.",
)
def fleet(as_json: bool, **load: Any) -> None:
    """Measures several servers of one model, when one is slow and one is killed under way.
    Throughput is requests answered over those that the servers alive could have answered; affinity
    is prompt tokens found in a cache over those that a single server would have found. The servers
    are stand-ins that wait and compute nothing.
    """
    from outthink.bench.fleet import Load, fleet

    outcome = fleet(Load(**load))
    if as_json:
        return print_json(outcome)
    return print_table(("figure", "value"), _figures(outcome))


def _figures(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    killed = outcome["killed_after_s"]
    return [
        ("requests answered", str(outcome["requests"])),
        ("seconds", f"{outcome['elapsed_s']:.1f}"),
        ("a server was killed after, s", "never" if killed is None else f"{killed:.1f}"),
        ("answered / possible to the servers alive", f"{outcome['throughput_share']:.3f}"),
        ("tokens in a cache / those of one server", f"{outcome['affinity']:.3f}"),
    ]
