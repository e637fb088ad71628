"""`outthink serve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from outthink.cli import named, options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, say

if TYPE_CHECKING:
    from outthink.cli.named import NamedModels
    from outthink.gateway.gateway import Gateway
    from outthink.gateway.settings import Settings
    from outthink.study.models import Models

HOST, PORT = "127.0.0.1", 8080


@command(
    "serve",
    """\b
  outthink serve
  outthink serve --model http://localhost:8000 --policy policy.json --port 8080
  outthink key alice -o keys.json
  outthink serve --host 0.0.0.0 --keys keys.json --policy policy.json --store requests.store

Then any client of OpenAI, with http://localhost:8080/v1 as its base URL and 'auto' as its model.
SIGHUP reads policy and keys again; SIGTERM finishes the answers under way. See docs/gateway.md.""",
)
@options.option(
    "--policy",
    type=reads.PATH,
    metavar="POLICY",
    help="What 'outthink fit' made; it is what the model 'auto' means.",
    usual="for the lab's models one that is shipped, for others none",
)
@options.option(
    "--strategy",
    type=reads.STRATEGY,
    metavar="A",
    help="What 'auto' means without a policy.",
    usual="best_of_n, or majority without a verifier",
)
@options.count("--budget", 8, "Of that strategy, in generations.")
@options.option(
    "--average",
    type=reads.ABOVE_0,
    metavar="X",
    help="What the policy is to spend on average, where a request says nothing.",
)
@options.option("--price", type=reads.ABOVE_0, metavar="X", help="Or its price.", usual="medium")
@options.option("--most", type=reads.ABOVE_0, metavar="X", help="The most one answer may cost.")
@options.option(
    "--effort",
    "efforts",
    multiple=True,
    metavar="WORD=PRICE",
    help="The price that a word of reasoning_effort stands for, as low=0.01; may be repeated.",
    usual="members of the policy, from the cheapest (minimal) to the dearest (high)",
)
@options.option(
    "--grader",
    metavar="NAME",
    help="Finds answers: number, math, choice, code, exact, text, json or reasoning-gym.",
    usual="the policy's; without one text, for which an answer is all that a model wrote",
)
@options.option("--host", default=HOST, metavar="HOST", help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    metavar="N",
    help=f"0 takes a free one. (default: {PORT})",
)
@options.option(
    "--keys",
    type=reads.PATH,
    metavar="FILE",
    help="Who may ask, as 'outthink key' makes it; needed where others reach the host.",
)
@options.option(
    "--spent",
    type=reads.PATH,
    metavar="FILE",
    help="Keeps what users with limits have spent.",
    usual="beside the keys",
)
@options.option(
    "--store", type=reads.PATH, metavar="STORE", help="Keeps all that is drawn.", usual="nowhere"
)
@options.count("--at-once", 64, "Requests that are answered at a time.")
@options.count("--waiting", 256, "Requests that may wait; others are told to come again (429).")
@options.count("--most-budget", 256, "Generations that a request may ask a strategy for.")
@options.count("--most-answers", 16, "Answers that a request may ask for (n).")
@options.count("--most-calls", 16384, "Rows that models may write for a request.")
@options.option(
    "--grace",
    type=reads.ABOVE_0,
    metavar="S",
    default=60.0,
    help="Seconds that answers under way have once it is told to stop.",
)
@options.option(
    "--ignore",
    multiple=True,
    metavar="NAME",
    help="A parameter to leave out in place of refusing it, as temperature; may be repeated.",
)
@options.flag("--log-requests", "Log a line for each request, without any text of it.")
@options.seed
@named.models("the policy's, or lab:s, or local where torch is not installed")
def serve(
    policy: Path | None,
    strategy: str | None,
    budget: int,
    average: float | None,
    price: float | None,
    most: float | None,
    efforts: tuple[str, ...],
    grader: str | None,
    host: str,
    port: int,
    keys: Path | None,
    spent: Path | None,
    store: Path | None,
    at_once: int,
    waiting: int,
    most_budget: int,
    most_answers: int,
    most_calls: int,
    grace: float,
    ignore: tuple[str, ...],
    log_requests: bool,
    seed: int,
    models: NamedModels,
    as_json: bool,
) -> None:
    """Serves answers as a policy has them, behind OpenAI's API, with a page that shows them being
    thought about."""
    from outthink.gateway.serve import log_to_stderr
    from outthink.gateway.serve import serve as run
    from outthink.gateway.settings import Limits, Settings, prices
    from outthink.policy.family import Dial

    known, followed = _models(models, policy, strategy)
    late = known.asking.deadline_s
    limits = Limits(
        at_once,
        waiting,
        most_budget,
        most_answers,
        most_calls,
        deadline_s=late or Limits().deadline_s,
        grace_s=grace,
    )
    settings = Settings(
        known,
        followed,
        strategy,
        budget,
        Dial(price, average, most),
        prices(efforts),
        grader,
        seed,
        store,
        keys,
        spent,
        frozenset(ignore),
        limits,
    )
    log_to_stderr(requests=log_requests)

    def started(url: str, opened: Gateway) -> None:
        if as_json:
            print_json({"url": url, "model": opened.solver.name, "policy": str(followed or "")})
            sys.stdout.flush()  # whoever reads it waits for it
        _say(url, opened, settings)

    run(settings, host, port, started)


def _models(
    models: NamedModels, policy: Path | None, strategy: str | None
) -> tuple[Models, Path | None]:
    """The models to serve, and the policy that goes with them."""
    from outthink.gateway.shipped import shipped, usual
    from outthink.policy.file import load

    kept = usual() if policy is None else load(policy).provenance.spec
    known = models.models(kept)
    if policy is None and strategy is None:
        policy = shipped(known)
    return known, policy


def _say(url: str, opened: Gateway, settings: Settings) -> None:
    solver = opened.solver
    auto = f"{solver.strategy} at {settings.budget}"
    if solver.policy is not None:
        stages = ", ".join(stage.name for stage in solver.policy.menu[:4])
        auto = f"a sequential policy of {len(solver.policy.menu)} stages ({stages}, ...)"
    say(f"serving:  {solver.name} at {url}/v1")
    say(f"auto:     {auto}")
    say(f"page:     {url}/")
    say(f"keys:     {'needed' if opened.keys else 'none needed, on this machine'}")
