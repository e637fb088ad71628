"""`outthink lab train`: every model of the lab from nothing, resumable at any moment.

    S, L        language models, the same tokens in the same order
    labels      Monte Carlo rollouts of S's own samples on training problems, kept in a store
    PRM, ORM    from S's weights, on those labels
    reviser     from S's weights, on trajectories of S's samples: wrong answers, then a right one
    revision    the reviser's verifier, from the reviser's weights, on chains that it wrote
    variants    for ablations: the PRM on labels of other kinds, the reviser's verifier without the
                history of a chain

Each stage leaves its weights in the folder; a stage whose weights are there is not run again.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from outthink import whole
from outthink.data import task
from outthink.errors import RunError, WeightsError
from outthink.lab import recipes, tokenizer
from outthink.lab.engine import LabProposer
from outthink.lab.gpt import GPT, load, save
from outthink.lab.models import LabModels
from outthink.lab.revisions import HISTORY, RevisionExample, reviser, revision_verifier
from outthink.lab.train import Examples, Recipe, language_model, verifier
from outthink.models.fingerprint import fingerprint
from outthink.run.journal import Job, Result
from outthink.run.progress import Progress, duration
from outthink.run.runner import Runner, exact, run_jobs
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.train.loop import Trained
from outthink.train.revise import trajectories
from outthink.train.rollouts import Labelled, labelling, labels
from outthink.types import Budget, Problem
from outthink.version import VERSION

Part = TypeVar("Part")

HELD_OUT = 0.1
"""Share of the labelled problems kept for early stopping (Snell et al. 2024, appendix D)."""


@dataclass(frozen=True, slots=True)
class Build:
    """How to train the lab."""

    out: Path
    seed: int = recipes.SEED
    problems: int = recipes.LABELLED
    """Training problems that are labelled."""
    samples: int = recipes.SAMPLES
    rollouts: int = recipes.ROLLOUTS
    compiled: bool = False
    """torch.compile: about twice as fast, needs a C++ compiler."""
    scale: float = 1.0
    """Multiplies every number of steps; below 1 the models are for trying the command out."""

    @property
    def command(self) -> str:
        """The command line that makes these weights."""
        words = ["outthink", "lab", "train", "--seed", str(self.seed)]
        words += ["--problems", str(self.problems), "--samples", str(self.samples)]
        words += ["--rollouts", str(self.rollouts)]
        words += ["--compile"] if self.compiled else []
        words += ["--scale", str(self.scale)] if self.scale != 1 else []
        return shlex.join(words)

    def recipe(self, recipe: Recipe) -> Recipe:
        """A recipe at this build's seed and scale."""
        return replace(recipe, seed=self.seed, steps=max(1, round(recipe.steps * self.scale)))


def build(plan: Build, say: Callable[[str], None]) -> LabModels:
    """Run every stage that is missing, and report each to `say`. Raises what a stage raises."""
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{plan.out}: cannot make the folder ({error}); name another --out"
        ) from error
    _claim(plan)
    small = _stage(plan, "s", say, partial(_language_model, plan, "s"))
    _stage(plan, "l", say, partial(_language_model, plan, "l"))
    if not all((plan.out / f"{name}.safetensors").exists() for name in _LABELS):
        training, held_out = _split(label(plan, small))
        for name in _LABELS:
            make = partial(_verifier, plan, name, small, training, held_out)
            _stage(plan, name, say, make)
    asked = task.problems(task.Stream.TRAIN, plan.problems, plan.seed)
    reviser = _stage(plan, "reviser", say, partial(_reviser, plan, small, asked))
    for name in ("revision", "revision-alone"):
        _stage(plan, name, say, partial(_revision, plan, name, reviser, asked))
    return LabModels(plan.out)


def _claim(plan: Build) -> None:
    """Write the command into the folder, or check that the folder was made by this command.

    Finished weights and checkpoints are used without checking what they were trained on, so two
    commands must not share a folder.
    """
    path = plan.out / "command.txt"
    command = replace(plan, compiled=False).command
    try:
        if not path.exists():
            whole.write(path, command + "\n")
        trained_by = path.read_text().strip()
    except OSError as error:
        raise RunError(f"{path}: cannot be used ({error}); name another --out") from error
    if trained_by != command:
        raise WeightsError(
            f"{plan.out} holds what '{trained_by}' trains, not '{command}'; give another --out or "
            "delete it"
        )


