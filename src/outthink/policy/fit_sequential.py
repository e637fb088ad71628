"""Fitting the sequential policy on a study, and what it is worth.

Nothing is generated: stages are replayed from what the store holds. Costs and accuracies are those
of nested cross-validation by problem (`cross`); the policy that is kept is fitted on all problems.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.policy.cross import Contenders, CrossFitted, folds, joined
from outthink.policy.currency import GENERATIONS, Currency, currency
from outthink.policy.family import Family, Origin
from outthink.policy.frontier import (
    LEAST,
    FixedCurve,
    Frontier,
    Point,
    best_of,
    savings,
)
from outthink.policy.members import members_of
from outthink.policy.menu import Stage
from outthink.policy.read import menu, trials
from outthink.policy.replay import play
from outthink.policy.results import SequentialFit
from outthink.policy.rules import curves
from outthink.policy.rules.fixed import Fixed
from outthink.policy.trials import Trials
from outthink.run.side_by_side import called
from outthink.study.plan import POOL, UNSCORED, asks
from outthink.study.read import Study
from outthink.types import LARGER, REVISER
from outthink.version import VERSION

PLAIN = "best_of_n(answer=max)"
"""Best-of-N that takes the best-scored sample: usually the strongest strategy of samples alone."""
Money = tuple[str, Currency]
"""A currency by its name, and what it says of usage."""
MANY = 200
"""Problems from which on processes of their own are worth the second that they take to begin."""
MOST = 64.0
"""Generations that one problem may cost at most, in units of a sample in other currencies."""


def lacks_stages(study: Study) -> str | None:
    """Why no sequential policy can be fitted, and what would help; `None` where one can."""
    if len(study.problems) < LEAST:
        return (
            f"a sequential policy needs at least {LEAST} problems with a reference and every "
            f"search, better 500, and {len(study.problems)} are there; --kind table fits the "
            "paper's policy on fewer"
        )
    if not menu(study):
        return (
            "no samples and no stages are in the store, which a sequential policy is fitted on; "
            "sweep with best_of_n or majority among the strategies, or with --stages"
        )
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What a fit reads. Another process can fit it."""

    trials: Trials
    samples: str | None
    """The job on whose samples other adaptive rules are played; `None` for no rules."""
    most: float
    """What one problem may cost."""
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """What was fitted to a case."""

    whole: Contenders
    """On all problems."""
    crossed: CrossFitted
    rules: tuple[tuple[str, tuple[Point, ...]], ...]
    """Adaptive rules of others on the same trials, by name."""


def fit_sequential(
    study: Study,
    *,
    seed: int,
    money: Money | None = None,
    most: float | None = None,
    stages: Sequence[Stage] | None = None,
    rules: bool = True,
    jobs: int = 1,
) -> SequentialFit:
    """Fit the sequential policy at falling prices, and compare it with every fixed strategy.

    `money` is a currency by its name and function, generations by default; `most` caps what one
    problem may cost, 64 samples by default; `stages` is the menu, by default everything that the
    study has runs of and the currency can weigh. With `rules`, other adaptive rules are played on
    the same trials. It is fitted in as many processes as `jobs`, where that is worth it, which
    changes no figure. Raises `UsageError` where no policy can be fitted, and says what would help.
    """
    money = money or (GENERATIONS, currency(GENERATIONS))
    asked = case(study, seed=seed, money=money, most=most, stages=stages, rules=rules)
    with begun(asked, jobs=jobs) as fits:
        return compared(study, asked, money[1], fits)


def case(
    study: Study,
    *,
    seed: int,
    money: Money | None = None,
    most: float | None = None,
    stages: Sequence[Stage] | None = None,
    rules: bool = True,
) -> Case:
    """What `fit_sequential` fits, which takes and raises the same."""
    if why := lacks_stages(study):
        raise UsageError(why)
    money = money or (GENERATIONS, currency(GENERATIONS))
    replayed = trials(study, stages or _menu(study, money[0]), money)
    cap = most or MOST * float(min(replayed.costs))
    if cap < replayed.costs.min():
        raise UsageError(
            f"a cap of {cap:g} {money[0]} is below the cheapest stage, at "
            f"{replayed.costs.min():g}; raise it"
        )
    samples = study.plan.pool_job if rules and study.plan.pooled else None
    return Case(replayed, samples, cap, seed)


Begun = Future[Fits]
"""Fits that other processes are at."""


