"""Laws fitted to curves, judged by what they say about budgets they have not seen.

Coverage follows c = exp(a k^b) (F3); with A = -a and exponent -b that is the power law
-log c = A k^-b, one curve under two names. Where per-problem counts are at hand, the exponent is
better had from the distribution of chances over problems: a scaled Beta, fitted by maximum
likelihood, has tail exponent alpha (F4) and says what more samples would do. Accuracy against
budget has no law that theory asks for, so several are fitted to the smaller budgets and compared on
the larger ones. Last, where two curves cross.

Intervals resample problems. A law extrapolates: it holds where its form does, and an interval here
is wide for noise, not for a wrong form. Knows nothing of models, strategies or stores.

Coverage: Brown et al. 2024 (arXiv 2407.21787). Tails and the distributional estimator: Schaeffer et
al. 2025 (arXiv 2502.17578).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.intervals import LEVEL, RESAMPLES, resampled_means, tails_of
from outthink.paper.simulate import BetaGrid, ScaledBeta, log_binomial

LEAST_PROBLEMS = 20
"""Problems a fit over problems needs for its interval to mean something."""

REFITS = 200
"""Bootstrap resamples where each takes a search for a maximum."""

_SAME = 1e-12
"""Two mean accuracies nearer than this differ by rounding alone."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted number with its bootstrap interval over problems."""

    value: float
    low: float
    high: float


def _estimate(value: float, drawn: Floats, level: float) -> Estimate:
    low, high = np.quantile(drawn, tails_of(level))
    return Estimate(float(value), float(low), float(high))


# Coverage ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CoverageLaw:
    """c = exp(a k^b), or -log c = A k^-exponent (F3)."""

    a: float
    """Below 0: -log of coverage at k = 1."""
    b: Estimate
    error: float
    """Root mean square of fitted minus measured coverage, in shares."""
    log_error: float
    """The same of log(-log c), which was minimised."""
    problems: int
    unfitted: int
    """Resamples left out of the interval, for coverage was 0 or 1 somewhere."""

    @property
    def amplitude(self) -> float:
        """A of -log c = A k^-exponent."""
        return -self.a

    @property
    def exponent(self) -> float:
        """The power with which -log c falls: -b."""
        return -self.b.value

    def predict(self, ks: Sequence[float]) -> Floats:
        """[len(ks)] coverage."""
        return np.exp(self.a * np.power(np.array(ks, np.float64), self.b.value))


def fit_coverage(
    ks: Sequence[int],
    coverage: Floats,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> CoverageLaw:
    """The straight line of log(-log c) on log k, least squares; `coverage` is [K, P] at `ks`.

    Brown et al. fit c itself by `curve_fit`; here every k counts alike on the scale on which the
    law is a line, so that coverage near 1 is not waved through, and the fit has no starting point.
    Give ks evenly spaced in log k. Raises `UsageError` for fewer than 3 of them, mean coverage of
    0 or 1 at one, fewer than `LEAST_PROBLEMS` problems, or coverage outside [0, 1].
    """
    coverage = _curve("coverage", ks, coverage)
    if len(ks) < 3:
        raise UsageError(
            f"coverage at {len(ks)} values of k; a law of two numbers needs at least 3"
        )
    means = coverage.mean(axis=1)
    for k, mean in zip(ks, means.tolist(), strict=True):
        if not 0 < mean < 1:
            raise UsageError(
                f"coverage is {mean:g} at k = {k}, which this law never is; "
                "leave out the values of k where all or none are solved"
            )
    design = np.stack([np.ones(len(ks)), np.log(np.array(ks, np.float64))])
    solve = np.linalg.pinv(design)
    drawn = resampled_means(coverage, resamples, seed)
    # Rounding puts the mean of ones a little above 1 or below.
    fits = ((drawn > _SAME) & (drawn < 1 - _SAME)).all(axis=1)
    if not fits.any():
        raise UsageError("coverage is 0 or 1 in every resample; give more problems")
    measured = np.log(-np.log(means))
    line = measured @ solve
    spread = np.log(-np.log(drawn[fits])) @ solve
    fitted = line @ design
    return CoverageLaw(
        a=-math.exp(line[0]),
        b=_estimate(line[1], spread[:, 1], level),
        error=_root_mean_square(np.exp(-np.exp(fitted)) - means),
        log_error=_root_mean_square(fitted - measured),
        problems=coverage.shape[1],
        unfitted=int(np.count_nonzero(~fits)),
    )


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values * values)))


