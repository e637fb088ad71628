"""What was drawn so far, answer by answer, for many problems at once.

A policy looks at nothing else. Replaying a million decisions from stores and deciding live for one
problem run the same arithmetic: a live problem is a tally of one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats, Integers
from outthink.measure.pools import NO_ANSWER

Cells = NDArray[np.float32]


def log_odds(chance: NDArray[np.floating]) -> Floats:
    """ln(p / (1 - p)), of p kept within [0.001, 0.999]."""
    kept = np.clip(chance.astype(np.float64), 1e-3, 1 - 1e-3)
    odds: Floats = np.log(kept / (1 - kept))
    return odds


@dataclass(slots=True, eq=False)
class Tally:
    """E problems, up to K distinct answers each, S sources that stages draw from."""

    problem: Integers
    """[E] which problem each row is about."""
    votes: Cells
    """[E, K] candidates with this answer."""
    weight: Cells
    """[E, K] the sum of their probabilities to be right, as their scores have them."""
    best: Cells
    """[E, K] the largest of these."""
    evidence: Cells
    """[E, K] the sum of their log odds."""
    stages: Cells
    """[E, K] stages that gave this answer."""
    votes_by: Cells
    """[E, K, S] candidates with this answer by source."""
    spent: Floats
    """[E] what it cost, in the currency of the policy."""
    used: Cells
    """[E, S] generations by source."""
    unanswered: Cells
    """[E] candidates without an answer."""
    looks: Integers
    """[E] stages that were run."""
    last: Cells
    """[E] the best probability in the last stage."""
    recent: Cells
    """[E, K] candidates of the last stage with this answer."""
    first: Cells
    """[E, K] answers that were drawn before this one was drawn first; infinite where it was not."""

    @classmethod
    def empty(cls, problem: Integers, answers: int, sources: int) -> Tally:
        """Nothing drawn yet. There is room for two answers at least."""
        rows, answers = problem.size, max(answers, 2)

        def cells() -> Cells:
            return np.zeros((rows, answers), np.float32)

        return cls(
            problem=problem,
            votes=cells(),
            weight=cells(),
            best=cells(),
            evidence=cells(),
            stages=cells(),
            votes_by=np.zeros((rows, answers, sources), np.float32),
            spent=np.zeros(rows),
            used=np.zeros((rows, sources), np.float32),
            unanswered=np.zeros(rows, np.float32),
            looks=np.zeros(rows, np.int64),
            last=np.zeros(rows, np.float32),
            recent=cells(),
            first=np.full((rows, answers), np.inf, np.float32),
        )

    @property
    def size(self) -> int:
        """E."""
        return self.problem.size

    def add(
        self,
        rows: Integers,
        answers: NDArray[np.signedinteger[Any]],
        chances: Cells,
        *,
        source: int,
        generations: float,
        cost: Floats | float,
        candidates: NDArray[np.signedinteger[Any]],
    ) -> None:
        """Count one stage on `rows` [R]: `answers` [R, M], `NO_ANSWER` for none and to fill up, and
        `chances` [R, M], the probability that each is right. `candidates` [R] of them are real."""
        answered = answers != NO_ANSWER
        places = np.broadcast_to(rows[:, None], answers.shape)[answered]
        given, chance = answers[answered], chances[answered]
        before = self.votes[rows]
        order = before.sum(axis=1, keepdims=True) + answered.cumsum(axis=1) - 1
        # Along one axis, as `at` is several times slower along two.
        cells = places * self.votes.shape[1] + given
        np.minimum.at(self.first.reshape(-1), cells, order[answered].astype(np.float32))
        np.add.at(self.votes.reshape(-1), cells, np.float32(1))
        np.add.at(self.weight.reshape(-1), cells, chance)
        np.maximum.at(self.best.reshape(-1), cells, chance)
        np.add.at(self.evidence.reshape(-1), cells, log_odds(chance).astype(np.float32))
        self.recent[rows] = self.votes[rows] - before
        self.votes_by[rows, :, source] += self.recent[rows]
        self.stages[rows] += self.recent[rows] > 0
        self.last[rows] = np.where(answered, chances, 0).max(axis=1, initial=0)
        self.spent[rows] += cost
        self.used[rows, source] += generations
        self.unanswered[rows] += candidates - answered.sum(axis=1)
        self.looks[rows] += 1

    def with_room(self, answers: int) -> Tally:
        """The same tally with room for so many distinct answers."""
        wider = Tally.empty(self.problem, answers, self.used.shape[1])
        for name in _FIELDS:
            column = getattr(self, name)
            if name in _BY_ANSWER:
                getattr(wider, name)[:, : column.shape[1]] = column
            else:
                setattr(wider, name, column)
        return wider

    def take(self, rows: Integers) -> Tally:
        """The tally of these problems alone, copied."""
        return Tally(*(getattr(self, name)[rows] for name in _FIELDS))


_FIELDS = (
    "problem",
    "votes",
    "weight",
    "best",
    "evidence",
    "stages",
    "votes_by",
    "spent",
    "used",
    "unanswered",
    "looks",
    "last",
    "recent",
    "first",
)

_BY_ANSWER = ("votes", "weight", "best", "evidence", "stages", "votes_by", "recent", "first")
