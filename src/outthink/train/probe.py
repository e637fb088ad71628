"""Fits a probe: hidden states once, then a linear head on each of a few layers.

States of every step's last token are computed once, at a handful of layers, and kept beside the
probe, so that a run that was killed goes on. The head is logistic regression on soft labels (binary
cross-entropy and an L2 penalty; every solution weighs the same). Layer and penalty are chosen by
cross-validation over problems; the figures of the card are of other problems, which were held out
from that choice too. Nothing here draws or judges.

After Kadavath et al. 2022 (arXiv 2207.05221) and Zhang et al. 2025 (arXiv 2504.05419).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from outthink import whole
from outthink.errors import RunError
from outthink.models import kv
from outthink.models.kv import Keep, Run
from outthink.run.progress import Progress
from outthink.train.card import auc, calibration_error
from outthink.train.fit import Example
from outthink.verify.probe import Backbone

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the squared weights, beside a mean loss of a solution."""
FOLDS = 4
HELD_OUT = 0.2
"""Share of the problems that the card is of."""
_PART = 64
"""Examples whose states are kept together, more where one problem has more."""
_TOKENS = 4096
"""Tokens of one forward pass, those read before and padding included: states of a few layers are
held of each."""
_STEPS = 100
"""Most steps of L-BFGS."""
_CLOSE = 1e-5
"""The largest slope at which it ends."""


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """What the model held at the end of every step."""

    layers: tuple[int, ...]
    values: Tensor
    """[steps, layers, width]"""
    labels: Tensor
    """[steps] in [0, 1]"""
    solution: Tensor
    """[steps] which solution a step is of; its steps stand in order."""
    problem: Tensor
    """[steps] which problem."""

    def of(self, problems: Sequence[int]) -> States:
        """Those of some problems."""
        there = torch.isin(self.problem, torch.tensor(list(problems)))
        parts = (self.values, self.labels, self.solution, self.problem)
        return States(self.layers, *(part[there] for part in parts))

    @property
    def weights(self) -> Tensor:
        """[steps] that sum to 1, and to the same over each solution."""
        counts = torch.bincount(self.solution)
        return 1 / counts[self.solution].float() / int((counts > 0).sum())

    @property
    def last(self) -> Tensor:
        """[steps] whether a step is the last of its solution."""
        following = torch.cat([self.solution[1:], self.solution.new_tensor([-1])])
        return self.solution.ne(following)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A fitted head, and how it was chosen."""

    layer: int
    penalty: float
    weight: Tensor
    bias: float
    validation: dict[int, float]
    """By layer the loss, in nats, of problems that a fold left out, at the best penalty."""

    def score(self, states: States) -> Tensor:
        """[steps] probabilities."""
        values = states.values[:, states.layers.index(self.layer)].float()
        return torch.sigmoid(values @ self.weight + self.bias)


def layers_of(count: int) -> tuple[int, ...]:
    """The layers of a model of so many at which a probe is tried, from a third up."""
    return tuple(sorted({max(1, round(count * part / 6)) for part in range(2, 7)}))


def states(base: Backbone, groups: Sequence[Sequence[Example]], cache: Path) -> States:
    """The states of all examples of each problem; parts that `cache` holds are not computed again.

    Raises `RunError` where a part cannot be written or read.
    """
    layers = layers_of(base.layers)
    examples = [example for group in groups for example in group]
    read = _StateReader(base, layers)
    parts = []
    with Progress("reading hidden states", len(examples), "solutions") as bar:
        for part in _parts(groups):
            parts.append(_part(read, part, cache))
            bar.advance(sum(map(len, part)))
    counts = torch.tensor([len(example.places) for example in examples])
    of = torch.tensor([at for at, group in enumerate(groups) for _ in group])
    labels = torch.tensor([label for example in examples for label in example.labels])
    solution = torch.arange(len(examples)).repeat_interleave(counts)
    return States(layers, torch.cat(parts), labels, solution, of.repeat_interleave(counts))


def _parts(groups: Sequence[Sequence[Example]]) -> Iterator[list[Sequence[Example]]]:
    """Examples of whole problems, some `_PART` at a time."""
    part: list[Sequence[Example]] = []
    for group in groups:
        part.append(group)
        if sum(map(len, part)) >= _PART:
            yield part
            part = []
    if part:
        yield part


class _Layers(nn.Module):
    """A model whose output is the states of some of its layers, side by side."""

    def __init__(self, base: Backbone, layers: Sequence[int]) -> None:
        super().__init__()
        self.model = base.model
        self._base = base
        self._layers = layers

    def forward(self, **asked: Any) -> Any:
        """[B, n, layers * width] as `last_hidden_state`."""
        told = self.model(output_hidden_states=True, **asked)
        # The last of them went through the norm already.
        states = [
            told.hidden_states[layer]
            if layer == self._base.layers
            else self._base.norm(told.hidden_states[layer])
            for layer in self._layers
        ]
        told.last_hidden_state = torch.cat(states, -1)
        return told


@dataclass(frozen=True, slots=True, eq=False)
class _StateReader:
    """Reads states at the ends of steps; what solutions begin with is read once for all of them."""

    base: Backbone
    layers: tuple[int, ...]

    @property
    def about(self) -> tuple[object, ...]:
        """What the states depend on, apart from the examples."""
        return self.base.digits, self.base.dtype, self.layers

    def read(self, part: Sequence[Sequence[Example]]) -> Tensor:
        """[steps, layers, width] of the examples of some problems, in their order."""
        reader = kv.Reader(
            self.base.checkpoint.name,
            _Layers(self.base, self.layers),
            outputs="last_hidden_state",
            tokens_at_once=_TOKENS,
        )
        beginnings = [_beginning(group) for group in part]
        start = _common(beginnings)
        first = reader.read([Run(None, start)])[0].kept if start else None
        runs = [Run(first, ids[len(start) :]) for ids in beginnings]
        open_runs = [run for run in runs if run.tokens]
        kept = iter(reader.read(open_runs))
        befores = [next(kept).kept if run.tokens else first for run in runs]
        rows = [
            Run(
                before,
                example.tokens[len(ids) :],
                [place - len(ids) for place in example.places],
                Keep.NEVER,
            )
            for group, ids, before in zip(part, beginnings, befores, strict=True)
            for example in group
        ]
        told = torch.cat([result.outputs for result in reader.read(rows)])
        return told.reshape(len(told), len(self.layers), -1).float().cpu()


def _beginning(group: Sequence[Example]) -> tuple[int, ...]:
    """What all solutions of a problem begin with, before the first place that is read."""
    ids = _common([example.tokens for example in group])
    return ids[: min(example.places[0] for example in group)]


def _common(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Tokens that all begin with."""
    least, most = min(rows), max(rows)
    same = (at for at, token in enumerate(least) if at >= len(most) or token != most[at])
    return least[: next(same, len(least))]


