"""Fit a policy on a study, and measure it against the strategy it has to beat.

Everything here is computed from the study: no model runs, and nothing is drawn or graded again
but what the study itself reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from outthink.errors import UsageError
from outthink.grade import EXACT
from outthink.measure import difficulty
from outthink.measure.arrays import Floats
from outthink.measure.difficulty import Binning, Difficulty
from outthink.measure.equivalence import equivalence
from outthink.measure.intervals import interval, paired
from outthink.policy import table
from outthink.policy.results import FitResult, Worth
from outthink.policy.table import Fit, Policy, Provenance
from outthink.study.plan import UNSCORED, Study
from outthink.study.sweep import GRADER
from outthink.version import VERSION

BASELINE = "best_of_n"
"""What policies are compared with: best-of-N weighted, the paper's baseline."""


def fit_study(
    study: Study, *, seed: int, problems: int | None = None, spec: Mapping[str, str] | None = None
) -> FitResult:
    """Fit the best strategy for each difficulty bin and budget, and compare it with the baseline.

    Bins come from predicted difficulty; where the plan drew samples for it, a second fit uses
    oracle difficulty, an upper bound. `seed` fixes the cross-validation splits and the bootstrap.
    `problems` counts the problems of the sweep that have no reference too (default: those of the
    study), `spec` holds what was typed for the models and is kept in the policy. Raises
    `UsageError` for too few problems, or a plan without the baseline or without samples to predict
    difficulty from.
    """
    base = _require_comparable(study)
    predicted, binning = _fit(study, study.predicted, seed)
    oracle = _fit(study, study.oracle, seed)[0] if study.plan.oracle_samples else None
    baseline = study.curve(base, study.plan.pool_budgets)
    readings: list[tuple[Fit, Difficulty, bool]] = [
        (predicted, study.predicted, False),
        (predicted, study.predicted, True),
    ]
    if oracle is not None:
        readings.append((oracle, study.oracle, False))
    return FitResult(
        policy=_policy(study, predicted, binning, spec or {}),
        problems=len(study.problems) if problems is None else problems,
        worth=tuple(
            row
            for fit, estimate, charged in readings
            for row in _compare(study, fit, estimate, base, baseline, charged=charged, seed=seed)
        ),
        base=base,
        baseline=baseline,
        predicted=predicted,
        oracle=oracle,
        agreement=None
        if oracle is None
        else difficulty.agreement(study.oracle.values, study.predicted.values),
    )


def _require_comparable(study: Study) -> str:
    """The baseline: weighted best-of-N, or majority vote for a study without a verifier."""
    difficulty.require_enough(len(study.problems))
    base = BASELINE if BASELINE in study.plan.strategies else UNSCORED
    if base not in study.plan.strategies:
        raise UsageError(
            f"policies are compared with {BASELINE}, or {UNSCORED} where there is no verifier, "
            f"and this study ran neither; sweep with one of them among the strategies"
        )
    if not study.plan.predicted_samples:
        raise UsageError("this study predicts no difficulty; sweep with --difficulty-samples")
    return base


def _fit(study: Study, estimate: Difficulty, seed: int) -> tuple[Fit, Binning]:
    numbers, binning = difficulty.bins(estimate.values)
    return table.fit(study.grid, numbers, seed=seed), binning


def _policy(study: Study, fit: Fit, binning: Binning, spec: Mapping[str, str]) -> Policy:
    identity = study.store.identity
    checker = identity.settings.get("revision_verifier", "none")
    return Policy(
        binning,
        study.predicted.method,
        study.predicted.samples,
        fit.cells,
        Provenance(
            proposer=identity.proposer,
            verifier=identity.verifier,
            reviser=identity.settings.get("reviser"),
            revision_verifier=None if checker == "none" else checker,
            data_hash=study.grid.digest,
            problems=len(study.problems),
            repeats=fit.repeats,
            seed=fit.seed,
            created_by=f"outthink {VERSION}",
            grader=identity.settings.get(GRADER, EXACT),
            words=spec,
        ),
    )


def _compare(
    study: Study,
    fit: Fit,
    estimate: Difficulty,
    base: str,
    baseline: Floats,
    *,
    charged: bool,
    seed: int,
) -> Sequence[Worth]:
    """At each budget: the policy against a baseline that spends as much, and the budget at which
    the baseline would be as accurate (method F14)."""
    plan = study.plan
    factors = equivalence(
        baseline,
        plan.pool_budgets,
        fit.held_out,
        plan.budgets,
        extra_cost=estimate.samples if charged else 0,
        seed=seed,
    )
    costs = [min(round(factor.cost), plan.pool) for factor in factors]
    columns = zip(plan.budgets, fit.held_out, study.curve(base, costs), costs, factors, strict=True)
    return [
        Worth(
            bins=estimate.method,
            charged=charged,
            budget=budget,
            accuracy=interval(ours),
            best_of_n=float(np.mean(theirs)),
            best_of_n_budget=cost,
            difference=paired(ours, theirs),
            equivalence=factor,
        )
        for budget, ours, theirs, cost, factor in columns
    ]
