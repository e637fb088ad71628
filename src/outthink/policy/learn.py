"""Fitting a sequential policy to trials: fitted Q-iteration over replayed decisions, then policy
iteration by rollouts.

1. Random stages are replayed for every problem, in many random orders. Of every look, the
   probability of a right answer now is fitted (`chance`).
2. The same is replayed again, and every step kept: the look before, the stage, the look after.
3. Backwards, by regression: the value of stage a at look s is the mean over its steps of
   max(0, best value at the look after) + right after - right before - price x cost
   (`values.Half`). Sweeps carry values from the last stage to the first.
4. The policies that this gives are played, each order leaving its policy once for another stage.
   What such an order comes to is what that stage is worth, without any estimate behind it; by
   how much the values were off is regressed, and they are mended (`values.corrected`). Twice.

Steps 2 and 3 are fitted Q-iteration (Ernst et al. 2005) on the Lagrangian of `adaptive` stopping,
E[right] - price E[cost], which separates over problems. Its values are too high where a cheap stage
may put off a dear one again and again: the maximum over noisy values, link after link. Step 4 ends
that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.logistic import logistic
from outthink.policy.chance import ScoreCurve
from outthink.policy.explore import (
    STEPS_EACH,
    Answers,
    Setting,
    Steps,
    answers,
    policy_steps,
    random_steps,
)
from outthink.policy.looks import of_answers
from outthink.policy.sequential import Chances, Sequential
from outthink.policy.tally import Tally
from outthink.policy.trials import Trials
from outthink.policy.values import (
    SETTLED,
    SWEEPS,
    SWEEPS_BEFORE_ROLLOUTS,
    Half,
    Values,
    common,
    corrected,
    table,
)

STEPS = 160_000
"""Steps that are replayed for a fit, about."""
PRICES = 16
ROLLS = 2
"""Times that values are mended by rollouts. Where looks repeat, tables hold their values, and
rollouts would only add their noise."""
REPEATED = 2
"""So many times more steps are replayed where looks repeat: what is off there is noise."""
FOLLOWED = 8
"""Prices, about, that the first policies are fitted at: they are only there to be followed."""
ANSWERS = 100_000
"""Answers that the probabilities are fitted on, of random and of fitted policies each."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Policies for falling prices, from the cheapest to the most thorough."""

    policies: tuple[Sequential, ...]
    halves: tuple[tuple[Sequential, ...], tuple[Sequential, ...]]
    """The same by the problems of even number alone, and by those of odd number: what a fit is
    worth on problems that it does not know is told by playing them on the other half."""


def fit(
    trials: Trials,
    *,
    most: float = np.inf,
    seed: int = 0,
    prices: Sequence[float] | None = None,
) -> tuple[Sequential, ...]:
    """The policies of `fit_halves`."""
    return fit_halves(trials, most=most, seed=seed, prices=prices).policies


