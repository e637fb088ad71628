"""Adaptive-Consistency: sample until the leading answer is likely to stay ahead.

Aggarwal et al. 2023, https://arxiv.org/abs/2305.11860: after each sample, a posterior over how
often the model gives each answer, from a uniform prior. Two of the paper's criteria are here. A
sample without an answer has no vote.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import betainc, gammainc, gammaln

from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import Allowed, most_voted
from outthink.policy.rules.shared import CAP, check_most, check_share, drawn, leaders, on
from outthink.policy.tally import Cells, Tally

_STEP = 0.04
"""Of log x in the integral below: a quarter of the narrowest peak, up to 40 votes an answer."""


@dataclass(frozen=True, slots=True)
class _Consistency(ABC):
    """Draws one sample after the other, until the leading answer is likely enough to lead."""

    needs_scores: ClassVar[bool] = False
    label: ClassVar[str]

    threshold: float = 0.95
    most: int = CAP
    """Samples a problem."""
    strategy: str = "majority"
    """Where samples come from."""

    def __post_init__(self) -> None:
        check_share("a threshold of", self.threshold)
        check_most(self.most)

    @property
    def name(self) -> str:
        """With its threshold."""
        return f"adaptive consistency, {self.label} {self.threshold:g}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One sample."""
        return (Stage(self.strategy, 1),)

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """0: it looks at votes alone."""
        return np.zeros_like(scores)

    @abstractmethod
    def lead(self, tally: Tally) -> Floats:
        """[E] the probability that the leading answer is the one that leads in truth."""

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """Another sample, or stop."""
        sure = self.lead(tally) >= self.threshold
        return on((sure & tally.votes.any(axis=1)) | (drawn(tally) >= self.most), allowed)

    def answer(self, tally: Tally) -> Integers:
        """The answer given most often; ties to the one drawn first."""
        return most_voted(tally.votes, tally)


@dataclass(frozen=True, slots=True)
class BetaConsistency(_Consistency):
    """Stops when P(x > 1/2) >= threshold for x ~ Beta(v1 + 1, v2 + 1).

    v1 and v2 are the votes of the leading answer and of the next; other answers are left out. That
    many unanimous samples are enough that 1 - 2^-(n + 1) >= threshold: four at 0.95. Raises
    `UsageError` for a threshold outside [0, 1] or a cap below 1.
    """

    label: ClassVar[str] = "beta"

    def lead(self, tally: Tally) -> Floats:
        """[E] P(x > 1/2)."""
        return beta_lead(*leaders(tally.votes))


@dataclass(frozen=True, slots=True)
class DirichletConsistency(_Consistency):
    """Stops when the chance that the leading answer is the model's most frequent one is at least
    `threshold`, under Dirichlet(votes + 1) over the answers seen and one unseen.

    With one answer seen it is `BetaConsistency`. The authors' code leaves out the unseen answer and
    keeps the five most frequent; here all count, and the integral is exact to rounding. Raises
    `UsageError` for a threshold outside [0, 1] or a cap below 1.
    """

    label: ClassVar[str] = "dirichlet"

    def lead(self, tally: Tally) -> Floats:
        """[E] that chance."""
        return dirichlet_lead(tally.votes)


def beta_lead(first: Cells, second: Cells) -> Floats:
    """[E]: P(x > 1/2) for x ~ Beta(first + 1, second + 1), the votes [E] of two answers."""
    above: Floats = betainc(second + 1.0, first + 1.0, 0.5)
    return above


def dirichlet_lead(votes: Cells) -> Floats:
    """[E]: the chance that the answer with the most votes [E, K] has the largest probability, under
    Dirichlet(votes + 1) over the answers that have votes and one that has none.

    A Dirichlet is independent gamma variables divided by their sum, so this is the integral over x
    of the leading one's density times the chance that every other one is below x. Taken over log x
    by the trapezoid rule, whose error falls exponentially for an integrand that falls off on both
    sides. Rows with the same votes, in any order, are computed once.
    """
    # 1) How many answers have each number of votes: all that the chance depends on.
    counts = votes.astype(np.int64)
    top = int(counts.max(initial=0))
    cells = counts + (top + 1) * np.arange(len(counts))[:, None]
    having = np.bincount(cells.ravel(), minlength=len(counts) * (top + 1)).reshape(-1, top + 1)
    having[:, 0] = 1
    profiles, places = np.unique(having, axis=0, return_inverse=True)
    lead = top - (profiles[:, ::-1] > 0).argmax(axis=1)
    profiles[np.arange(len(profiles)), lead] -= 1
    # 2) Densities of log x and logs of the chances to be below, by votes.
    log_x = np.arange(-20.0, np.log(2.0 * top + 60.0), _STEP)
    shapes = np.arange(top + 1.0)[:, None] + 1
    density = np.exp(shapes * log_x - np.exp(log_x) - gammaln(shapes))
    below = np.log(np.maximum(gammainc(shapes, np.exp(log_x)), np.finfo(np.float64).tiny))
    # 3) The integral.
    chance: Floats = (density[lead] * np.exp(profiles @ below)).sum(axis=1) * _STEP
    return chance[places.ravel()]
