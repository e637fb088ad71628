"""Worlds whose truth is known: what estimators and claims are tested against.

A problem is the chance p that one sample is right, or the chances of each of its answers; a
verifier is two normal distributions; a revision model is two chances. Beside each simulator stands
the closed form of what it simulates. Arrays over problems are [P], curves [n, P], as in `estimate`.
Randomness comes in as `rng`.

Knows nothing of models, and is no model of one: samples are independent, a verifier's errors are
too, and a revision looks at the last answer alone.

Beta tails: Schaeffer et al. 2025 (arXiv 2502.17578), theorems 3.1 and 3.2 (F4). Majority: Wu et al.
2024 (arXiv 2408.00724; F7). Flipped scores: Snell et al. 2024 (arXiv 2408.03314), ICLR version,
appendix K. F15, F16 and the best-of-n integral are derived.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaln, digamma, expit, gammaln, log_expit, logsumexp, ndtr, ndtri

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.pools import NO_ANSWER, Pool

_REACH = 35.0
"""Logits integrated over beyond where anything happens: exp(-35) is below rounding."""


# Problems ----------------------------------------------------------------------------------------


def coverage(p: Floats, ns: Sequence[float]) -> Floats:
    """[len(ns), P]: the chance 1 - (1 - p)^n that one of n samples is right (F2).

    Raises `UsageError` for a chance outside [0, 1] or an n below 0.
    """
    p = _chances(p)
    covered: Floats = -np.expm1(_many(ns)[:, None] * _log_failure(p))
    return covered


def _log_failure(p: Floats) -> Floats:
    # A certain success has log 0: a number so low that 0 times it is 0, and once it is for good.
    return np.log1p(-p, where=p < 1, out=np.full(p.shape, -1e100))


@dataclass(frozen=True, slots=True)
class ScaledBeta:
    """Chances p = scale * u over problems, u from Beta(alpha, beta): what 3 parameters can say.

    Real chances fit no Beta on [0, 1], they do one on [0, scale] (Schaeffer et al. 2025).
    Raises `UsageError` unless alpha and beta are above 0 and the scale is in (0, 1].
    """

    alpha: float
    """The smaller, the heavier the tail of problems that are all but never solved."""
    beta: float
    scale: float = 1.0
    """The largest chance a problem can have."""

    def __post_init__(self) -> None:
        shapes = 0 < self.alpha < math.inf and 0 < self.beta < math.inf
        if not (shapes and 0 < self.scale <= 1):
            raise UsageError(
                f"scaled Beta({self.alpha:g}, {self.beta:g}) up to {self.scale:g}; "
                "give alpha and beta above 0, and a scale in (0, 1]"
            )

    def draw(self, problems: int, rng: np.random.Generator) -> Floats:
        """[problems] chances."""
        return self.scale * rng.beta(self.alpha, self.beta, problems)

    def coverage(self, ns: Sequence[float]) -> Floats:
        """[len(ns)]: pass_D@n = 1 - mean of (1 - p)^n over the distribution; any n >= 0."""
        return -np.expm1(self.log_failure(ns))

    def log_failure(self, ns: Sequence[float]) -> Floats:
        """[len(ns)]: log of the mean of (1 - p)^n; keeps its digits where coverage is all but 1."""
        n = _many(ns)
        grid = BetaGrid.over(max(1.0, float(n.max())), self.alpha, self.beta)
        _, failure = grid.chances(self.scale)
        means: Floats = logsumexp(
            n[:, None] * failure + grid.log_weights(self.alpha, self.beta), axis=1
        )
        return means

    def counts(self, samples: int) -> Floats:
        """[samples + 1]: the chance of each number of right ones among `samples` of a problem."""
        grid = BetaGrid.over(samples, self.alpha, self.beta, binomial=True)
        log = log_binomial(np.arange(samples + 1), samples, *grid.chances(self.scale))
        chances: Floats = np.exp(log + grid.log_weights(self.alpha, self.beta)).sum(axis=1)
        return chances

    @property
    def exponent(self) -> float:
        """b of the tail -log pass_D@n ~ A n^-b: alpha, whatever the other two (F4)."""
        return self.alpha

    @property
    def amplitude(self) -> float:
        """A of the tail: C Gamma(b), C the density's factor of p^(b-1) near 0 (F4)."""
        logs = gammaln(self.alpha + self.beta) - gammaln(self.beta)
        return float(np.exp(logs - self.alpha * math.log(self.scale)))


