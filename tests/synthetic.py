"""Evidence whose truth is known: pools, chains and outcomes drawn from chances, no model run.

The studies are real ones; what they would read from a store is put where they keep it.
"""

from dataclasses import dataclass

import numpy as np

from outthink.measure import chains as chain_pools
from outthink.measure.difficulty import oracle
from outthink.measure.pools import Pool
from outthink.models.shape import ModelShape
from outthink.paper import simulate
from outthink.paper.evidence import (
    BASELINE,
    BEAMS,
    BY_MEAN,
    CORRECTED,
    FLAT,
    LABELS,
    PARALLEL,
    REFINED,
    REFINED_AT,
    STEPS,
    TREES,
    Evidence,
    Scale,
)
from outthink.paper.simulate import Binormal, Revision
from outthink.search.chains import pool_lengths
from outthink.search.select import StepAggregation
from outthink.study.plan import REVISIONS, STRATEGIES, Plan
from outthink.study.read import Study
from outthink.types import Outcome, Problem, Usage

TOKENS = 30
"""Of a solution."""
WRONG = 4
"""Wrong answers a problem has."""


@dataclass(frozen=True)
class World:
    """What is true."""

    problems: int = 120
    p: tuple[float, float] = (0.8, 0.8)
    """Of the Beta that chances of S are drawn from."""
    auc: float = 0.9
    improve: float = 0.1
    spoil: float = 0.1
    large: float = 0.15
    """By how much L's chance is above that of S."""
    beam: float = 0.0
    """By how much beam search is above best-of-N with a perfect verifier halved."""
    seed: int = 0


def shape(name, scale):
    return ModelShape(name, 1000 * scale, 1000 * scale, 2, 16, 2, 2, 8)


SHAPES = {name: shape(name, 14 if name == "l" else 1) for name in ("s", "l", "prm", "orm")}
SHAPES |= {name: shape(name, 1) for name in ("reviser", "revision")}


def usage(generations, *, verified=True):
    decoded = TOKENS * generations
    return Usage(
        generations=generations,
        prompt_tokens=10,
        cached_tokens=10 * (generations - 1),
        decoded_tokens=decoded,
        verifier_tokens=decoded + 10 if verified else 0,
        decoded_attended=decoded * 20,
        verifier_attended=decoded * 20 if verified else 0,
        kv_reads=decoded * 20,
    )


def evidence(world: World, scale: Scale) -> Evidence:
    rng = np.random.default_rng(world.seed)
    # Hard problems are long: up to six factors.
    chances = np.sort(rng.beta(*world.p, world.problems))[::-1]
    order = rng.permutation(world.problems)
    chances = chances[order]
    lengths = 1 + 6 * order // world.problems
    problems = [
        Problem(str(number), " ".join([f"{number:05d}", *["*7"] * int(length)]), "0")
        for number, length in enumerate(lengths)
    ]
    make = _Maker(world, scale, problems, chances, rng)
    main = (*STRATEGIES, *REVISIONS, *FLAT, *STEPS)
    few = scale.ablations
    plan = Plan(main, scale.budgets, scale.pool, scale.chains, scale.oracle, scale.difficulty)

    def of(*names, budgets, pool=0, chains=0):
        return Plan(names, budgets, pool, chains, 0, 0)

    scored = of(BASELINE, "best_of_n(answer=max)", budgets=scale.budgets, pool=scale.pool)
    large = of("greedy", "majority", budgets=(1,), pool=scale.large)
    deep = of("beam", budgets=(scale.deep,)) if scale.deep else None
    return Evidence(
        scale=scale,
        seed=world.seed,
        main=make.study(plan),
        orm=make.study(scored),
        large=make.study(large, lift=world.large),
        deep=make.study(deep) if deep else None,
        beams=make.study(of(*BEAMS, budgets=scale.budgets), few),
        prompted_reviser=make.study(of(*FLAT[:4], budgets=(1, 4, 8), chains=8), few),
        prm_on_revisions=make.study(of(*REVISIONS[:5], budgets=(1, 4, 16), chains=16), few),
        no_history=make.study(of(*REVISIONS[:5], budgets=(1, 4, 16), chains=16), few),
        labels={
            kind: make.study(
                of(BASELINE, *STEPS, budgets=(scale.labels_pool,), pool=scale.labels_pool),
                scale.labels,
            )
            for kind in LABELS
        },
        shapes=SHAPES,
        pretraining_tokens=100_000,
        refined={"S": make.study(of(PARALLEL, REFINED, budgets=(REFINED_AT,)), few)},
        searches=make.study(of(*TREES, *BY_MEAN, *CORRECTED, budgets=scale.budgets), few),
    )