def _stage(
    plan: Build, name: str, say: Callable[[str], None], make: Callable[[], Trained[GPT]]
) -> GPT:
    """The weights of one stage, made where they are missing."""
    path = plan.out / f"{name}.safetensors"
    if path.exists():
        return load(path)[0]
    trained = make()
    facts = {
        "command": plan.command,
        "seed": str(plan.seed),
        "steps": str(trained.steps),
        "loss": f"{trained.loss:.4f}",
        "seconds": f"{trained.seconds:.0f}",
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, "
        f"torch {torch.__version__}",
        "outthink": VERSION,
    }
    try:
        save(trained.model, path, facts)
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{path}: cannot write ({error}); free some space and run the command again"
        ) from error
    say(f"{name}: loss {trained.loss:.4f} after {duration(trained.seconds)}, {path}")
    return trained.model


def _language_model(plan: Build, name: str) -> Trained[GPT]:
    shape, recipe = {
        "s": (recipes.S, recipes.S_RECIPE),
        "l": (recipes.L, recipes.L_RECIPE),
    }[name]
    return language_model(
        shape,
        plan.recipe(recipe),
        checkpoint=plan.out / f"{name}.checkpoint",
        label=f"training {name.upper()}",
        compiled=plan.compiled,
    )


def _verifier(
    plan: Build,
    name: str,
    trunk: GPT,
    training: Sequence[Labelled],
    held_out: Sequence[Labelled],
) -> Trained[GPT]:
    recipe, labels = _LABELS[name]
    last_only = name == "orm"
    return verifier(
        trunk,
        plan.recipe(recipe),
        Examples.of(relabelled(training, labels, plan.seed), last_only=last_only),
        Examples.of(relabelled(held_out, labels, plan.seed), last_only=last_only),
        checkpoint=plan.out / f"{name}.checkpoint",
        label=f"training {name.upper()}",
        compiled=plan.compiled,
    )


class Labels(StrEnum):
    """What a step is labelled with."""

    SOFT = "soft"
    """The share of its rollouts that end right (Snell et al. 2024, appendix D)."""
    HARD = "hard"
    """1 if one of them does, 0 if none (Wang et al. 2023, "hard estimation")."""
    ONCE = "once"
    """Whether one rollout, the only one, ends right."""


_LABELS = {
    "prm": (recipes.PRM_RECIPE, Labels.SOFT),
    "orm": (recipes.ORM_RECIPE, Labels.SOFT),
    "prm-soft": (recipes.VARIANT_RECIPE, Labels.SOFT),
    "prm-hard": (recipes.VARIANT_RECIPE, Labels.HARD),
    "prm-once": (recipes.VARIANT_RECIPE, Labels.ONCE),
}
"""The verifiers of S, by the names of their files."""


def relabelled(labelled: Sequence[Labelled], labels: Labels, seed: int) -> list[Labelled]:
    """The same samples with labels of another kind, made from their soft ones.

    A single rollout is one of those that were made, drawn at random: it is right with the
    probability that is their share. Samples that share a prefix share its rollout. Last steps are
    right or wrong already.
    """
    if labels is Labels.SOFT:
        return list(labelled)
    if labels is Labels.HARD:
        return [
            Labelled(sample.solution, tuple(float(label > 0) for label in sample.labels))
            for sample in labelled
        ]
    rng = np.random.default_rng([seed])
    drawn: dict[tuple[str, tuple[int, ...]], float] = {}
    samples = []
    for sample in labelled:
        solution = sample.solution
        once = []
        for end, label in zip(solution.step_ends, sample.labels, strict=True):
            prefix = solution.problem.id, solution.tokens[:end]
            once.append(drawn.setdefault(prefix, float(rng.random() < label)))
        samples.append(Labelled(solution, tuple(once)))
    return samples


def _reviser(plan: Build, small: GPT, asked: Sequence[Problem]) -> Trained[GPT]:
    some = asked[: max(2, round(len(asked) * recipes.REVISED))]
    name = f"lab-s-{fingerprint(plan.out / 's.safetensors')}"
    results = _drawn(plan, small, name, some, "majority", recipes.SAMPLED, "sampling to revise")
    groups = [_trajectories(result, plan.seed + at) for at, result in enumerate(results)]
    training, held_out = _split(groups)
    return reviser(
        small,
        plan.recipe(recipes.REVISER_RECIPE),
        training,
        held_out,
        checkpoint=plan.out / "reviser.checkpoint",
        label="training the reviser",
    )


