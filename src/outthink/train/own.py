"""`outthink train`: a verifier or a revision model from a model of one's own.

    prm      samples, Monte Carlo rollouts of their prefixes, a verifier of every step
    orm      samples, a verifier of whole solutions
    revise   samples, trajectories of wrong answers that end in a right one, a model that revises

Everything is drawn by the same proposer and driver as in a search, and kept in a store; so a run
that was killed goes on in the stage it was in. The folder holds a model of transformers, with its
tokenizer, how it is asked (`outthink.json`) and a model card. Snell et al. 2024, appendices D
and H.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outthink.driver import Driver, Job, Result, exact
from outthink.errors import RunError, UsageError, WeightsError
from outthink.hf.cache import ROWS
from outthink.hf.load import HF, About, Loaded, load, wrap, write_about
from outthink.progress import Progress
from outthink.propose.hf import HFProposer, Turns, end_ids
from outthink.propose.openai import Read, Setting
from outthink.search import strategy
from outthink.store import Identity, Store
from outthink.train.fit import Example, Fitted, Recipe, fit
from outthink.train.revise import SAMPLES as REVISE_SAMPLES
from outthink.train.revise import trajectories
from outthink.train.rollouts import ROLLOUTS, SAMPLES, labelling, labels
from outthink.types import Budget, Grader, Problem, Strategy
from outthink.verify.trained import HFVerifier, places
from outthink.version import VERSION

KINDS = ("prm", "orm", "revise")
HELD_OUT = 0.1
"""Share of the problems kept for early stopping and the card (appendix D)."""
LEAST = 10
"""Problems, so that one is held out."""
CARD = "README.md"
_PLAN, _FACTS = "training.json", "facts.json"
_BUCKETS = 10


def usual(kind: str, lora: int = 16, seed: int = 0) -> Recipe:
    """The paper's recipe, appendices D and H; adapters need a larger rate than whole weights."""
    if kind == "revise":
        # The loss on what others wrote is a poor guide: training ends a little after it rises.
        rate = 1e-4 if lora else 1e-5
        return Recipe(rate, 0.0, lora, patience=2, keep_last=True, seed=seed)
    return Recipe(2e-4 if lora else 3e-5, 0.05, lora, seed=seed)


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained, on what."""

    kind: str
    model: str
    """A folder or a name of the hub."""
    out: Path
    recipe: Recipe
    samples: int = SAMPLES
    rollouts: int = ROLLOUTS
    seed: int = 0
    setting: Setting = field(default_factory=Setting)
    command: str = ""
    """What was typed, for the card."""


def samples_of(kind: str) -> int:
    """Samples a problem, by default."""
    return REVISE_SAMPLES if kind == "revise" else SAMPLES


def train(
    plan: Training,
    problems: Sequence[Problem],
    *,
    grader: Grader = exact,
    read: Read | None = None,
    rows: int = ROWS,
) -> dict[str, Any]:
    """Draw, label, fine-tune and write; what the card says as figures.

    Raises `UsageError` for too few problems with references, `WeightsError` where the folder holds
    another training, `RunError` where there is nothing to learn from or the disk fails.
    """
    asked = [problem for problem in problems if problem.reference is not None]
    if len(asked) < LEAST:
        raise UsageError(
            f"{len(asked)} problems with a reference; give {LEAST} or more, some are held out"
        )
    loaded = load(plan.model.removeprefix(HF), setting=plan.setting)
    _claim(plan, loaded.name, asked)
    done = plan.out / _FACTS
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    proposer = HFProposer(loaded, read=read, rows=rows)
    how = labelling(plan.rollouts) if plan.kind == "prm" else strategy("majority")
    results = _drawn(plan, proposer, asked, how, grader)
    spent = sum(result.outcome.usage.decoded_tokens for result in results)
    turns = Turns(loaded.tokenizer, plan.setting)
    ends = end_ids(loaded)
    groups = [_examples(plan, result, turns, ends, grader) for result in results]
    held_out, training = _split(groups, plan.seed)
    if not (held_out and training):
        raise RunError(
            f"{len(training)} examples to learn from and {len(held_out)} held out: no sample came "
            "to an answer that can be learnt from; give more problems, more --samples or a model "
            "that answers in the form asked for"
        )
    del proposer, loaded
    torch.manual_seed(plan.seed)
    base = load(plan.model.removeprefix(HF), scores=plan.kind != "revise", train=True)
    fitted = fit(
        base.model,
        plan.recipe,
        training,
        held_out,
        checkpoint=plan.out / "training.checkpoint",
        label=f"training the {plan.kind}",
    )
    facts = {
        "kind": plan.kind,
        "base": plan.model,
        "problems": len(asked),
        "training_examples": len(training),
        "held_out_examples": len(held_out),
        "sampled_tokens": spent,
        "training_tokens": fitted.tokens,
        "steps": fitted.steps,
        "held_out_loss_before": fitted.first_loss,
        "held_out_loss": fitted.loss,
        "seconds": round(fitted.seconds, 1),
    }
    if plan.kind != "revise":
        facts |= quality(fitted.model, held_out, last_only=plan.kind == "orm")
    _write(plan, fitted, base, facts)
    return facts


def _claim(plan: Training, name: str, asked: Sequence[Problem]) -> None:
    """Say in the folder what is trained in it, or see that it says so already."""
    told = json.dumps(
        {
            "kind": plan.kind,
            "model": name,
            "problems": [problem.id for problem in asked],
            "samples": plan.samples,
            "rollouts": plan.rollouts if plan.kind == "prm" else None,
            "seed": plan.seed,
            "setting": asdict(plan.setting),
            "recipe": asdict(plan.recipe),
        }
    )
    path = plan.out / _PLAN
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(told + "\n")
        found = path.read_text().strip()
    except OSError as error:
        raise RunError(f"{path}: cannot be used ({error}); name another --out") from error
    if found != told:
        raise WeightsError(
            f"{plan.out} holds another training; give another --out, the same words or delete it"
        )


def _drawn(
    plan: Training, proposer: HFProposer, asked: Sequence[Problem], how: Strategy, grader: Grader
) -> list[Result]:
    """A search on every problem, in their order; kept in a store, so that it can be resumed."""
    identity = Identity(proposer.name, None, plan.seed, {"samples": str(plan.samples)})
    found: dict[str, Result] = {}
    with (
        Store.open(plan.out / "samples.store", identity=identity, write=True) as store,
        Progress("sampling", len(asked), "problems") as bar,
    ):
        # A problem asks for many rows at once, so few of them fill a batch.
        driver = Driver(
            proposer,
            seed=plan.seed,
            journal=store,
            grader=grader,
            rows_in_flight=16 * plan.samples,
        )
        for result in driver.run(Job(each, how, Budget(plan.samples)) for each in asked):
            found[result.job.problem.id] = result
            bar.advance(1)
    return [found[problem.id] for problem in asked]


def _examples(
    plan: Training, result: Result, turns: Turns, ends: Sequence[int], grader: Grader
) -> list[Example]:
    """What the samples of one problem teach."""
    problem = result.job.problem
    assert problem.reference is not None
    if plan.kind == "prm":
        return [
            scored(turns, labelled.solution.problem, labelled.solution, labelled.labels)
            for labelled in labels(result, each=plan.rollouts, grader=grader)
            if labelled.solution.step_ends
        ]
    answered = [s for s in result.choice.candidates if s.answer is not None and s.step_ends]
    right = [s.answer is not None and grader(s.answer, problem.reference) for s in answered]
    if plan.kind == "orm":
        return [
            scored(turns, problem, solution, (float(good),), last_only=True)
            for solution, good in zip(answered, right, strict=True)
        ]
    rng = np.random.default_rng([plan.seed, *problem.id.encode()])
    good = [s for s, is_right in zip(answered, right, strict=True) if is_right]
    wrong = [s for s, is_right in zip(answered, right, strict=True) if not is_right]
    found = []
    for trajectory in trajectories(good, wrong, turns.text, rng):
        history = tuple(earlier.tokens for earlier in trajectory.history)
        prompt = turns.prompt(problem.prompt, history)
        # That the answer ends is learnt as well.
        tokens = (*prompt, *trajectory.answer.tokens, ends[0])
        found.append(Example(tokens, first=len(prompt)))
    return found


def scored(
    turns: Turns,
    problem: Problem,
    solution: Any,
    values: Sequence[float],
    *,
    last_only: bool = False,
) -> Example:
    """A solution with what its steps are worth, where the verifier will read them."""
    prompt = turns.prompt(problem.prompt, solution.history)
    read = places(len(prompt), solution.step_ends)
    if last_only:
        read = read[-1:]
    return Example((*prompt, *solution.tokens), tuple(read), tuple(values))


def _split(groups: Sequence[list[Example]], seed: int) -> tuple[list[Example], list[Example]]:
    """Examples of problems that are held out, and of the others."""
    order = np.random.default_rng(seed).permutation(len(groups))
    taught = [at for at in order if groups[at]]
    kept = max(1, round(len(taught) * HELD_OUT))
    return (
        [example for at in taught[:kept] for example in groups[at]],
        [example for at in taught[kept:] for example in groups[at]],
    )


# How good it is ----------------------------------------------------------------------------------


def quality(model: Any, held_out: Sequence[Example], *, last_only: bool) -> dict[str, Any]:
    """How well a verifier's scores tell right from wrong, and whether they can be believed."""
    from outthink.verify.trained import probabilities

    device = next(model.parameters()).device
    scores: list[list[float]] = []
    for example in held_out:
        ids = torch.tensor([example.tokens], device=device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, list(example.places)]
        scores.append(probabilities(logits).tolist())
    last = [each[-1] for each in scores]
    right = [each.labels[-1] for each in held_out]
    found = {"final_auc": auc(last, right), "final_ece": calibration_error(last, right)}
    if not last_only:
        flat = [score for each in scores for score in each]
        told = [label for each in held_out for label in each.labels]
        found |= {"step_auc": auc(flat, told), "step_ece": calibration_error(flat, told)}
    return found


