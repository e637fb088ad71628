"""Fine-tuning of models of transformers: whole or by low-rank adapters.

Verifiers and revision models are trained alike. What step i trains on, and what dropout drops in
it, depends on (seed, i) alone. The learning rate rises linearly and then is constant; the end is
found on held-out problems (Snell et al. 2024, appendices D and H).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from outthink.models.weights import is_head, peft
from outthink.train.loop import Trained, Watch, train
from outthink.verify.families import Classes, MeanLogit, Readout, Value, Words

IGNORED = -100
_HEADS = {"score", "classifier", "lm_head", "embed_out"}
"""Names of the last layer, which adapters leave alone."""
_BLOCK = 16
"""Batches sorted by length together, so that rows of a pass are about equally long."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is fine-tuned."""

    rate: float
    """Learning rate after warm-up."""
    dropout: float = 0.05
    lora: int = 16
    """Rank of the adapters; 0 trains every weight."""
    batch: int = 128
    """Examples a step."""
    rows: int = 8
    """Examples a forward pass: gradients add up over the passes of a step."""
    epochs: int = 4
    """At most."""
    warmup: float = 0.05
    """Share of the first epoch."""
    weight_decay: float = 0.0
    readings: int = 4
    """Readings of the held-out loss in an epoch."""
    patience: int = 4
    """Stop after so many of them without a new best."""
    keep_last: bool = False
    """Keep the weights at which training stopped, not the best ones."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and the labels at some of them."""

    tokens: tuple[int, ...]
    places: tuple[int, ...] = ()
    """Places where a verifier's score is read."""
    labels: tuple[float, ...] = ()
    """The score that is right at each of these places, in [0, 1]."""
    first: int = 0
    """Without places: the first token that the model learns to write; those before it are given."""


Odds = Callable[[Tensor], Tensor]
"""From outputs [n, numbers] of a model at a place to log odds [n] of being right."""


def odds_of(readout: Readout, words: tuple[int, int] | None = None) -> Odds:
    """The log odds of the probability that a family reads, so that the score that is trained is the
    score that is used; `words` are the ids of `Words`."""
    match readout:
        case Words():
            assert words is not None
            good, bad = words
            return lambda outputs: outputs[:, good] - outputs[:, bad]
        case Classes(right):
            # Of two classes, as models that are trained here have.
            return lambda outputs: outputs[:, right] - outputs[:, 1 - right]
        case Value():
            return lambda outputs: outputs[:, 0]
        case MeanLogit():
            return lambda outputs: outputs.mean(-1)


def fit(
    model: Any,
    recipe: Recipe,
    data: Sequence[Example],
    held_out: Sequence[Example],
    *,
    odds: Odds | None = None,
    checkpoint: Path,
    label: str,
) -> Trained[Any]:
    """Fine-tune a model, going on from `checkpoint` where there is one, and merge its adapters into
    its weights. A verifier says with `odds` how its outputs are read.

    Raises `WeightsError` for a checkpoint of another recipe, `RunError` where it cannot be written.
    """
    torch.manual_seed(recipe.seed)
    model = adapted(model, recipe)
    batches = _Batches(data, recipe)
    warmup = max(1, round(recipe.warmup * batches.an_epoch))
    trained = train(
        model,
        lambda step: _gradients(model, recipe, batches.at(step), step, odds),
        steps=batches.an_epoch * recipe.epochs,
        rate_at=lambda step: recipe.rate * min(1.0, (step + 1) / warmup),
        weight_decay=recipe.weight_decay,
        tokens_at=lambda step: sum(len(example.tokens) for example in batches.at(step)),
        checkpoint=checkpoint,
        identity={"recipe": asdict(recipe), "data": len(data)},
        label=label,
        watch=Watch(
            max(1, batches.an_epoch // recipe.readings),
            lambda model: held_out_loss(model, held_out, recipe.rows, odds),
            recipe.patience,
            recipe.keep_last,
            first=True,
            last=True,
        ),
    )
    whole = model.merge_and_unload() if recipe.lora else model
    return replace(trained, model=whole.eval())


def adapted(model: Any, recipe: Recipe) -> Any:
    """The model with the weights that are trained: adapters on every linear layer and the new head,
    or all of them."""
    config = model.config.get_text_config()
    if not recipe.lora:
        for name in ("attention_dropout", "classifier_dropout"):
            if hasattr(config, name):
                setattr(config, name, recipe.dropout)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = recipe.dropout
        return model
    layers = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    }
    heads = [name for name, _ in model.named_children() if is_head(name)]
    with warnings.catch_warnings():
        # peft asks transformers by names that are going to change; nothing to do about it here.
        warnings.simplefilter("ignore", FutureWarning)
        return peft().get_peft_model(
            model,
            peft().LoraConfig(
                r=recipe.lora,
                lora_alpha=2 * recipe.lora,
                lora_dropout=recipe.dropout,
                target_modules=sorted(layers - _HEADS),
                modules_to_save=heads or None,
            ),
        )


