"""The runs that claims are judged by: Snell et al. 2024 on the lab's models.

Every part is a sweep with a store of its own. A run that was killed continues where it stopped, and
a finished one is only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from outthink.data import task
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import Difficulty, bins
from outthink.models.shape import ModelShape
from outthink.run.store import Store
from outthink.study.models import Models
from outthink.study.parts import drawn_in_parts
from outthink.study.plan import REVISIONS, STRATEGIES, UNSCORED, Plan
from outthink.study.read import Study
from outthink.study.sweep import Sweep, make_place, swept

BASELINE = "best_of_n"
"""The baseline of the search axis: best-of-N weighted (section 5.3)."""
PLAIN = "best_of_n(answer=max)"
"""A second baseline, often the stronger one: the single best-scored sample."""
PARALLEL = "revise(sequential=1)"
"""The baseline of the revision axis: N independent first answers (section 6.2)."""
REFINED = "self_refine(by=verifier)"
"""Chains that stop when a verifier is sure of an answer (Madaan et al. 2023)."""
REFINED_AT = 8
DIFFICULTY_SAMPLES = 4
"""Scored samples a problem from which difficulty is predicted. They are charged."""

FLAT = tuple(name.replace(")", ",answer=majority)") for name in REVISIONS)
"""The splits of revisions with a majority vote over all answers in place of the verifier."""
MOST = tuple(name.replace(")", ",answer=max)") for name in REVISIONS[:5])
"""Splits of revisions that answer by the best score alone, the stronger way for long chains."""
STEPS = tuple(f"best_of_n(step={how})" for how in ("min", "prod", "mean"))
"""Best-of-N weighted by other aggregations of step scores."""
LABELS = ("soft", "hard", "once")
"""How step labels come from rollouts: share of four that end right, any of four, a single one."""
BEAMS = ("beam(step=min)", "beam(step=prod)", "beam(step=mean)")
"""Beam searches that rank prefixes by other aggregations of step scores than the last step's."""

TREES = ("dvts", "rebase", "particles", "mcts")
"""Tree searches that came after the paper's; particle filtering ranks nothing."""
BY_MEAN = ("dvts(step=mean)", "rebase(step=mean)", "mcts(step=mean)")
"""Those of them that rank, by the mean score of steps instead of the last one's."""
CORRECTED = ("revision_beam", "ab_mcts")
"""Searches among revisions."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a reproduction: problems, samples and budgets."""

    problems: int
    pool: int
    """Samples a problem from S: best-of-N is measured up to this N."""
    oracle: int
    """Samples a problem for oracle difficulty."""
    difficulty: int
    """Scored samples a problem, to measure how predicted difficulty depends on their number."""
    chains: int
    """Chains a problem, and the length of the longest one."""
    large: int
    """Samples a problem from L."""
    budgets: tuple[int, ...]
    """Budgets of searches that are run live."""
    deep: int
    """One larger budget for beam search; 0 for none."""
    ablations: int
    """Problems of the runs that only ablations need."""
    labels: int
    """Problems on which PRMs trained on different kinds of labels are compared."""
    labels_pool: int
    """Samples a problem for that comparison."""


STAGES = (
    "beam(width=2)@2",
    "beam@4",
    "revise(sequential=8)@8",
    "greedy(scored=yes)@1",
    "greedy(by=larger)@1",
    "greedy(by=larger,scored=yes)@1",
)
"""Of sequential policies, besides samples."""
TRIALS = 6
"""Runs of each search among them a problem."""

STORE = "reproduce.store"
"""Where all of it is kept: verifiers and models side by side, over the same draws."""

