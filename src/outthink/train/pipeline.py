"""`outthink train`: a verifier or a revision model, made from a user's own model.

    prm      samples, Monte Carlo rollouts of their prefixes, a verifier of every step
    orm      samples, or chains of revisions, a verifier of whole solutions
    probe    samples, with or without rollouts, a small head on the model's own hidden states
    revise   samples, trajectories of wrong answers that end in a right one, a model that revises

Everything is drawn by the same proposers and driver as in a search, by the model itself or by one
that is served, and kept in a store; so a run that was killed goes on in the stage it was in. The
folder holds a model of transformers, with its tokenizer, how it is asked and read
(`outthink.json`) and a model card; that of a probe holds the head alone, and its card.
Snell et al. 2024, appendices D, H and J.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outthink import whole
from outthink.errors import RunError, UsageError, WeightsError
from outthink.models.about import About, write
from outthink.models.openai import Read, Setting
from outthink.models.transformers import HFProposer, Turns, end_ids
from outthink.models.weights import HF, Loaded, load
from outthink.run.journal import Job, Result
from outthink.run.progress import Progress
from outthink.run.runner import Runner, exact, run_jobs
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.train import card
from outthink.train import probe as probing
from outthink.train.fit import Example, Recipe, fit
from outthink.train.lessons import (
    Reading,
    WriterView,
    answer_lessons,
    revision_lessons,
    step_lessons,
)
from outthink.train.loop import Trained
from outthink.train.revise import SAMPLES as REVISE_SAMPLES
from outthink.train.rollouts import ROLLOUTS, SAMPLES, labelling
from outthink.types import (
    BatchProposer,
    Budget,
    Closes,
    Grader,
    Problem,
    Proposer,
    Strategy,
)
from outthink.verify import probe
from outthink.verify.written import Decode

KINDS = ("prm", "orm", "probe", "revise")
FAMILY = "trl"
"""The family of a PRM by default: it needs no token that a model may lack."""
HELD_OUT = 0.1
"""Share of the problems kept for early stopping and the card (appendix D)."""
LEAST = 10
"""Fewest problems: one of them is held out."""
_PLAN, _SAMPLES, _FACTS = "training.json", "samples.store", "facts.json"


def usual(kind: str, lora: int = 16, seed: int = 0) -> Recipe:
    """The paper's recipe, appendices D and H; adapters need a larger rate than whole weights."""
    if kind == "revise":
        # The loss on what others wrote is a poor guide: training ends a little after it rises.
        rate = 1e-4 if lora else 1e-5
        return Recipe(rate, 0.0, lora, patience=2, keep_last=True, seed=seed)
    return Recipe(2e-4 if lora else 3e-5, 0.05, lora, seed=seed)


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained, from which model and with which samples."""

    kind: str
    model: str
    """A folder or a name of the hub."""
    out: Path
    recipe: Recipe
    samples: int = SAMPLES
    rollouts: int = ROLLOUTS
    seed: int = 0
    setting: Setting = field(default_factory=Setting)
    family: str = FAMILY
    """Of a PRM: a row of `verify.families`."""
    chain: int = 1
    """Of an ORM: samples come in chains of so many, in which each sees those before it. The ORM
    then sees them too: a verifier of revisions (appendix J)."""
    command: str = ""
    """The command line, for the model card."""
    dtype: str | None = None
    """Of the numbers that a probe reads; by default as `verify.checkpoint` has it."""

    @property
    def search(self) -> Strategy:
        """How solutions are drawn."""
        if self.kind == "prm" or (self.kind == "probe" and self.rollouts):
            return labelling(self.rollouts)
        chained = self.kind == "orm" and self.chain > 1
        return strategy(
            f"revise(sequential={self.chain},answer=majority)" if chained else "majority"
        )

    @property
    def folder(self) -> str:
        """The folder or hub name of the base model, without `hf:`."""
        return self.model.removeprefix(HF)


def samples_of(kind: str) -> int:
    """Samples a problem, by default."""
    return REVISE_SAMPLES if kind == "revise" else SAMPLES


def train(
    plan: Training,
    problems: Sequence[Problem],
    *,
    grader: Grader = exact,
    read: Read | None = None,
    sampler: Proposer | BatchProposer | None = None,
    before: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Draw, label, fine-tune and write the model; returns the figures of its card. Without a
    `sampler` the model itself draws, and `read` extracts its answers. `before` is called with the
    store of the samples before it is opened: others may draw into it; what it lacks then is drawn
    here.

    Raises `UsageError` for too few problems with references, `WeightsError` where the folder holds
    another training, `RunError` where there is nothing to learn from, a server fails or the disk.
    """
    asked = [problem for problem in problems if problem.reference is not None]
    if len(asked) < LEAST:
        raise UsageError(
            f"{len(asked)} problems with a reference; give {LEAST} or more, some are held out"
        )
    loaded = load(plan.folder, setting=plan.setting)
    reading = (
        None
        if plan.kind == "revise"
        else Reading.of(
            plan.kind,
            plan.folder,
            plan.family,
            loaded.context,
            earlier=plan.chain > 1,
            setting=plan.setting,
        )
    )
    proposer = sampler or HFProposer(loaded, read=read)
    _claim(plan, [loaded.name, proposer.name], asked)
    done = plan.out / _FACTS
    if done.exists():
        written: dict[str, Any] = json.loads(done.read_text())
        return written
    if before is not None:
        before(plan.out / _SAMPLES)
    results = _drawn(plan, proposer, asked, grader)
    with _spoken(proposer) as text:
        turns = Turns(loaded.tokenizer, plan.setting)
        end, theirs = end_ids(loaded)[0], sampler is not None
        writer = WriterView(text, turns, end, loaded.context, theirs)
        groups = [_lessons(plan, reading, writer, result, grader) for result in results]
    del proposer, loaded  # what is fitted is loaded anew, and memory may be short for both
    drawn = {
        "problems": len(asked),
        "sampled_tokens": sum(result.outcome.usage.decoded_tokens for result in results),
    }
    if plan.kind == "probe":
        return _probed(plan, groups, drawn)
    return _learnt(plan, reading, *_split(groups, plan.seed), drawn)


