"""Fit a policy on a study, and measure it against the strategy it has to beat.

Everything here is computed from the study: no model runs, and nothing is drawn or graded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.errors import UsageError
from outthink.measure import difficulty
from outthink.measure.arrays import Floats
from outthink.measure.difficulty import Binning, Difficulty
from outthink.measure.equivalence import equivalence
from outthink.measure.intervals import interval, paired
from outthink.policy import table
from outthink.policy.results import FitResult, VersusBaseline
from outthink.policy.table import Fit, Policy, Provenance
from outthink.study.plan import UNSCORED
from outthink.study.read import Study
from outthink.version import VERSION

BASELINE = "best_of_n"
"""What policies are compared with: best-of-N weighted, the paper's baseline."""


def lacks(study: Study) -> str | None:
    """Why no policy can be fitted on a study, and what would help; `None` where one can."""
    problems = len(study.problems)
    if problems < 2:
        return (
            "a policy is chosen on half of the problems and measured on the others, and "
            f"{problems or 'no'} problem{' is' if problems == 1 else 's are'} there with a "
            "reference and every search; give at least 2, better 100"
        )
    if not {BASELINE, UNSCORED} & {*study.strategies}:
        return (
            f"policies are compared with {BASELINE}, or {UNSCORED} where there is no verifier, "
            f"and this study ran neither; sweep with one of them among the strategies"
        )
    if study.asked.imported:
        return (
            "imported samples hold none that difficulty is predicted from; fit the sequential "
            "policy, --kind sequential, from 20 problems on"
        )
    if not study.plan.predicted_samples:
        return "this study predicts no difficulty; sweep with --difficulty-samples"
    return None


def fit_study(study: Study, *, seed: int) -> FitResult:
    """Fit the best strategy for each difficulty bin and budget, and compare it with the baseline.

    Problems are put into as many bins of predicted difficulty as they fill; where the plan drew
    samples for it, a second fit uses oracle difficulty, an upper bound. `seed` fixes the
    cross-validation splits and the bootstrap. Raises `UsageError` where no policy can be fitted,
    and says what would help.
    """
    if why := lacks(study):
        raise UsageError(why)
    base = BASELINE if BASELINE in study.strategies else UNSCORED
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
        policy=_policy(study, predicted, binning),
        problems=len(study.asked.problem_ids),
        versus_baseline=tuple(
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
        else difficulty.agreement(study.oracle.values, study.predicted.values, binning.count),
        notes=_notes(study, predicted, binning),
    )


def _fit(study: Study, estimate: Difficulty, seed: int) -> tuple[Fit, Binning]:
    count = difficulty.bins_for(len(study.problems))
    numbers, binning = difficulty.bins(estimate.values, count)
    return table.fit(study.grid, numbers, seed=seed), binning


def _notes(study: Study, fit: Fit, binning: Binning) -> tuple[str, ...]:
    """Warnings about few problems; none where the problems fill every bin."""
    problems, count = len(study.problems), binning.count
    if count == difficulty.BINS:
        return ()
    widths = [cell.accuracy.high - cell.accuracy.low for cell in fit.cells]
    said = (
        f"{problems} problems fill {count} difficulty bin{'s' if count > 1 else ''} of at "
        f"least {difficulty.LEAST_PER_BIN}, not {difficulty.BINS}: the 95 % intervals of the "
        f"policy's cells are {100 * min(widths):.0f} to {100 * max(widths):.0f} points wide."
    )
    if problems >= difficulty.LEAST_PER_BIN:
        return (said,)
    return (said, f"Intervals resampled from {problems} problems are narrower than the truth.")


def _policy(study: Study, fit: Fit, binning: Binning) -> Policy:
    asked = study.asked
    return Policy(
        binning,
        study.predicted.method,
        study.predicted.samples,
        fit.cells,
        Provenance(
            proposer=asked.proposer,
            verifier=asked.verifier,
            reviser=asked.reviser,
            revision_verifier=asked.revision_verifier,
            data_hash=study.grid.digest,
            problems=len(study.problems),
            repeats=fit.repeats,
            seed=fit.seed,
            created_by=f"outthink {VERSION}",
            grader=asked.grader,
            spec=asked.spec,
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
) -> Sequence[VersusBaseline]:
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
        VersusBaseline(
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
