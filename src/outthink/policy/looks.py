"""What a sequential policy looks at: numbers about each answer, and about the problem as a whole.

Two sets of columns, both from a `Tally` alone. Those of an answer go into the probability that it
is right; those of the problem, with the two likeliest answers' probabilities among them, go into
the value of every stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats, Integers
from outthink.policy.tally import Cells, Tally, log_odds

_LEAST = 0.02
"""Added to a sum of probabilities before its logarithm."""


def of_answers(tally: Tally) -> tuple[Integers, Integers, Floats]:
    """Row and answer of every answer that was given, and its columns [n, F].

    Where answers compete and candidates are independent, the log odds of one are its evidence less
    that of its rivals: hence the differences, in counts and in sums of log odds.
    """
    rows, answers = np.nonzero(tally.votes)
    votes, weight = tally.votes[rows, answers], tally.weight[rows, answers]
    best, evidence = tally.best[rows, answers], tally.evidence[rows, answers]
    share = votes / tally.votes.sum(axis=1)[rows]
    weight_share = weight / np.maximum(tally.weight.sum(axis=1)[rows], 1e-9)
    drawn = tally.used.sum(axis=1)[rows]
    spent = np.log(np.maximum(drawn, 1))
    odds = log_odds(best)
    rival_votes, rival_weight = _rival(tally.votes, rows, votes), _rival(tally.weight, rows, weight)
    columns = [
        np.ones_like(odds),
        odds,
        np.maximum(odds, 0),
        log_odds(_rival(tally.best, rows, best)),
        log_odds(weight / votes),
        np.log(votes),
        np.log(weight + _LEAST),
        np.log(rival_weight + _LEAST),
        votes - rival_votes,
        weight - rival_weight,
        evidence - _rival(tally.evidence, rows, evidence),
        evidence,
        share,
        share**2,
        weight_share,
        weight_share**2,
        tally.stages[rows, answers] > 1,
        tally.stages[rows, answers] > 2,
        spent,
        drawn,
        spent * odds,
        np.log1p((tally.votes > 0).sum(axis=1))[rows],
        *np.log1p(tally.votes_by[rows, answers]).T,
        *np.log1p(tally.used[rows]).T,
    ]
    return rows, answers, np.stack(columns, dtype=np.float64).T


def _rival(values: Cells, rows: Integers, own: Cells) -> Cells:
    """The largest value among the other answers of the same problem."""
    second, first = np.partition(values, -2, axis=1)[:, -2:].T
    rival: Cells = np.where(own >= first[rows], second[rows], first[rows])
    return rival


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a policy sees of E problems."""

    columns: Cells
    """[E, F] as `of_problems`."""
    keys: Integers
    """[E, 2] as `keys`."""
    likely: Cells
    """[E, 2] the probabilities of the likeliest and the second likeliest answer."""
    number: Integers
    """[E] stages that were run."""

    @classmethod
    def of(cls, tally: Tally, likely: Cells) -> Look:
        """Of a tally whose likeliest answers are this likely."""
        return cls(of_problems(tally, likely), keys(tally, likely), likely, tally.looks.copy())

    @classmethod
    def joined(cls, parts: Sequence[Look]) -> Look:
        """One after the other."""
        columns = zip(*((p.columns, p.keys, p.likely, p.number) for p in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def take(self, rows: NDArray[Any]) -> Look:
        """The looks of these rows alone."""
        return Look(self.columns[rows], self.keys[rows], self.likely[rows], self.number[rows])

    @property
    def begun(self) -> NDArray[np.bool_]:
        """[E] whether anything was drawn."""
        return self.number > 0

    @property
    def room(self) -> Cells:
        """[E] the most that the probability of a right answer can grow."""
        room: Cells = 1 - self.likely[:, 0]
        return room


def of_problems(tally: Tally, likely: Cells) -> Cells:
    """[E, F] columns of every problem; `likely` [E, 2] are the probabilities of its likeliest and
    second likeliest answer."""
    first, second = likely.T
    votes = tally.votes.sum(axis=1)
    mean = tally.weight.sum(axis=1) / np.maximum(votes, 1)
    share = tally.votes.max(axis=1) / np.maximum(votes, 1)
    distinct = np.log1p((tally.votes > 0).sum(axis=1))
    spent = np.log(np.maximum(tally.used.sum(axis=1), 1))
    used = np.log1p(tally.used).T
    columns = [
        np.ones_like(first),
        first,
        first**2,
        *(np.maximum(first - knot, 0) for knot in (0.25, 0.5, 0.75, 0.9)),
        *(np.maximum(knot - first, 0) for knot in (0.1, 0.03)),
        second,
        tally.best.max(axis=1),
        mean,
        np.log(mean + _LEAST),
        share,
        distinct,
        (1 - first) * distinct,
        spent,
        spent**2,
        first * spent,
        first**2 * spent,
        mean * spent,
        tally.last,
        tally.unanswered / np.maximum(tally.unanswered + votes, 1),
        *used,
        *(used * first),
        *(used * mean),
    ]
    return np.stack(columns, axis=1, dtype=np.float32)


def keys(tally: Tally, likely: Cells) -> Integers:
    """[E, 2] of each problem, a coarse and a fine number that looks share if they are alike: in
    generations by source and in the likeliest answer's probability; and in votes and scores too."""
    votes = tally.votes.sum(axis=1)
    first, second = likely.T
    coarse = _mixed([*tally.used.T, np.rint(20 * first)])
    fine = [tally.votes.max(axis=1), votes, np.rint(10 * tally.weight.sum(axis=1))]
    both = [coarse, *fine, np.rint(50 * first), np.rint(20 * second)]
    return np.stack([coarse, _mixed(both)], axis=1)


def _mixed(parts: list[NDArray[Any]]) -> Integers:
    """[E] one number below 2^48 of whole numbers [E], in all likelihood not that of any others."""
    mixed = np.zeros(parts[0].size, np.uint64)
    for part in parts:
        mixed = (mixed ^ part.astype(np.int64).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(16)).astype(np.int64)
