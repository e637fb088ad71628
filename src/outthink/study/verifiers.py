"""Several verifiers side by side: how well each of them chooses among the same samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from outthink.errors import UsageError
from outthink.measure.calibrate import held_out
from outthink.measure.intervals import Interval, intervals
from outthink.measure.quality import Reliability, auc, auc_within, calibration_error, reliability
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
    auc_problems: int = 0
    """Problems that have right and wrong samples."""
    auc_all: float | None = None
    """The same chance over the samples of all problems together."""
    error: float | None = None
    """Expected calibration error of the scores as they are."""
    error_after: float | None = None
    """That of the probabilities which isotonic regression makes of them, each fitted on the other
    half of the problems; `None` where there are too few problems."""
    curve_after: tuple[Reliability, ...] = ()
    """The reliability diagram of those."""
    tokens: float | None = None
    """Verifier tokens computed a solution; `None` of imported samples."""


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
    """Every verifier that scored the whole pool, on the problems of a study."""
    names = scored_by(store, study.asked) if study.problems else ()
    return tuple(_quality(study_by(store, study, name)) for name in names)


def study_by(store: Store, study: Study, name: str) -> Study:
    """The study as one verifier has it that scored the whole pool."""
    asked = study.asked
    if name == asked.verifier and study.plan == asked.plan:
        return study  # with what it has read already
    view = store.view({**asked.team, VERIFIER: name}, asked.grader)
    own = replace(asked, team={**asked.team, VERIFIER: name})
    return replace(study, plan=asked.plan, view=view, asked=own, _read={}, _known={})


def _quality(own: Study) -> VerifierQuality:
    budgets = own.plan.budgets
    scores = [pool.scores.astype(np.float64) for pool in own.pools]
    right = [pool.right for pool in own.pools]
    all_right, all_scores = np.concatenate(right), np.concatenate(scores)
    within = auc_within(scores, right)
    after = held_out(scores, right)
    calibrated = None if after is None else np.concatenate(after)
    return VerifierQuality(
        own.asked.verifier or "",
        None if within is None else within[0],
        budgets,
        tuple(intervals(own.curve(WEIGHTED, budgets))),
        tuple(intervals(own.curve(PLAIN, budgets))),
        0 if within is None else within[1],
        auc(all_scores, all_right),
        calibration_error(all_scores, all_right),
        None if calibrated is None else calibration_error(calibrated, all_right),
        () if calibrated is None else reliability(calibrated, all_right),
        _tokens_each(own),
    )


def _tokens_each(own: Study) -> float | None:
    if own.asked.imported:
        return None
    plan = own.plan
    spent = own.live_usages(plan.pool_job, plan.pool)
    return sum(usage.verifier_tokens for usage in spent) / (plan.pool * len(spent))


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
