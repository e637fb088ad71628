"""`outthink bench gateway`."""

from __future__ import annotations

from typing import Any

from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table


# The defaults are those of `bench.gateway.Load`, whose module takes long to import.
@command(
    "gateway",
    """Wants the machine to itself: clients, gateway and server share its cores.

\b
  outthink bench gateway
  outthink bench gateway --concurrency 1000 --for 120""",
)
@options.option(
    "--seconds",
    type=reads.ABOVE_0,
    default=0.5,
    metavar="S",
    help="Mean time that the server takes for an answer.",
)
@options.count("--concurrency", 64, "Clients, each with one request at a time.")
@options.count("--requests", 1000, "Requests of one round.")
@options.count("--rounds", 5, "Pairs of a round directly and one through the gateway.")
@options.option(
    "--for",
    "for_s",
    type=reads.ABOVE_0,
    metavar="S",
    help="In place of pairs, a crowd of two keys that asks for so many seconds.",
)
def gateway(for_s: float | None, as_json: bool, **load: Any) -> None:
    """Measures what the gateway adds to the model's own answer: requests a second and time of each
    request, directly and through it, in turns. With --for it is asked by a crowd: what became of
    every request, the shares of two keys, and its memory. The model's server is a stand-in that
    takes its time and computes nothing.
    """
    from outthink.bench.gateway import Load, crowd, pairs

    outcome = pairs(Load(**load)) if for_s is None else crowd(Load(**load), for_s)
    if as_json:
        return print_json(outcome)
    return print_table(("figure", "value"), _pairs(outcome) if for_s is None else _crowd(outcome))


def _pairs(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    def of(name: str, digits: int) -> str:
        low, middle, high = (outcome[name][key] for key in ("low", "median", "high"))
        return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    most = 1e3 / max(1e-9, outcome["gateway_processor_ms"]["median"])
    return [
        (
            "requests a second, gateway / direct: median [lowest, highest]",
            of("throughput_ratio", 3),
        ),
        ("added to a request, p50, ms", of("added_p50_ms", 2)),
        ("added to a request, p99, ms", of("added_p99_ms", 2)),
        ("processor time of the gateway a request, ms", of("gateway_processor_ms", 2)),
        ("so a core of its own can pass on, requests a second", f"{most:.0f}"),
    ]


def _crowd(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    memory = outcome["memory_bytes"]
    halves = [f"{value / 2**20:.1f}" for value in (memory or {}).values()]
    statuses = ", ".join(f"{status}: {n}" for status, n in sorted(outcome["statuses"].items()))
    return [
        ("answers by status", statuses),
        ("server errors", str(outcome["server_errors"])),
        ("requests without an answer of their own", str(outcome["lost"])),
        ("tokens of the two keys", ", ".join(map(str, outcome["tokens_by_key"].values()))),
        ("larger share / smaller", f"{outcome['largest_share_over_smallest']:.3f}"),
        ("an answer took, median and most, s", _seconds(outcome)),
        ("memory, first half, second half, most, MiB", ", ".join(halves) or "not told here"),
    ]


def _seconds(outcome: dict[str, Any]) -> str:
    return f"{outcome['latency_p50_s']:.2f}, {outcome['latency_most_s']:.2f}"
