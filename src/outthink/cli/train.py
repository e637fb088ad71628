"""`outthink train prm | orm | probe | revise`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outthink.cli import options, reads
from outthink.cli.cluster import Cluster, on_ray
from outthink.cli.commands import Command, Commands, command, command_line, stopping
from outthink.cli.options import Decorator
from outthink.cli.output import number, print_json, print_table
from outthink.errors import UsageError

if TYPE_CHECKING:
    from outthink.models.asking import Asking
    from outthink.study.sweep import Sweep
    from outthink.train.pipeline import Training

TRAIN = Commands(
    "train",
    {
        "prm": ("train:prm", "a verifier of every step, from Monte Carlo rollouts"),
        "orm": ("train:orm", "a verifier of whole solutions"),
        "probe": ("train_probe:probe", "a head on the model's own hidden states, in minutes"),
        "revise": ("train:revise", "a model that revises what it wrote"),
    },
    help="Train verifiers and revision models from your own model.",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is trained of what, as the options of all three say."""

    problems: str
    model: str
    out: Path
    samples: int
    sampler: str | None
    lora: int
    rate: float | None
    batch: int
    rows: int
    epochs: int
    most_tokens: int
    seed: int


_FITTING = (
    options.option(
        "--sampler",
        metavar="NAME",
        help="Who draws solutions, such as the address of a server that runs the same model "
        "faster.",
        usual="the model itself",
    ),
    options.count(
        "--lora",
        16,
        "Of the adapters that are trained; 0 trains all weights.",
        least=reads.WHOLE,
        metavar="RANK",
    ),
    options.option(
        "--rate",
        type=reads.ABOVE_0,
        metavar="X",
        help="Learning rate.",
        usual="the paper's for all weights, ten times that for adapters",
    ),
    options.count("--batch", 128, "Examples a step."),
    options.count("--rows", 8, "Examples a forward pass, fewer where memory is short."),
    options.count("--epochs", 4, "Most epochs; the end is found on held-out problems."),
    options.count("--most-tokens", 2048, "Tokens of one solution, which is cut off there."),
    options.seed,
)


def _asked(samples: int) -> Decorator:
    problems = "As for 'outthink sweep'; those with a reference."
    model = "Whose solutions, and what is trained."
    return options.together(
        "asked",
        Asked,
        options.argument("problems", "PROBLEMS", problems),
        options.option("--model", required=True, metavar="hf:NAME", help=model),
        options.out("DIR", "Where everything goes."),
        options.count("--samples", samples, "Samples a problem."),
        *_FITTING,
    )


def _command(kind: str) -> Callable[[Callable[..., None]], Command]:
    use = "--reviser hf:DIR" if kind == "revise" else f"--verifier {kind}:DIR"
    return command(
        kind,
        f"""Killed at any moment, the same command goes on. DIR then holds a model of transformers
and a card that says how good it is; use it as {use}.

\b
  outthink train {kind} problems.jsonl --model hf:my-model -o my-{kind}""",
    )


@_command("prm")
@_asked(samples=16)
@on_ray
@options.count("--rollouts", 16, "Rollouts a prefix.")
@options.option(
    "--family",
    default="trl",
    metavar="NAME",
    help="The family of PRMs that it becomes one of.",
)
def prm(asked: Asked, rollouts: int, family: str, cluster: Cluster, as_json: bool) -> None:
    """Trains a verifier of every step: samples solutions, finds out by rollouts how often each of
    their prefixes ends right, and learns that.
    """
    _train("prm", asked, cluster, as_json, rollouts=rollouts, family=family)


@_command("orm")
@_asked(samples=16)
@on_ray
@options.count(
    "--chain",
    1,
    "Draw samples in chains of N revisions, and show the ORM the earlier answers: a verifier of "
    "revisions.",
)
def orm(asked: Asked, chain: int, cluster: Cluster, as_json: bool) -> None:
    """Trains a verifier of whole solutions: samples them, and learns which are right."""
    _train("orm", asked, cluster, as_json, chain=chain)


