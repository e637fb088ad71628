"""Options that name models, and those that plan what to run; commands are given each as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.cli.asked import Told, asking
from outthink.cli.options import Decorator, count, option, together, weights
from outthink.cli.reads import BUDGETS, STAGES, STRATEGIES, WHOLE

if TYPE_CHECKING:
    from outthink.study.models import Models
    from outthink.study.plan import Plan


@dataclass(frozen=True, slots=True)
class NamedModels:
    """Models as options name them; what was left out is `None`."""

    model: str | None
    verifier: str | None
    reviser: str | None
    revision_verifier: str | None
    larger: str | None
    judge: str | None
    most_tokens: int | None
    weights: Path | None
    asking: Told

    def models(
        self, kept: Mapping[str, str] | None = None, *, problems: str | None = None
    ) -> Models:
        """Those that are named; what is left out is as in `kept`, or as usual. Examples of a prompt
        may be taken from `problems`."""
        from outthink.models.asking import of_json
        from outthink.study.models import Models

        named = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: str(value) for name, value in named.items() if value is not None}
        del given["asking"]
        if self.asking.is_given:
            given["asking"] = self.asking.read(problems).as_json
        spec = {**(kept or {}), **given}
        if self.most_tokens is not None and "asking" in spec:
            # What is typed comes before what is in a file.
            spec["asking"] = replace(of_json(spec["asking"]), most_tokens=None).as_json
        return Models.of(spec)


_OTHERS = (
    option(
        "--verifier",
        metavar="NAME",
        help="lab:prm, lab:orm or none; of any model: prm:MODEL and orm:MODEL (a folder or a name "
        "on the hub), prm:http://HOST:PORT (vLLM, for pooling), judge:http://HOST:PORT, "
        "confidence, deepconf, self_certainty, genrm, rubric, backward, tests, or several as "
        "all_of(A,B); options as prm:MODEL?device=cpu or genrm(votes=4). See docs/verifiers.md.",
        usual="lab:prm for the lab's models, confidence for others",
    ),
    option(
        "--reviser",
        metavar="NAME",
        help="Who writes revisions: lab:reviser, or a model that was not trained to, lab:s or "
        "lab:l; of any text an address or hf:NAME.",
        usual="lab:reviser for the lab's models, for others the model itself",
    ),
    option(
        "--revision-verifier",
        metavar="NAME",
        help="Who scores them: lab:revision, lab:prm, lab:orm or none, or one of any model as for "
        "--verifier.",
        usual="lab:revision, or confidence",
    ),
    option(
        "--larger",
        metavar="NAME",
        help="A larger model, for stages and strategies that ask one, such as 'greedy(by=larger)'.",
        usual="none",
    ),
    option(
        "--judge",
        metavar="NAME",
        help="Who is asked in words about solutions, by strategies such as genselect and "
        "self_refine: a model of any text.",
        usual="the model itself",
    ),
    count(
        "--most-tokens",
        None,
        "Tokens of one solution of a served or hf: model, which is cut off there.",
        usual=2048,
    ),
    weights,
    asking,
)


def models(usual: str = "lab:s") -> Decorator:
    """Options that name models, as `models`."""
    proposer = option(
        "--model",
        metavar="NAME",
        help="The proposer: lab:s, lab:l; in this process local, which is SmolLM2-135M, "
        "local:MODEL.gguf, with options as ?slots=4&threads=2&context=4096, or hf:NAME, a model of "
        "transformers by its folder or its name of the hub; or the address of a server, as "
        "http://HOST:PORT or http://HOST:PORT#MODEL; a key comes from OUTTHINK_API_KEY.",
        usual=usual,
    )
    return together("models", NamedModels, proposer, *_OTHERS)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan as options say it; `None` stands for what suits the model."""

    strategies: tuple[str, ...] | None
    budgets: tuple[int, ...]
    pool: int | None
    chains: int
    oracle_samples: int | None
    difficulty_samples: int
    stages: tuple[str, ...] | None
    trials: int

    def plan(self, models: Models) -> Plan:
        from outthink.study.every import ALL, every
        from outthink.study.models import reads_any_text
        from outthink.study.plan import STRATEGIES, Plan, verifies

        # Samples of a real model are dear: what only shows how far a policy could go is left out.
        usual = 0 if reads_any_text(models.proposer) else 256
        able = (name for name in STRATEGIES if models.verifier != "none" or not verifies(name))
        pool = usual if self.pool is None else self.pool
        return Plan(
            strategies=(
                every(models) if self.strategies == (ALL,) else self.strategies or tuple(able)
            ),
            budgets=self.budgets,
            pool=max(pool, self.budgets[-1]),
            chains=self.chains,
            oracle_samples=usual if self.oracle_samples is None else self.oracle_samples,
            predicted_samples=self.difficulty_samples,
            stages=self.stages or (),
            trials=self.trials,
        )


_SEARCHES = (
    option(
        "--strategies",
        type=STRATEGIES,
        metavar="A,B",
        help="What to compare; all stands for every search that the models can run.",
        usual="those of the seven below that the verifier allows",
    ),
    option(
        "--budgets",
        type=BUDGETS,
        default="1,4,16,64",
        metavar="N,N",
        help="Generations a problem, as 1,4,16 or 1..64.",
    ),
)
_POOL = (
    "Samples a problem that best-of-N and majority are read from, at least the largest budget.",
    "256 for the lab, else the largest budget",
)
_CHAINS = (
    "Chains a problem that all splits of revisions up to this budget are read from, a power of "
    "two; 0 runs every split on its own."
)
_ORACLE = (
    "Samples a problem for oracle difficulty, an upper bound that needs labels, 0 for none; the "
    "paper takes 2048.",
    "256 for the lab, else 0",
)
_STAGES = option(
    "--stages",
    type=STAGES,
    metavar="A@N,B@N",
    help="Searches that a sequential policy may run one after another, each with its generations, "
    "as 'beam@4,revise(sequential=8)@8,greedy(by=larger)@1'. Samples are read from the pool.",
    usual="none",
)
_TRIALS = "Independent runs of every stage a problem, which a policy is fitted on."
_DIFFICULTY = (
    "Samples a problem for predicted difficulty, 0 for none; what a policy pays to know the "
    "difficulty."
)


def plan(*, pool: int | None = None, oracle: int | None = None, difficulty: int = 8) -> Decorator:
    """Options of a plan, as `planned`."""
    return together(
        "planned",
        Planned,
        *_SEARCHES,
        count("--pool", pool, _POOL[0], usual=pool or _POOL[1]),
        count("--chains", 0, _CHAINS, least=WHOLE),
        count("--oracle-samples", oracle, _ORACLE[0], least=WHOLE, usual=oracle or _ORACLE[1]),
        count("--difficulty-samples", difficulty, _DIFFICULTY, least=WHOLE, metavar="K"),
        _STAGES,
        count("--trials", 8, _TRIALS),
    )


BY_DEFAULT = """\b
Strategies by default:
  majority, best_of_n(answer=max), best_of_n, beam,
  beam(width=sqrt), lookahead(width=sqrt), lookahead(depth=3)

"""
"""For the help of commands that take a plan."""