@dataclass(frozen=True, slots=True, eq=False)
class BetaGrid:
    """Nodes u = 1 / (1 + exp(-t)) on an even grid of t, for integrals against a Beta density.

    In t the integrand is smooth and falls off exponentially on both sides, where the trapezoid rule
    is exact to rounding once its step is below the narrowest peak's width. The two sides beyond the
    grid, where nothing but the fall-off is left, are summed as the geometric series they are.
    """

    t: Floats
    step: float

    @classmethod
    def over(cls, samples: float, alpha: float, beta: float, *, binomial: bool = False) -> BetaGrid:
        """Nodes fine enough for (1 - p)^samples times this Beta, or a `binomial` of as many."""
        # 1 / width^2 of the narrowest peak, in t; a step of 0.3 does for what has no peak.
        peak = samples / 4 + alpha * beta / (alpha + beta) if binomial else alpha
        step = min(0.3, 0.75 / math.sqrt(peak))
        low = -_REACH - math.log(max(samples, beta, 1.0))
        high = _REACH + math.log(max(samples, alpha, 1.0))
        t = np.linspace(low, high, math.ceil((high - low) / step) + 1)
        return cls(t, float(t[1] - t[0]))

    def log_weights(self, alpha: float, beta: float) -> Floats:
        """[T]: logs of the weights with which values at nodes add up to their mean under Beta."""
        log: Floats = alpha * log_expit(self.t) + beta * log_expit(-self.t) - betaln(alpha, beta)
        log += math.log(self.step)
        log[0] -= math.log(-math.expm1(-alpha * self.step))
        log[-1] -= math.log(-math.expm1(-beta * self.step))
        return log

    def log_weights_slopes(self, alpha: float, beta: float) -> tuple[Floats, Floats]:
        """[T] each: derivatives of `log_weights` by alpha and by beta."""
        by_alpha, by_beta = log_expit(self.t), log_expit(-self.t)
        by_alpha[0] -= self.step / math.expm1(alpha * self.step)
        by_beta[-1] -= self.step / math.expm1(beta * self.step)
        total = digamma(alpha + beta)
        return by_alpha - digamma(alpha) + total, by_beta - digamma(beta) + total

    def chances(self, scale: float) -> tuple[Floats, Floats]:
        """[T] each: log p and log(1 - p) at the nodes, without cancellation at either end."""
        p, rest = scale * expit(self.t), (1 - scale) + scale * expit(-self.t)
        failure = np.where(p < 0.5, np.log1p(-np.minimum(p, 0.5)), np.log(rest))
        return math.log(scale) + log_expit(self.t), failure


def log_binomial(hits: Integers, samples: int, success: Floats, failure: Floats) -> Floats:
    """[len(hits), T]: log of the chance of so many hits among `samples`.

    `success` and `failure` [T] are log p and log(1 - p), where p is the chance of one.
    """
    ways = gammaln(samples + 1) - gammaln(hits + 1) - gammaln(samples - hits + 1)
    log: Floats = np.outer(hits, success)
    log += np.outer(samples - hits, failure)
    log += ways[:, None]
    return log