def _curve(what: str, budgets: Sequence[int], accuracy: Floats) -> Floats:
    """The curve [B, P] as floats, once it is known to be one."""
    accuracy = np.asarray(accuracy, np.float64)
    if accuracy.ndim != 2 or len(accuracy) != len(budgets) or not accuracy.size:
        raise UsageError(
            f"{what} of shape {list(accuracy.shape)} at {len(budgets)} budgets; "
            "give [budgets, problems]"
        )
    if budgets[0] < 1 or any(b <= a for a, b in pairwise(budgets)):
        raise UsageError(f"{what} at budgets {list(budgets)}; give rising ones of at least 1")
    if not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise UsageError(f"{what} is missing or outside [0, 1] somewhere; give shares")
    if accuracy.shape[1] < LEAST_PROBLEMS:
        raise UsageError(f"{what} of {accuracy.shape[1]} problems; give at least {LEAST_PROBLEMS}")
    return accuracy


# Distribution of chances -------------------------------------------------------------------------

_BOUNDS = {"alpha": (0.01, 200.0), "beta": (0.01, 200.0), "scale": (1e-4, 1.0)}
"""Where the maximum is looked for."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predicted coverage with k samples a problem."""

    k: int
    coverage: Estimate


@dataclass(frozen=True, slots=True)
class Tail:
    """The distribution of chances over problems, and what follows from it."""

    distribution: ScaledBeta
    exponent: Estimate
    """b of -log pass_D@k ~ A k^-b: alpha (F4)."""
    forecasts: tuple[Forecast, ...]
    log_likelihood: float
    """Nats a problem."""
    problems: int
    samples: int
    at_bound: tuple[str, ...]
    """Parameters that ended at a bound of what was searched (a scale of 1 is none): the data do not
    pin them down."""


def fit_tail(
    counts: Integers,
    samples: int,
    ks: Sequence[int] = (),
    *,
    level: float = LEVEL,
    resamples: int = REFITS,
    seed: int = 0,
) -> Tail:
    """A scaled Beta of chances from `counts` [P], right ones among `samples` of each problem.

    Maximum likelihood of the scaled Beta-binomial, the distributional estimator of Schaeffer et
    al., which knows that 0 of 64 need not be a chance of 0. Coverage is forecast at `ks`, beyond
    the samples too. Each resample of problems is fitted anew: with 64 samples of a few hundred
    problems all of them take a second or two, with 2,048 samples some 15.

    Raises `UsageError` for counts outside [0, samples], fewer than `LEAST_PROBLEMS` problems, or
    fewer than 3 different counts, from which three numbers cannot be had.
    """
    counts = np.asarray(counts)
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer):
        raise UsageError(
            f"counts are {counts.dtype}{list(counts.shape)}; give one whole number a problem"
        )
    if counts.size < LEAST_PROBLEMS:
        raise UsageError(f"counts of {counts.size} problems; give at least {LEAST_PROBLEMS}")
    if counts.min() < 0 or counts.max() > samples:
        raise UsageError(
            f"counts from {counts.min()} to {counts.max()} among {samples} samples; "
            f"give 0 to {samples}"
        )
    hits, problems = np.unique(counts, return_counts=True)
    if hits.size < 3:
        raise UsageError(
            f"only {hits.size} different counts among {samples} samples; "
            "a distribution needs at least 3, give more samples or problems"
        )
    likelihood = _Likelihood(hits.astype(np.int64), samples)
    logs, log_likelihood = max(
        (likelihood.maximise(problems, start) for start in _starts(hits, problems, samples)),
        key=lambda fitted: fitted[1],
    )
    distribution = likelihood.distribution(logs)
    rng = np.random.default_rng(seed)
    # A resample of problems is one of their counts.
    drawn = rng.multinomial(counts.size, problems / counts.size, size=_some(resamples))
    refits = [likelihood.distribution(likelihood.maximise(row, logs)[0]) for row in drawn]
    forecasts: tuple[Forecast, ...] = ()
    if ks:
        spread = np.array([refit.coverage(ks) for refit in refits])
        forecasts = tuple(
            Forecast(k, _estimate(value, spread[:, column], level))
            for column, (k, value) in enumerate(zip(ks, distribution.coverage(ks), strict=True))
        )
    return Tail(
        distribution=distribution,
        exponent=_estimate(
            distribution.exponent, np.array([refit.exponent for refit in refits]), level
        ),
        forecasts=forecasts,
        log_likelihood=log_likelihood / counts.size,
        problems=counts.size,
        samples=samples,
        at_bound=tuple(
            name
            for (name, (low, high)), log in zip(_BOUNDS.items(), logs, strict=True)
            if log < math.log(low) + 1e-6 or (name != "scale" and log > math.log(high) - 1e-6)
        ),
    )


