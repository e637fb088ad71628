"""Everything the claims are judged by: what is run, and the studies it is read from.

Snell et al. 2024 on the lab, all of it. Each part is a sweep with a store of its own, so that a run
that was killed goes on, and a second one only reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from outthink.data import task
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import Difficulty, bins
from outthink.models.shape import ModelShape
from outthink.study.plan import REVISIONS, STRATEGIES, Plan, Study
from outthink.study.sweep import Models, Sweep, swept

BASELINE = "best_of_n"
"""What the compute-optimal policy is held against on the search axis (section 5.3)."""
PLAIN = "best_of_n(answer=max)"
"""What it is held against as well: the single best-scored sample, which may well be better."""
PARALLEL = "revise(sequential=1)"
"""And on the revision axis: as many independent first answers (section 6.2)."""
DIFFICULTY_SAMPLES = 4
"""Scored samples that predicted difficulty takes, and is charged."""

FLAT = tuple(name.replace(")", ",answer=majority)") for name in REVISIONS)
"""The splits with a flat majority vote in place of the verifier."""
STEPS = tuple(f"best_of_n(step={how})" for how in ("min", "prod", "mean"))
"""Best-of-N weighted by other aggregations of step scores."""
LABELS = ("soft", "hard", "once")
"""The share of four rollouts that end right, whether any does, whether the only one does."""
BEAMS = ("beam(step=min)", "beam(step=prod)", "beam(step=mean)")
"""Beams ranked by something else than the current value."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run."""

    problems: int
    pool: int
    """Samples a problem from S; best-of-N is known up to here."""
    oracle: int
    """Samples a problem that oracle difficulty is the pass@1 of."""
    difficulty: int
    """Scored samples a problem to show how predicted difficulty depends on their number."""
    chains: int
    """Chains a problem, and the length of the longest."""
    large: int
    """Samples a problem from L."""
    budgets: tuple[int, ...]
    """Of what runs live."""
    deep: int
    """The largest budget of beam search; 0 leaves it out."""
    ablations: int
    """Problems of what is run for an ablation alone."""
    labels: int
    """Problems that PRMs trained on labels of other kinds are compared on."""
    labels_pool: int
    """Samples of each."""


FULL = Scale(2000, 128, 128, 16, 32, 16, (1, 4, 16, 64), 128, 300, 1000, 32)
QUICK = Scale(200, 128, 64, 16, 16, 8, (1, 4, 16), 0, 100, 100, 16)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured. Accuracies are [.., P] over the problems of `main`, in their order."""

    scale: Scale
    seed: int
    main: Study
    """S with the PRM, and the reviser with its verifier: both axes, and what is read from pools."""
    orm: Study
    """The same samples of S, scored by the ORM: best-of-N alone."""
    large: Study
    """L: greedy, and a pool."""
    deep: Study | None
    """Beam search at the largest budget."""
    beams: Study
    """Beams ranked by other aggregations, on the first problems."""
    untuned: Study
    """S shown its own answers without having been trained to revise, on the first problems."""
    unled: Study
    """The reviser's chains scored by the PRM, which knows nothing of revisions, on the first."""
    alone: Study
    """The same chains scored by a verifier trained as theirs, but without their history."""
    labels: Mapping[str, Study]
    """PRMs trained alike on labels of different kinds, by the kind, on the first problems."""
    shapes: Mapping[str, ModelShape]
    """By name: s, l, prm, orm, reviser, revision."""
    pretraining_tokens: int
    """Of S and of L."""

    @property
    def problems(self) -> int:
        return len(self.main.problems)

    @cached_property
    def steps(self) -> Integers:
        """[P] factors of each problem: the intrinsic difficulty label."""

        return np.array([len(task.parse(p.prompt).factors) for p in self.main.problems])

    @cached_property
    def predicted(self) -> Difficulty:
        """Difficulty as the headline policies use it: no labels, few samples, charged."""
        return self.main.predicted_at(DIFFICULTY_SAMPLES)

    @cached_property
    def oracle_bins(self) -> Integers:
        """[P] 0 is the easiest."""
        return bins(self.main.oracle.values)[0]

    @cached_property
    def predicted_bins(self) -> Integers:
        return bins(self.predicted.values)[0]

    @cached_property
    def large_greedy(self) -> Floats:
        """[P] 1 where L's greedy answer is right."""
        grid = self.large.grid
        accuracy: Floats = grid.accuracy[grid.strategies.index("greedy"), 0]
        return accuracy


@contextmanager
def gathered(scale: Scale, *, seed: int, weights: Path | None, folder: Path) -> Iterator[Evidence]:
    """Run whatever is missing in `folder`, then hold the stores open to be read."""
    models = Models(weights=weights)

    def sweep(stack: ExitStack, plan: Plan, models: Models, problems: int) -> Study:
        asked = Sweep(f"lab:test?size={problems}&seed={seed}", plan, models, seed)
        return stack.enter_context(swept(asked, None, folder)).study

    def only(*strategies: str, budgets: tuple[int, ...], pool: int = 0, chains: int = 0) -> Plan:
        return Plan(strategies, budgets, pool, chains, 0, 0)

    def reviewed(by: str) -> Models:
        return Models("lab:s", "lab:prm", weights, revision_verifier=by)

    few = scale.ablations
    with ExitStack() as stack:
        main = Plan(
            (*STRATEGIES, *REVISIONS, *FLAT, *STEPS),
            scale.budgets,
            scale.pool,
            scale.chains,
            scale.oracle,
            scale.difficulty,
        )
        scored = only(BASELINE, PLAIN, budgets=scale.budgets, pool=64)
        judged = only(BASELINE, *STEPS, budgets=(scale.labels_pool,), pool=scale.labels_pool)
        greedy = only("greedy", "majority", budgets=(1,), pool=scale.large)
        again = only(*FLAT[:4], budgets=(1, 4, 8), chains=8)
        chains = only(*REVISIONS[:5], budgets=(1, 4, 16), chains=16)
        deep = only("beam", budgets=(scale.deep,)) if scale.deep else None
        prompted = Models("lab:s", "none", weights, "lab:s", "none")
        yield Evidence(
            scale=scale,
            seed=seed,
            main=sweep(stack, main, models, scale.problems),
            orm=sweep(stack, scored, Models("lab:s", "lab:orm", weights), scale.problems),
            large=sweep(stack, greedy, Models("lab:l", "none", weights), scale.problems),
            deep=None if deep is None else sweep(stack, deep, models, scale.problems),
            beams=sweep(stack, only(*BEAMS, budgets=scale.budgets), models, few),
            untuned=sweep(stack, again, prompted, few),
            unled=sweep(stack, chains, reviewed("lab:prm"), few),
            alone=sweep(stack, chains, reviewed("lab:revision-alone"), few),
            labels={
                kind: sweep(
                    stack, judged, Models("lab:s", f"lab:prm-{kind}", weights), scale.labels
                )
                for kind in LABELS
            },
            shapes=shapes(weights),
            pretraining_tokens=pretraining_tokens(),
        )


def shapes(weights: Path | None) -> dict[str, ModelShape]:
    """The shapes of the lab's models."""
    from outthink.lab.models import SHIPPED, LabModels

    models = LabModels(weights or SHIPPED)
    proposers = {name: models.proposer(name).shape for name in ("s", "l", "reviser")}
    return proposers | {name: models.verifier(name).shape for name in ("prm", "orm", "revision")}


def pretraining_tokens() -> int:
    from outthink.lab import recipes

    return recipes.D_PRE
