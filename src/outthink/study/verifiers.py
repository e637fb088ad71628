"""Several verifiers side by side: how well each of them chooses among the same samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from outthink.errors import UsageError
from outthink.measure.intervals import Interval, intervals
from outthink.measure.pools import Pool
from outthink.measure.quality import auc
from outthink.run.store import Store
from outthink.study.plan import POOL
from outthink.study.read import Study
from outthink.study.record import Asked
from outthink.types import VERIFIER

WEIGHTED, PLAIN = "best_of_n", "best_of_n(answer=max)"


@dataclass(frozen=True, slots=True)
class VerifierQuality:
    """What one verifier makes of the pool."""

    verifier: str
    auc: float | None
    """Chance that a right sample of a problem scores above a wrong one, the mean over problems that
    have both; `None` where none has."""
    budgets: tuple[int, ...]
    weighted: tuple[Interval, ...]
    """Accuracy of best-of-N weighted at these budgets."""
    plain: tuple[Interval, ...]
    """Of plain best-of-N."""


def scored_by(store: Store, asked: Asked) -> tuple[str, ...]:
    """Verifiers that scored the whole pool that was asked for last, in the order in which the
    store met them; nothing where that has no scored pool."""
    plan = asked.plan
    if not plan.pooled or plan.pool_job != POOL:
        return ()
    pools = {(problem, POOL, plan.pool, "") for problem in asked.problem_ids}
    return tuple(
        name
        for name in store.verifiers()
        if pools <= store.view({**asked.team, VERIFIER: name}, asked.grader).finished()
    )


def side_by_side(store: Store, study: Study) -> tuple[VerifierQuality, ...]:
    """Every verifier that scored the whole pool, on the problems of a study; nothing where
    fewer than two did."""
    asked = study.asked
    names = scored_by(store, asked) if study.problems else ()
    return tuple(_quality(store, study, name) for name in names) if len(names) > 1 else ()


def _quality(store: Store, study: Study, name: str) -> VerifierQuality:
    asked, budgets = study.asked, study.asked.plan.budgets
    view = store.view({**asked.team, VERIFIER: name}, asked.grader)
    own = replace(study, plan=asked.plan, view=view, _read={}, _known={})
    return VerifierQuality(
        name,
        _within(own.pools),
        budgets,
        tuple(intervals(own.curve(WEIGHTED, budgets))),
        tuple(intervals(own.curve(PLAIN, budgets))),
    )


def _within(pools: Iterable[Pool]) -> float | None:
    values = [auc(pool.scores.astype(np.float64), pool.right) for pool in pools]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def require_one(store: Store, asked: Asked) -> None:
    """Raises `UsageError` where several verifiers scored the pool, and one has to be meant."""
    names = scored_by(store, asked)
    if len(names) > 1:
        raise UsageError(
            f"{store.path}: {len(names)} verifiers scored its samples; say which is meant, as "
            f"--verifier {names[0]}: {', '.join(names)}"
        )


def asked_with(store: Store, name: str) -> Asked:
    """What was asked last of the verifier whose name is this, begins so, or was typed so.

    Raises `UsageError` where the store has no scores of it, or of several such.
    """
    last = Asked.read(store)
    full = _full_name(store, name)
    if last.verifier == full:
        return last
    sweeps = [one for one in Asked.all(store) if one.verifier == full and _alike(one, last)]
    # The same plan can be compared with what was asked last; another is better than none.
    best = max(sweeps, key=lambda one: one.plan == last.plan, default=None)
    return best or replace(last, team={**last.team, VERIFIER: full}, spec={})


def _alike(one: Asked, other: Asked) -> bool:
    """Whether two sweeps differ in plan and verifier alone."""
    return (one.problems_digest, one.grader, one.seed, one.proposer) == (
        other.problems_digest,
        other.grader,
        other.seed,
        other.proposer,
    )


def _full_name(store: Store, name: str) -> str:
    there = store.verifiers()
    typed = {one.verifier for one in Asked.all(store) if one.spec.get("verifier") == name}
    fits = [one for one in there if one == name or one in typed]
    fits = fits or [one for one in there if one.startswith(name)]
    if len(fits) != 1:
        raise UsageError(
            f"{store.path}: has scores of {', '.join(there) or 'no verifier'}; {name!r} names "
            f"{'several' if fits else 'none'} of them"
        )
    return fits[0]