def _some(resamples: int) -> int:
    if resamples < 1:
        raise UsageError(f"{resamples} bootstrap resamples; give at least 1, better {REFITS}")
    return resamples


def _starts(hits: Integers, problems: Integers, samples: int) -> list[Floats]:
    """Logs of (alpha, beta, scale): by moments, for a scale of 1 and for the largest rate seen."""
    starts = []
    for scale in (1.0, 1.05 * float(hits[-1]) / samples):
        scale = min(scale, 1.0)
        u = hits / samples / scale
        mean = float(np.average(u, weights=problems))
        spread = float(np.average((u - mean) ** 2, weights=problems))
        total = max(mean * (1 - mean) / spread - 1, 0.2)
        starts.append(_inside(np.log([total * mean, total * (1 - mean), scale])))
    return starts


def _inside(logs: Floats) -> Floats:
    low, high = np.log(np.array(list(_BOUNDS.values()))).T
    return np.clip(logs, low, high)


class _Likelihood:
    """The chance of each number of hits under a scaled Beta, with its derivatives."""

    __slots__ = ("grid", "hits", "samples")

    def __init__(self, hits: Integers, samples: int) -> None:
        self.hits = hits
        self.samples = samples
        # One grid for every shape that the search may try.
        self.grid = BetaGrid.over(samples, _BOUNDS["alpha"][1], _BOUNDS["beta"][1], binomial=True)

    @staticmethod
    def distribution(logs: Floats) -> ScaledBeta:
        alpha, beta, scale = np.exp(logs).tolist()
        return ScaledBeta(alpha, beta, min(scale, 1.0))

    def maximise(self, problems: Integers, start: Floats) -> tuple[Floats, float]:
        """Logs of (alpha, beta, scale) and the log likelihood there.

        `problems` [len(hits)] says how many problems have each number of hits.
        """
        bounds = np.log(np.array(list(_BOUNDS.values())))
        seen = problems > 0
        optimum = minimize(
            self._negative, start, (problems, seen), jac=True, method="L-BFGS-B", bounds=bounds
        )
        return _inside(optimum.x), -float(optimum.fun) * float(problems.sum())

    def _negative(
        self, logs: Floats, problems: Integers, seen: NDArray[np.bool_]
    ) -> tuple[float, Floats]:
        """Minus the mean log likelihood, and its derivatives by the logs of the parameters."""
        fitted = self.distribution(logs)
        alpha, beta, scale = fitted.alpha, fitted.beta, fitted.scale
        hits = self.hits[seen]
        success, failure = self.grid.chances(scale)
        log = log_binomial(hits, self.samples, success, failure)
        log += self.grid.log_weights(alpha, beta)
        # Where, given its hits, a problem's chance lies; the slopes are means over that.
        top = log.max(axis=1)
        log -= top[:, None]
        where = np.exp(log, out=log)
        total = where.sum(axis=1)
        chance = top + np.log(total)
        by_alpha, by_beta = self.grid.log_weights_slopes(alpha, beta)
        means = where @ np.stack([by_alpha, by_beta, np.exp(success - failure)], axis=1)
        means /= total[:, None]
        slopes = (
            alpha * means[:, 0],
            beta * means[:, 1],
            hits - (self.samples - hits) * means[:, 2],
        )
        share = problems[seen] / problems.sum()
        return -float(share @ chance), -np.array([share @ slope for slope in slopes])


