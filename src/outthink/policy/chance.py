"""The probability that an answer is right, fitted on replayed trials.

Scores of different verifiers, and of solutions that a search chose by them, do not mean the same.
So every stage's scores are first made into probabilities of their own. Then a logistic regression
reads what was drawn of an answer, scores and votes alike, and gives one probability. The likeliest
answer is the one that a policy gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from outthink.measure.arrays import Floats, Integers
from outthink.measure.logistic import logistic
from outthink.measure.pools import NO_ANSWER
from outthink.policy.looks import of_answers
from outthink.policy.tally import Cells, Tally, log_odds
from outthink.policy.trials import Source


@dataclass(frozen=True, slots=True)
class ScoreCurve:
    """From a score to the probability that the candidate is right."""

    unscored: float
    """That of a candidate without a score."""
    weights: tuple[float, ...]
    """Of 1, the log odds of the score, and their positive part."""

    @classmethod
    def fit(cls, source: Source, right: NDArray[np.bool_]) -> ScoreCurve:
        """Fitted on every candidate of a source that has an answer; `right` [P, K]."""
        answered = source.answers != NO_ANSWER
        problems = np.nonzero(answered)[0]
        is_right = right[problems, source.answers[answered]].astype(float)
        scores = source.scores[answered]
        scored = ~np.isnan(scores)
        unscored = float((is_right.sum() + 1) / (is_right.size + 2))
        columns = _score_columns(scores[scored])
        weights = logistic(columns, is_right[scored], ridge=1.0)
        return cls(unscored, tuple(map(float, weights)))

    def __call__(self, scores: Cells) -> Cells:
        """The probability for each score, NaN for none."""
        known = _score_columns(np.nan_to_num(scores).ravel()) @ np.array(self.weights)
        chance = np.where(np.isnan(scores), self.unscored, expit(known).reshape(scores.shape))
        return chance.astype(np.float32)


def _score_columns(scores: NDArray[np.floating]) -> Floats:
    odds = log_odds(scores)
    return np.stack([np.ones_like(odds), odds, np.maximum(odds, 0)], axis=1)


def likeliest(tally: Tally, weights: Floats) -> tuple[Integers, Cells]:
    """[E] the likeliest answer, `NO_ANSWER` where none was given, and [E, 2] the probabilities of
    the two likeliest."""
    rows, answers, columns = of_answers(tally)
    chance = np.zeros(tally.votes.shape, np.float32)
    chance[rows, answers] = expit(columns @ weights)
    first = chance.argmax(axis=1)
    second, top = np.partition(chance, -2, axis=1)[:, -2:].T
    return np.where(top > 0, first, NO_ANSWER), np.stack([top, second], axis=1)
