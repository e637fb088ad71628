"""Plans: stages in an order fixed in advance. The fixed strategies, as members of the policy's
family; with bounds, ladders (`ladder`).

Where there are few problems, or little to see, nothing that decides by what it sees may be better
than a plan; then the plan is the policy (`cross`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from outthink.measure.arrays import Integers
from outthink.policy.looks import of_answers
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP, Allowed
from outthink.policy.rules.shared import chosen
from outthink.policy.sequential import Chances
from outthink.policy.tally import Cells, Tally
from outthink.policy.trials import Trials
from outthink.search.select import AnswerAggregation

SELECTIONS = (AnswerAggregation.MAJORITY, AnswerAggregation.MAX, AnswerAggregation.WEIGHTED)
"""How a plan may choose its answer, the simplest first; after them, by what is likeliest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages one after the other, and how the answer is chosen."""

    stages: tuple[int, ...]
    """Numbers in the menu."""
    answer_by: AnswerAggregation | None
    """By probabilities that candidates are right in place of scores; `None` for the likeliest
    answer, as a sequential policy has it."""
    bounds: tuple[tuple[float, float], ...] = ()
    """Of a ladder: it goes on after a stage where the probability that its answer is right is at
    least the first and below the second. One for every stage but the last; empty where a plan runs
    all of its stages."""

    @property
    def is_fitted(self) -> bool:
        """Whether its answer follows from more than a verifier's scores."""
        return self.answer_by is None

    def told(self, menu: Sequence[Stage]) -> str:
        """In words."""
        by = self.answer_by or "likeliest"
        first, *later = (menu[number].name for number in self.stages)
        if not self.bounds:
            return f"{' + '.join([first, *later])}, {by}"
        rungs = zip(later, self.bounds, strict=True)
        return f"{first}{''.join(_rung(name, *bounds) for name, bounds in rungs)}, {by}"


def _rung(name: str, low: float, high: float) -> str:
    """When a ladder goes on, and with what."""
    parts = [f"from {low:.2g}"] * (low > 0) + [f"below {high:.2g}"] * (high < 1)
    return f", {' '.join(parts) or 'then'} {name}"


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan as a `Rule`; it stops early where a stage is not allowed, or its bounds say so."""

    menu: tuple[Stage, ...]
    chances_of: Chances
    plan: Plan

    @property
    def name(self) -> str:
        return self.plan.told(self.menu)

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """As `Sequential.chances`."""
        return self.chances_of.curves[stage.source](scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """[E] the next stage of the plan, or `STOP`."""
        stages = np.array([*self.plan.stages, STOP])
        stage = stages[np.minimum(tally.looks, stages.size - 1)]
        goes_on = (stage != STOP) & allowed[np.arange(stage.size), stage]
        return np.where(goes_on & self._within(tally), stage, STOP)

    def _within(self, tally: Tally) -> Allowed:
        """[E] whether the bounds let it go on."""
        if not self.plan.bounds:
            return np.ones(tally.size, np.bool_)
        bounds = np.array([(0.0, np.inf), *self.plan.bounds])
        low, high = bounds[np.minimum(tally.looks, len(bounds) - 1)].T
        chance = self.chances_of.likeliest(tally)[1][:, 0]
        within: Allowed = (low <= chance) & (chance < high)
        return within

    def answer(self, tally: Tally) -> Integers:
        """[E] by the plan's selection."""
        if self.plan.answer_by is None:
            return self.chances_of.likeliest(tally)[0]
        return chosen(tally, self.plan.answer_by)

    def chance(self, tally: Tally) -> Cells:
        """[E] the probability that this answer is right, 0 where there is none."""
        rows, answers, columns = of_answers(tally)
        likely = np.zeros(tally.votes.shape, np.float32)
        likely[rows, answers] = expit(columns @ self.chances_of.weights)
        answer = self.answer(tally)
        # Without an answer the place is the last one, which is masked.
        return np.where(answer < 0, 0, likely[np.arange(answer.size), answer]).astype(np.float32)


def plans(trials: Trials, most: float) -> tuple[Plan, ...]:
    """Every plan of one source that costs no more than `most`: powers of two and what lies halfway,
    each by every selection that differs there."""
    made = []
    for stages in _stages(trials):
        cost = float(trials.costs[list(stages)].sum())
        if cost <= most + 1e-9:
            made += [Plan(stages, how) for how in _selections(trials, stages)]
    return tuple(made)


def _stages(trials: Trials) -> Iterator[tuple[int, ...]]:
    """Numbers of stages, each of one source, from few units to all that there are."""
    for place, source in enumerate(trials.sources):
        of = [number for number, at in enumerate(trials.source_of) if at == place]
        if not trials.menu[of[0]].is_divisible:
            yield from ((number,) for number in of)
            continue
        largest_first = sorted(of, key=lambda number: -trials.menu[number].units)
        made = (_adding_up(trials, largest_first, units) for units in _sizes(source.units))
        yield from dict.fromkeys(stages for stages in made if stages)


def _sizes(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ..., `most`."""
    powers = [2**power for power in range(most.bit_length())]
    return sorted({*powers, *(3 * one // 2 for one in powers[1:] if 3 * one // 2 <= most), most})


def _adding_up(trials: Trials, largest_first: Sequence[int], units: int) -> tuple[int, ...]:
    """Stages that draw so many units; none where no stages add up to them."""
    stages: list[int] = []
    for number in largest_first:
        size = trials.menu[number].units
        stages += [number] * (units // size)
        units %= size
    return () if units else tuple(stages)


def _selections(trials: Trials, stages: Sequence[int]) -> Iterator[AnswerAggregation | None]:
    source = trials.sources[trials.source_of[stages[0]]]
    yield SELECTIONS[0]
    if not np.isnan(source.scores).all():
        yield from SELECTIONS[1:]
    yield None
