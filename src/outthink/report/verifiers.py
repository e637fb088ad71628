"""Verifiers on the same samples: how well they rank, choose, and can be trusted."""

from __future__ import annotations

from outthink.report.calibration import calibration_figure
from outthink.report.data import Report, VerifierCurves
from outthink.report.format import DASH, measured, percent, whole
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section
from outthink.report.style import Styles


def verifiers(report: Report, _: Styles) -> Section | None:
    """Nothing where no verifier scored the samples."""
    several = report.verifiers
    if not several:
        return None
    title = "Verifiers side by side" if len(several) > 1 else "How good is the verifier?"
    same = "All of them scored the same samples, so they differ by nothing but their scores. "
    said = (
        f"{same if len(several) > 1 else ''}AUC: the chance that a right sample scores above a "
        "wrong one, of the same problem, and of all problems together. Choosing an answer depends "
        "on the first. Calibration error: how far a score is from the share that is right, as it "
        "is, and after isotonic regression on the other half of the problems. Cost: verifier "
        "tokens computed a solution."
    )
    calibrated = [one.calibrated for one in several if one.calibrated is not None]
    figures = "".join(
        calibration_figure(one, f"calibrated-{index}") for index, one in enumerate(calibrated)
    )
    layout = "side-by-side" if len(calibrated) > 1 else "single"
    body = tag("p", escape(said)) + _scores(several)
    if len(several) > 1:
        body += _choosing(several)
    return Section("verifiers", "Verifiers", title, body + tag("div", figures, class_=layout))


def _scores(several: tuple[VerifierCurves, ...]) -> str:
    heads = [
        *("verifier", "AUC within problems", "problems", "AUC over all"),
        *("calibration error", "held out, isotonic", "tokens a solution"),
    ]
    rows = [
        [
            one.verifier,
            _digits(one.auc),
            whole(one.auc_problems),
            _digits(one.auc_all),
            DASH if one.error is None else percent(one.error),
            DASH if one.error_after is None else percent(one.error_after),
            DASH if one.tokens is None else whole(one.tokens),
        ]
        for one in several
    ]
    return table(heads, rows, caption="how good scores are, on the samples of the pool")


def _choosing(several: tuple[VerifierCurves, ...]) -> str:
    budgets = [point.budget for point in several[0].weighted]
    rows = [
        [one.verifier, how, *map(measured, points)]
        for one in several
        for how, points in (("weighted", one.weighted), ("plain", one.plain))
    ]
    heads = ["verifier", "best-of-N", *(f"N = {budget:g}" for budget in budgets)]
    return table(heads, rows, caption="accuracy, 95 % interval")


def _digits(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
