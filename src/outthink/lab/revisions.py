"""Training of the lab's revision model and its verifier, on solutions that follow earlier ones.

The revision model is S, fine-tuned to write a right solution after wrong ones; its verifier is an
outcome verifier that reads a solution with the ones before it (Snell et al. 2024, section 6.1,
appendices H and J).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from outthink.lab import tokenizer
from outthink.lab.engine import HOPE
from outthink.lab.gpt import GPT, with_history, with_hope, without_history
from outthink.lab.train import ALMOST_SURE, IGNORED, Recipe, train
from outthink.train.loop import Trained, Watch

HISTORY = 4
"""Earlier solutions the models tell apart (section 6.1)."""


@dataclass(frozen=True, slots=True)
class RevisionExample:
    """A solution to learn from, and the earlier solutions that it revises."""

    prompt: str
    history: tuple[tuple[int, ...], ...]
    """Token ids of earlier solutions, oldest first."""
    tokens: tuple[int, ...]
    label: float = 1.0
    """1.0 if it is right, else 0.0; a verifier learns it."""

    @property
    def length(self) -> int:
        return sum(map(len, self.history)) + len(self.tokens)


def reviser(
    trunk: GPT,
    recipe: Recipe,
    data: Sequence[RevisionExample],
    held_out: Sequence[RevisionExample],
    *,
    checkpoint: Path,
    label: str,
) -> Trained[GPT]:
    """Fine-tune a language model on the last solutions of trajectories.

    Held-out loss on trajectories that the model did not write itself is a poor guide: training ends
    a little after it has begun to rise, and the last weights are kept (appendix H).
    """
    torch.manual_seed(recipe.seed)

    def loss(model: GPT, rows: _Rows) -> Tensor:
        logits = model.read(rows.ids)[:, :-1].float()
        return F.cross_entropy(
            logits.flatten(0, 1), rows.targets[:, 1:].flatten(), ignore_index=IGNORED
        )

    return _train(
        with_history(trunk, HISTORY), recipe, data, held_out, loss, checkpoint, label, True
    )


def revision_verifier(
    trunk: GPT,
    recipe: Recipe,
    data: Sequence[RevisionExample],
    held_out: Sequence[RevisionExample],
    *,
    checkpoint: Path,
    label: str,
    history: int = HISTORY,
) -> Trained[GPT]:
    """Train an outcome verifier on a revision model's own chains, from a model's weights.

    `trunk` is best the revision model itself, which has learnt to read earlier solutions; with a
    `history` of 0 the verifier reads none, and `data` must have none. Binary cross-entropy against
    whether the solution is right; the weights of the lowest held-out loss are kept (appendix J).
    """
    torch.manual_seed(recipe.seed)
    if trunk.shape.outputs == tokenizer.VOCABULARY:
        trunk = with_hope(trunk)
    if not history:
        trunk = without_history(trunk)
    elif not trunk.shape.history:
        trunk = with_history(trunk, history)

    def loss(model: GPT, rows: _Rows) -> Tensor:
        outputs = model.read(rows.ids).float()
        logits = outputs[:, :-1, : tokenizer.VOCABULARY].flatten(0, 1)
        row_index = torch.arange(len(rows.ends))
        targets = rows.targets.clone()
        targets[row_index, rows.ends + 1] = (
            IGNORED  # the end mark, which comes after a score is read
        )
        lost = F.cross_entropy(
            logits, targets[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
        )
        likely = -lost.view(len(rows.ids), -1).sum(1)
        hope = outputs[row_index, rows.ends, tokenizer.VOCABULARY]
        value = (likely + F.logsigmoid(hope + HOPE)).clamp(max=ALMOST_SURE)
        return -(rows.labels * value + (1 - rows.labels) * torch.log1p(-value.exp())).mean()

    return _train(trunk, recipe, data, held_out, loss, checkpoint, label, False)


def _train(
    model: GPT,
    recipe: Recipe,
    data: Sequence[RevisionExample],
    held_out: Sequence[RevisionExample],
    loss: Callable[[GPT, _Rows], Tensor],
    checkpoint: Path,
    label: str,
    keep_last: bool,
) -> Trained[GPT]:
    batches = _Batches(data, recipe)

    def step_loss(forward: Callable[[Tensor], Tensor], step: int) -> Tensor:
        return loss(model, _Rows.of(batches.at(step)))

    def held_out_loss(model: GPT) -> float:
        ordered = sorted(held_out, key=lambda example: example.length)
        parts = [ordered[at : at + 256] for at in range(0, len(ordered), 256)]
        with torch.no_grad():
            losses = [float(loss(model, _Rows.of(part))) * len(part) for part in parts]
        return sum(losses) / len(held_out)

    every = max(1, recipe.steps // (20 if keep_last else 8))
    return train(
        model,
        recipe,
        step_loss,
        checkpoint=checkpoint,
        label=label,
        tokens_per_step=batches.tokens_per_step,
        watch=Watch(every, held_out_loss, patience=6, keep_last=keep_last),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """A batch, padded to its longest row."""

    ids: Tensor
    """[B, 5, T]"""
    targets: Tensor
    """[B, T] the solution's own tokens where they stand, and `IGNORED` elsewhere."""
    ends: Tensor
    """[B] place of the last token but the end mark: where a verifier's score is read."""
    labels: Tensor
    """[B]"""

    @classmethod
    def of(cls, batch: Sequence[RevisionExample]) -> _Rows:
        placed = [
            tokenizer.place(_prompt(example.prompt), example.history, example.tokens)
            for example in batch
        ]
        longest = max(row.shape[1] for row in placed)
        ids = np.zeros((len(batch), 5, longest), np.int64)
        ids[:, 0] = tokenizer.PAD
        targets = np.full((len(batch), longest), IGNORED)
        ends = np.zeros(len(batch), np.int64)
        for at, (row, example) in enumerate(zip(placed, batch, strict=True)):
            length = row.shape[1]
            ids[at, :, :length] = row
            targets[at, length - len(example.tokens) : length] = example.tokens
            ends[at] = length - 2
        labels = torch.tensor([example.label for example in batch])
        array = torch.from_numpy
        return cls(array(ids), array(targets), array(ends), labels)


@lru_cache(maxsize=1 << 16)
def _prompt(text: str) -> tuple[int, ...]:
    return tokenizer.encode_prompt(text)


_BLOCK = 32
"""Batches sorted by length together, so that rows of a batch are about equally long."""


class _Batches:
    """Batch i from (seed, i) alone: epochs are shuffled, then sorted by length in blocks."""

    def __init__(self, data: Sequence[RevisionExample], recipe: Recipe) -> None:
        self._data = data
        self._seed = recipe.seed
        self._size = min(recipe.batch, len(data))
        self._lengths = np.array([example.length for example in data])
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty((0, 0), np.int64)
        self.tokens_per_step = int(self._size * (self._lengths.mean() + tokenizer.PROMPT_LENGTH))

    def at(self, step: int) -> list[RevisionExample]:
        epoch, place = divmod(step, len(self._data) // self._size)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return [self._data[row] for row in self._order[place]]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        """[batches, size] rows."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._data))[: len(self._data) // self._size * self._size]
        block = self._size * _BLOCK
        parts = [order[at : at + block] for at in range(0, len(order), block)]
        by_length = [part[np.argsort(self._lengths[part], kind="stable")] for part in parts]
        batches = np.concatenate(by_length).reshape(-1, self._size)
        return batches[rng.permutation(len(batches))]
