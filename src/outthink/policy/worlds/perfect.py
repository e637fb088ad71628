"""A verifier that is never wrong: sample until one is right, or until it is hopeless.

After n failures the next sample is right with chance m_n = E[p (1 - p)^n] / E[(1 - p)^n], which
only falls, so looking one step ahead is optimal: draw iff m_n > price. For p ~ Beta(a, b), m_n is
a / (a + b + n); for a known p it is p.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.tally import Tally
from outthink.policy.trials import Source, Trials
from outthink.policy.worlds.failures import induct, is_solved
from outthink.policy.worlds.prior import Prior
from outthink.policy.worlds.world import (
    BOTH,
    FixedBest,
    Lookup,
    Optimum,
    check_price,
    check_problems,
    two_answers,
)


@dataclass(frozen=True, slots=True)
class PerfectVerifier:
    """Samples that score 1 if right and 0 if wrong. All wrong ones are one answer. A sample costs
    one generation. Raises `UsageError` for a cap below 1."""

    prior: Prior
    most: int = 32
    """Samples a problem: the horizon."""
    stage: Stage = field(default=Stage("best_of_n", 1))

    def __post_init__(self) -> None:
        if self.most < 1:
            raise UsageError(f"a cap of {self.most} samples; give at least 1")

    @property
    def name(self) -> str:
        """With its prior."""
        return f"perfect verifier, {self.prior}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One sample."""
        return (self.stage,)

    def trials(self, problems: int, seed: int) -> Trials:
        """`most` samples of each problem; a problem's name says its p."""
        check_problems(problems)
        rng = np.random.default_rng(seed)
        p = self.prior.draw(problems, rng)
        is_right = rng.random((problems, self.most, 1)) < p[:, None, None]
        right, wrong = two_answers(problems, rng)
        source = Source(
            self.stage.source,
            np.where(is_right, right[:, None, None], wrong[:, None, None]).astype(np.int16),
            is_right.astype(np.float32),
            np.ones((problems, self.most), np.int16),
            np.ones((problems, self.most)),
        )
        names = tuple(f"{number}, p {chance:.4f}" for number, chance in enumerate(p.tolist()))
        return Trials(self.menu, (source,), right[:, None] == np.arange(BOTH), names)

    def optimum(self, price: float) -> Optimum:
        """By backward induction from the cap over the number of failures."""
        check_price(price)
        worth, decisions = induct(self._failed(), (1,), price)
        return Optimum(worth, Lookup(f"optimum of {self.name}", self.menu, _state, decisions))

    def fixed_best(self, price: float) -> FixedBest:
        """The N of the largest 1 - E[(1 - p)^N] - price N; the more failures, the less the next
        sample helps (F16)."""
        check_price(price)
        values = 1 - self._failed() - price * np.arange(self.most + 1)
        best = int(values.argmax())
        return FixedBest(float(values[best]), self.stage, best)

    def _failed(self) -> Floats:
        """[most + 1]: the chance E[(1 - p)^n] that n samples are all wrong."""
        n = np.arange(self.most + 1)
        return self.prior.moments(np.zeros_like(n), n)


def _state(tally: Tally) -> tuple[Integers, ...]:
    """Looks so far, and whether one was right."""
    return tally.looks, is_solved(tally)