# Accuracy against budget -------------------------------------------------------------------------


class Law(StrEnum):
    """A form that accuracy may have in the budget N."""

    LOG_LINEAR = "log-linear"
    """c + d log2 N: every doubling adds as much."""
    POWER = "power"
    """d N^r."""
    ERROR_POWER = "error-power"
    """1 - d N^-r: what is left to get falls as a power law, as loss does in training."""
    SATURATING = "saturating"
    """c - d N^-r: an exponential in log N, towards c."""
    LOGISTIC = "logistic"
    """c / (1 + exp(-(log2 N - m) / w)): slow, fast, slow, towards c."""


@dataclass(frozen=True, slots=True)
class LawFit:
    """A law fitted to the smaller budgets, and how far off it is at the larger ones."""

    law: Law
    parameters: Mapping[str, float]
    """By the letters in `Law`."""
    error: float
    """Root mean square of fitted minus measured mean accuracy on the budgets fitted, in shares."""
    held_out: Estimate
    """The same on the budgets held out. Noise alone keeps it above 0."""
    best: float
    """Share of resamples in which no other law is nearer on the budgets held out."""

    def predict(self, budgets: Sequence[float]) -> Floats:
        """[len(budgets)] accuracy; nothing keeps it in [0, 1]."""
        form = _FORMS[self.law]
        bends = np.array([[self.parameters[name] for name in form.bends]])
        rest = np.array([[self.parameters[name] for name in form.rest]])
        predicted: Floats = form.value(_log2(budgets), bends, rest)[0]
        return predicted


def fit_laws(
    budgets: Sequence[int],
    accuracy: Floats,
    *,
    held_out: int = 2,
    laws: Sequence[Law] = tuple(Law),
    level: float = LEVEL,
    resamples: int = REFITS,
    seed: int = 0,
) -> tuple[LawFit, ...]:
    """Each law by least squares on all but the `held_out` largest budgets; nearest there first.

    `accuracy` [B, P] at `budgets`. In-sample error favours whoever has more parameters, held-out
    error does not (C32). Each resample of problems is fitted anew. A difference between two laws
    that is smaller than their intervals is none; see `LawFit.best`. Raises `UsageError` where no
    budget is held out, a law has as many numbers as budgets to fit, or there are fewer than
    `LEAST_PROBLEMS` problems.
    """
    accuracy = _curve("accuracy", budgets, accuracy)
    fitted = len(budgets) - held_out
    if held_out < 1 or not laws:
        raise UsageError(f"{held_out} budgets held out for {len(laws)} laws; give at least 1 each")
    for law in laws:
        numbers = len(_FORMS[law].bends) + len(_FORMS[law].rest)
        if fitted <= numbers:
            raise UsageError(
                f"{law} has {numbers} numbers to fit to {max(fitted, 0)} budgets; give at least "
                f"{numbers + 1} besides the {held_out} held out, or leave it out"
            )
    x = _log2(budgets)
    means = np.vstack([accuracy.mean(axis=1), resampled_means(accuracy, resamples, seed)])
    errors, fits = [], []
    for law in laws:
        form = _FORMS[law]
        bends, rest = form.fit(x[:fitted], means[:, :fitted])
        off = form.value(x, bends, rest) - means
        errors.append(np.sqrt(np.mean(off[:, fitted:] ** 2, axis=1)))
        names = dict(zip((*form.bends, *form.rest), (*bends[0], *rest[0]), strict=True))
        fits.append(({name: float(value) for name, value in names.items()}, off[0, :fitted]))
    nearest = np.argmin([error[1:] for error in errors], axis=0)
    results = [
        LawFit(
            law=law,
            parameters=parameters,
            error=_root_mean_square(off),
            held_out=_estimate(error[0], error[1:], level),
            best=float(np.mean(nearest == number)),
        )
        for number, (law, error, (parameters, off)) in enumerate(
            zip(laws, errors, fits, strict=True)
        )
    ]
    return tuple(sorted(results, key=lambda result: result.held_out.value))


