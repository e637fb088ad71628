"""Ladders: stages in a fixed order, and after each the probabilities at which it goes on.

A ladder has two numbers a look, against the hundreds of what decides by values: where problems are
few, or one stage costs much more than the others, its fit is the less noisy one. With a larger
model on a rung it is the cascade of Chen et al. 2023 (FrugalGPT, arXiv 2305.05176, section 3).

It begins with the smallest stage of one source and climbs another one by doubled sizes, and then a
third. What going on came to is replayed once for each; the bounds at any price follow from that,
backwards: the interval of the probability over which going on gained most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan
from outthink.policy.replay import Replay
from outthink.policy.sequential import Chances
from outthink.policy.tally import Cells
from outthink.policy.trials import Trials

ROWS = 1000
"""Orders in which ladders are compared, about; a problem is in one of them."""
ORDERS = 2
"""Orders of every problem that the bounds of those that are taken are fitted on."""
RUNGS = 6
"""Stages of one source, at most."""
GOES_ON = 2
"""Ladders of two sources that a third one is tried with."""
SURE = 2.0
"""Standard errors that what an interval gains must be above 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """Every order after one more stage."""

    chance: Cells
    """[E] the probability that the answer is right."""
    right: Floats
    """[E] whether it is."""
    cost: Floats
    """[E] of the stage."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    menu: tuple[Stage, ...]
    chances_of: Chances

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        return self.chances_of.curves[stage.source](scores)


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """Stages that were replayed one after the other, whatever they showed."""

    stages: tuple[int, ...]
    rungs: tuple[Rung, ...]
    replay: Replay
    chances_of: Chances
    most: float

    @classmethod
    def none(
        cls, trials: Trials, problems: Integers, chances: Chances, most: float, seed: int
    ) -> Climbed:
        """Nothing drawn yet, for these problems [E]."""
        replay = Replay(_Scored(trials.menu, chances), trials, problems, seed)
        return cls((), (), replay, chances, most)

    def then(self, number: int) -> Climbed | None:
        """With a further stage; `None` where that is above the cap, or no runs are left."""
        if not self.replay.allowed(self.most)[:, number].all():
            return None
        replay = self.replay.fork()
        replay.run(np.full(replay.tally.size, number))
        answer, likely = self.chances_of.likeliest(replay.tally)
        right = replay.trials.is_right(replay.tally.problem, answer).astype(float)
        rung = Rung(likely[:, 0], right, replay.tally.spent - self.replay.tally.spent)
        stages, rungs = (*self.stages, number), (*self.rungs, rung)
        return Climbed(stages, rungs, replay, self.chances_of, self.most)

    def up(self, numbers: Sequence[int]) -> Climbed:
        """With as many of these stages as are allowed."""
        climbed = self
        for number in numbers:
            higher = climbed.then(number)
            if higher is None:
                break
            climbed = higher
        return climbed


def fit_ladders(
    trials: Trials, chances: Chances, prices: Sequence[float], *, most: float, seed: int
) -> tuple[Plan, ...]:
    """The ladder that is worth most at each price, with bounds fitted on all trials."""
    orders = _orders(trials, chances, prices, most, seed)
    return fit_bounds(trials, chances, orders, prices, most=most, seed=seed)


def fit_bounds(
    trials: Trials,
    chances: Chances,
    orders: Sequence[tuple[int, ...]],
    prices: Sequence[float],
    *,
    most: float,
    seed: int,
) -> tuple[Plan, ...]:
    """At each price, the stages in the order of that price, with bounds fitted on these trials."""
    problems = np.tile(np.arange(len(trials.problems)), ORDERS)
    known: dict[tuple[int, ...], tuple[Rung, ...]] = {}
    for stages in dict.fromkeys(orders):
        known[stages] = Climbed.none(trials, problems, chances, most, seed).up(stages).rungs
    return tuple(
        bounded(stages, known[stages], price) for stages, price in zip(orders, prices, strict=True)
    )


def _orders(
    trials: Trials, chances: Chances, prices: Sequence[float], most: float, seed: int
) -> list[tuple[int, ...]]:
    """The stages of the ladder that is worth most at each price, in their order."""
    count = len(trials.problems)
    some = np.random.default_rng(seed).permutation(count)[:ROWS]
    nothing = Climbed.none(trials, some, chances, most, seed)
    tried = list(_climbs(nothing, trials, prices))
    best = [max(tried, key=lambda one: worth(one.rungs, price)) for price in prices]
    return [one.stages for one in best]


def _climbs(nothing: Climbed, trials: Trials, prices: Sequence[float]) -> Iterator[Climbed]:
    """Ladders of one source after the smallest stage of any; the best of these, with a third."""
    sources = [_doubled(trials, place) for place in range(len(trials.sources))]
    firsts = [nothing.then(stages[0]) for stages in sources if stages]
    seconds = [first.up(stages) for first in firsts if first for stages in sources]
    seconds = [one for one in seconds if one.rungs]
    yield from seconds
    some = prices[:: max(1, len(prices) // 4)]
    ranked = [sorted(seconds, key=lambda one: -worth(one.rungs, price)) for price in some]
    going = dict.fromkeys(one for best in ranked for one in best[:GOES_ON])
    yield from (one.up(stages) for one in going for stages in sources)


def _doubled(trials: Trials, place: int) -> tuple[int, ...]:
    """The stages of a source from the smallest up, the smallest twice: 1, 1, 2, 4, 8."""
    of = [number for number, at in enumerate(trials.source_of) if at == place]
    rising = sorted(of, key=lambda number: trials.menu[number].units)
    return tuple([*rising[:1], *rising][:RUNGS])


def bounded(stages: Sequence[int], rungs: Sequence[Rung], price: float) -> Plan:
    """The ladder of these stages at a price; it ends before a stage that is never run."""
    bounds, _ = _backwards(rungs, price)
    ends = next((n for n, (low, high) in enumerate(bounds) if low >= high), len(bounds))
    return Plan(tuple(stages[: ends + 1]), None, tuple(bounds[:ends]))


def worth(rungs: Sequence[Rung], price: float) -> float:
    """What a ladder comes to at a price: accuracy less the price of what it costs."""
    return _backwards(rungs, price)[1]


def _backwards(rungs: Sequence[Rung], price: float) -> tuple[list[tuple[float, float]], float]:
    """The bounds after every rung but the last, and what the ladder is worth."""
    comes_to = rungs[-1].right
    bounds: list[tuple[float, float]] = []
    for rung, above in zip(rungs[-2::-1], rungs[:0:-1], strict=True):
        going = comes_to - price * above.cost
        low, high = interval_of_most(rung.chance, going - rung.right)
        goes_on = (low <= rung.chance) & (rung.chance < high)
        comes_to = np.where(goes_on, going, rung.right)
        bounds.append((low, high))
    return bounds[::-1], float((comes_to - price * rungs[0].cost).mean())


def interval_of_most(chance: Cells, gain: Floats) -> tuple[float, float]:
    """The interval [low, high) of chances [E] over which gains [E] sum to the most, an empty one
    where that is no more than `SURE` standard errors above 0: a few orders by themselves say
    nothing. `high` is infinite where it has no end, `low` is 0 where it begins with the least
    chance."""
    order = chance.argsort(kind="stable")
    rising, gains = chance[order], gain[order]
    # Between equal chances there is no boundary.
    edges = np.flatnonzero(np.concatenate([[True], np.diff(rising) > 0, [True]]))
    sums = np.append(0.0, gains.cumsum())[edges]
    end = int((sums - np.minimum.accumulate(sums)).argmax())
    begin = int(sums[: end + 1].argmin())
    spread = float(np.sqrt((gains[edges[begin] : edges[end]] ** 2).sum()))
    if sums[end] - sums[begin] <= SURE * spread:
        return 0.0, 0.0
    at = np.append(rising, np.inf)[edges]
    return float(at[begin]) if begin else 0.0, float(at[end])