def fit_halves(
    trials: Trials,
    *,
    most: float = np.inf,
    seed: int = 0,
    prices: Sequence[float] | None = None,
) -> Fitted:
    """Fit policies. `most` caps what one problem may cost, in the currency of the trials; `prices`,
    in any order, are those of an accuracy, `None` for a grid of them. Raises `UsageError` for a cap
    below every stage."""
    if not (trials.costs <= most).any():
        raise UsageError(f"a cap of {most:g}; the cheapest stage costs {trials.costs.min():g}")
    rng = np.random.default_rng(seed)
    steps = min(STEPS, STEPS_EACH * len(trials.problems))
    falling = prices_of(trials) if prices is None else np.sort(np.array(prices, float))[::-1]
    curves = {source.name: ScoreCurve.fit(source, trials.right) for source in trials.sources}

    unknown = Setting(trials, Chances(curves, _nothing(len(trials.sources))), most, rng)
    repeats = _repeats(random_steps(unknown, (), steps // 8))
    steps *= REPEATED if repeats else 1
    unknown = Setting(trials, unknown.chances_of, most, rng, repeats)
    seen = answers(unknown, (), steps // 4)
    chances = Chances(curves, _weights(_some([seen], rng)))
    begun = _Fit(
        Setting(trials, chances, most, rng, repeats), falling[:: max(1, len(falling) // FOLLOWED)]
    )
    followed = begun.policies(begun.iterated(random_steps(begun.setting, (), steps // 4)))
    more = answers(begun.setting, followed, steps // 4)
    some = _some([seen, more], rng)
    fitted = _Fit(Setting(trials, Chances(curves, _weights(some)), most, rng, repeats), falling)
    kept = [random_steps(fitted.setting, policies, steps // 2) for policies in ((), followed)]
    values = fitted.iterated(Steps.joined(kept))
    for _ in range(0 if repeats else ROLLS):
        values = fitted.rolled(values, steps // 2)
    first, second = (
        fitted.of_half(values[half], Chances(curves, _weights(some.take(some.problem % 2 == half))))
        for half in (0, 1)
    )
    return Fitted(fitted.policies(values), (first, second))


class _Fit:
    """Values by half and price, on trials whose probabilities are known."""

    def __init__(self, setting: Setting, prices: Floats) -> None:
        self.setting = setting
        self.prices = prices
        self.costs = prices[:, None] * setting.trials.costs
        self.pools: list[Integers] = []

    def iterated(self, steps: Steps) -> list[list[Values]]:
        """By fitted Q-iteration, one price after the other."""
        of_looks = steps.before.keys[steps.before.begun]
        self.pools = common(of_looks if self.setting.repeats else of_looks[:0])
        stages = len(self.setting.menu)
        halves = [
            Half.of(steps.take(steps.problem % 2 == half), stages, self.pools) for half in (0, 1)
        ]
        values = [Values.empty(steps.after.columns.shape[1], stages, self.pools)] * 2
        by_half: list[list[Values]] = [[], []]
        sweeps = SWEEPS if self.setting.repeats else SWEEPS_BEFORE_ROLLOUTS
        for costs in self.costs:
            before = [np.full(half.gain.size, np.inf) for half in halves]
            for _ in range(sweeps):
                pairs = zip(halves, values, values[::-1], strict=True)
                targets = [half.target(own, other, costs) for half, own, other in pairs]
                values = [
                    half.regression.values(target, costs)
                    for half, target in zip(halves, targets, strict=True)
                ]
                if _settled(before, targets):
                    break
                before = targets
            for kept, one in zip(by_half, values, strict=True):
                kept.append(one)
        return by_half

    def rolled(self, values: list[list[Values]], steps: int) -> list[list[Values]]:
        """Mended by some `steps` steps of rollouts. Problems of a half follow the policies of the
        other one, which knows nothing of them."""
        first, second = (self.of_half(of, self.setting.chances_of) for of in values)
        rolled = policy_steps(self.setting, (second, first), steps)
        return [
            corrected(of, rolled.take(rolled.problem % 2 == half), self.costs, self.pools)
            for half, of in enumerate(values)
        ]

    def policies(self, values: list[list[Values]]) -> tuple[Sequential, ...]:
        """Of the mean of both halves."""
        means = [Values.mean(both) for both in zip(*values, strict=True)]
        return self.of_half(means, self.setting.chances_of)

    def of_half(self, values: Sequence[Values], chances: Chances) -> tuple[Sequential, ...]:
        """Of the values of one half at each price."""
        return tuple(self._policy(number, one, chances) for number, one in enumerate(values))

    def _policy(self, number: int, values: Values, chances: Chances) -> Sequential:
        return Sequential(
            self.setting.menu,
            chances,
            float(self.prices[number]),
            self.setting.trials.costs,
            values.first,
            values.weights.astype(np.float64),
            tuple(map(table, self.pools, values.added)),
        )


def _nothing(sources: int) -> Floats:
    """[F] weights of an answer's columns before any are fitted."""
    _, _, columns = of_answers(Tally.empty(np.zeros(0, np.int64), 2, sources))
    return np.zeros(columns.shape[1])


def _repeats(steps: Steps) -> bool:
    """Whether half of the looks are ones that come often, so that tables hold them."""
    coarse = steps.before.keys[steps.before.begun][:, 0]
    often, _ = common(steps.before.keys[steps.before.begun])
    return bool(np.isin(coarse, often).mean() > 0.5) if coarse.size else True


def _settled(before: Sequence[Floats], now: Sequence[Floats]) -> bool:
    """Whether the targets of both halves stay as they were, about."""
    return all(
        float(np.abs(target - last).mean()) < SETTLED if target.size else True
        for last, target in zip(before, now, strict=True)
    )


def prices_of(trials: Trials) -> Floats:
    """From one at which hardly more than the cheapest stage pays, down."""
    cheapest: float = trials.costs.min()
    return np.geomspace(0.1, 0.0005, PRICES) / cheapest


def _some(kinds: Sequence[list[Answers]], rng: np.random.Generator) -> Answers:
    """Of some of the looks of each kind."""
    return Answers.joined([Answers.joined(kind).some(ANSWERS, rng) for kind in kinds])


def _weights(known: Answers) -> Floats:
    """Of the columns of an answer."""
    return logistic(known.columns, known.right, ridge=3.0)