@dataclass(frozen=True)
class _Maker:
    world: World
    scale: Scale
    problems: list
    chances: np.ndarray
    rng: np.random.Generator

    def study(self, plan, count=None, lift=0.0):
        problems = tuple(self.problems[:count])
        chances = np.minimum(1.0, self.chances[: len(problems)] + lift)
        study = Study(plan, problems, view=None, asked=None)
        kept = study.__dict__
        recorded = kept["_recorded"] = {}

        def record(name, budget, right, spent):
            for problem, is_right in zip(problems, right, strict=True):
                key = name, budget, problem.id
                recorded[key] = Outcome(problem.id, name, budget, "0", bool(is_right), 0, spent)

        if plan.pooled:
            pools = [self.pool(p, c, plan.pool) for p, c in zip(problems, chances, strict=True)]
            study._read.update({step: pools for step in StepAggregation})
            kept["pools"] = pools
            record(plan.pool_job, plan.pool, [False] * len(problems), usage(plan.pool))
        if plan.chained:
            pools = zip(problems, chances, strict=True)
            kept["chains"] = [self.chain_pool(p, c, plan.chains) for p, c in pools]
            each = [usage(1)] * sum(pool_lengths(plan.chains))
            kept["chain_lengths"] = [np.full(len(each), 20.0)] * len(problems)
            kept["_chain_costs"] = [sum([one] * len(problems), Usage()) for one in each]
        for name in plan.live:
            for budget in plan.budgets:
                reached = self.reached(name, chances, budget)
                spent = usage(budget, verified=name != "greedy")
                record(name, budget, self.rng.random(len(problems)) < reached, spent)
        if plan.oracle_samples:
            kept["oracle"] = oracle(
                [
                    self.pool(p, c, plan.oracle_samples)
                    for p, c in zip(problems, chances, strict=True)
                ]
            )
        if plan.predicted_samples:
            kept["_difficulty_pools"] = [
                self.pool(p, c, plan.predicted_samples)
                for p, c in zip(problems, chances, strict=True)
            ]
        return study

    def reached(self, name, chances, budget):
        if name == "greedy":
            return chances
        base = (simulate.coverage(chances, [budget])[0] + chances) / 2
        gain = self.world.beam if budget > 1 and name.startswith("beam") else 0.0
        return np.clip(base + gain, 0, 1)

    def pool(self, problem, chance, samples):
        chances = simulate.competing(float(chance), WRONG)
        verifier = Binormal.of_auc(self.world.auc)
        return simulate.pool(problem.id, chances, samples, self.rng, verifier=verifier)

    def chain_pool(self, problem, chance, size):
        kernel = Revision(self.world.improve, self.world.spoil)
        right = kernel.draw(np.full(size, chance), size, self.rng)
        lengths = np.array(pool_lengths(size))
        drawn = np.concatenate([right[place, lengths > place] for place in range(size)])
        answers = np.where(drawn, 0, self.rng.integers(1, 1 + WRONG, drawn.size))
        scores = Binormal.of_auc(self.world.auc).score(drawn, self.rng)
        pool = Pool(
            problem.id, answers.astype(np.int32), scores.astype(np.float32), drawn.astype(bool)
        )
        return chain_pools.Chains(pool, size)