def _probed(
    plan: Training, groups: Sequence[Sequence[Example]], drawn: dict[str, int]
) -> dict[str, Any]:
    """Fit a probe and write it; the figures of its card."""
    taught = [group for group in groups if group]
    base = probe.backbone(plan.folder, dtype=plan.dtype)
    known = probing.states(base, taught, plan.out / "states")
    learnt, held_out = probing.split(range(len(taught)), plan.seed)
    head = probing.fit(known, learnt)
    facts: dict[str, Any] = {
        "kind": plan.kind,
        "base": plan.model,
        "problems": drawn["problems"],
        "training_examples": sum(len(taught[at]) for at in learnt),
        "held_out_examples": sum(len(taught[at]) for at in held_out),
        "sampled_tokens": drawn["sampled_tokens"],
        "layer": head.layer,
        "layers": base.layers,
        "penalty": head.penalty,
        "validation_loss": {str(layer): loss for layer, loss in head.validation.items()},
        **probing.quality(head, known.of(held_out)),
    }
    made = probe.Probe(
        head.weight, head.bias, head.layer, plan.folder, base.digits, base.dtype, plan.setting
    )
    try:
        made.save(plan.out / probe.NAME)
        whole.write(plan.out / card.NAME, card.of_probe(_made(plan), facts))
        whole.write(plan.out / _FACTS, json.dumps(facts, indent=2) + "\n")
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{plan.out}: cannot write the probe ({error}); free some space and run the command "
            "again"
        ) from error
    return facts


def _learnt(
    plan: Training,
    reading: Reading | None,
    held_out: list[Example],
    training: list[Example],
    drawn: dict[str, int],
) -> dict[str, Any]:
    """Fine-tune and write the model; the figures of its card."""
    if not (held_out and training):
        raise RunError(
            f"{len(training)} examples to learn from and {len(held_out)} held out: no sample came "
            "to an answer that can be learnt from; give more problems, more --samples or a model "
            "that answers in the form asked for"
        )
    torch.manual_seed(plan.seed)
    base = load(plan.folder, outputs=reading.outputs if reading else None, train=True)
    fitted = fit(
        base.model,
        plan.recipe,
        training,
        held_out,
        odds=reading.odds if reading else None,
        checkpoint=plan.out / "training.checkpoint",
        label=f"training the {plan.kind}",
    )
    facts: dict[str, Any] = {
        "kind": plan.kind,
        "base": plan.model,
        "family": reading.row.name if reading else None,
        "problems": drawn["problems"],
        "training_examples": len(training),
        "held_out_examples": len(held_out),
        "sampled_tokens": drawn["sampled_tokens"],
        "training_tokens": fitted.tokens,
        "steps": fitted.steps,
        "held_out_loss_before": fitted.first_loss,
        "held_out_loss": fitted.loss,
        "seconds": round(fitted.seconds, 1),
    }
    if reading is not None:
        facts |= card.quality(fitted.model, reading.odds, held_out, steps=plan.kind == "prm")
    _write(plan, fitted, base, reading, facts)
    return facts


def _claim(plan: Training, models: Sequence[str], asked: Sequence[Problem]) -> None:
    """Write into the folder what is trained in it, or check that it holds the same training."""
    problems = repr([(problem.id, problem.prompt, problem.reference) for problem in asked])
    identity = json.dumps(
        {
            "kind": plan.kind,
            "models": models,
            "problems": hashlib.blake2b(problems.encode(), digest_size=8).hexdigest(),
            "samples": plan.samples,
            "search": plan.search.name,
            "family": plan.family if plan.kind == "prm" else None,
            "seed": plan.seed,
            "setting": asdict(plan.setting),
            "recipe": asdict(plan.recipe),
        }
    )
    path = plan.out / _PLAN
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            whole.write(path, identity + "\n")
        claimed = path.read_text().strip()
    except OSError as error:
        raise RunError(f"{path}: cannot be used ({error}); name another --out") from error
    if claimed != identity:
        raise WeightsError(
            f"{plan.out} holds another training; give another --out, give the "
            "same options, or delete it"
        )