def _trajectories(result: Result, seed: int) -> list[RevisionExample]:
    """Examples of revising, made from the samples of a problem."""
    rng = np.random.default_rng([seed])
    answered = [s for s in result.choice.candidates if s.answer is not None]
    right = [s for s in answered if s.answer == result.job.problem.reference]
    wrong = [s for s in answered if s.answer != result.job.problem.reference]
    examples = trajectories(right[: recipes.TRAJECTORIES], wrong, tokenizer.decode, rng)
    return [
        RevisionExample(
            result.job.problem.prompt,
            tuple(earlier.tokens for earlier in trajectory.history),
            trajectory.answer.tokens,
        )
        for trajectory in examples
    ]


def _revision(plan: Build, called: str, model: GPT, asked: Sequence[Problem]) -> Trained[GPT]:
    # Problems that the reviser has not learnt from: on those its mistakes are its usual ones.
    some = asked[-max(2, round(len(asked) * recipes.CHAINED)) :]
    name = f"lab-reviser-{fingerprint(plan.out / 'reviser.safetensors')}"
    how = f"revise(sequential={recipes.CHAIN},answer=majority)"
    count = recipes.CHAIN * recipes.CHAINS
    results = _drawn(plan, model, name, some, how, count, "writing chains")
    reads_history = called == "revision"
    groups = [
        [
            RevisionExample(
                result.job.problem.prompt,
                candidate.history if reads_history else (),
                candidate.tokens,
                float(candidate.answer == result.job.problem.reference),
            )
            for candidate in result.choice.candidates
            if candidate.answer is not None
        ]
        for result in results
    ]
    training, held_out = _split(groups)
    return revision_verifier(
        model,
        plan.recipe(recipes.REVISION_RECIPE),
        training,
        held_out,
        checkpoint=plan.out / f"{called}.checkpoint",
        label=f"training {called}",
        history=HISTORY if reads_history else 0,
    )


def _drawn(
    plan: Build,
    model: GPT,
    name: str,
    asked: Sequence[Problem],
    how: str,
    count: int,
    label: str,
) -> list[Result]:
    """A search on every problem, in their order; kept in a store, so that it can be resumed."""
    results: dict[str, Result] = {}
    with (
        Store.open(plan.out / f"{name}.store", write=True) as store,
        Progress(label, len(asked), "problems") as bar,
    ):
        runner = Runner(Team.of(LabProposer(model, name)), seed=plan.seed, journal=store)

        def keep(result: Result) -> None:
            results[result.job.problem.id] = result
            bar.advance(1)

        run_jobs(runner, (Job(problem, strategy(how), Budget(count)) for problem in asked), keep)
    return [results[problem.id] for problem in asked]


def _split(groups: Sequence[Sequence[Part]]) -> tuple[list[Part], list[Part]]:
    """The examples to train on, and those of other problems, held out."""
    kept = max(1, round(len(groups) * HELD_OUT))
    held_out = [example for group in groups[:kept] for example in group]
    training = [example for group in groups[kept:] for example in group]
    if not training or not held_out:
        raise RunError(
            "too few of S's solutions end in an answer to learn from; give more --problems, or "
            "train longer with a larger --scale"
        )
    return training, held_out


def label(plan: Build, small: GPT) -> list[list[Labelled]]:
    """Step labels of S's samples, by problem, in the order of the problems."""
    asked = task.problems(task.Stream.TRAIN, plan.problems, plan.seed)
    name = f"lab-s-{fingerprint(plan.out / 's.safetensors')}"
    how = labelling(plan.rollouts)
    labelled: dict[str, list[Labelled]] = {}
    with (
        Store.open(plan.out / "labels.store", write=True) as store,
        Progress("labelling steps", len(asked), "problems") as bar,
    ):
        # A problem asks for some hundred rollouts at once, so few are enough to fill a batch.
        runner = Runner(
            Team.of(LabProposer(small, name)),
            seed=plan.seed,
            journal=store,
            rows_in_flight=64 * plan.samples,
        )
        jobs = (Job(problem, how, Budget(plan.samples)) for problem in asked)

        def keep(result: Result) -> None:
            labelled[result.job.problem.id] = labels(result, rollouts=plan.rollouts, grader=exact)
            bar.advance(1)

        run_jobs(runner, jobs, keep)
    return [labelled[problem.id] for problem in asked]
