"""Fine-tuning of models of transformers: whole or by low-rank adapters, resumable anywhere.

One loop for verifiers and revision models. What step i trains on, and what dropout drops in it,
depends on (seed, i) alone, and weights, optimiser and best-so-far are written together and
atomically; so a run that was killed goes on as if it had not been. AdamW with betas (0.9, 0.95),
linear warm-up, then constant; the end is found on held-out problems (Snell et al. 2024, appendices
D and H).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from outthink.models.weights import is_head, peft
from outthink.run.progress import Progress
from outthink.train import checkpoint as checkpoint_file
from outthink.verify.families import Classes, MeanLogit, Readout, Value, Words

CHECKPOINT_S = 60.0
"""Seconds of training at risk."""
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
    """Looks at the held-out loss in an epoch."""
    patience: int = 4
    """Stop after so many of them without a new best."""
    keep_last: bool = False
    """Keep the weights at which training stopped, not the best ones."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and what is learnt at some of them."""

    tokens: tuple[int, ...]
    places: tuple[int, ...] = ()
    """Where a verifier's score is read."""
    labels: tuple[float, ...] = ()
    """What it should be, in [0, 1]."""
    first: int = 0
    """Without places: the tokens from here on are to be written."""


Odds = Callable[[Tensor], Tensor]
"""From outputs [n, numbers] of a model at a place to log odds [n] of being right."""


