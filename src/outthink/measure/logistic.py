"""Logistic regression: probabilities from columns of numbers."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from outthink.measure.arrays import Floats

_STEPS = 40
"""Newton steps at most; ten are usual."""
_MANY = 10_000
"""Rows from which on the first steps are made on some of them."""


def logistic(columns: Floats, right: Floats, *, ridge: float) -> Floats:
    """Weights [F] of a logistic regression with a ridge penalty, by Newton's method."""
    weights = np.zeros(columns.shape[1])
    if len(right) > _MANY:
        some = slice(None, None, len(right) // _MANY + 1)
        share = len(right[some]) / len(right)
        weights = _newton(weights, columns[some], right[some], ridge * share)
    return _newton(weights, columns, right, ridge)


def _newton(weights: Floats, columns: Floats, right: Floats, ridge: float) -> Floats:
    """From weights near the best ones, or 0."""
    penalty = ridge * np.eye(weights.size)
    for _ in range(_STEPS):
        chance = expit(columns @ weights)
        slope = columns.T @ (right - chance) - ridge * weights
        curvature = (columns * (chance * (1 - chance))[:, None]).T @ columns + penalty
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return weights
