"""Samples and chains of revisions, and a verifier that reads the last answer of each.

A revision turns a wrong answer right with one chance and a right one wrong with another, so a
chain's last answer is right with chance s + (p - s) (1 - improve - spoil)^(length - 1), where
s = improve / (improve + spoil): long chains help on hard problems and harm on easy ones. Which it
is shows in what failed; the state is how often each stage did.

A revision looks at the last answer alone. Snell et al. 2024 (arXiv 2408.03314), section 6.1, find
that 38 % of right answers turn wrong.
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
class Chains:
    """Chains of several lengths; a length of 1 is a sample. A chain costs its length in
    generations. The verifier is never wrong. Raises `UsageError` for a chance outside [0, 1], no
    length or one below 1 or twice, or no run of it."""

    prior: Classes
    """Of the chance that the first answer is right."""
    improve: float = 0.2
    """P(wrong -> right)."""
    spoil: float = 0.38
    """P(right -> wrong)."""
    lengths: tuple[int, ...] = (1, 2, 4)
    runs: tuple[int, ...] = (8, 4, 4)
    """How often each can be run on a problem."""

    def __post_init__(self) -> None:
        if not (0 <= self.improve <= 1 and 0 <= self.spoil <= 1):
            raise UsageError(
                f"revisions with chances {self.improve:g} and {self.spoil:g}; give two in [0, 1]"
            )
        alike = len(self.lengths) == len(self.runs) == len(set(self.lengths)) > 0
        if not alike or min((*self.lengths, *self.runs)) < 1:
            raise UsageError(
                f"chains of lengths {self.lengths}, run {self.runs} times; give different lengths "
                "and as many numbers of runs, all at least 1"
            )

    @property
    def name(self) -> str:
        """With its lengths."""
        return f"chains of {', '.join(map(str, self.lengths))}, {self.prior}"

    @property
    def menu(self) -> tuple[Stage, ...]:
        """One chain of each length, run as a whole; its revisions see the last answer alone."""
        return tuple(
            Stage.parse(
                "best_of_n@1" if length == 1 else f"revise(sequential={length},window=1)@{length}"
            )
            for length in self.lengths
        )

    def last_right(self, p: Floats) -> Floats:
        """[P, S]: the chance that the last answer of each chain is right."""
        change = self.improve + self.spoil
        settled = self.improve / change if change else 0.0
        faded = np.power(1 - change, np.array(self.lengths) - 1.0)
        chance: Floats = settled + (p[:, None] - settled) * faded
        return chance

    def trials(self, problems: int, seed: int) -> Trials:
        """All runs of every chain, each simulated revision by revision; a problem's name says its
        p."""
        check_problems(problems)
        rng = np.random.default_rng(seed)
        p = self.prior.draw(problems, rng)
        right, wrong = two_answers(problems, rng)
        sources = []
        for stage, length, runs in zip(self.menu, self.lengths, self.runs, strict=True):
            is_right = rng.random((problems, runs)) < p[:, None]
            for _ in range(length - 1):
                chance = np.where(is_right, 1 - self.spoil, self.improve)
                is_right = rng.random((problems, runs)) < chance
            sources.append(
                Source(
                    stage.source,
                    np.where(is_right, right[:, None], wrong[:, None]).astype(np.int16)[..., None],
                    is_right.astype(np.float32)[..., None],
                    np.ones((problems, runs), np.int16),
                    np.full((problems, runs), float(length)),
                )
            )
        names = tuple(f"{number}, p {chance:.4f}" for number, chance in enumerate(p.tolist()))
        return Trials(self.menu, tuple(sources), right[:, None] == np.arange(BOTH), names)

    def optimum(self, price: float) -> Optimum:
        """By backward induction over how often each stage has failed."""
        check_price(price)
        shape = tuple(runs + 1 for runs in self.runs)
        failed = self._failed(np.indices(shape).reshape(len(shape), -1).T).reshape(shape)
        worth, decisions = induct(failed, self.lengths, price)
        return Optimum(worth, Lookup(f"optimum of {self.name}", self.menu, self._state, decisions))

    def fixed_best(self, price: float) -> FixedBest:
        """The best number of chains of the best length."""
        check_price(price)
        best = FixedBest(0.0, self.menu[0], 0)
        for number, (stage, most) in enumerate(zip(self.menu, self.runs, strict=True)):
            runs = np.arange(most + 1)
            failed = self._failed(runs[:, None] * np.eye(len(self.runs), dtype=np.int64)[number])
            values = 1 - failed - price * stage.size * runs
            n = int(values.argmax())
            best = max(best, FixedBest(float(values[n]), stage, n), key=lambda one: one.value)
        return best

    def _failed(self, counts: Integers) -> Floats:
        """[M]: the chance that so many runs [M, S] of each stage all fail."""
        wrong = 1 - self.last_right(np.array(self.prior.chances))
        by_kind = np.power(wrong, counts[:, None, :]).prod(axis=2)
        failed: Floats = by_kind @ np.array(self.prior.shares)
        return failed

    def _state(self, tally: Tally) -> tuple[Integers, ...]:
        """Runs of each stage so far, and whether one was right."""
        runs = (tally.used / np.array(self.lengths)).astype(np.int64)
        return (*runs.T, is_solved(tally))
