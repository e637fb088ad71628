"""`outthink solve`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import named, options, reads
from outthink.cli.commands import command
from outthink.cli.output import print_json, say
from outthink.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outthink.cli.named import NamedModels
    from outthink.policy.live import Decision
    from outthink.policy.results import Solved


@command(
    "solve",
    """A sequential policy thinks as long as it pays. A table spends a few samples on finding out
how hard the problem is, then as much as the budget says.

\b
  outthink solve '40713 *7 *13' --policy policy.json --average 8 --most 64
  outthink solve '40713 *7 *13' --strategy 'beam(width=8)' --budget 16
  outthink solve 'What is 3 + 4?' --model local --budget 4""",
)
@options.argument(
    "prompt", "PROBLEM", "Such as '40713 *7 *13'; with --model, whatever that model reads."
)
@options.option("--policy", type=reads.PATH, metavar="POLICY", help="What 'outthink fit' made.")
@options.option(
    "--strategy",
    type=reads.STRATEGY,
    metavar="A",
    help="Such as beam or debate; docs/searches.md has all.",
    usual="best_of_n",
)
@options.option(
    "--budget",
    type=reads.POSITIVE,
    metavar="N",
    help="Generations; a sequential policy takes it for the most that it may spend.",
    usual="16, without a sequential policy",
)
@options.option(
    "--average",
    type=reads.ABOVE_0,
    metavar="X",
    help="What a sequential policy is to spend on average, in its currency.",
)
@options.option(
    "--price",
    type=reads.ABOVE_0,
    metavar="X",
    help="By how much one unit of cost must raise the probability of a right answer, as 0.002.",
)
@options.option(
    "--most", type=reads.ABOVE_0, metavar="X", help="The most it may spend on this problem."
)
@options.option(
    "--grader",
    metavar="NAME",
    help="Finds a served model's answers and lets equal ones vote together: number, math, choice, "
    "code, exact or reasoning-gym.",
    usual="the one the policy was fitted with, without a policy number",
)
@options.seed
@named.models("the policy's, or lab:s")
def solve(
    prompt: str,
    policy: Path | None,
    strategy: str | None,
    budget: int | None,
    average: float | None,
    price: float | None,
    most: float | None,
    grader: str | None,
    seed: int,
    models: NamedModels,
    as_json: bool,
) -> None:
    """Solves one problem, by a policy or by a strategy."""
    from outthink.policy import as_json as wire
    from outthink.policy.family import Dial
    from outthink.policy.file import load
    from outthink.policy.solve import solve

    if policy is not None and strategy is not None:
        raise UsageError("--policy and --strategy both say how to think; give one")
    followed = None if policy is None else load(policy)
    solving = solve(
        prompt,
        policy=followed,
        strategy=strategy,
        budget=budget,
        seed=seed,
        models=models.models(None if followed is None else followed.provenance.spec),
        grader=grader,
        dial=Dial(price, average, most),
    )
    outcome = asyncio.run(solving)
    return print_json(wire.solved(outcome)) if as_json else _print(outcome)


def _print(outcome: Solved) -> None:
    usage = outcome.usage
    _print_decisions(outcome.decisions)
    say(outcome.how)
    say(
        f"{usage.generations} generations, {usage.decoded_tokens} tokens decoded, "
        f"{usage.verifier_tokens} read by the verifier"
    )
    if usage.critiques:
        say(f"{usage.critiques} critiques, {usage.critique_tokens} of the tokens decoded")
    say("")
    if outcome.thought:
        share = f"{outcome.thinking_share:.0%} of the solution is thought"
        say(f"{outcome.thought.strip()}\n\n{share}\n")
    text = outcome.text.strip("\n")
    print(f"{text}\n" if text else "", end="")
    print(f"answer: {outcome.answer}" if outcome.answer else "no answer")


def _print_decisions(decisions: Sequence[Decision]) -> None:
    """What a sequential policy decided, look by look."""
    for one in decisions:
        stands = f"{one.answer or 'no answer'}, right with {one.chance or 0:.2f}"
        looks = f"after {one.spent:g}: {stands}" if one.spent else "begins"
        if one.stage is None:
            say(f"{looks}; answers")
        else:
            say(f"{looks}; runs {one.stage.name}, worth {one.worth or 0:+.3f}")
