"""How good a trained model is, in figures and on a model card.

The figures are of problems that were held out: whether a verifier's scores tell right from wrong
(AUC), and whether they are probabilities (calibration).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outthink.train.fit import Example, Odds, Recipe
from outthink.version import VERSION

NAME = "README.md"
_BUCKETS = 10


def quality(
    model: Any, odds: Odds, held_out: Sequence[Example], *, steps: bool
) -> dict[str, float | None]:
    """AUC and calibration error of whole solutions, by their last score, and with `steps` of all
    steps."""
    device = next(model.parameters()).device
    scores: list[list[float]] = []
    for example in held_out:
        ids = torch.tensor([example.tokens], device=device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, list(example.places)]
        scores.append(odds(logits.float()).sigmoid().tolist())
    last = [step_scores[-1] for step_scores in scores]
    right = [example.labels[-1] for example in held_out]
    figures = {"final_auc": auc(last, right), "final_ece": calibration_error(last, right)}
    if steps:
        flat = [score for step_scores in scores for score in step_scores]
        labels = [label for example in held_out for label in example.labels]
        figures |= {"step_auc": auc(flat, labels), "step_ece": calibration_error(flat, labels)}
    return figures


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


@dataclass(frozen=True, slots=True)
class Made:
    """How a model came about, for its card."""

    kind: str
    model: str
    name: str
    recipe: Recipe
    data: str
    """How the solutions it learnt from were drawn."""
    command: str
    use: str
    """The words of the command line that use it."""


_SAYS = {
    "prm": "A process verifier: the score of a step is the probability that a solution which goes "
    "on from there ends right.",
    "orm": "An outcome verifier: the score of a solution, read at its end, is the probability that "
    "it is right.",
    "probe": "A probe: a linear head on the hidden state of the model itself, at the last token of "
    "a step. The score of a step is the probability that the solution ends right.",
    "revise": "A revision model: it sees its earlier answers as turns before, and writes another.",
}
_TITLES = {
    "base": "base model",
    "family": "family, which says how it is read",
    "problems": "problems",
    "training_examples": "examples trained on",
    "held_out_examples": "examples held out, of other problems",
    "sampled_tokens": "tokens sampled to make them",
    "training_tokens": "tokens trained on",
    "steps": "steps",
    "held_out_loss_before": "held-out loss before, nats",
    "held_out_loss": "held-out loss, nats",
    "layer": "layer that is read, of",
    "layers": "layers of the model",
    "penalty": "penalty of the weights",
    "step_auc": "AUC of steps",
    "step_ece": "calibration error of steps",
    "final_auc": "AUC of whole solutions",
    "final_auc_within": "AUC of whole solutions, within problems",
    "final_ece": "calibration error of whole solutions",
    "seconds": "seconds of training",
}


def card(made: Made, facts: dict[str, Any]) -> str:
    """The model card."""
    recipe = made.recipe
    how = f"adapters of rank {recipe.lora}, merged" if recipe.lora else "all weights"
    trained = (
        f"Trained: {how}, AdamW at {recipe.rate:g}, batch {recipe.batch}, dropout "
        f"{recipe.dropout:g}, at most {recipe.epochs} epochs, early stopping on the problems "
        f"held out. {made.data}"
    )
    return _page(made, facts, trained)


def of_probe(made: Made, facts: dict[str, Any]) -> str:
    """The card of a probe."""
    tried = ", ".join(f"{layer}: {loss:.4f}" for layer, loss in facts["validation_loss"].items())
    fitted = (
        "Fitted: logistic regression on soft labels. Layer and penalty are those of least loss in "
        f"cross-validation over problems (nats by layer: {tried}). {made.data}"
    )
    return _page(made, facts, fitted)


def _page(made: Made, facts: dict[str, Any], trained: str) -> str:
    rows = [
        f"| {title} | {_said(facts[name])} |" for name, title in _TITLES.items() if name in facts
    ]
    return "\n".join(
        [
            f"# {made.name}: {made.kind} of {Path(made.model).name}",
            "",
            _SAYS[made.kind],
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
            trained,
            "",
            "```",
            made.command,
            f"outthink sweep PROBLEMS -o my.store --model {made.model} {made.use}",
            "```",
            "",
            "Measured on problems that are like those it was trained on and held out from them; "
            f"on others it is unknown. Made with outthink {VERSION}.",
            "",
        ]
    )


def _said(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
