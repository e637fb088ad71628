"""Samples, and revisions that can be looked at one by one.

A chain begins with a sample, right with chance p; every revision of a wrong answer is right with
the same chance, whatever p is. So revisions pay where p turns out to be low, and a chain that is
begun is worth going on with. The verifier keeps what was right, so that a revision which spoils it
costs no more than its price.

A revision looks at the last answer alone, as in `Chains`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.menu import Stage
from outthink.policy.tally import Tally
from outthink.policy.trials import Source, Trials
from outthink.policy.worlds.failures import induct, is_solved
from outthink.policy.worlds.prior import Classes
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
class Revisions:
    """Every answer costs one generation, and the verifier is never wrong. Raises `UsageError` for a
    chance outside [0, 1], chains shorter than 2, or no sample or no chain."""

    prior: Classes
    """Of the chance that a sample is right."""
    improve: float = 0.15
    """P(wrong -> right)."""
    spoil: float = 0.38
    """P(right -> wrong)."""
    length: int = 4
    """Answers of a chain, its first among them."""
    chains: int = 4
    """Chains a problem; a new one is begun when the last has ended."""
    samples: int = 8
    """Samples a problem."""

    def __post_init__(self) -> None:
        if not (0 <= self.improve <= 1 and 0 <= self.spoil <= 1):
            raise UsageError(
                f"revisions with chances {self.improve:g} and {self.spoil:g}; give two in [0, 1]"
            )
        if self.length < 2 or min(self.chains, self.samples) < 1:
            raise UsageError(
                f"{self.samples} samples and {self.chains} chains of {self.length}; give at least "
                "one of each, of length 2 or more"
            )

    @property
    def name(self) -> str:
        """With its prior."""
        return f"samples and revisions, {self.prior}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One sample; the next answer of a chain."""
        return Stage("best_of_n", 1), Stage.parse(f"revise(sequential={self.length})@1")

    def trials(self, problems: int, seed: int) -> Trials:
        """All samples and all chains, simulated to their ends; a problem's name says its p."""
        check_problems(problems)
        rng = np.random.default_rng(seed)
        p = self.prior.draw(problems, rng)
        right, wrong = two_answers(problems, rng)
        sampled = rng.random((problems, self.samples)) < p[:, None]
        revised = np.empty((problems, self.chains, self.length), np.bool_)
        revised[..., 0] = rng.random((problems, self.chains)) < p[:, None]
        for turn in range(1, self.length):
            chance = np.where(revised[..., turn - 1], 1 - self.spoil, self.improve)
            revised[..., turn] = rng.random(chance.shape) < chance

        def source(stage: Stage, is_right: np.ndarray, chain: int) -> Source:
            ids = np.where(is_right, right[:, None], wrong[:, None])
            return Source(
                stage.source,
                ids.astype(np.int16)[..., None],
                is_right.astype(np.float32)[..., None],
                np.ones(is_right.shape, np.int16),
                np.ones(is_right.shape),
                chain,
            )

        sample, revision = self.menu
        sources = (
            source(sample, sampled, 1),
            source(revision, revised.reshape(problems, -1), self.length),
        )
        names = tuple(f"{number}, p {chance:.4f}" for number, chance in enumerate(p.tolist()))
        return Trials(self.menu, sources, right[:, None] == np.arange(BOTH), names)

    def optimum(self, price: float) -> Optimum:
        """By backward induction over how many samples and how many answers of chains failed."""
        check_price(price)
        worth, decisions = induct(self._failed(), (1, 1), price)
        return Optimum(worth, Lookup(f"optimum of {self.name}", self.menu, _state, decisions))

    def fixed_best(self, price: float) -> FixedBest:
        """The best number of samples alone, or of answers of chains alone, of which any that is
        right counts."""
        check_price(price)
        failed = self._failed()
        best = FixedBest(0.0, self.menu[0], 0)
        for stage, alone in zip(self.menu, (failed[:, 0], failed[0]), strict=True):
            values = 1 - alone - price * np.arange(alone.size)
            n = int(values.argmax())
            best = max(best, FixedBest(float(values[n]), stage, n), key=lambda one: one.value)
        return best

    def _failed(self) -> Floats:
        """[samples + 1, length * chains + 1]: the chance that so many of each are all wrong."""
        answers = np.arange(self.length * self.chains + 1)
        begun = -(-answers // self.length)
        fresh = np.arange(self.samples + 1)[:, None] + begun
        begun_wrong = self.prior.moments(np.zeros_like(fresh), fresh)
        wrong: Floats = begun_wrong * np.power(1 - self.improve, answers - begun)
        return wrong


def _state(tally: Tally) -> tuple[Integers, ...]:
    used = tally.used.astype(np.int64)
    return used[:, 0], used[:, 1], is_solved(tally)
