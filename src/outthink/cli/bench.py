"""`outthink bench strategies | engine | served | fleet | gateway | grader`."""

from __future__ import annotations

from outthink.cli.commands import Commands

BENCH = Commands(
    "bench",
    {
        "strategies": ("bench_strategies:strategies", "compare the strategies"),
        "engine": ("bench_engine:engine", "speed and memory of the engines"),
        "served": ("bench_served:served", "how much of a server's speed is used"),
        "fleet": ("bench_fleet:fleet", "what is had of several servers"),
        "gateway": ("bench_gateway:gateway", "what the gateway adds, and bears"),
        "grader": ("bench_grader:grader", "agreement with published verdicts"),
    },
    help="Measure strategies, and the speed of the engines.",
)