def _part(read: _StateReader, part: Sequence[Sequence[Example]], cache: Path) -> Tensor:
    examples = [(e.tokens, e.places) for group in part for e in group]
    digest = hashlib.blake2b(repr((read.about, examples)).encode(), digest_size=8).hexdigest()
    path = cache / f"{digest}.safetensors"
    try:
        if path.exists():
            return load_file(path)["states"]
        cache.mkdir(parents=True, exist_ok=True)
        states = read.read(part)
        with whole.written(path) as begun:
            save_file({"states": states}, begun)
        return load_file(path)["states"]
    except OSError as error:
        raise RunError(f"{path}: cannot be used ({error}); free some space") from error


def split(problems: Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """Problems to learn from, and those held out."""
    order = np.random.default_rng(seed).permutation(len(problems))
    kept = max(1, round(len(problems) * HELD_OUT))
    return [problems[at] for at in order[kept:]], [problems[at] for at in order[:kept]]


def fit(known: States, problems: Sequence[int]) -> Head:
    """A head for these problems, at the layer and penalty that do best in cross-validation.

    Raises `RunError` where there are fewer problems than folds.
    """
    if len(problems) < FOLDS:
        raise RunError(
            f"{len(problems)} problems with a solution to learn from; a probe takes {FOLDS} at "
            "least: give more problems, or more --samples"
        )
    best: dict[int, tuple[float, float]] = {}
    with Progress("choosing the layer", len(known.layers), "layers") as bar:
        for layer in known.layers:
            best[layer] = min((_validated(known, problems, layer, p), p) for p in PENALTIES)
            bar.advance(1)
    layer = min(best, key=lambda layer: best[layer])
    penalty = best[layer][1]
    weight, bias = _fitted(known.of(problems), layer, penalty)
    return Head(layer, penalty, weight, bias, {layer: loss for layer, (loss, _) in best.items()})


def _validated(known: States, problems: Sequence[int], layer: int, penalty: float) -> float:
    """The mean loss of a left-out fold, in nats."""
    losses = []
    for fold in range(FOLDS):
        left_out = problems[fold::FOLDS]
        rest = [problem for problem in problems if problem not in set(left_out)]
        weight, bias = _fitted(known.of(rest), layer, penalty)
        losses.append(_loss(known.of(left_out), layer, weight, bias))
    return float(np.mean(losses))


def _loss(known: States, layer: int, weight: Tensor, bias: float) -> float:
    odds = known.values[:, known.layers.index(layer)].float() @ weight + bias
    nats = F.binary_cross_entropy_with_logits(odds, known.labels, reduction="none")
    return float((nats * known.weights).sum())


def _fitted(known: States, layer: int, penalty: float) -> tuple[Tensor, float]:
    """Weights [width] and bias of logistic regression, for states as they are."""
    values = known.values[:, known.layers.index(layer)].float()
    mean, spread = values.mean(0), values.std(0, correction=0).clamp(min=1e-6)
    scaled, weights = (values - mean) / spread, known.weights
    # A penalty of 1 is for one number: many share it.
    strength = penalty / scaled.size(1) ** 0.5
    weight = torch.zeros(scaled.size(1), requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_STEPS,
        tolerance_grad=_CLOSE,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        nats = F.binary_cross_entropy_with_logits(
            scaled @ weight + bias, known.labels, reduction="none"
        )
        total: Tensor = (nats * weights).sum() + strength * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    whole = (weight / spread).detach()
    return whole, float(bias.detach() - whole @ mean)


def quality(head: Head, known: States) -> dict[str, float | None]:
    """Figures of steps and of whole solutions, of problems that were not learnt from."""
    scores, last = head.score(known), known.last
    steps, ends = scores.tolist(), scores[last].tolist()
    labels, right = known.labels.tolist(), known.labels[last].tolist()
    within = [
        auc(scores[mine].tolist(), known.labels[mine].tolist())
        for problem in set(known.problem.tolist())
        if (mine := last & (known.problem == problem)).any()
    ]
    both = [value for value in within if value is not None]
    return {
        "step_auc": auc(steps, labels),
        "step_ece": calibration_error(steps, labels),
        "final_auc": auc(ends, right),
        "final_auc_within": float(np.mean(both)) if both else None,
        "final_ece": calibration_error(ends, right),
    }
