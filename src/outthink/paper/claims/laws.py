"""Claims that coverage or accuracy follows a law in the budget."""

from __future__ import annotations

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.intervals import Interval, resampled_means
from outthink.paper import scaling
from outthink.paper.claims.base import (
    LEAST,
    NEGLIGIBLE,
    Claim,
    Figure,
    Judgement,
    Verdict,
    above,
    below,
    judged,
    number,
    percent,
    untestable,
)
from outthink.paper.findings import Findings
from outthink.paper.scaling import Law
from outthink.paper.simulate import ScaledBeta

# C31: coverage ------------------------------------------------------------------------------------

EXTRAPOLATED = 4
"""The law is fitted up to the largest number of samples divided by this."""
OFF = 0.02
"""The error allowed at the largest number of samples."""
TRUTH = ScaledBeta(0.4, 3.0, 0.9)
"""A known distribution on which the fit of the tail is checked."""


def _c31(findings: Findings) -> Judgement:
    budgets, covered = findings.coverage
    fitted = [row for row, n in enumerate(budgets) if n * EXTRAPOLATED <= budgets[-1]]
    if covered.shape[1] < LEAST or len(fitted) < 3:
        return untestable("too few problems or samples to fit a law")
    error = _extrapolation(budgets, covered, fitted)
    if error is None:
        return untestable("coverage is 0 or 1 where the law should be fitted")
    counts = np.array([int(pool.right.sum()) for pool in findings.evidence.main.pools])
    figures = [
        Figure(
            f"predicted minus measured coverage at k = {budgets[-1]}",
            error.mean,
            error.low,
            error.high,
            error.problems,
        ),
        *_tail_figures(counts, findings.evidence.main.plan.pool, "S"),
    ]
    drawn = np.random.default_rng(0)
    known = drawn.binomial(64, TRUTH.draw(1000, drawn))
    figures += _tail_figures(known, 64, f"a simulation with exponent {TRUTH.exponent:g}")
    verdict = Verdict.UNDECIDED
    if above(error, -OFF) and below(error, OFF):
        verdict = Verdict.CONFIRMED
    elif above(error, OFF) or below(error, -OFF):
        verdict = Verdict.REFUTED
    return judged(
        verdict,
        figures,
        f"exp(a k^b), fitted up to k = {budgets[fitted[-1]]}, is off by {100 * error.mean:+.1f} "
        f"points [{100 * error.low:.1f}, {100 * error.high:.1f}] at k = {budgets[-1]}.",
    )


def _extrapolation(budgets: tuple[int, ...], covered: Floats, fitted: list[int]) -> Interval | None:
    """Predicted minus measured coverage at the last budget, refitted to every resample."""
    drawn = np.vstack([covered.mean(axis=1), resampled_means(covered, 1000, 0)])
    inside = np.all((drawn[:, fitted] > 1e-9) & (drawn[:, fitted] < 1 - 1e-9), axis=1)
    if not inside[0]:
        return None
    logs = np.log(np.array(budgets, np.float64))
    design = np.stack([np.ones(len(fitted)), logs[fitted]], axis=1)
    lines = np.log(-np.log(drawn[inside][:, fitted])) @ np.linalg.pinv(design).T
    predicted = np.exp(-np.exp(lines @ np.array([1.0, logs[-1]])))
    errors = predicted - drawn[inside][:, -1]
    low, high = np.quantile(errors[1:], [0.025, 0.975])
    return Interval(float(errors[0]), float(low), float(high), covered.shape[1])


def _tail_figures(counts: Integers, samples: int, whose: str) -> list[Figure]:
    try:
        tail = scaling.fit_tail(counts, samples, resamples=40)
    except UsageError:
        return []  # too few different counts to fit a distribution
    exponent = tail.exponent
    return [
        Figure(
            f"tail exponent of {whose}",
            exponent.value,
            exponent.low,
            exponent.high,
            tail.problems,
        )
    ]


# C32: accuracy ------------------------------------------------------------------------------------

SELDOM = 0.05
"""A law is ruled out only if it is nearest in no larger share of resamples."""
POWERS = (Law.POWER, Law.ERROR_POWER)


def _c32(findings: Findings) -> Judgement:
    budgets, accuracy = findings.read_curve
    held_out = 2
    if accuracy.shape[1] < scaling.LEAST_PROBLEMS or len(budgets) < 6:
        return untestable(
            f"{len(budgets)} budgets are too few to fit laws with {held_out} of them held out"
        )
    fits = scaling.fit_laws(budgets, accuracy, held_out=held_out)
    chance = sum(fit.best for fit in fits if fit.law in POWERS)
    verdict = Verdict.UNDECIDED
    # The best comes first.
    power = next(fit for fit in fits if fit.law in POWERS)
    if power.held_out.high < NEGLIGIBLE:
        verdict = Verdict.CONFIRMED
    elif power.held_out.low > NEGLIGIBLE and chance <= SELDOM:
        verdict = Verdict.REFUTED
    figures = [
        Figure(
            f"{fit.law}: error on the budgets held out",
            fit.held_out.value,
            fit.held_out.low,
            fit.held_out.high,
            accuracy.shape[1],
        )
        for fit in fits
    ]
    figures.append(number("resamples in which a power law is nearest", chance))
    return judged(
        verdict,
        figures,
        f"The better power law ({power.law}) is off by {100 * power.held_out.value:.1f} points "
        f"at the budgets held out; the {fits[0].law} law is nearest, a power law in "
        f"{percent(chance)} of resamples.",
    )


CLAIMS = (
    Claim(
        "C31",
        "Coverage follows a power law in the number of samples.",
        ("000",),
        "An exponentiated one (Brown et al. 2024), if the tail of hard questions is heavy.",
        f"exp(a k^b), fitted to mean coverage up to a {EXTRAPOLATED}th of the samples and "
        "refitted to every resample, predicts coverage at all samples. Confirmed: the whole "
        f"interval of its error is within {percent(OFF)}. Refuted: the whole interval is beyond.",
        _c31,
    ),
    Claim(
        "C32",
        "The returns of test-time compute follow a power law, as those of training do.",
        ("000",),
        "The paper fits no law.",
        "Five laws are fitted to the accuracy of the policy over all pooled strategies, at powers "
        "of two, with the two largest budgets held out. Confirmed: the better power law, of "
        "accuracy or of error, is off by less than a point there. Refuted: it is off by more, and "
        f"a power law is nearest of all in {percent(SELDOM)} of resamples at most. Being nearest "
        "is not enough to confirm, since the saturating law contains a power law as a special "
        "case.",
        _c32,
    ),
)