def auc(scores: Sequence[float], labels: Sequence[float]) -> float | None:
    """Probability that a right one scores above a wrong one, ties half; a soft label counts as so
    much of either. `None` where there are not both."""
    order = np.argsort(scores, kind="stable")
    value, label = np.asarray(scores, float)[order], np.asarray(labels, float)[order]
    if not label.sum() or not (1 - label).sum():
        return None
    _, group = np.unique(value, return_inverse=True)
    right, wrong = np.bincount(group, label), np.bincount(group, 1 - label)
    below = np.cumsum(wrong) - wrong
    return float((right * (below + wrong / 2)).sum() / (right.sum() * wrong.sum()))


def calibration_error(scores: Sequence[float], labels: Sequence[float]) -> float:
    """Mean distance of score and label over ten buckets of equally many scores."""
    order = np.argsort(scores, kind="stable")
    value, label = np.asarray(scores, float)[order], np.asarray(labels, float)[order]
    parts = np.array_split(np.arange(len(value)), min(_BUCKETS, len(value)))
    gaps = [abs(value[part].mean() - label[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(value))


# What is left behind -----------------------------------------------------------------------------


def _write(plan: Training, fitted: Fitted, base: Loaded, facts: dict[str, Any]) -> None:
    """The model, its tokenizer, how it is asked, the card; the figures last, as they say that all
    of it is there."""
    model = fitted.model
    if plan.kind != "revise":
        model.config.id2label = {0: "wrong", 1: "right"}
        model.config.label2id = {"wrong": 0, "right": 1}
    try:
        model.save_pretrained(plan.out)
        base.tokenizer.save_pretrained(plan.out)
        write_about(plan.out, About(plan.setting, plan.kind))
        (plan.out / CARD).write_text(card(plan, facts))
        (plan.out / _FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        (plan.out / "training.checkpoint").unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{plan.out}: cannot write the model ({error}); free some space and run the command "
            "again"
        ) from error


_SAYS = {
    "prm": "A process verifier: the score of a step is the probability of class 1 (`right`) at the "
    "step's last token, that a solution which goes on from there ends right.",
    "orm": "An outcome verifier: the score of a solution is the probability of class 1 (`right`) "
    "at its last token.",
    "revise": "A revision model: it sees its earlier answers as turns before, and writes another.",
}
_TITLES = {
    "base": "base model",
    "problems": "problems",
    "training_examples": "examples trained on",
    "held_out_examples": "examples held out, of other problems",
    "sampled_tokens": "tokens sampled to make them",
    "training_tokens": "tokens trained on",
    "steps": "steps",
    "held_out_loss_before": "held-out loss before, nats",
    "held_out_loss": "held-out loss, nats",
    "step_auc": "AUC of steps",
    "step_ece": "calibration error of steps",
    "final_auc": "AUC of whole solutions",
    "final_ece": "calibration error of whole solutions",
    "seconds": "seconds of training",
}


def card(plan: Training, facts: dict[str, Any]) -> str:
    """The model card."""
    rows = [
        f"| {title} | {_said(facts[name])} |" for name, title in _TITLES.items() if name in facts
    ]
    recipe = plan.recipe
    how = f"adapters of rank {recipe.lora}, merged" if recipe.lora else "all weights"
    use = "--reviser" if plan.kind == "revise" else "--verifier"
    return "\n".join(
        [
            f"# {plan.out.name}: {plan.kind} of {Path(plan.model).name}",
            "",
            _SAYS[plan.kind],
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
            f"Trained: {how}, AdamW at {recipe.rate:g}, batch {recipe.batch}, dropout "
            f"{recipe.dropout:g}, at most {recipe.epochs} epochs, early stopping on the problems "
            f"held out. Samples a problem: {plan.samples}"
            + (f", rollouts a step: {plan.rollouts}." if plan.kind == "prm" else "."),
            "",
            "```",
            plan.command or f"outthink train {plan.kind}",
            f"outthink sweep PROBLEMS -o my.store --model {HF}{plan.model.removeprefix(HF)} "
            f"{use} {HF}DIR",
            "```",
            "",
            "Measured on problems that are like those it was trained on and held out from them; "
            f"on others it is unknown. Made with outthink {VERSION}.",
            "",
        ]
    )


def _said(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def verifier_of(model: Any, tokenizer: Any, setting: Setting) -> HFVerifier:
    """A verifier around a model in memory."""
    return HFVerifier(wrap("trained", model, tokenizer, setting, "prm"))


__all__ = ["KINDS", "Training", "samples_of", "train", "usual"]