@_command("revise")
@_asked(samples=64)
@on_ray
def revise(asked: Asked, cluster: Cluster, as_json: bool) -> None:
    """Trains a model to revise: samples solutions, puts wrong ones before a right one, and learns
    to write that.
    """
    _train("revise", asked, cluster, as_json)


@stopping()
def _train(kind: str, asked: Asked, cluster: Cluster, as_json: bool, **more: Any) -> None:
    from outthink.data import source
    from outthink.grade import grading
    from outthink.models.weights import transformers
    from outthink.study.models import writer

    cluster.check()
    require_model(asked.model, asked.sampler)
    problems = source.read(asked.problems)
    judge = grading(problems.grader)
    judge.require()
    # transformers takes seconds to import, which nothing else needs, and is optional.
    transformers()
    from outthink.train.pipeline import train

    plan = _plan(kind, asked, judge.name, **more)
    other = asked.sampler
    sampler = None if other is None else writer(other, asked.most_tokens, judge.name)
    draw = drawn_by(cluster, sampling(plan, asked.problems, other, asked.most_tokens))
    outcome = train(
        plan, problems, grader=judge.grade, read=judge.read, sampler=sampler, before=draw
    )
    return print_json(outcome) if as_json else show(outcome)


def _plan(
    kind: str,
    asked: Asked,
    grader: str,
    *,
    rollouts: int = 1,
    family: str = "trl",
    chain: int = 1,
) -> Training:
    from outthink.study.models import setting_of
    from outthink.train.pipeline import Training, usual

    recipe = usual(kind, asked.lora, asked.seed)
    rate = asked.rate or recipe.rate
    return Training(
        kind,
        asked.model,
        asked.out,
        replace(recipe, rate=rate, batch=asked.batch, rows=asked.rows, epochs=asked.epochs),
        asked.samples,
        rollouts,
        asked.seed,
        setting_of(asked.model, asked.most_tokens, grader),
        family,
        chain,
        command_line(),
    )


def sampling(
    plan: Training,
    problems: str,
    sampler: str | None,
    most_tokens: int,
    how: Asking | None = None,
) -> Sweep:
    """The draws of a training as a sweep: the same rows."""
    from outthink.models.asking import Asking
    from outthink.study.models import NONE, Models
    from outthink.study.plan import Plan
    from outthink.study.sweep import Sweep

    searches = Plan((plan.search.name,), (plan.samples,), plan.samples, 0, 0, 0)
    models = Models(
        sampler or plan.model,
        verifier=NONE,
        revision_verifier=NONE,
        most_tokens=most_tokens,
        asking=how or Asking(),
    )
    return Sweep(problems, searches, models, plan.seed)


def drawn_by(cluster: Cluster, sweep: Sweep) -> Callable[[Path], None]:
    """Has workers draw into a store; where there are none, merges what workers left."""
    from outthink.study.shards import gather, swept_in_shards

    def draw(store: Path) -> None:
        if cluster.start is None:
            return gather(store)
        with swept_in_shards(sweep, store, cluster.start, shards=cluster.shards):
            return None

    return draw


def require_model(model: str, sampler: str | None) -> None:
    """Raises `UsageError` for models that cannot be meant."""
    from outthink.study.models import IN_PROCESS, reads_any_text

    if not model.startswith(IN_PROCESS):
        raise UsageError(f"cannot train {model!r}; give a model of transformers, as hf:NAME")
    if sampler is not None and not reads_any_text(sampler):
        raise UsageError(
            f"cannot sample from {sampler!r}; give the address of a server, or hf:NAME"
        )


def show(outcome: dict[str, Any]) -> None:
    """Print the figures of a card as a table."""
    figures = [
        (name, number(value, 4) if isinstance(value, float) else str(value))
        for name, value in outcome.items()
    ]
    print_table(("figure", "value"), figures)
