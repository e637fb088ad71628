"""`outthink bench strategies | engine | store | served | fleet | gateway | grader`."""

from __future__ import annotations

from outthink.cli.commands import Commands

BENCH = Commands(
    "bench",
    {
        "strategies": ("bench_strategies:strategies", "compare the strategies"),
        "engine": ("bench_engine:engine", "speed and memory of the engines"),
        "store": ("bench_store:store", "a store of many solutions, written and read"),
        "served": ("bench_served:served", "how much of a server's speed is used"),
        "fleet": ("bench_fleet:fleet", "several servers, one slow and one killed"),
        "gateway": ("bench_gateway:gateway", "latency of the gateway, and many clients"),
        "grader": ("bench_grader:grader", "agreement with published verdicts"),
    },
    help="Measure strategies, and the speed of the engines.",
)
