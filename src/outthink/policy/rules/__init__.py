"""Rules from papers, and bounds: what a fitted policy is compared with, one rule a file.

Each is a `Rule`: it decides from a tally row alone, so it plays over trials and runs live alike.
`curves` lists them with the values of their knobs.
"""

from outthink.policy.rules.allocation import GreedyAllocation
from outthink.policy.rules.clairvoyant import Clairvoyant
from outthink.policy.rules.confident import UntilConfident
from outthink.policy.rules.consistency import BetaConsistency, DirichletConsistency
from outthink.policy.rules.curves import Curve, curves
from outthink.policy.rules.fixed import Fixed
from outthink.policy.rules.threshold import ScoreThreshold
from outthink.policy.rules.windows import UnanimousWindow

__all__ = [
    "BetaConsistency",
    "Clairvoyant",
    "Curve",
    "DirichletConsistency",
    "Fixed",
    "GreedyAllocation",
    "ScoreThreshold",
    "UnanimousWindow",
    "UntilConfident",
    "curves",
]
