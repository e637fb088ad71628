"""What rules share: how scores are read, how an answer is chosen from a tally, when to go on."""

from __future__ import annotations

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.policy.replay import STOP, Allowed, most_voted
from outthink.policy.tally import Cells, Tally
from outthink.search.select import AnswerAggregation

CAP = 40
"""Samples a problem at most, for rules that look at votes (Aggarwal et al. 2023)."""

SCORED_CAP = 128
"""The same for rules that look at scores."""


def as_given(scores: Cells) -> Cells:
    """Scores of any shape as they are, 0 for none."""
    return np.nan_to_num(scores, nan=0.0)


def drawn(tally: Tally) -> Floats:
    """[E] generations so far."""
    total: Floats = tally.used.sum(axis=1, dtype=np.float64)
    return total


def on(stop: Allowed, allowed: Allowed) -> Integers:
    """[E] decisions of a rule with one stage: `stop` [E], or run it where `allowed` [E, 1]."""
    return np.where(stop | ~allowed[:, 0], STOP, 0)


def leaders(votes: Cells) -> tuple[Cells, Cells]:
    """[E] votes of the answer given most often, and of the next."""
    ordered = np.partition(votes, -2, axis=1)
    return ordered[:, -1], ordered[:, -2]


def chosen(tally: Tally, how: AnswerAggregation) -> Integers:
    """[E] the answer that a selection takes; `NO_ANSWER` where there is none.

    As `Selection`, but for two things that a tally does not hold: between answers whose best scores
    are equal, `max` takes the one drawn first, and votes within a chain count as any others. A
    candidate without a score counts as one of score 0, and where every score is 0 a majority
    decides.
    """
    mean = np.divide(
        tally.weight, tally.votes, out=np.zeros(tally.votes.shape), where=tally.votes > 0
    )
    # Votes are whole, so half of a mean score settles ties and nothing else.
    votes = tally.votes + mean / 2
    if how is AnswerAggregation.MAJORITY:
        return most_voted(votes, tally)
    values = tally.best if how is AnswerAggregation.MAX else tally.weight
    return most_voted(np.where(values.any(axis=1, keepdims=True), values, votes), tally)


def check_share(what: str, value: float) -> None:
    """Raises `UsageError` for a value outside [0, 1]."""
    if not 0 <= value <= 1:
        raise UsageError(f"{what} {value:g}; give a share")


def check_most(most: int) -> None:
    """Raises `UsageError` for a cap below one sample."""
    if most < 1:
        raise UsageError(f"a cap of {most} samples; give at least 1")
