"""Chains of revisions, as arrays: every split of a budget into sequential and parallel, from one
pool.

Sampled once: N first answers, of which N / 2 chains go on to a second, N / 4 to a fourth, ..., one
to an N-th (`search.chains`). Which chains go on has nothing to do with what is in them, so
any budget's chains of any length are a random subset of those that are long enough, and accuracies
are unbiased. Snell et al. 2024, section 6.2, appendix I.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.pools import NO_ANSWER, Pool
from outthink.measure.votes import weighted
from outthink.search.chains import pool_lengths
from outthink.search.select import AnswerAggregation


@dataclass(frozen=True, eq=False)
class Chains:
    """The pool of chains of one problem."""

    drawn: Pool
    """All solutions in draw order: all first ones, then all second ones, ..."""
    size: int
    """N: chains, and length of the longest. A power of two."""

    def __post_init__(self) -> None:
        if self.drawn.size != sum(pool_lengths(self.size)):
            raise UsageError(
                f"problem {self.drawn.problem_id!r}: {self.drawn.size} solutions for a pool of "
                f"chains of {self.size}; give {sum(pool_lengths(self.size))}"
            )

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where, in draw order, the solutions at each place of a chain begin."""
        lengths = np.array(pool_lengths(self.size))
        return np.concatenate(
            [[0], np.cumsum([(lengths > rank).sum() for rank in range(self.size)])]
        )

    def first(self, length: int) -> NDArray[np.int64]:
        """[chains, length] solutions of all chains that are at least so long, cut to that."""
        if not 1 <= length <= self.size or length & (length - 1):
            raise UsageError(
                f"chains of {length} from a pool of {self.size}; give a power of two up to that"
            )
        chains = np.arange(self.size // length)
        return self._starts[None, :length] + chains[:, None]

    def representatives(self, length: int) -> Pool:
        """What each chain of `length` chooses: a weighted vote within it, then the best-scored
        solution of the answer that won. One sample a chain, with its own score (A6)."""
        return self.drawn.take(_winners(self.drawn, self.first(length)))

    def accuracy(self, budget: int, length: int, how: AnswerAggregation) -> float:
        """Expected accuracy of `budget` generations in chains of `length`, both powers of two.

        Hierarchical, or a flat majority over all answers of all chains. A budget below `length` is
        one chain.
        """
        length = min(length, budget)
        parallel = budget // length
        if how is AnswerAggregation.HIERARCHICAL:
            return float(weighted(self.representatives(length), [parallel])[0])
        rows = self.first(length)
        rng = np.random.default_rng([zlib.crc32(self.drawn.problem_id.encode()), parallel])
        count = 1 if parallel == len(rows) else _SUBSETS
        some = [rows[np.sort(rng.permutation(len(rows))[:parallel])] for _ in range(count)]
        unscored = np.full_like(self.drawn.scores, np.nan)
        pool = Pool(self.drawn.problem_id, self.drawn.answers, unscored, self.drawn.right)
        return float(pool.right[_winners(pool, np.sort(np.stack(some).reshape(count, -1)))].mean())


_SUBSETS = 32
"""Random sets of chains that a flat vote is averaged over."""


def _winners(pool: Pool, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """[G] for each group of solutions [G, n], the best-scored one of the answer with most weight.

    Ties as in `Selection`: the higher mean score, then the answer seen first. For a group without
    an answer it is the first solution.
    """
    answers = pool.answers[groups]
    scores = pool.scores[groups].astype(np.float64)
    counted = answers != NO_ANSWER
    scored = counted & ~np.isnan(scores)
    same = (answers[:, :, None] == answers[:, None, :]) & counted[:, None, :]
    known = (same & scored[:, None, :]).sum(2)
    weight = (same * np.where(scored, scores, 0.0)[:, None, :]).sum(2)
    mean = weight / np.maximum(known, 1)
    first = same.argmax(2)
    # A score of 0 beats none. Where no answer has a score, the one given most often wins.
    weight = np.where(known > 0, weight, -1.0)
    weight = np.where(scored.any(1, keepdims=True), weight, same.sum(2))
    weight = np.where(counted, weight, -2.0)
    best = np.where(scored, -scores, 1.0)
    order = np.lexsort((best, first, -mean, -weight), axis=1)
    winner: NDArray[np.int64] = np.take_along_axis(groups, order[:, :1], axis=1)[:, 0]
    return winner


def curve(
    pools: Sequence[Chains], length: int, how: AnswerAggregation, budgets: Sequence[int]
) -> Floats:
    """[N, P] accuracy of chains of `length` at every budget on every problem."""
    return np.array([[pool.accuracy(n, length, how) for pool in pools] for n in budgets])