def odds_of(readout: Readout, words: tuple[int, int] | None = None) -> Odds:
    """The log odds of the probability that a family reads, so that what is learnt is what is read;
    `words` are the ids of `Words`."""
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


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished training."""

    model: Any
    """With adapters merged into its weights."""
    steps: int
    tokens: int
    """Read in training, padding left out."""
    first_loss: float
    """On held-out problems, before training."""
    loss: float
    """The best on held-out problems."""
    seconds: float


def fit(
    model: Any,
    recipe: Recipe,
    data: Sequence[Example],
    held_out: Sequence[Example],
    *,
    odds: Odds | None = None,
    checkpoint: Path,
    label: str,
) -> Fitted:
    """Fine-tune a model, going on from `checkpoint` where there is one. A verifier says with `odds`
    how its outputs are read.

    Raises `WeightsError` for a checkpoint of another recipe, `RunError` where it cannot be written.
    """
    torch.manual_seed(recipe.seed)
    model = adapted(model, recipe)
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    optimiser = torch.optim.AdamW(
        trained.values(), lr=recipe.rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    batches = _Batches(data, recipe)
    total = batches.an_epoch * recipe.epochs
    every = max(1, batches.an_epoch // recipe.readings)
    state = _State(checkpoint, trained, optimiser, {"recipe": asdict(recipe), "data": len(data)})
    if not state.step:
        state.first = held_out_loss(model, held_out, recipe.rows, odds)
    with Progress(label, total, "steps", done=state.step) as bar:
        saved = began = time.monotonic()
        while state.step < total and not state.stopped:
            for group in optimiser.param_groups:
                rise = (state.step + 1) / max(1, round(recipe.warmup * batches.an_epoch))
                group["lr"] = recipe.rate * min(1.0, rise)
            loss = _step(model.train(), recipe, batches.at(state.step), state.step, odds)
            optimiser.step()
            optimiser.zero_grad()
            state.tokens += sum(len(each.tokens) for each in batches.at(state.step))
            state.step += 1
            if state.step % every == 0 or state.step == total:
                state.read(held_out_loss(model, held_out, recipe.rows, odds), recipe)
            bar.advance(1, f"loss {loss:.4f}  held-out {state.best:.4f}")
            now = time.monotonic()
            if now - saved > CHECKPOINT_S or state.step == total or state.stopped:
                state.seconds += now - began
                began = saved = now
                state.save()
    if state.best_weights and not recipe.keep_last:
        with torch.no_grad():
            for name, kept in state.best_weights.items():
                trained[name].copy_(kept)
    whole = model.merge_and_unload() if recipe.lora else model
    return Fitted(whole.eval(), state.step, state.tokens, state.first, state.best, state.seconds)


def adapted(model: Any, recipe: Recipe) -> Any:
    """The model with what is trained of it: adapters on every linear layer and the new head, or
    everything."""
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


def loss_of(model: Any, rows: Sequence[Example], odds: Odds | None = None) -> Tensor:
    """Sum over what is learnt in these rows, in nats."""
    device = next(model.parameters()).device
    longest = max(len(row.tokens) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row.tokens)] = torch.tensor(row.tokens)
        mask[at, : len(row.tokens)] = 1
    ids, mask = ids.to(device), mask.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    if odds is not None:
        lines = [at for at, row in enumerate(rows) for _ in row.places]
        places = [place for row in rows for place in row.places]
        label = torch.tensor([each for row in rows for each in row.labels], device=device)
        found = odds(logits[lines, places].float())
        return F.binary_cross_entropy_with_logits(found, label, reduction="sum")
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
    """Mean over what is learnt."""
    ordered = sorted(data, key=lambda each: len(each.tokens))
    model.eval()
    with torch.no_grad():
        parts = [ordered[at : at + rows] for at in range(0, len(ordered), rows)]
        return sum(float(loss_of(model, part, odds)) for part in parts) / _learnt(data)


def _step(
    model: Any, recipe: Recipe, batch: Sequence[Example], step: int, odds: Odds | None
) -> float:
    """Gradients of a batch, pass by pass; its mean loss."""
    torch.manual_seed((recipe.seed << 32) + step + 1)  # for dropout
    learnt, total = _learnt(batch), 0.0
    for at in range(0, len(batch), recipe.rows):
        loss = loss_of(model, batch[at : at + recipe.rows], odds) / learnt
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _learnt(data: Sequence[Example]) -> int:
    return sum(len(each.places) or len(each.tokens) - each.first for each in data)


class _Batches:
    """Batch i from (seed, i) alone: epochs are shuffled, then sorted by length in blocks."""

    def __init__(self, data: Sequence[Example], recipe: Recipe) -> None:
        self._data = data
        self._seed = recipe.seed
        self._size = min(recipe.batch, len(data))
        self._lengths = np.array([len(each.tokens) for each in data])
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
        found = [rows[at : at + self._size].tolist() for at in range(0, len(rows), self._size)]
        return [found[at] for at in rng.permutation(len(found))]


class _State:
    """Everything that changes during a training, in one file."""

    _KEPT = ("step", "tokens", "first", "seconds", "best", "best_weights", "worse", "stopped")

    def __init__(
        self,
        path: Path,
        trained: dict[str, Any],
        optimiser: torch.optim.Optimizer,
        identity: dict[str, Any],
    ) -> None:
        self.path, self._trained, self._optimiser = path, trained, optimiser
        self._identity = identity
        self.step = self.tokens = self.worse = 0
        self.seconds = 0.0
        self.first = self.best = float("inf")
        self.best_weights: dict[str, Tensor] | None = None
        self.stopped = False
        if path.exists():
            self._load()

    def read(self, loss: float, recipe: Recipe) -> None:
        """Take a held-out reading."""
        if loss < self.best:
            self.best, self.worse = loss, 0
            if not recipe.keep_last:
                self.best_weights = {k: v.detach().clone() for k, v in self._trained.items()}
        else:
            self.worse += 1
            self.stopped = self.worse >= recipe.patience

    def save(self) -> None:
        kept: dict[str, Any] = {name: getattr(self, name) for name in self._KEPT}
        kept |= {
            "identity": self._identity,
            "weights": {name: each.detach() for name, each in self._trained.items()},
            "optimiser": self._optimiser.state_dict(),
        }
        checkpoint_file.write(self.path, kept)

    def _load(self) -> None:
        kept = checkpoint_file.read(self.path, self._identity)
        with torch.no_grad():
            for name, each in self._trained.items():
                each.copy_(kept["weights"][name])
        self._optimiser.load_state_dict(kept["optimiser"])
        for name in self._KEPT:
            setattr(self, name, kept[name])