def padded(rows: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """[rows, longest] token ids, 0 behind the end of each, and 1 where there is a token."""
    longest = max(len(row.tokens) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row.tokens)] = torch.tensor(row.tokens)
        mask[at, : len(row.tokens)] = 1
    return ids, mask


def loss_of(model: Any, rows: Sequence[Example], odds: Odds | None = None) -> Tensor:
    """The loss of these rows in nats: the sum over their labels, or over the tokens to write."""
    device = next(model.parameters()).device
    ids, mask = (part.to(device) for part in padded(rows))
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    if odds is not None:
        lines = [at for at, row in enumerate(rows) for _ in row.places]
        places = [place for row in rows for place in row.places]
        labels = torch.tensor([label for row in rows for label in row.labels], device=device)
        learnt = odds(logits[lines, places].float())
        return F.binary_cross_entropy_with_logits(learnt, labels, reduction="sum")
    targets = torch.where(mask > 0, ids, IGNORED)
    for at, row in enumerate(rows):
        targets[at, : row.first] = IGNORED
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        targets[:, 1:].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


def held_out_loss(
    model: Any, data: Sequence[Example], rows: int, odds: Odds | None = None
) -> float:
    """The mean loss of a label, or of a token to write, in nats."""
    ordered = sorted(data, key=lambda example: len(example.tokens))
    model.eval()
    with torch.no_grad():
        parts = [ordered[at : at + rows] for at in range(0, len(ordered), rows)]
        return sum(float(loss_of(model, part, odds)) for part in parts) / _learnt(data)


def _gradients(
    model: Any, recipe: Recipe, batch: Sequence[Example], step: int, odds: Odds | None
) -> float:
    """Add up the gradients of a batch, pass by pass, and return its mean loss."""
    torch.manual_seed((recipe.seed << 32) + step + 1)  # for dropout
    learnt, total = _learnt(batch), 0.0
    for at in range(0, len(batch), recipe.rows):
        loss = loss_of(model, batch[at : at + recipe.rows], odds) / learnt
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _learnt(data: Sequence[Example]) -> int:
    return sum(len(one.places) or len(one.tokens) - one.first for one in data)


class _Batches:
    """Batch i from (seed, i) alone: epochs are shuffled, then sorted by length in blocks."""

    def __init__(self, data: Sequence[Example], recipe: Recipe) -> None:
        self._data = data
        self._seed = recipe.seed
        self._size = min(recipe.batch, len(data))
        self._lengths = np.array([len(example.tokens) for example in data])
        self._epoch = -1
        self._order: list[list[int]] = []
        self.an_epoch = math.ceil(len(data) / self._size)

    def at(self, step: int) -> list[Example]:
        epoch, place = divmod(step, self.an_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return [self._data[row] for row in self._order[place]]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._data))
        block = self._size * _BLOCK
        parts = [order[at : at + block] for at in range(0, len(order), block)]
        rows = np.concatenate([p[np.argsort(self._lengths[p], kind="stable")] for p in parts])
        batches = [rows[at : at + self._size].tolist() for at in range(0, len(rows), self._size)]
        return [batches[at] for at in rng.permutation(len(batches))]