@contextmanager
def begun(case: Case, *, jobs: int) -> Iterator[Begun]:
    """The fits of a case, while this process does something else."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(fitted, case, jobs=jobs)


def fitted(case: Case, *, jobs: int = 1) -> Fits:
    """Everything that is fitted to a case, in as many processes as `jobs`."""
    halves = folds(case.trials, most=case.most, seed=case.seed)
    calls: list[Callable[[], Any]] = [
        partial(Contenders.fit, case.trials, halves[0].prices, most=case.most, seed=case.seed),
        *(fold.played for fold in halves),
        partial(_rules, case),
    ]
    whole, *played, rules = called(calls, jobs if len(case.trials.problems) >= MANY else 1)
    return Fits(whole, joined(played), rules)


def compared(study: Study, case: Case, cost: Currency, fits: Fits | Begun) -> SequentialFit:
    """The policy of these fits beside every fixed strategy of the study. Those that have begun are
    waited for once the fixed strategies are read."""
    replayed, seed = case.trials, case.seed
    fixed = (*_fixed(study, replayed.menu, cost), *_larger_alone(study, replayed, seed))
    done = fits if isinstance(fits, Fits) else fits.result()
    prices, points = done.crossed.prices, done.crossed.points
    kept = best_of(prices, points)
    frontier = Frontier(
        replayed.currency,
        replayed.menu,
        replayed.problems,
        tuple(points[number] for number in kept),
        tuple(prices[number] for number in kept),
        points,
        fixed,
        _baseline(study),
        done.rules,
    )
    family = Family(
        replayed.menu,
        tuple(map(float, replayed.costs)),
        tuple(replayed.sources[place].units for place in replayed.source_of),
        replayed.currency,
        case.most,
        done.whole.fitted.policies[0].chances_of,
        members_of(replayed, done.whole, done.crossed, frontier, most=case.most, seed=seed),
        _origin(study, replayed.menu, seed),
    )
    return SequentialFit(family, frontier, savings(frontier, seed=seed), replayed)


def _menu(study: Study, name: str) -> tuple[Stage, ...]:
    """The stages that a currency can weigh: generations of a larger model are not those of a small
    one."""
    stages = menu(study)
    if name == GENERATIONS:
        return tuple(stage for stage in stages if LARGER not in stage.roles)
    return stages


def _baseline(study: Study) -> str:
    return next((n for n in (PLAIN, POOL, UNSCORED) if n in study.strategies), "")


def _fixed(study: Study, stages: Sequence[Stage], cost: Currency) -> tuple[FixedCurve, ...]:
    """Every strategy of the study at every budget at which it is known, but for those that ask a
    model to write which no stage of the menu asks: what a policy could do as well."""
    writers = frozenset[str]().union(*(stage.roles for stage in stages))
    curves = []
    for name in study.strategies:
        if not asks(name) & {REVISER, LARGER} <= writers:
            continue
        budgets, rows = _known(study, name)
        costs = [_mean_cost(study, name, budget, cost) for budget in budgets]
        rising = [n for n in range(len(costs)) if n == 0 or costs[n] > max(costs[:n])]
        curves.append(
            FixedCurve(name, tuple(costs[n] for n in rising), np.array([rows[n] for n in rising]))
        )
    return tuple(curves)


def _known(study: Study, name: str) -> tuple[Sequence[int], Sequence[Floats]]:
    """Budgets of a strategy, and its accuracy [P] at each: a pool tells more than a grid."""
    plan = study.plan
    if name in (*plan.pooled, *plan.chained):
        budgets = plan.pool_budgets if name in plan.pooled else plan.chain_budgets
        return budgets, tuple(study.curve(name, budgets))
    budgets = tuple(n for n in plan.budgets if study.is_known(name, n))
    return budgets, [_row(study, name, budget) for budget in budgets]


def _larger_alone(study: Study, replayed: Trials, seed: int) -> tuple[FixedCurve, ...]:
    """The stages that ask the larger model alone, each as a fixed strategy."""
    alone = []
    for stage in replayed.menu:
        if LARGER in stage.roles and stage.strategy not in study.strategies:
            trials = replayed.only((stage,))
            played = play(Fixed(stage), trials, orders=1, most=math.inf, seed=seed)
            cost = (float(played.cost.mean()),)
            alone.append(FixedCurve(stage.strategy, cost, played.right[None]))
    return tuple(alone)


def _mean_cost(study: Study, name: str, budget: int, cost: Currency) -> float:
    return cost(study.usage(name, budget), asks(name)) / len(study.problems)


def _row(study: Study, name: str, budget: int) -> Floats:
    grid = study.grid
    row: Floats = grid.accuracy[grid.strategies.index(name), grid.budgets.index(budget)]
    return row


def _rules(case: Case) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    """Adaptive rules of others, by samples alone, on the same trials."""
    job, replayed = case.samples, case.trials
    if job is None:
        return ()
    sources = tuple(source for source in replayed.sources if source.name == job)
    samples = replace(replayed, menu=(Stage(job, 1),), sources=sources)
    known = []
    for curve in curves(samples, strategy=job):
        played = [
            Point.of(rule.name, play(rule, samples, orders=2, most=case.most, seed=case.seed))
            for rule in curve.rules
        ]
        # A rule whose first stage is above the cap draws nothing, as one that sees no problem
        # that it could solve.
        if paid := tuple(point for point in played if point.mean_cost.mean > 0):
            known.append((curve.name, paid))
    return tuple(known)


def _origin(study: Study, stages: Sequence[Stage], seed: int) -> Origin:
    asked = study.asked
    roles = frozenset[str]().union(*(stage.roles for stage in stages))
    names = {
        role: who if isinstance(who, str) else who.name
        for role, who in asked.team.items()
        if role in roles
    }
    return Origin(
        names,
        study.grid.digest,
        len(study.problems),
        seed,
        asked.grader,
        f"outthink {VERSION}",
        asked.spec,
    )