def _log2(budgets: Sequence[float]) -> Floats:
    x: Floats = np.log2(np.array(budgets, np.float64))
    return x


_HALVINGS = 14
"""Rounds in which the grid of a bend is made twice as fine around the best so far."""


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """A law that is linear in `rest` once its `bends` are fixed: offset + basis @ rest.

    So least squares has a closed form but for the bends, which are searched on a grid made ever
    finer: no starting point, no local minimum wider than a grid cell, and all resamples at once.
    """

    rest: tuple[str, ...]
    basis: Callable[[Floats, Floats], Floats]
    """Of x = log2 N [B] and bends [G, len(bends)]: [G, B, len(rest)]."""
    bends: tuple[str, ...] = ()
    grids: tuple[Floats, ...] = ()
    """Evenly spaced values to begin with, of each bend; the search stays within their ends."""
    offset: float = 0.0

    def value(self, x: Floats, bends: Floats, rest: Floats) -> Floats:
        """[R, B] accuracy for bends [R, ...] and rest [R, ...]."""
        value: Floats = self.offset + np.einsum("rbl,rl->rb", self.basis(x, bends), rest)
        return value

    def fit(self, x: Floats, means: Floats) -> tuple[Floats, Floats]:
        """Bends [R, ...] and rest [R, ...] of least squares, for each of means [R, B]."""
        y = means - self.offset
        count = len(self.bends)
        best = np.zeros((len(y), count))
        if count:
            tried = np.stack(np.meshgrid(*self.grids, indexing="ij"), axis=-1).reshape(-1, count)
            bases = np.linalg.qr(self.basis(x, tried)).Q
            caught = (np.einsum("rb,gbl->rgl", y, bases) ** 2).sum(axis=2)
            best = tried[caught.argmax(axis=1)]
            low, high, step = np.array([(g[0], g[-1], g[1] - g[0]) for g in self.grids]).T
            around = np.stack(np.meshgrid(*[np.arange(-4, 5)] * count, indexing="ij"), axis=-1)
            for _ in range(_HALVINGS):
                step = step / 2
                near = best[:, None] + step * around.reshape(-1, count)
                near = np.clip(near, low, high)
                bases = np.linalg.qr(self.basis(x, near.reshape(-1, count))).Q
                bases = bases.reshape(*near.shape[:2], *bases.shape[1:])
                caught = (np.einsum("rb,rgbl->rgl", y, bases) ** 2).sum(axis=2)
                best = near[np.arange(len(y)), caught.argmax(axis=1)]
        solve = np.linalg.pinv(self.basis(x, best))
        return best, np.einsum("rlb,rb->rl", solve, y)


def _log_linear(x: Floats, bends: Floats) -> Floats:
    line = np.stack([np.ones_like(x), x], axis=1)
    return np.broadcast_to(line, (len(bends), *line.shape))


def _power(x: Floats, bends: Floats) -> Floats:
    rising: Floats = np.exp2(bends * x)[:, :, None]
    return rising


def _error_power(x: Floats, bends: Floats) -> Floats:
    return -_power(x, -bends)


def _saturating(x: Floats, bends: Floats) -> Floats:
    falling = _power(x, -bends)
    return np.concatenate([np.ones_like(falling), -falling], axis=2)


def _logistic(x: Floats, bends: Floats) -> Floats:
    rising: Floats = expit((x - bends[:, :1]) / bends[:, 1:])[:, :, None]
    return rising


