"""`outthink train probe`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli import options, reads
from outthink.cli.asked import Told, asking
from outthink.cli.cluster import Cluster, on_ray
from outthink.cli.commands import command, command_line, stopping
from outthink.cli.output import print_json
from outthink.cli.train import drawn_by, require_model, sampling, show

if TYPE_CHECKING:
    from outthink.models.asking import Asking
    from outthink.train.pipeline import Training


@dataclass(frozen=True, slots=True)
class Asked:
    """What is probed, as the options say."""

    problems: str
    model: str
    out: Path
    samples: int
    rollouts: int
    sampler: str | None
    most_tokens: int
    dtype: str | None
    seed: int
    asking: Told


_OPTIONS = options.together(
    "asked",
    Asked,
    options.argument("problems", "PROBLEMS", "As for 'outthink sweep'; those with a reference."),
    options.option(
        "--model", required=True, metavar="hf:NAME", help="Whose hidden states are read."
    ),
    options.out("DIR", "Where everything goes."),
    options.count("--samples", 8, "Samples a problem."),
    options.count(
        "--rollouts",
        0,
        "Rollouts a prefix, from which every step gets a label of its own; without them a step is "
        "labelled as its solution ended.",
        least=reads.WHOLE,
    ),
    options.option(
        "--sampler",
        metavar="NAME",
        help="Who draws solutions, such as the address of a server that runs the same model "
        "faster.",
        usual="the model itself",
    ),
    options.count("--most-tokens", 2048, "Tokens of one solution, which is cut off there."),
    options.option(
        "--dtype",
        metavar="NAME",
        help="Numbers that the model is read in, then and later: float32 or bfloat16.",
        usual="bfloat16 on a GPU, else float32",
    ),
    options.seed,
    asking,
)


@command(
    "probe",
    """Killed at any moment, the same command goes on. DIR then holds the head and a card that says
how good it is; use it as --verifier probe:DIR.

\b
  outthink train probe problems.jsonl --model hf:my-model -o my-probe""",
)
@_OPTIONS
@on_ray
@stopping()
def probe(asked: Asked, cluster: Cluster, as_json: bool) -> None:
    """Fits a small verifier on the hidden states of the model that writes: samples solutions, reads
    each once, and learns which end right.
    """
    from outthink.data import source
    from outthink.grade import grading
    from outthink.models.weights import transformers
    from outthink.study.models import writer

    cluster.check()
    require_model(asked.model, asked.sampler)
    problems = source.read(asked.problems)
    judge = grading(problems.grader)
    judge.require()
    transformers()  # takes seconds to import, and is optional
    from outthink.train.pipeline import train

    other, how = asked.sampler, asked.asking.read(asked.problems)
    most = how.most_tokens or asked.most_tokens
    sampler = None if other is None else writer(other, most, judge.name, how)
    plan = _plan(asked, judge.name, how)
    draw = drawn_by(cluster, sampling(plan, asked.problems, other, most, how))
    outcome = train(
        plan, problems, grader=judge.grade, read=judge.read, sampler=sampler, before=draw
    )
    return print_json(outcome) if as_json else show(outcome)


def _plan(asked: Asked, grader: str, how: Asking) -> Training:
    from outthink.study.models import asked as with_own
    from outthink.study.models import require_in_process, setting_of
    from outthink.train.pipeline import Training, usual

    if asked.sampler is None:
        require_in_process(asked.model, how)
    setting = setting_of(asked.model, how.most_tokens or asked.most_tokens, grader)
    return Training(
        "probe",
        asked.model,
        asked.out,
        usual("probe", seed=asked.seed),
        asked.samples,
        asked.rollouts,
        asked.seed,
        with_own(setting, how),
        command=command_line(),
        dtype=asked.dtype,
    )
