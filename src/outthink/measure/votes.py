"""Majority and weighted votes at every N, from one pool."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.intervals import (
    _CELLS,
)
from outthink.measure.pools import NO_ANSWER, Pool, best_of_subset, checked_sizes
from outthink.types import Chooser, Problem, Scores, Solution

SUBSETS = 100
"""Random subsets a problem and budget that a vote is averaged over."""
_WHOLE, _FEWEST = 256, 16
"""Size up to which a vote is averaged over all subsets asked for. Above it there are fewer, as many
draws in all, since votes of many differ less; no fewer than 16."""


def weighted(pool: Pool, ns: Sequence[int], *, subsets: int = SUBSETS, seed: int = 0) -> Floats:
    """Expected accuracy of argmax_a sum_i s_i [a_i = a] on a random n-subset: weighted vote (F5).

    As `Selection(answer=WEIGHTED)`: ties go to the higher mean score, then to the answer seen
    first; a sample without an answer has no vote, one without a score no weight, and where no
    answer has a score a majority decides.

    Exact at n <= 2 and wherever there are no more n-subsets than `subsets`, n = pool size among
    them. Otherwise the mean over `subsets` random ones, fewer above n = 256: unbiased, standard
    error at most 0.5 / sqrt(subsets) a problem. Fixed by `seed` and the problem's id. Subsets of
    different n are nested, which makes differences along a curve steadier than its points.
    """
    return _vote(pool, pool.scores, checked_sizes(pool, ns), True, subsets, seed)


def majority(
    pool: Pool,
    ns: Sequence[int],
    *,
    ties_by_score: bool = False,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> Floats:
    """Expected accuracy of the answer given most often in a random n-subset (Wang et al. 2023).

    Ties go to the answer seen first, as in `outthink.search.majority`, which has no verifier; with
    `ties_by_score` to the higher mean score first, as in `Selection(answer=MAJORITY)` where scores
    are given (at n = 2 that is best-of-2). Exact or sub-sampled as `weighted` is.
    """
    scores = pool.scores if ties_by_score else np.full_like(pool.scores, np.nan)
    return _vote(pool, scores, checked_sizes(pool, ns), False, subsets, seed)


def _vote(
    pool: Pool,
    scores: NDArray[np.float32],
    ns: tuple[int, ...],
    by_weight: bool,
    subsets: int,
    seed: int,
) -> Floats:
    if subsets < 1:
        raise UsageError(f"{subsets} subsets to average a vote over; give at least 1")
    ballots = Ballots(pool, scores)
    result = np.zeros(len(ns))
    sampled: list[int] = []
    for row, n in enumerate(ns):
        if n <= 2:
            order = _best_first(pool, scores)
            result[row] = best_of_subset(pool.size, (n,))[0] @ pool.right[order]
        elif math.comb(pool.size, n) <= subsets:
            chosen = _all_subsets(pool.size, n)
            right = sum(ballots.count_right(some, by_weight) for some in chosen)
            result[row] = right / math.comb(pool.size, n)
        else:
            sampled.append(row)
    if sampled:
        shares = {row: _subsets(ns[row], subsets) for row in sampled}
        most, done = max(ns[row] for row in sampled), 0
        for order in permutations(pool, max(shares.values()), seed, most):
            for row, share in shares.items():
                # Draw order within a subset: it settles ties, and weights add up as in Selection.
                some = np.sort(order[: max(0, share - done), : ns[row]], axis=1)
                if len(some):
                    result[row] += ballots.count_right(some, by_weight) / share
            done += len(order)
    return result


def _subsets(n: int, asked: int) -> int:
    return min(asked, max(_FEWEST, asked * _WHOLE // n))


def _all_subsets(size: int, n: int) -> Iterator[Integers]:
    every = combinations(range(size), n)
    while some := list(islice(every, max(1, _CELLS // size))):
        yield np.array(some, np.int64)


def permutations(
    pool: Pool, subsets: int, seed: int, most: int | None = None
) -> Iterator[Integers]:
    """Random orders of the pool: the first n of an order are a random n-subset, for every n up to
    `most`, by default the whole."""
    rng = np.random.default_rng([seed, zlib.crc32(pool.problem_id.encode())])
    rows = max(1, _CELLS // pool.size)
    for start in range(0, subsets, rows):
        order = np.tile(np.arange(pool.size), (min(rows, subsets - start), 1))
        if most is None or _FEW * most > pool.size:
            yield rng.permuted(order, axis=1)
        else:
            yield _begun(order, most, rng)


_FEW = 8
"""How many times a pool is as large as what is asked of an order, where only its beginning is
shuffled."""


def _begun(order: Integers, most: int, rng: np.random.Generator) -> Integers:
    """The first `most` of a random order each: a shuffle (Fisher and Yates 1938) broken off."""
    rows = np.arange(len(order))
    for place in range(most):
        other = rng.integers(place, order.shape[1], len(order))
        order[rows, place], order[rows, other] = order[rows, other], order[rows, place].copy()
    return order[:, :most]


class Ballots:
    """A pool made ready for counting votes on many of its subsets at once."""

    __slots__ = ("columns", "labels", "right", "scored", "scores")

    def __init__(self, pool: Pool, scores: NDArray[np.float32]) -> None:
        values, labels = np.unique(pool.answers, return_inverse=True)
        # Column 0 is kept for samples without an answer, whether there are any or not.
        self.columns = values.size + (values[0] != NO_ANSWER)
        self.labels = labels + (values[0] != NO_ANSWER)
        self.scored = ~np.isnan(scores)
        self.scores = np.where(self.scored, scores, 0.0).astype(np.float64)
        self.right = pool.right

    def count_right(self, subsets: Integers, by_weight: bool) -> int:
        """How many of these subsets [S, n], each in draw order, elect a right answer."""
        labels = self.labels[subsets]
        rows = np.arange(len(subsets)).reshape(-1, 1)
        cells = (labels + rows * self.columns).ravel()

        def total(values: Floats | None = None) -> Floats:
            shape = (len(subsets), self.columns)
            return np.bincount(cells, values, math.prod(shape)).reshape(shape).astype(np.float64)

        # 1) Tally each answer: votes, and weight and mean score of the votes that have one.
        value = total()
        value[:, 0] = -np.inf
        mean = None
        if self.scored.any():
            weight = total(self.scores[subsets].ravel())
            scored = total(self.scored[subsets].ravel().astype(np.float64))
            scored[:, 0] = 0.0
            mean = np.where(scored > 0, weight / np.maximum(scored, 1.0), -1.0)
            if by_weight:
                has_scores = scored.any(axis=1, keepdims=True)
                value = np.where(has_scores, np.where(scored > 0, weight, -1.0), value)
        # 2) Keep the answers that lead, then those of them with the highest mean score.
        leads = value == value.max(axis=1, keepdims=True)
        if mean is not None:
            mean = np.where(leads, mean, -np.inf)
            leads &= mean == mean.max(axis=1, keepdims=True)
        # 3) The winner is the one of them seen first. Where nobody answered, `first` is 0, and a
        #    sample without an answer is never right.
        first = leads[rows, labels].argmax(axis=1, keepdims=True)
        winner = np.take_along_axis(subsets, first, axis=1)
        return int(np.count_nonzero(self.right[winner]))


def best_of_n(pool: Pool, ns: Sequence[int], *, subsets: int = SUBSETS, seed: int = 0) -> Floats:
    """Expected accuracy of the best-scored answer of a random n-subset: plain best-of-n (F6).

    As `Selection(answer=MAX)`: ties go to the earliest draw; a sample without an answer or a score
    is never taken where one has both; where none has both, a majority decides. Exact, but for that
    last vote in a pool that has at least three answers without a score: it is taken as `majority`
    takes it.
    """
    ns = checked_sizes(pool, ns)
    order = _best_first(pool, pool.scores)
    weights = best_of_subset(pool.size, ns)
    result: Floats = weights @ pool.right[order]
    both = np.count_nonzero(pool.answered & pool.scored)
    if np.count_nonzero(pool.answered) - both < 3:
        return result
    rest = pool.take(np.sort(order[both:]))
    for row, n in enumerate(ns):
        if 3 <= n <= rest.size:
            vote = majority(rest, [n], subsets=subsets, seed=seed)[0]
            kept = weights[row, :both] @ pool.right[order[:both]]
            result[row] = kept + weights[row, both:].sum() * vote
    return result


def max_score(pool: Pool, ns: Sequence[int]) -> Floats:
    """Expected best score among a random n-subset's samples with answer and score (weights of F6).

    What best-of-n maximises, to be shown beside what it gets. The mean is over the subsets that
    have such a sample; NaN where the pool has none.
    """
    weights = best_of_subset(pool.size, checked_sizes(pool, ns))
    order = _best_first(pool, pool.scores)
    both = np.count_nonzero(pool.answered & pool.scored)
    if both == 0:
        return np.full(len(ns), np.nan)
    scores = pool.scores[order[:both]].astype(np.float64)
    result: Floats = weights[:, :both] @ scores / weights[:, :both].sum(axis=1)
    return result


def _best_first(pool: Pool, scores: NDArray[np.float32]) -> Integers:
    """Samples with answer and score by score, then those with an answer, then the others.

    Ties to the earliest draw. On two samples every vote comes down to this order: either they
    agree, or one has no answer, or it is one vote against one and the score decides, then the draw.
    """
    key = np.where(np.isnan(scores), -1.0, scores)
    return np.argsort(-np.where(pool.answered, key, -2.0), kind="stable")


def chosen(
    pool: Pool,
    ns: Sequence[int],
    *,
    choose: Chooser,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> Floats:
    """Expected accuracy of any way of choosing among the candidates of a random n-subset, the mean
    over `subsets` of them; slow, as `choose` is called for each."""
    ns = checked_sizes(pool, ns)
    problem = Problem(pool.problem_id, "")
    known = [None if score != score else float(score) for score in pool.scores]
    answers = [None if answer == NO_ANSWER else str(answer) for answer in pool.answers]
    candidates = [
        Solution(problem, finished=True, answer=answer, number=number)
        for number, answer in enumerate(answers)
    ]
    scores = [Scores((score,)) for score in known]
    result = np.zeros(len(ns))
    for order in permutations(pool, subsets, seed):
        for row, n in enumerate(ns):
            for some in np.sort(order[:, :n], axis=1):
                choice = choose([candidates[i] for i in some], [scores[i] for i in some])
                if choice.index is not None:
                    result[row] += bool(pool.right[some[choice.index]]) / subsets
    return result