FULL = Scale(2000, 128, 128, 16, 32, 16, (1, 4, 16, 64), 128, 300, 1000, 32)
QUICK = Scale(200, 128, 64, 16, 16, 8, (1, 4, 16), 0, 100, 100, 16)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The studies of a reproduction. Accuracies are [..., P] over the problems of `main`.

    Studies of fewer problems hold the first problems of `main`.
    """

    scale: Scale
    seed: int
    main: Study
    """S with the PRM, and the reviser with its own verifier: all strategies of both axes."""
    orm: Study
    """The same samples of S scored by the ORM; best-of-N only."""
    large: Study
    """L: its greedy answer, and a pool of samples."""
    deep: Study | None
    """Beam search at `scale.deep`; `None` where that is 0."""
    beams: Study
    """Beam search with other aggregations of step scores, on fewer problems."""
    prompted_reviser: Study
    """Chains of S, which sees its earlier answers but was not trained to revise; fewer problems."""
    prm_on_revisions: Study
    """The reviser's chains scored by the PRM instead of their own verifier; fewer problems."""
    no_history: Study
    """The reviser's chains scored by a verifier that does not see the earlier answers; fewer
    problems."""
    labels: Mapping[str, Study]
    """By kind of label, a PRM trained on it, all else being equal; fewer problems."""
    shapes: Mapping[str, ModelShape]
    """By model name: s, l, prm, orm, reviser, revision."""
    pretraining_tokens: int
    """Tokens that S and L were each trained on."""
    refined: Mapping[str, Study] = field(default_factory=dict)
    """By who revises, `REFINED` and `PARALLEL` with the same verifier; fewer problems."""
    searches: Study | None = None
    """`TREES`, `BY_MEAN` and `CORRECTED`; fewer problems. `None` where they were not run."""
    stages: Study | None = None
    """What a sequential policy may run, several times: samples, searches, revisions, greedy answers
    of S and of L."""
    jobs: int = 1
    """Processes that policies may be fitted in."""

    @property
    def problems(self) -> int:
        return len(self.main.problems)

    @cached_property
    def steps(self) -> Integers:
        """[P] number of multiplications of a problem: difficulty by its own length."""

        return np.array([len(task.parse(p.prompt).factors) for p in self.main.problems])

    @cached_property
    def predicted(self) -> Difficulty:
        """Predicted difficulty from `DIFFICULTY_SAMPLES` samples, used in the main results."""
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
def gathered(
    scale: Scale, *, seed: int, weights: Path | None, folder: Path, jobs: int = 1
) -> Iterator[Evidence]:
    """Run whatever is missing in `folder`, then hold its store open to be read. `jobs` processes
    draw."""
    runs = _runs(scale, seed, weights)
    make_place(folder / STORE)
    drawn_in_parts(list(runs.values()), folder / STORE, jobs=jobs)
    with Store.open(folder / STORE, write=True) as store:

        def study(name: str) -> Study:
            with swept(runs[name], store) as opened:
                return opened.study

        yield Evidence(
            scale=scale,
            seed=seed,
            main=study(_MAIN),
            orm=study("orm"),
            large=study("large"),
            deep=study("deep") if "deep" in runs else None,
            beams=study("beams"),
            prompted_reviser=study("prompted_reviser"),
            prm_on_revisions=study("prm_on_revisions"),
            no_history=study("no_history"),
            labels={kind: study(kind) for kind in LABELS},
            refined={by: study(by) for by in (_SHOWN, _TRAINED)},
            searches=study("searches"),
            stages=study("stages"),
            shapes=shapes(weights),
            pretraining_tokens=pretraining_tokens(),
            jobs=jobs,
        )


_MAIN = "main"
_SHOWN, _TRAINED = "S, shown its answers", "trained to revise"


def _runs(scale: Scale, seed: int, weights: Path | None) -> dict[str, Sweep]:
    """Every run by its name."""
    models = Models(weights=weights)
    few = scale.ablations

    def sweep(plan: Plan, models: Models, problems: int) -> Sweep:
        return Sweep(f"lab:test?size={problems}&seed={seed}", plan, models, seed)

    def only(*strategies: str, budgets: tuple[int, ...], pool: int = 0, chains: int = 0) -> Plan:
        return Plan(strategies, budgets, pool, chains, 0, 0)

    def reviewed(by: str) -> Models:
        return Models("lab:s", "lab:prm", weights, revision_verifier=by)

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
    prompted = Models("lab:s", "none", weights, "lab:s", "none")
    shown = Models("lab:s", "lab:prm", weights, "lab:s", "lab:prm")
    until_sure = only(PARALLEL, REFINED, budgets=(REFINED_AT,))
    fixed = ("greedy", UNSCORED, PLAIN, BASELINE, "beam", *REVISIONS[:5], *MOST)
    staged = replace(
        only(*fixed, budgets=scale.budgets[:3], pool=scale.pool, chains=scale.chains),
        stages=STAGES,
        trials=TRIALS,
    )
    deep = (
        {"deep": sweep(only("beam", budgets=(scale.deep,)), models, scale.problems)}
        if scale.deep
        else {}
    )
    return {
        _MAIN: sweep(main, models, scale.problems),
        "orm": sweep(scored, Models("lab:s", "lab:orm", weights), scale.problems),
        "large": sweep(greedy, Models("lab:l", "none", weights), scale.problems),
        **deep,
        "beams": sweep(only(*BEAMS, budgets=scale.budgets), models, few),
        "prompted_reviser": sweep(again, prompted, few),
        "prm_on_revisions": sweep(chains, reviewed("lab:prm"), few),
        "no_history": sweep(chains, reviewed("lab:revision-alone"), few),
        **{
            kind: sweep(judged, Models("lab:s", f"lab:prm-{kind}", weights), scale.labels)
            for kind in LABELS
        },
        _SHOWN: sweep(until_sure, shown, few),
        _TRAINED: sweep(until_sure, models, few),
        "searches": sweep(only(*TREES, *BY_MEAN, *CORRECTED, budgets=scale.budgets), models, few),
        "stages": sweep(staged, replace(models, larger="lab:l"), scale.problems),
    }


def shapes(weights: Path | None) -> dict[str, ModelShape]:
    """The shapes of the lab's models."""
    from outthink.lab.models import SHIPPED, LabModels

    models = LabModels(weights or SHIPPED)
    proposers = {name: models.proposer(name).shape for name in ("s", "l", "reviser")}
    return proposers | {name: models.verifier(name).shape for name in ("prm", "orm", "revision")}


def pretraining_tokens() -> int:
    from outthink.lab import recipes

    return recipes.D_PRE
