"""`outthink lab train`: every model of the lab from nothing, resumable at any moment.

    S, L        language models, the same tokens in the same order
    labels      Monte Carlo rollouts of S's own samples on training problems, kept in a store
    PRM, ORM    from S's weights, on those labels

Each stage leaves its weights in the folder; a stage whose weights are there is not run again.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from outthink.driver import Driver, Job, exact
from outthink.errors import RunError, WeightsError
from outthink.lab import recipes, task
from outthink.lab.engine import LabProposer
from outthink.lab.gpt import GPT, load, save
from outthink.lab.models import LabModels, fingerprint
from outthink.lab.train import Examples, Recipe, Trained, language_model, verifier
from outthink.progress import Progress, duration
from outthink.store import Identity, Store
from outthink.train.rollouts import Labelled, labelling, labels
from outthink.types import Budget
from outthink.version import VERSION

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
        """What to type for these weights."""
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
    """Run every stage that is missing; `say` is told what is done. Raises what a stage raises."""
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{plan.out}: cannot make the folder ({error}); name another --out"
        ) from error
    _claim(plan)
    small = _stage(plan, "s", say, partial(_language_model, plan, "s"))
    _stage(plan, "l", say, partial(_language_model, plan, "l"))
    if not all((plan.out / f"{name}.safetensors").exists() for name in ("prm", "orm")):
        labelled = label(plan, small)
        kept = max(1, round(len(labelled) * HELD_OUT))
        held_out = [example for group in labelled[:kept] for example in group]
        training = [example for group in labelled[kept:] for example in group]
        if not training or not held_out:
            raise RunError(
                f"{plan.out}: too few of S's solutions end in an answer to train a verifier on; "
                "give more --problems, or train longer with a larger --scale"
            )
        for name in ("prm", "orm"):
            make = partial(_verifier, plan, name, small, training, held_out)
            _stage(plan, name, say, make)
    return LabModels(plan.out)


def _claim(plan: Build) -> None:
    """Say in the folder what it is trained by, or see that it says so already.

    Finished weights and checkpoints are taken up without looking at what they were trained on.
    """
    path = plan.out / "command.txt"
    command = replace(plan, compiled=False).command
    try:
        if not path.exists():
            path.write_text(command + "\n")
        found = path.read_text().strip()
    except OSError as error:
        raise RunError(f"{path}: cannot be used ({error}); name another --out") from error
    if found != command:
        raise WeightsError(
            f"{plan.out} holds what '{found}' trains, not '{command}'; give another --out or "
            "delete it"
        )


def _stage(plan: Build, name: str, say: Callable[[str], None], make: Callable[[], Trained]) -> GPT:
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


def _language_model(plan: Build, name: str) -> Trained:
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
) -> Trained:
    last_only = name == "orm"
    recipe = plan.recipe(recipes.ORM_RECIPE if last_only else recipes.PRM_RECIPE)
    return verifier(
        trunk,
        recipes.VERIFIER,
        recipe,
        Examples.of(training, last_only=last_only),
        Examples.of(held_out, last_only=last_only),
        checkpoint=plan.out / f"{name}.checkpoint",
        label=f"training {name.upper()}",
        compiled=plan.compiled,
    )


def label(plan: Build, small: GPT) -> list[list[Labelled]]:
    """Step labels of S's samples, by problem, in the order of the problems."""
    asked = task.problems(task.Stream.TRAIN, plan.problems, plan.seed)
    name = f"lab-s-{fingerprint(plan.out / 's.safetensors')}"
    how = labelling(plan.rollouts)
    identity = Identity(name, None, plan.seed, {"samples": str(plan.samples)})
    found: dict[str, list[Labelled]] = {}
    with (
        Store.open(plan.out / "labels.store", identity=identity, write=True) as store,
        Progress("labelling steps", len(asked), "problems") as bar,
    ):
        # A problem asks for some hundred rollouts at once, so few are enough to fill a batch.
        driver = Driver(
            LabProposer(small, name),
            seed=plan.seed,
            journal=store,
            rows_in_flight=64 * plan.samples,
        )
        jobs = (Job(problem, how, Budget(plan.samples)) for problem in asked)
        for result in driver.run(jobs):
            found[result.job.problem.id] = labels(result, each=plan.rollouts, grader=exact)
            bar.advance(1)
    return [found[problem.id] for problem in asked]
