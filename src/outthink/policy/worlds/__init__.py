"""Worlds with known answers: what a fitted policy is tested against.

Problems whose law is known, so that the best stopping rule, what it is worth, and the best fixed
strategy can all be computed. Regret is the optimum less what a policy gets, relative to the
optimum less the best fixed strategy: what there is to gain.

Knows nothing of models, and is no model of one: runs are independent given the problem.
"""

from outthink.policy.menu import Stage
from outthink.policy.worlds.boxes import Box, Boxes
from outthink.policy.worlds.chains import Chains
from outthink.policy.worlds.noisy import Check, TwoAnswers
from outthink.policy.worlds.perfect import PerfectVerifier
from outthink.policy.worlds.prior import Beta, Classes
from outthink.policy.worlds.revisions import Revisions
from outthink.policy.worlds.world import FixedBest, Optimum, World, value

__all__ = [
    "WORLDS",
    "Beta",
    "Box",
    "Boxes",
    "Chains",
    "Check",
    "Classes",
    "FixedBest",
    "Optimum",
    "PerfectVerifier",
    "Revisions",
    "TwoAnswers",
    "World",
    "value",
]

_THREE_KINDS = Classes((0.02, 0.2, 0.7), (0.4, 0.3, 0.3))

WORLDS: dict[str, World] = {
    "perfect, beta": PerfectVerifier(Beta(0.5, 1.5)),
    "perfect, classes": PerfectVerifier(_THREE_KINDS),
    "noisy check": TwoAnswers(Classes((0.2, 0.5, 0.9), (0.3, 0.3, 0.4)), Check(0.8, 0.3)),
    "votes, beta": TwoAnswers(Beta(4, 2), most=40),
    "votes, classes": TwoAnswers(Classes((0.6, 0.98), (0.5, 0.5)), most=40),
    "boxes": Boxes(
        (
            Box(Stage("best_of_n", 1), (0.05, 0.3, 0.6, 0.9), (0.5, 0.3, 0.15, 0.05), copies=12),
            Box(Stage("beam", 4), (0.1, 0.5, 0.95), (0.3, 0.4, 0.3), copies=3),
            Box(Stage("lookahead", 8), (0.2, 0.8, 1.0), (0.3, 0.3, 0.4), copies=2),
        )
    ),
    "chains": Chains(_THREE_KINDS),
    "revisions": Revisions(_THREE_KINDS),
}
"""At prices from 0.003 to 0.02 of an accuracy a generation there is something to gain in each: the
optimum is 0.015 or more above the best fixed strategy.

What a policy gets is best compared with what the optimal rule gets on the same trials in the same
orders, which share their noise.
"""
