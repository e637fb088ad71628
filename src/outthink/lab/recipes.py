"""The lab's models: their shapes, and how the shipped weights were made.

S and L see the same sequences in the same order, D_PRE tokens of them. The verifiers start from S.
"""

from __future__ import annotations

from outthink.lab import tokenizer
from outthink.lab.gpt import Shape
from outthink.lab.train import Recipe

SEED = 0
_STEPS, _BATCH = 900, 64
D_PRE = _STEPS * _BATCH * tokenizer.CONTEXT
"""Pretraining tokens of S and of L."""


def shape(*, width: int, layers: int, heads: int, outputs: int = tokenizer.VOCABULARY) -> Shape:
    """A model of the lab's task."""
    steps, offsets = tokenizer.layout()
    return Shape(
        vocabulary=tokenizer.VOCABULARY,
        outputs=outputs,
        width=width,
        layers=layers,
        heads=heads,
        steps=steps,
        offsets=offsets,
        stride=tokenizer.STEP_LENGTH,
    )


S = shape(width=64, layers=4, heads=4)
L = shape(width=216, layers=5, heads=6)
"""About 14 times the parameters of S."""

S_RECIPE = Recipe(steps=_STEPS, batch=_BATCH, rate=3e-3, seed=SEED)
L_RECIPE = Recipe(2 * _STEPS, _BATCH // 2, rate=1.5e-3, seed=SEED, low_precision=True)
"""Smaller batches suit L: the same sequences in the same order, twice the steps."""

LABELLED, SAMPLES, ROLLOUTS = 40_000, 4, 4
"""Problems, samples a problem and rollouts a prefix of the step labels."""
PRM_RECIPE = Recipe(steps=4000, batch=128, rate=4e-4, seed=SEED, decay=1.0)
REVISED, SAMPLED = 1 / 6, 64
"""Share of the labelled problems that trajectories are made from, and samples of each."""
TRAJECTORIES = 6
"""Most trajectories a problem, so that easy problems do not crowd out the others."""
CHAINED, CHAINS, CHAIN = 1 / 8, 2, 8
"""Share of the labelled problems that the revision verifier learns on, chains of each, length."""
REVISER_RECIPE = Recipe(steps=800, batch=64, rate=1e-3, seed=SEED, decay=1.0)
REVISION_RECIPE = Recipe(steps=600, batch=128, rate=4e-4, seed=SEED, decay=1.0)
ORM_RECIPE = Recipe(steps=1500, batch=128, rate=4e-4, seed=SEED, decay=1.0)

VARIANT_RECIPE = Recipe(steps=1000, batch=128, rate=4e-4, seed=SEED, decay=1.0)
"""Of the verifiers that differ in their labels alone: a quarter of the PRM's steps."""