def _drawn(
    plan: Training, proposer: Proposer | BatchProposer, asked: Sequence[Problem], grader: Grader
) -> list[Result]:
    """A search on every problem, in their order; kept in a store, so that it can be resumed."""
    results: dict[str, Result] = {}
    with (
        Store.open(plan.out / _SAMPLES, write=True) as store,
        Progress("sampling", len(asked), "problems") as bar,
    ):
        runner = Runner(
            Team.of(proposer),
            seed=plan.seed,
            journal=store,
            grader=grader,
            # A problem asks for many rows at once, so few of them fill a batch.
            rows_in_flight=16 * plan.samples,
        )
        search, budget = plan.search, Budget(plan.samples)

        def keep(result: Result) -> None:
            results[result.job.problem.id] = result
            bar.advance(1)

        run_jobs(runner, (Job(problem, search, budget) for problem in asked), keep)
    failed = [result.outcome.error for result in results.values() if result.outcome.error]
    if failed:
        raise RunError(
            f"{len(failed)} of {len(asked)} problems could not be sampled ({failed[0]}); the same "
            "command tries them again"
        )
    return [results[problem.id] for problem in asked]


@contextmanager
def _spoken(proposer: Proposer | BatchProposer) -> Iterator[Decode]:
    """The text of token ids, of a served proposer too."""
    if isinstance(proposer, BatchProposer):
        yield proposer.decode
        return
    known: dict[tuple[int, ...], str] = {}
    with asyncio.Runner() as loop:

        def text(tokens: Sequence[int]) -> str:
            ids = tuple(tokens)
            if ids not in known:
                known[ids] = loop.run(proposer.text(ids))
            return known[ids]

        yield text
        if isinstance(proposer, Closes):
            loop.run(proposer.aclose())


def _lessons(
    plan: Training, reading: Reading | None, writer: WriterView, result: Result, grader: Grader
) -> list[Example]:
    """The examples that the samples of one problem give."""
    if reading is None:
        return revision_lessons(writer, result, grader, plan.seed)
    if plan.kind == "prm" or (plan.kind == "probe" and plan.rollouts):
        return step_lessons(reading, writer.text, result, plan.rollouts, grader)
    return answer_lessons(reading, writer.text, result, grader)


def _split(groups: Sequence[list[Example]], seed: int) -> tuple[list[Example], list[Example]]:
    """Examples of problems that are held out, and of the others."""
    order = np.random.default_rng(seed).permutation(len(groups))
    taught = [at for at in order if groups[at]]
    kept = max(1, round(len(taught) * HELD_OUT))
    return (
        [example for at in taught[:kept] for example in groups[at]],
        [example for at in taught[kept:] for example in groups[at]],
    )


def _write(
    plan: Training,
    fitted: Trained[Any],
    base: Loaded,
    reading: Reading | None,
    facts: dict[str, Any],
) -> None:
    """Write the model, its tokenizer, how it is asked and read, and the card; the figures last, so
    that a folder that has them is complete."""
    model = fitted.model
    if reading is not None and reading.outputs == 2:
        model.config.id2label = {0: "wrong", 1: "right"}
        model.config.label2id = {"wrong": 0, "right": 1}
    row = plan.family if plan.kind == "prm" else None
    about = About(plan.setting, plan.kind, row, reading is not None and reading.earlier)
    try:
        model.save_pretrained(plan.out)
        base.tokenizer.save_pretrained(plan.out)
        write(plan.out, about)
        whole.write(plan.out / card.NAME, card.card(_made(plan), facts))
        whole.write(plan.out / _FACTS, json.dumps(facts, indent=2) + "\n")
        (plan.out / "training.checkpoint").unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{plan.out}: cannot write the model ({error}); free some space and run the command "
            "again"
        ) from error


def _made(plan: Training) -> card.Made:
    drawn = f"Samples a problem: {plan.samples}"
    if plan.kind in ("prm", "probe") and plan.rollouts:
        drawn += f", rollouts a step: {plan.rollouts}"
    if plan.kind == "orm" and plan.chain > 1:
        drawn += f", in chains of {plan.chain}, whose earlier answers it is shown"
    use = {
        "prm": "--verifier prm:DIR",
        "probe": "--verifier probe:DIR",
        "orm": f"--{'revision-' if plan.chain > 1 else ''}verifier orm:DIR",
        "revise": "--reviser hf:DIR",
    }[plan.kind]
    return card.Made(
        plan.kind,
        f"{HF}{plan.folder}",
        plan.out.name,
        plan.recipe,
        f"{drawn}.",
        plan.command or f"outthink train {plan.kind}",
        use,
    )


__all__ = ["FAMILY", "KINDS", "Training", "samples_of", "train", "usual"]
