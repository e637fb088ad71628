"""Two answers and a check that errs, or none: sample until one answer is likely enough.

A sample has the right answer with chance p, else the one wrong answer; the check lets right samples
pass at one rate and wrong ones at another, which is a verifier's ROC of one point. Without a check
there are votes alone. Nothing tells beforehand which answer is right, so both start alike.

The state is how many samples of each answer passed and failed; the posterior over which answer is
right, and over p, follows from it by Bayes' rule, so backward induction over states is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np
from scipy.special import gammaln

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.pools import NO_ANSWER
from outthink.policy.menu import Stage
from outthink.policy.replay import STOP
from outthink.policy.tally import Tally
from outthink.policy.trials import Source, Trials
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
class Check:
    """A verifier that scores 1 or 0. Raises `UsageError` for a rate outside [0, 1]."""

    right_pass: float
    """Share of right samples that score 1."""
    wrong_pass: float
    """Share of wrong ones that do."""

    def __post_init__(self) -> None:
        if not (0 <= self.right_pass <= 1 and 0 <= self.wrong_pass <= 1):
            raise UsageError(
                f"a check that passes {self.right_pass:g} of right and {self.wrong_pass:g} of "
                "wrong; give two shares"
            )


@dataclass(frozen=True, slots=True)
class TwoAnswers:
    """Samples with the right or the wrong answer, scored by a check or not at all. A sample costs
    one generation. Only an answer that was drawn can be given. Raises `UsageError` for a cap below
    1, or above 24 with a check: the states grow with its fourth power."""

    prior: Prior
    """Of the chance to be right, which may well be below 1/2."""
    check: Check | None = None
    """`None` for votes alone."""
    most: int = 16
    """Samples a problem: the horizon."""
    stage: Stage = field(default=Stage("best_of_n", 1))

    def __post_init__(self) -> None:
        if not 1 <= self.most <= (inf if self.check is None else 24):
            raise UsageError(f"a cap of {self.most} samples; give at least 1, at most 24")

    @property
    def name(self) -> str:
        """With its prior and its check."""
        check = "votes alone" if self.check is None else "a noisy check"
        return f"two answers, {check}, {self.prior}"

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
        scores = np.full(is_right.shape, np.nan, np.float32)
        if self.check is not None:
            rates = np.where(is_right, self.check.right_pass, self.check.wrong_pass)
            scores = (rng.random(is_right.shape) < rates).astype(np.float32)
        source = Source(
            self.stage.source,
            np.where(is_right, right[:, None, None], wrong[:, None, None]).astype(np.int16),
            scores,
            np.ones((problems, self.most), np.int16),
            np.ones((problems, self.most)),
        )
        names = tuple(f"{number}, p {chance:.4f}" for number, chance in enumerate(p.tolist()))
        return Trials(self.menu, (source,), right[:, None] == np.arange(BOTH), names)

    def optimum(self, price: float) -> Optimum:
        """By backward induction from the cap over all states.

        Everything is times the chance of the state's samples in one order, so a state's worth of
        going on is the sum over what the next sample may be, with nothing to divide by.
        """
        check_price(price)
        states, first, second = self._states()
        total, mass = states.sum(axis=1), (first + second) / 2
        stop, answers = _stop(states, first, second)
        shape = (self.most + 2,) * states.shape[1]
        worth, decisions = np.zeros(shape), np.full(shape, STOP)
        for n in range(self.most, -1, -1):
            here = total == n
            at = states[here]
            best = stop[here]
            if n < self.most:
                after = [worth[tuple((at + step).T)] for step in np.eye(len(shape), dtype=np.int64)]
                draw = np.sum(after, axis=0) - price * mass[here]
                decisions[tuple(at[draw > best].T)] = 0
                best = np.maximum(best, draw)
            worth[tuple(at.T)] = best
        table = np.full(shape, NO_ANSWER)
        table[tuple(states.T)] = answers
        rule = Lookup(f"optimum of {self.name}", self.menu, self._state, decisions, table)
        return Optimum(float(worth[(0,) * len(shape)]), rule)

    def fixed_best(self, price: float) -> FixedBest:
        """The best N, the likelier answer of those drawn being given."""
        check_price(price)
        states, first, second = self._states()
        total = states.sum(axis=1)
        orders = np.exp(gammaln(total + 1.0) - gammaln(states + 1.0).sum(axis=1))
        right = np.bincount(total, orders * _stop(states, first, second)[0])
        values = right - price * np.arange(self.most + 1)
        best = int(values.argmax())
        return FixedBest(float(values[best]), self.stage, best)

    def _states(self) -> tuple[Integers, Floats, Floats]:
        """States [M, 2 L], and the chance [M] of their samples in one order if the first answer is
        right, and if the second is. There are L scores a sample can have; a state counts samples by
        score, those of the first answer and then those of the second."""
        check = self.check
        if_right = (
            np.ones(1) if check is None else np.array([1 - check.right_pass, check.right_pass])
        )
        if_wrong = (
            np.ones(1) if check is None else np.array([1 - check.wrong_pass, check.wrong_pass])
        )
        scores = if_right.size
        grid = np.indices((self.most + 1,) * (2 * scores)).reshape(2 * scores, -1).T
        states = grid[grid.sum(axis=1) <= self.most].astype(np.int64)
        one, other = states[:, :scores], states[:, scores:]

        def chance(right: Integers, wrong: Integers) -> Floats:
            samples = self.prior.moments(right.sum(axis=1), wrong.sum(axis=1))
            scored = np.prod(if_right**right, axis=1) * np.prod(if_wrong**wrong, axis=1)
            together: Floats = samples * scored
            return together

        return states, chance(one, other), chance(other, one)

    def _state(self, tally: Tally) -> tuple[Integers, ...]:
        votes = tally.votes[:, :BOTH].astype(np.int64)
        if self.check is None:
            return votes[:, 0], votes[:, 1]
        passed = tally.weight[:, :BOTH].astype(np.int64)
        failed = votes - passed
        return failed[:, 0], passed[:, 0], failed[:, 1], passed[:, 1]


def _stop(states: Integers, first: Floats, second: Floats) -> tuple[Floats, Integers]:
    """[M] the worth of stopping, times the chance of the state, and the answer to give."""
    half = states.shape[1] // 2
    drawn = np.stack([states[:, :half].any(axis=1), states[:, half:].any(axis=1)])
    worth = np.where(drawn, np.stack([first, second]) / 2, -1.0)
    answers = np.where(drawn.any(axis=0), worth.argmax(axis=0), NO_ANSWER)
    return np.maximum(worth.max(axis=0), 0), answers
