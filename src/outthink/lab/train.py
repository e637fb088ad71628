"""Training of the lab's language models and verifiers, by the loop that users' models go through.

What step i trains on depends on (seed, i) alone. The learning rate rises linearly, is constant, and
falls linearly to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from outthink.data import task
from outthink.lab import tokenizer
from outthink.lab.engine import log_likelihood, score
from outthink.lab.gpt import GPT, Shape, with_hope
from outthink.train import loop
from outthink.train.loop import Trained, Watch
from outthink.train.rollouts import Labelled


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is trained."""

    steps: int
    batch: int
    """Sequences a step."""
    rate: float
    """Peak learning rate."""
    seed: int
    warmup: int = 100
    """Steps of linear warm-up."""
    decay: float = 0.4
    """Last share of the steps, over which the rate falls linearly to zero."""
    weight_decay: float = 0.1
    low_precision: bool = False
    """bfloat16 autocast: pays from a width of about 200."""

    def rate_at(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / (self.steps * self.decay)
        return self.rate * min(1.0, rise, fall)


Loss = Callable[[Callable[[Tensor], Tensor], int], Tensor]
"""(model, step) -> mean loss of that step's batch."""


def train(
    model: GPT,
    recipe: Recipe,
    loss_of: Loss,
    *,
    checkpoint: Path,
    label: str,
    tokens_per_step: int,
    watch: Watch | None = None,
    compiled: bool = False,
) -> Trained[GPT]:
    """Train `model` in place, going on from `checkpoint` where there is one.

    Raises `WeightsError` for a checkpoint of another recipe or shape, `RunError` where it cannot be
    written.
    """
    forward: Callable[[Tensor], Tensor] = torch.compile(model) if compiled else model

    def gradients(step: int) -> float:
        with torch.autocast(
            model.head.weight.device.type, torch.bfloat16, enabled=recipe.low_precision
        ):
            loss = loss_of(forward, step)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    return loop.train(
        model,
        gradients,
        steps=recipe.steps,
        rate_at=recipe.rate_at,
        weight_decay=recipe.weight_decay,
        tokens_at=lambda step: tokens_per_step,
        checkpoint=checkpoint,
        identity={"recipe": asdict(recipe), "shape": asdict(model.shape)},
        label=label,
        watch=watch,
    )


def language_model(
    shape: Shape, recipe: Recipe, *, checkpoint: Path, label: str, compiled: bool = False
) -> Trained[GPT]:
    """Train a model to write exact solutions; the loss is on the solution's tokens alone.

    Cross-entropy in nats a token.
    """
    torch.manual_seed(recipe.seed)
    model = GPT(shape)
    batches = _Batches(recipe)

    def loss_of(forward: Callable[[Tensor], Tensor], step: int) -> Tensor:
        tokens = batches.at(step)
        targets = tokens[:, 1:].clone()
        targets[:, : tokenizer.PROMPT_LENGTH - 1] = IGNORED
        targets[targets == tokenizer.PAD] = IGNORED
        logits = forward(tokens[:, :-1]).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    return train(
        model,
        recipe,
        loss_of,
        checkpoint=checkpoint,
        label=label,
        tokens_per_step=recipe.batch * tokenizer.CONTEXT,
        compiled=compiled,
    )


def verifier(
    trunk: GPT,
    recipe: Recipe,
    data: Examples,
    held_out: Examples,
    *,
    checkpoint: Path,
    label: str,
    compiled: bool = False,
) -> Trained[GPT]:
    """Train a verifier from a language model's weights, its head too, and one new output: the hope.

    Binary cross-entropy against soft labels at the positions that have one (Snell et al. 2024,
    appendix D). The weights kept are those of the lowest loss on held-out problems.
    """
    torch.manual_seed(recipe.seed)
    model = with_hope(trunk)
    size = min(recipe.batch, len(data.tokens))
    epoch_steps = len(data.tokens) // size

    def loss_of(forward: Callable[[Tensor], Tensor], step: int) -> Tensor:
        epoch, place = divmod(step, epoch_steps)
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(data.tokens))
        rows = torch.from_numpy(order[place * size : (place + 1) * size])
        return data.loss(forward, rows)

    def held_out_loss(model: GPT) -> float:
        with torch.no_grad():
            parts = torch.split(torch.arange(len(held_out.tokens)), 512)
            losses = [float(held_out.loss(model, rows)) * len(rows) for rows in parts]
        return sum(losses) / len(held_out.tokens)

    return train(
        model,
        recipe,
        loss_of,
        checkpoint=checkpoint,
        label=label,
        tokens_per_step=size * tokenizer.CONTEXT,
        watch=Watch(max(1, min(epoch_steps, recipe.steps) // 2), held_out_loss, patience=6),
        compiled=compiled,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled solutions as arrays."""

    tokens: Tensor
    """[B, CONTEXT] ids of prompt and solution, padded."""
    labels: Tensor
    """[B, CONTEXT] label at the last token of each step; NaN where there is none."""

    @classmethod
    def of(cls, labelled: Sequence[Labelled], *, last_only: bool = False) -> Examples:
        """All steps for a process verifier; the last step alone for an outcome verifier."""
        tokens = np.full((len(labelled), tokenizer.CONTEXT), tokenizer.PAD)
        labels = np.full((len(labelled), tokenizer.CONTEXT), np.nan, np.float32)
        for row, example in enumerate(labelled):
            solution = example.solution
            prompt = tokenizer.encode_prompt(solution.problem.prompt)
            whole = (*prompt, *solution.tokens)
            tokens[row, : len(whole)] = whole
            places = [len(prompt) + end - 1 for end in solution.step_ends]
            labels[row, places] = example.labels
            if last_only:
                labels[row, places[:-1]] = np.nan
        return cls(torch.from_numpy(tokens), torch.from_numpy(labels))

    def loss(self, forward: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Mean binary cross-entropy of the labels of these rows, in nats."""
        tokens, labels = self.tokens[rows], self.labels[rows, tokenizer.PROMPT_LENGTH :]
        outputs = forward(tokens)[:, tokenizer.PROMPT_LENGTH - 1 :]
        likely = log_likelihood(outputs[:, :-1], tokens[:, tokenizer.PROMPT_LENGTH :]).cumsum(1)
        known = ~labels.isnan()
        value = score(likely, outputs[:, 1:])[known].clamp(max=ALMOST_SURE)
        label = labels[known]
        return -(label * value + (1 - label) * torch.log1p(-value.exp())).mean()


ALMOST_SURE = -1e-5
"""Largest log score in the loss, which is infinite for a wrong step of score 1."""
IGNORED = -100
_BLOCK = 4096
"""Sequences drawn at once: recipes of other batch sizes see the same ones in the same order."""


class _Batches:
    """Batch i of a recipe, from (seed, i) alone. The batch size divides `_BLOCK`."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._number = -1
        self._block = torch.empty(0, dtype=torch.long)

    def at(self, step: int) -> Tensor:
        """[batch, CONTEXT] token ids."""
        size = self._recipe.batch
        number, place = divmod(step, _BLOCK // size)
        if number != self._number:
            rng = np.random.default_rng([self._recipe.seed, number])
            chains = task.draw(task.Stream.TRAIN, _BLOCK, rng)
            self._number, self._block = number, torch.from_numpy(tokenizer.encode_chains(chains))
        return self._block[place * size : (place + 1) * size]
