"""Pandora's boxes: stages of different price whose scores have known laws.

Weitzman 1979, "Optimal search for the best alternative": a stage that costs c has the index tau
with E[(v - tau)+] = price c. Run the one with the highest index, and stop once the best score seen
is above all that are left. The worth of it is E[max(0, max over runs of min(v, tau))] (Kleinberg,
Waggoner and Weyl 2016, https://arxiv.org/abs/1602.07619).

An answer is right with the chance that is its score, so accuracy is the mean of the best score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP, Allowed, most_voted
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Source, Trials
from outthink.policy.worlds.world import FixedBest, Optimum, check_price, check_problems


@dataclass(frozen=True, slots=True)
class Box:
    """A stage that gives one answer, and costs its size. Raises `UsageError` unless there is a
    share for each score, all are in [0, 1], the shares add up to 1, and it draws one unit."""

    stage: Stage
    scores: tuple[float, ...]
    shares: tuple[float, ...]
    copies: int = 1
    """How often it can be run, each time anew."""

    def __post_init__(self) -> None:
        numbers = (*self.scores, *self.shares)
        alike = len(self.scores) == len(self.shares) > 0
        if not (alike and 0 <= min(numbers) <= max(numbers) <= 1):
            raise UsageError(
                f"box {self.stage.name} of scores {self.scores} and shares {self.shares}; give one "
                "share for each score, all in [0, 1]"
            )
        if abs(sum(self.shares) - 1) > 1e-9:
            raise UsageError(f"shares add up to {sum(self.shares):g}; they must to 1")
        if self.stage.units != 1 or self.copies < 1:
            raise UsageError(
                f"box {self.stage.name} of {self.stage.units} units, {self.copies} times; give a "
                "stage of one unit, at least once"
            )

    def index(self, price: float) -> float:
        """tau with E[(v - tau)+] = price c; below 0 where it is not worth its cost."""
        score, share = self._best_first()
        # E[(v - tau)+] is the largest, over how many of the best scores are kept, of their sum.
        kept = np.cumsum(share * score) - price * self.stage.size
        return float((kept / np.cumsum(share)).max())

    def below(self, values: Floats, *, at_most: float) -> Floats:
        """[V]: the chance that the score, cut off at `at_most`, is no more than each value."""
        score, share = self._best_first()
        chance: Floats = ((np.minimum(score, at_most) <= values[:, None]) * share).sum(axis=1)
        return chance

    def _best_first(self) -> tuple[Floats, Floats]:
        """Scores that are ever given, from the best, and their shares."""
        score, share = np.array(self.scores), np.array(self.shares)
        order = np.argsort(-score, kind="stable")
        order = order[share[order] > 0]
        return score[order], share[order]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Raises `UsageError` for no box, or two that draw from one source."""

    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        if not self.boxes or len({box.stage.source for box in self.boxes}) < len(self.boxes):
            raise UsageError("give at least one box, and each a source of its own")

    @property
    def name(self) -> str:
        """With its stages."""
        return f"boxes {', '.join(stage.name for stage in self.menu)}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """The stages of its boxes."""
        return tuple(box.stage for box in self.boxes)

    def trials(self, problems: int, seed: int) -> Trials:
        """As many runs of each box as it has copies; no two runs give the same answer."""
        check_problems(problems)
        rng = np.random.default_rng(seed)
        sources, rights, first = [], [], 0
        for box in self.boxes:
            shape = (problems, box.copies)
            scores = rng.choice(box.scores, size=shape, p=box.shares)
            rights.append(rng.random(shape) < scores)
            ids = np.broadcast_to(np.arange(first, first + box.copies), shape)
            first += box.copies
            sources.append(
                Source(
                    box.stage.source,
                    ids.astype(np.int16)[..., None],
                    scores.astype(np.float32)[..., None],
                    np.ones(shape, np.int16),
                    np.full(shape, float(box.stage.size)),
                )
            )
        names = tuple(map(str, range(problems)))
        return Trials(self.menu, tuple(sources), np.hstack(rights), names)

    def optimum(self, price: float) -> Optimum:
        """Weitzman's rule and its worth, both in closed form."""
        check_price(price)
        indices = [box.index(price) for box in self.boxes]
        pairs = [*zip(self.boxes, indices, strict=True)]
        cut = [np.minimum(box.scores, index) for box, index in pairs]
        values = np.unique(np.concatenate([np.zeros(1), *cut]))
        values = values[values >= 0]
        below = np.ones(values.size)
        for box, index in pairs:
            below *= box.below(values, at_most=index) ** box.copies
        worth = float(values @ np.diff(below, prepend=0.0))
        return Optimum(worth, HighestIndex(f"optimum of {self.name}", self.menu, tuple(indices)))

    def fixed_best(self, price: float) -> FixedBest:
        """The best number of runs of the best box."""
        check_price(price)
        best = FixedBest(0.0, self.menu[0], 0)
        for box in self.boxes:
            values = np.unique(box.scores)
            below = box.below(values, at_most=1.0)
            for runs in range(1, box.copies + 1):
                mean = float(values @ np.diff(below**runs, prepend=0.0))
                found = FixedBest(mean - price * runs * box.stage.size, box.stage, runs)
                best = max(best, found, key=lambda one: one.value)
        return best


@dataclass(frozen=True, slots=True)
class HighestIndex:
    """Runs the stage of the highest index while that is above the best score so far."""

    name: str
    menu: tuple[Stage, ...]
    indices: tuple[float, ...]
    """By stage, in scores."""

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores; 0 for none."""
        return np.nan_to_num(scores, nan=0.0)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """The stage of the highest index that is allowed, or stop."""
        left = np.where(allowed, np.array(self.indices), -np.inf)
        return np.where(left.max(axis=1) > tally.best.max(axis=1), left.argmax(axis=1), STOP)

    def answer(self, tally: Tally) -> Integers:
        """The best-scored answer; ties to the one drawn first."""
        return most_voted(tally.best, tally)
