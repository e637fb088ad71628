"""`outthink lab train`."""

from __future__ import annotations

from pathlib import Path

from outthink.cli import options, reads
from outthink.cli.commands import command, stopping
from outthink.cli.output import print_json, print_table, say


# The defaults are those of `lab.recipes`, which would import torch for a page of help.
@command("train", "Killed at any moment, the same command goes on.")
@options.out("DIR", "Where the weights go.", "runs/lab")
@options.count("--problems", 40_000, "Problems with step labels.")
@options.count("--samples", 4, "Samples a problem.")
@options.count("--rollouts", 4, "Rollouts a prefix.")
@options.seed
@options.option(
    "--scale",
    type=reads.ABOVE_0,
    default=1.0,
    metavar="X",
    help="Share of the training steps, to try it out.",
)
@options.flag("--compile", "Twice as fast, needs a C++ compiler.")
@stopping("stopped; the same command goes on from here")
def train(
    out: Path,
    problems: int,
    samples: int,
    rollouts: int,
    seed: int,
    scale: float,
    compile: bool,
    as_json: bool,
) -> None:
    """Trains every model of the lab from nothing: S, L, step labels by rollouts, PRM, ORM."""
    from outthink.lab.build import Build, build

    asked = Build(
        out=out,
        seed=seed,
        problems=problems,
        samples=samples,
        rollouts=rollouts,
        compiled=compile,
        scale=scale,
    )
    models = build(asked, say)
    names = ("s", "l", "prm", "orm", "reviser", "revision")
    facts = {name: models.facts(name) for name in names}
    if as_json:
        return print_json({"weights": str(out), "models": facts})
    rows = [(name, known.get("loss"), known.get("seconds")) for name, known in facts.items()]
    return print_table(("model", "loss", "seconds"), rows)