_SLOPES = np.linspace(-1.5, 1.5, 121)
_FORMS = {
    Law.LOG_LINEAR: _Form(("c", "d"), _log_linear),
    Law.POWER: _Form(("d",), _power, ("r",), (_SLOPES,)),
    Law.ERROR_POWER: _Form(("d",), _error_power, ("r",), (_SLOPES,), offset=1.0),
    Law.SATURATING: _Form(("c", "d"), _saturating, ("r",), (np.linspace(0.02, 4.0, 200),)),
    Law.LOGISTIC: _Form(
        ("c",), _logistic, ("m", "w"), (np.linspace(-10, 20, 61), np.linspace(0.2, 20, 100))
    ),
}


# Crossings ---------------------------------------------------------------------------------------


class Lead(StrEnum):
    """Where one curve is at least as high as another, up to the largest budget measured."""

    ALWAYS = "always"
    """At every budget measured."""
    FROM = "from"
    """From a budget on."""
    NEVER = "never"
    """Not at the largest budget measured; what more would do was not measured."""


@dataclass(frozen=True, slots=True)
class Overtaking:
    """From which budget on one curve leads."""

    lead: Lead
    budget: float | None
    """Generations; `None` unless the lead is `FROM`."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the first of two curves overtakes the second for good, with the interval of that."""

    estimate: Overtaking
    low: Overtaking
    """The end of the interval at which the first leads soonest."""
    high: Overtaking
    """The end at which it leads latest."""
    changes: int
    """How often the lead changes along the mean curves: more than once is noise, or no story."""
    problems: int


def crossing(
    budgets: Sequence[int],
    first: Floats,
    second: Floats,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Crossing:
    """The least budget from which `first` [B, P] is nowhere below `second` [B, P].

    Differences of mean accuracy are linear in log2 of the budget between measured ones; nothing is
    extrapolated. Problems are resampled with both curves. Swap the two to ask for the other lead;
    equal curves lead each other always. Raises `UsageError` where the two are not of the same
    problems and budgets, or there are fewer than `LEAST_PROBLEMS` problems.
    """
    first, second = _curve("first curve", budgets, first), _curve("second curve", budgets, second)
    if first.shape != second.shape:
        raise UsageError(
            f"curves over {first.shape[1]} and {second.shape[1]} problems; give the same problems"
        )
    apart = first - second
    x = _log2(budgets)
    tails = tails_of(level)
    means = apart.mean(axis=1)
    spread = np.sort(_overtakes(resampled_means(apart, resamples, seed), x))
    below = means < -_SAME
    return Crossing(
        estimate=_overtaking(_overtakes(means[None], x)[0]),
        # Order statistics, rounded outwards: a mean of a number and "never" would be neither.
        low=_overtaking(spread[math.floor(tails[0] * (resamples - 1))]),
        high=_overtaking(spread[math.ceil(tails[1] * (resamples - 1))]),
        changes=int(np.count_nonzero(below[1:] != below[:-1])),
        problems=apart.shape[1],
    )


def _overtakes(apart: Floats, x: Floats) -> Floats:
    """[R]: log2 of the budget from which differences [R, B] are not below 0.

    -inf where they never are, +inf where the last one is.
    """
    below = apart < -_SAME
    last = apart.shape[1] - 1 - below[:, ::-1].argmax(axis=1)
    row = np.arange(len(apart))
    left = np.minimum(last, max(x.size - 2, 0))
    right = np.minimum(left + 1, x.size - 1)
    before, after = apart[row, left], apart[row, right]
    share = before / np.where(before < after, before - after, 1.0)
    budget = x[left] + np.clip(share, 0.0, 1.0) * (x[right] - x[left])
    budget = np.where(last == x.size - 1, np.inf, budget)
    return np.where(below.any(axis=1), budget, -np.inf)


def _overtaking(log2_n: float) -> Overtaking:
    if log2_n == -np.inf:
        return Overtaking(Lead.ALWAYS, None)
    if log2_n == np.inf:
        return Overtaking(Lead.NEVER, None)
    return Overtaking(Lead.FROM, float(2.0**log2_n))
