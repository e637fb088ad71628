"""`outthink bench served`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from outthink import whole
from outthink.cli import options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, print_table


def _step_end(text: str) -> str:
    """With \\n for the end of a line: a shell makes it hard to give one."""
    if not text:
        raise ValueError("nothing ends no step; give some text")
    return text.replace("\\n", "\n")


# The defaults are those of `bench.served.Load`, whose module takes long to import.
@command(
    "served",
    """Wants a server that does nothing else, and that has not seen these problems yet.

\b
  outthink bench served http://localhost:8000
  outthink bench served http://localhost:8000 --problems gsm8k.jsonl --budget 64""",
)
@options.argument("url", "URL", "Its address, with #MODEL where it has several.")
@options.option(
    "--problems",
    default="reasoning-gym:gsm_symbolic?size=50&seed=1",
    metavar="PROBLEMS",
    help="As for 'outthink sweep'.",
)
@options.option(
    "--beam",
    type=reads.STRATEGY,
    default="beam",
    metavar="A",
    help="The search by steps, such as 'beam(width=2)'.",
)
@options.count("--budget", 4, "Generations a problem.")
@options.count("--repeats", 5, "Pairs of a run through the driver and a bare one.")
@options.count("--concurrency", 32, "Requests in flight.")
@options.count("--most-tokens", 256, "Tokens of one solution.")
@options.option(
    "--step-end",
    type=reads.Read("text", _step_end),
    default="\n\n",
    metavar="TEXT",
    help="What a step of a beam search ends with, as in '\\n'.",
    usual="an empty line",
)
@options.option(*("-o", "--out"), type=reads.PATH, metavar="FILE", help="Write the JSON here too.")
@options.seed
def served(url: str, out: Path | None, as_json: bool, **load: Any) -> None:
    """Measures how much of a model server's speed searches get: tokens a second of best-of-N
    through the driver and of a bare client that sends the same requests, turn by turn; beam search
    of all problems at once and of one after the other; and the share of prompts that the server had
    in its prefix cache, by its own metrics. Works with whatever server 'outthink doctor' says runs
    every search. Scores are made up, tokens are not.
    """
    from outthink.bench.served import Load, served
    from outthink.study.sweep import make_place

    if out:
        make_place(out)
    outcome = served(url, Load(**load))
    if out:
        with whole.saved(out) as part:
            part.write_text(json.dumps(outcome, indent=1, allow_nan=False) + "\n", "utf-8")
    return print_json(outcome) if as_json else _print(outcome, load)


def _print(outcome: dict[str, Any], load: dict[str, Any]) -> None:
    print(
        f"{outcome['server']}, {outcome['model']}; {outcome['count']} problems, "
        f"{load['budget']} generations each, {load['concurrency']} requests in flight\n"
    )
    print_table(("run", "seconds", "requests", "tokens", "tokens/s"), _runs(outcome))
    print()
    print_table(("figure", "value"), _figures(outcome))


def _runs(outcome: dict[str, Any]) -> list[tuple[Any, ...]]:
    beam = outcome["beam_search"]
    runs = {
        f"best-of-N, {name}, {number}": pair[name]
        for number, pair in enumerate(outcome["best_of_n"]["pairs"], 1)
        for name in ("driver", "bare")
    }
    runs |= {"beam, all at once": beam["together"], "beam, one by one": beam["one_by_one"]}
    return [
        (
            name,
            f"{run['seconds']:.1f}",
            run["requests"],
            run["decoded_tokens"],
            f"{run['decoded_tokens_per_second']:.1f}",
        )
        for name, run in runs.items()
    ]


def _figures(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    pairs, beam = outcome["best_of_n"], outcome["beam_search"]
    share = beam["prefix_cache_hit_share"]
    return [
        (
            "driver / bare client, best-of-N, tokens a second: median [lowest, highest]",
            f"{pairs['driver_over_bare']:.3f} [{pairs['low']:.3f}, {pairs['high']:.3f}]",
        ),
        ("beam, all at once: times faster than one by one", f"{beam['times_faster']:.2f}"),
        (
            "beam, all at once: share of prompts in the prefix cache",
            "not told" if share is None else f"{share:.3f}",
        ),
    ]