# Verifiers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Binormal:
    """A verifier whose right samples score N(separation, 1), its wrong ones N(0, spread^2).

    Scores in [0, 1] are 1 / (1 + exp(separation / 2 - z)) of such z, and a share `flips` of them is
    turned round, s -> 1 - s, at random. A spread above 1 is a verifier that can be exploited: the
    best of very many is wrong. Raises `UsageError` for a negative separation, a spread that is not
    above 0 or flips outside [0, 1].
    """

    separation: float
    spread: float = 1.0
    flips: float = 0.0

    def __post_init__(self) -> None:
        finite = 0 <= self.separation < math.inf and 0 < self.spread < math.inf
        if not (finite and 0 <= self.flips <= 1):
            raise UsageError(
                f"verifier with separation {self.separation:g}, spread {self.spread:g} and flips "
                f"{self.flips:g}; give 0 or more, above 0, and a share"
            )

    @classmethod
    def of_auc(cls, auc: float, *, spread: float = 1.0) -> Binormal:
        """The verifier that puts a share `auc`, in [0.5, 1), of right-wrong pairs in order."""
        if not 0.5 <= auc < 1:
            raise UsageError(f"AUC {auc:g}; give 0.5 or more, and below 1")
        return cls(float(ndtri(auc)) * math.hypot(1, spread), spread)

    @property
    def auc(self) -> float:
        """Chance that a right sample scores above a wrong one; flips pull it towards 1/2."""
        straight = float(ndtr(self.separation / math.hypot(1, self.spread)))
        # Two flips reverse the order of a pair, one leaves two samples of the same distribution.
        return 0.5 + (straight - 0.5) * (1 - 2 * self.flips)

    def score(self, right: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
        """Scores in [0, 1] for samples of any shape."""
        noise = rng.standard_normal(right.shape)
        z = np.where(right, self.separation + noise, self.spread * noise) - self.separation / 2
        scores: Floats = expit(np.where(rng.random(right.shape) < self.flips, -z, z))
        return scores

    def best_of_n(self, p: Floats, ns: Sequence[int]) -> Floats:
        """[len(ns), P]: accuracy of the best-scored of n samples, by quadrature.

        At n = 1, and for a verifier without separation and of spread 1, it is p; for one that is
        never wrong, coverage.
        """
        z = self._nodes()
        return self._of_best(p, ns, z, np.ones_like(z), np.zeros_like(z))

    def best_score(self, p: Floats, ns: Sequence[int]) -> Floats:
        """[len(ns), P]: mean best score of n samples; it rises with n whatever accuracy does."""
        z = self._nodes()
        score: Floats = expit(z - self.separation / 2)
        return self._of_best(p, ns, z, score, score)

    def _nodes(self) -> Floats:
        """[T]: z at which integrals are taken, an even grid for the trapezoid rule."""
        wide, narrow = max(1.0, self.spread), min(1.0, self.spread)
        low, high = -10 * wide, self.separation + 10 * wide
        return np.linspace(low, high, math.ceil((high - low) / (0.05 * narrow)) + 1)

    def _of_best(
        self, p: Floats, ns: Sequence[int], z: Floats, if_right: Floats, if_wrong: Floats
    ) -> Floats:
        """[len(ns), P]: mean of what the best of n samples is worth, [T] by its z and kind.

        n F^(n-1) (p g_R if_right + (1 - p) g_W if_wrong) over z, F the distribution of all scores.
        """
        p = _chances(p)
        # Turning s round to 1 - s reflects z at separation / 2.
        right, right_above = self._mixture(z, self.separation, 0.0, 1.0)
        wrong, wrong_above = self._mixture(z, 0.0, self.separation, self.spread)
        above = np.outer(p, right_above) + np.outer(1 - p, wrong_above)
        below = np.log1p(-np.minimum(above, 1 - 1e-16))
        worth = np.outer(p, right * if_right) + np.outer(1 - p, wrong * if_wrong)
        result = np.empty((len(ns), p.size))
        for row, n in enumerate(_many(ns, least=1).tolist()):
            result[row] = n * (np.exp((n - 1) * below) * worth).sum(axis=1) * (z[1] - z[0])
        return result

    def _mixture(
        self, z: Floats, straight: float, flipped: float, spread: float
    ) -> tuple[Floats, Floats]:
        """Density [T] of scores of one kind, and the chance [T] of one above z."""
        density, above = np.zeros_like(z), np.zeros_like(z)
        for share, mean in ((1 - self.flips, straight), (self.flips, flipped)):
            x = (z - mean) / spread
            density += share * np.exp(-x * x / 2) / (spread * math.sqrt(2 * math.pi))
            above += share * ndtr(-x)
        return density, above


def auc_needed(p: float, n: int, accuracy: float) -> float | None:
    """The AUC at which best-of-n gets `accuracy` on problems of chance p, without flips (C24).

    `None` where not even a perfect verifier does, 0.5 where a random one does. Raises `UsageError`
    for an accuracy outside [0, 1].
    """
    if not 0 <= accuracy <= 1:
        raise UsageError(f"accuracy {accuracy:g}; give a share")
    one = np.array([p])
    if coverage(one, [n])[0, 0] <= accuracy:
        return None

    def short(separation: float) -> float:
        return float(Binormal(separation).best_of_n(one, [n])[0, 0]) - accuracy

    if short(0.0) >= 0:
        return 0.5
    # At a separation of 40 nothing wrong scores above anything right.
    return Binormal(float(brentq(short, 0.0, 40.0))).auc


# Answers and votes -------------------------------------------------------------------------------


def competing(p: float, wrong: int, *, decay: float = 1.0) -> Floats:
    """[1 + wrong]: chances of the right answer, p, and of wrong ones, each `decay` times the last.

    At decay 1 they share the rest alike; at 0 there is one of them. Raises `UsageError` for no
    wrong answer or a decay outside [0, 1].
    """
    if wrong < 1 or not 0 <= decay <= 1:
        raise UsageError(f"{wrong} wrong answers, decay {decay:g}; give at least 1, and a share")
    shares = np.power(decay, np.arange(wrong, dtype=np.float64))
    return np.concatenate([_chances(np.array([p])), (1 - p) * shares / shares.sum()])


def pool(
    problem_id: str,
    chances: Floats,
    samples: int,
    rng: np.random.Generator,
    *,
    verifier: Binormal | None = None,
) -> Pool:
    """Samples of one problem: answer 0 is right, the rest up to 1 has no answer.

    `chances` [A]. Without a verifier no sample has a score. Raises `UsageError` for chances that
    are negative or sum to more than 1, or no sample.
    """
    chances = _answer_chances(chances)
    if samples < 1:
        raise UsageError(f"pool of {samples} samples; give at least 1")
    drawn = np.searchsorted(np.cumsum(chances), rng.random(samples), side="right")
    right = drawn == 0
    answers = np.where(drawn < chances.size, drawn, NO_ANSWER)
    scores = np.full(samples, np.nan) if verifier is None else verifier.score(right, rng)
    return Pool(problem_id, answers.astype(np.int32), scores.astype(np.float32), right)


def majority_accuracy(chances: Floats, ns: Sequence[int]) -> Floats:
    """[len(ns)]: chance that the answer given most often in n samples is answer 0, exactly.

    `chances` [A] as in `pool`; a tie goes to the answer seen first, which is any of the tied with
    equal chance. Answers are counted as if their numbers were Poisson, given that they add up to n.
    Takes n^2 A^2 steps or so of length n. Raises `UsageError` as `pool` does.
    """
    chances = _answer_chances(chances)
    return np.array([_majority(chances, int(n)) for n in _many(ns, least=1)], np.float64)


def _majority(chances: Floats, n: int) -> float:
    votes = np.arange(n + 1)
    none = max(0.0, 1 - float(chances.sum()))
    silent = _poisson(none * n, votes)
    given = [_poisson(chance * n, votes) for chance in chances]
    total = 0.0
    for lead in range(1, n + 1):
        # others[t, i]: the other answers have i votes in all, t of them as many as the right one.
        others = np.zeros((chances.size, n + 1))
        others[0] = silent
        for chance in given[1:]:
            fewer = np.stack([np.convolve(row, chance[:lead])[: n + 1] for row in others])
            fewer[1:, lead:] += others[:-1, : n + 1 - lead] * chance[lead]
            others = fewer
        shared = others[:, n - lead] / np.arange(1, chances.size + 1)
        total += float(given[0][lead] * shared.sum())
    return total / float(_poisson(float(n), votes)[n])


def _poisson(mean: float, counts: Integers) -> Floats:
    if mean == 0:
        return np.where(counts == 0, 1.0, 0.0)
    chance: Floats = np.exp(counts * math.log(mean) - mean - gammaln(counts + 1))
    return chance


def majority_bound(chances: Floats, n: int) -> float:
    """|A| exp(-n d^2 / 2): the most a majority of n can be wrong (F7).

    `chances` [A] as in `pool`; d is by how much the right answer leads the next. 1 where it does
    not lead, for a majority is then wrong in the end.
    """
    chances = _answer_chances(chances)
    lead = float(chances[0] - chances[1:].max(initial=0.0))
    return min(1.0, chances.size * math.exp(-n * lead * lead / 2)) if lead > 0 else 1.0


# Revisions ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision model that looks at its last answer alone.

    Snell et al. find that 38 % of right answers turn wrong (section 6.1). Raises `UsageError` for a
    chance outside [0, 1].
    """

    improve: float
    """P(wrong -> right)."""
    spoil: float
    """P(right -> wrong)."""

    def __post_init__(self) -> None:
        if not (0 <= self.improve <= 1 and 0 <= self.spoil <= 1):
            raise UsageError(
                f"revision with chances {self.improve:g} and {self.spoil:g}; give two in [0, 1]"
            )

    @property
    def limit(self) -> float | None:
        """Accuracy after very many revisions; `None` where the last answer does not settle."""
        change = self.improve + self.spoil
        return self.improve / change if 0 < change < 2 else None

    def accuracy(self, p: Floats, answers: int) -> Floats:
        """[answers, P]: chance that each answer of a chain is right, the first with chance p."""
        p = _chances(p)
        change = self.improve + self.spoil
        settled = self.improve / change if change else 0.0
        return settled + np.power(1 - change, _chain(answers))[:, None] * (p - settled)

    def coverage(self, p: Floats, answers: int) -> Floats:
        """[answers, P]: chance that one of the answers so far is right."""
        missed = np.power(1 - self.improve, _chain(answers))
        return 1 - (1 - _chances(p)) * missed[:, None]

    def draw(self, p: Floats, answers: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """[answers, P]: whether each answer of one chain a problem is right."""
        p = _chances(p)
        right = np.empty((_chain(answers).size, p.size), np.bool_)
        right[0] = rng.random(p.size) < p
        for last, now in pairwise(right):
            now[:] = rng.random(p.size) < np.where(last, 1 - self.spoil, self.improve)
        return right


def _chain(answers: int) -> Floats:
    """[answers]: revisions made before each answer of a chain."""
    if answers < 1:
        raise UsageError(f"chain of {answers} answers; give at least 1")
    return np.arange(answers, dtype=np.float64)


def linear_revision(p: float, gain: float, revisions: int) -> Floats:
    """[revisions + 1]: p + i * gain after i revisions, at most 1: a rule told of revisions (C23).

    No model of a revision, for it adds the same to a problem nearly solved as to one that is not;
    kept so that figures quoted from it can be held against it. Raises `UsageError` where revisions
    are below 0.
    """
    accuracy: Floats = np.minimum(1.0, _chances(np.array([p])) + gain * _chain(revisions + 1))
    return accuracy


# Resampling --------------------------------------------------------------------------------------


def resample_until_pass(right: Floats, wrong: Floats, ns: Sequence[float]) -> Floats:
    """[len(ns), P]: accuracy of the first of at most n samples that a check lets pass.

    `right` [P] is the chance that a sample is right and passes, `wrong` [P] that it is wrong and
    passes. p / (p + f) of whatever passes is right, so that is the limit however many samples are
    drawn (F15; Stroebl et al. 2024, arXiv 2411.17501); `resample_limit`. Where none passes there
    is no answer. Raises `UsageError` for chances that sum to more than 1.
    """
    return resample_limit(right, wrong) * coverage(_passes(right, wrong), ns)


def resample_limit(right: Floats, wrong: Floats) -> Floats:
    """[P]: p / (p + f), what resampling until a check passes gets at best (F15).

    0 where nothing ever passes. Raises as `resample_until_pass` does.
    """
    passes = _passes(right, wrong)
    return np.divide(right, passes, out=np.zeros_like(passes), where=passes > 0)


def _passes(right: Floats, wrong: Floats) -> Floats:
    passes = _chances(right) + _chances(wrong)
    # Chances written as decimals may add up to a little more than 1.
    return _chances(np.where(passes < 1 + 1e-9, np.minimum(passes, 1.0), passes))


# One budget for all problems ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """How a budget for all problems together is shared out, against sharing it alike."""

    samples: Integers
    """[P] samples of each problem."""
    solved: float
    """Problems expected to have a right sample."""
    uniform: float
    """The same where all problems get as many, the remainder going to the first."""


def allocate(p: Floats, budget: int) -> Allocation:
    """The most problems with a right sample for `budget` samples in all (F16; C27, C42).

    Maximises sum 1 - (1 - p_q)^N_q: the next sample goes where it helps most, p (1 - p)^N, ties to
    the earlier problem, which is optimal since each further sample of a problem helps less. Stops
    where no sample helps. It knows p, so it is the most that an adaptive number of samples can
    give, and speaks of coverage, not of what is chosen. Raises `UsageError` for a negative budget
    or no problem.
    """
    p = _chances(p)
    if budget < 0 or not p.size:
        raise UsageError(f"budget {budget} for {p.size} problems; give 0 or more, for at least 1")
    samples = np.zeros(p.size, np.int64)
    gains = [(-chance, problem) for problem, chance in enumerate(p.tolist()) if chance > 0]
    heapq.heapify(gains)
    for _ in range(budget):
        if not gains or not gains[0][0]:
            break
        gain, problem = gains[0]
        samples[problem] += 1
        heapq.heapreplace(gains, (gain * (1 - float(p[problem])), problem))
    alike = budget // p.size + (np.arange(p.size) < budget % p.size)
    return Allocation(samples, _solved(p, samples), _solved(p, alike))


def _solved(p: Floats, samples: Integers) -> float:
    return float(-np.expm1(samples * _log_failure(p)).sum())


# Checks ------------------------------------------------------------------------------------------


def _chances(p: Floats) -> Floats:
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise UsageError(f"chances of shape {list(p.shape)}; give one in [0, 1] a problem")
    return p


def _answer_chances(chances: Floats) -> Floats:
    chances = _chances(chances)
    if not chances.size or chances.sum() > 1 + 1e-9:
        raise UsageError(
            f"{chances.size} answers of total chance {chances.sum():g}; give at least one answer, "
            "and no more than 1 in all"
        )
    return chances


def _many(ns: Sequence[float], *, least: float = 0) -> Floats:
    n = np.array(ns, np.float64)
    if n.ndim != 1 or not n.size or not (np.isfinite(n) & (n >= least)).all():
        raise UsageError(f"n = {list(ns)}; give numbers of at least {least:g}")
    return n
