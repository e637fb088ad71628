"""Backward induction where a right answer is known as such: every run ends it or fails.

The state is how often each stage has failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.measure.arrays import Floats, Integers
from outthink.policy.replay import STOP
from outthink.policy.tally import Tally


def induct(failed: Floats, costs: Sequence[float], price: float) -> tuple[float, Integers]:
    """What the best policy is worth, E[right] - price * E[cost], and its decisions.

    `failed` is the chance of each state, [runs of stage 1 + 1, runs of stage 2 + 1, ...]: that so
    many runs of each stage, one after the other, all fail. `costs` [S] of one run. Decisions have
    one axis more: 1 where something was right, so that it stops.
    """
    worth = np.zeros(failed.shape)
    decisions = np.full((*failed.shape, 2), STOP)
    for state in reversed([*np.ndindex(failed.shape)]):
        for stage, cost in enumerate(costs):
            after = (*state[:stage], state[stage] + 1, *state[stage + 1 :])
            if after[stage] == failed.shape[stage]:
                continue
            # All times the chance to get to the state: nothing to divide by.
            solved = failed[state] - failed[after]
            run = solved - price * cost * failed[state] + worth[after]
            if run > worth[state]:
                worth[state], decisions[(*state, 0)] = run, stage
    return float(worth.flat[0]), decisions


def is_solved(tally: Tally) -> Integers:
    """[E] 1 where something was right, which scores 1, else 0."""
    solved: Integers = (tally.best.max(axis=1) > 0).astype(np.int64)
    return solved
