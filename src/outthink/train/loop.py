"""The training loop: one for the lab's models and for a user's own, resumable anywhere.

What step i trains on, and what dropout drops in it, depends on (seed, i) alone; weights, optimiser
and the best weights so far are written to one file, whole or not at all. So a run that was killed
goes on as if it had not been. AdamW with betas (0.9, 0.95); training ends after its steps, or
early, by the loss on held-out problems (Snell et al. 2024, appendices D and H).

Knows nothing of batches, of recipes or of what a loss is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from outthink.run.progress import Progress
from outthink.train import checkpoint as checkpoint_file

CHECKPOINT_S = 60.0
"""Seconds of training that a kill can lose."""

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Watch:
    """Early stopping: every `every` steps a held-out loss is read; the best weights are kept."""

    every: int
    loss: Callable[[Any], float]
    """Of the model, in evaluation mode."""
    patience: int
    """Training stops after this many readings without a new best."""
    keep_last: bool = False
    """Keep the weights at which training stopped, not the best ones."""
    first: bool = False
    """Read the loss before the first step as well."""
    last: bool = False
    """Read the loss after the last step as well; without it, only if it was never read."""


@dataclass(frozen=True, slots=True)
class Trained(Generic[Model]):
    """A finished training."""

    model: Model
    """In evaluation mode."""
    steps: int
    tokens: int
    """Read in training, without padding where the caller counts none."""
    first_loss: float
    """On held-out problems before training; infinite where it was not read."""
    loss: float
    """The best on held-out problems; without a `Watch`, the mean training loss over the last tenth
    of the steps."""
    seconds: float


def train(
    model: Model,
    gradients: Callable[[int], float],
    *,
    steps: int,
    rate_at: Callable[[int], float],
    weight_decay: float,
    tokens_at: Callable[[int], int],
    checkpoint: Path,
    identity: dict[str, Any],
    label: str,
    watch: Watch | None = None,
) -> Trained[Model]:
    """Train the weights of `model` that require gradients, in place, going on from `checkpoint`
    where there is one.

    `gradients(i)` adds up the gradients of step i and returns its mean loss; `rate_at(i)` is the
    learning rate of step i, `tokens_at(i)` the tokens that it reads. `identity` tells one training
    from another.

    Raises `WeightsError` for a checkpoint of another identity, `RunError` where it cannot be
    written.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(
        weights.values(), lr=rate_at(0), betas=(0.9, 0.95), weight_decay=weight_decay
    )
    state = _State(checkpoint, weights, optimiser, identity)
    if watch and watch.first and not state.step:
        state.first = watch.loss(model.eval())
    model.train()
    with Progress(label, steps, "steps", done=state.step) as bar:
        saved = began = time.monotonic()
        while state.step < steps and not state.stopped:
            for group in optimiser.param_groups:
                group["lr"] = rate_at(state.step)
            optimiser.zero_grad()
            loss = gradients(state.step)
            optimiser.step()
            state.tokens += tokens_at(state.step)
            state.step += 1
            if state.step > 0.9 * steps:
                state.tail.append(loss)
            if watch and _is_due(watch, state, steps):
                state.read(watch.loss(model.eval()), watch)
                model.train()
            bar.advance(1, f"loss {loss:.4f}" + (f"  held-out {state.best:.4f}" if watch else ""))
            now = time.monotonic()
            if now - saved > CHECKPOINT_S or state.step == steps or state.stopped:
                state.seconds += now - began
                began = saved = now
                state.save()
    if state.best_weights is not None:
        _copy(state.best_weights, weights)
    final = state.best if watch else sum(state.tail) / len(state.tail)
    model.eval()
    return Trained(model, state.step, state.tokens, state.first, final, state.seconds)


def _is_due(watch: Watch, state: _State, steps: int) -> bool:
    never_read = state.best == float("inf")
    at_end = state.step == steps and (watch.last or never_read)
    return state.step % watch.every == 0 or at_end


class _State:
    """Everything that changes during a training, in one file."""

    _KEPT = (
        *("step", "tokens", "tail", "seconds", "stopped"),
        *("first", "best", "best_weights", "worse"),
    )

    def __init__(
        self,
        path: Path,
        weights: dict[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
        identity: dict[str, Any],
    ) -> None:
        self.path, self._weights, self._optimiser = path, weights, optimiser
        self._identity = identity
        self.step = self.tokens = self.worse = 0
        self.tail: list[float] = []
        self.seconds = 0.0
        self.first = self.best = float("inf")
        self.best_weights: dict[str, Tensor] | None = None
        self.stopped = False
        if path.exists():
            self._load()

    def read(self, loss: float, watch: Watch) -> None:
        """Take a held-out reading."""
        if loss < self.best:
            self.best, self.worse = loss, 0
            if not watch.keep_last:
                self.best_weights = {k: v.detach().clone() for k, v in self._weights.items()}
        else:
            self.worse += 1
            self.stopped = self.worse >= watch.patience

    def save(self) -> None:
        kept: dict[str, Any] = {name: getattr(self, name) for name in self._KEPT}
        kept |= {
            checkpoint_file.IDENTITY: self._identity,
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimiser": self._optimiser.state_dict(),
        }
        checkpoint_file.write(self.path, kept)

    def _load(self) -> None:
        kept = checkpoint_file.read(self.path, self._identity)
        # Checkpoints of 0.1 are read too: the lab wrote its weights as "model", and neither the
        # lab nor `fit` wrote all of `_KEPT`.
        _copy(kept["weights"] if "weights" in kept else kept["model"], self._weights)
        self._optimiser.load_state_dict(kept["optimiser"])
        for name in self._KEPT:
            if name in kept:
                setattr(self, name, kept[name])


def _copy(source: dict[str, Tensor], weights: dict[str, nn.Parameter]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(source[name])
