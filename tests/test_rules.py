"""Rules that decide after every look, each against a literal reference of one problem at a time."""

import numpy as np

from outthink.measure.pools import NO_ANSWER
from outthink.policy.replay import most_voted
from outthink.policy.tally import Tally

# The tally ---------------------------------------------------------------------------------------


def tallied(*stages):
    """One row, from stages of answers; every candidate has chance 0.5."""
    tally = Tally.empty(np.zeros(1, np.int64), 4, 1)
    for answers in stages:
        given = np.array([answers], np.int16)
        tally.add(
            np.zeros(1, np.int64),
            given,
            np.full(given.shape, 0.5, np.float32),
            source=0,
            generations=len(answers),
            cost=float(len(answers)),
            candidates=np.array([len(answers)]),
        )
    return tally


def test_ties_go_to_the_answer_drawn_first_whatever_its_number():
    tally = tallied([3, 1], [1, 3])
    assert most_voted(tally.votes, tally).tolist() == [3]
    assert most_voted(tallied([NO_ANSWER]).votes, tallied([NO_ANSWER])).tolist() == [NO_ANSWER]


def test_a_tally_knows_the_last_stage_and_the_order_of_answers():
    tally = tallied([NO_ANSWER, 2, 0], [0, 3, 0])
    assert tally.recent.tolist() == [[2, 0, 0, 1]]
    assert tally.first.tolist() == [[1, np.inf, 0, 3]]
    assert tally.take(np.zeros(1, np.int64)).first.tolist() == tally.first.tolist()
