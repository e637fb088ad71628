"""Test-time against pretraining compute: when a larger model would have been the better buy.

A model of N parameters costs X = 6 N D_pre to pretrain and Y = 2 N D_inf to answer with (F8). For
what a model M times larger costs on the same tokens, the small one may draw k answers a question
instead of one (F9). k depends on M and on R = D_inf / D_pre alone. R is a ratio of tokens, not of
compute: Y / X = R / 3. Turned round: from the budget k* at which the small model catches up follows
the R* below which it is the better buy (F10).

The larger model answers once, greedily, and both write answers of the same length. Knows nothing of
prompts read, caches, fine-tuning or seconds, and scales parameters at fixed pretraining data, which
is not how one would spend more on pretraining.

Snell et al. 2024 (arXiv 2408.03314), section 7, in its first version and as published at ICLR 2025,
which charges a verifier to both models. F10 and the accounting that charges it to its user are
derived.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import require_enough
from outthink.measure.equivalence import reach
from outthink.measure.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    interval,
    resampled_means,
    tails_of,
)

PRETRAINING = 6
"""FLOPs a parameter and token of pretraining: forward and backward pass."""

INFERENCE = 2
"""FLOPs a parameter and token of inference: forward pass."""


# Accounting --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accounting:
    """Which costs are charged to which model at test time. Raises `UsageError` for a negative or
    infinite cost."""

    name: str
    verifier: float = 0.0
    """FLOPs of the small model's verifier, as a multiple of what writing the answer cost it; 1 is a
    verifier of its size."""
    large_verifier: float = 0.0
    """The same for the larger model."""
    difficulty: float = 0.0
    """Generations a problem that the small model spent on knowing how hard it is, verified too."""

    def __post_init__(self) -> None:
        for cost in (self.verifier, self.large_verifier, self.difficulty):
            if not 0 <= cost < math.inf:
                raise UsageError(f"accounting {self.name!r} charges {cost}; give 0 or more")


V1 = Accounting("v1")
"""The first version of the paper: nobody pays for a verifier. k = M + 3 (M - 1) / R."""

ICLR = Accounting("iclr", verifier=1.0, large_verifier=1.0)
"""The published version, Y = 4 N D_inf: both pay, though the larger model uses none.
k = M + 1.5 (M - 1) / R."""

CHARGED = Accounting("charged", verifier=1.0)
"""Who uses a verifier pays for it. k = M / 2 + 1.5 (M - 1) / R."""


def pretraining_flops(parameters: float, tokens: float) -> float:
    """X = 6 N D_pre (F8)."""
    return PRETRAINING * parameters * tokens


def inference_flops(parameters: float, tokens: float, *, verifier: float = 0.0) -> float:
    """Y = 2 N D_inf (F8), and `verifier` times that on top: 1 gives the 4 N D_inf of ICLR."""
    return INFERENCE * (1 + verifier) * parameters * tokens


def matched_budget(token_ratio: float, size_ratio: float, accounting: Accounting = V1) -> float:
    """k: generations a question that cost the small model what the larger one costs in all (F9).

    `token_ratio` is R = D_inf / D_pre, `size_ratio` M. What estimating difficulty took is already
    subtracted, so k may be below 1 or 0: nothing is then left to answer with. Raises `UsageError`
    for R <= 0 or M <= 1.
    """
    _check_size(size_ratio)
    _check_tokens(token_ratio)
    large = size_ratio * (1 + accounting.large_verifier)
    saved = PRETRAINING / INFERENCE * (size_ratio - 1) / token_ratio
    return (large + saved) / (1 + accounting.verifier) - accounting.difficulty


def matched_size(budget: float, token_ratio: float, accounting: Accounting = V1) -> float:
    """M: how many times larger a model must be to cost as much as `budget` generations (F9).

    Below 1 where a budget, with all that is charged, costs less than one greedy answer of the small
    model itself. Raises `UsageError` for a budget or R that is not above 0.
    """
    _check_budget(budget)
    _check_tokens(token_ratio)
    saved = PRETRAINING / INFERENCE / token_ratio
    spent = (1 + accounting.verifier) * (budget + accounting.difficulty)
    return (spent + saved) / (1 + accounting.large_verifier + saved)


class SmallerWins(StrEnum):
    """For which R the small model with its budget is the better buy."""

    ALWAYS = "always"
    """For every R: the budget costs no more than one answer of the larger model."""
    BELOW = "below"
    """For R below `Threshold.token_ratio`."""
    NEVER = "never"
    """For none, as far as budgets were measured: it did not reach the larger model's accuracy."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The budget k*, and the R* that follows from it."""

    smaller_wins: SmallerWins
    budget: float | None
    """k*, generations; `None` where `smaller_wins` is `NEVER`."""
    token_ratio: float | None
    """R*; `None` unless `smaller_wins` is `BELOW`."""


def crossover_ratio(
    budget: float | None, size_ratio: float, accounting: Accounting = V1
) -> Threshold:
    """R* = 3 (M - 1) / (k* - M): below it, k* generations cost less than the larger model (F10).

    `budget` is k*, `None` where the larger model's accuracy was not reached. At R* both cost the
    same. Raises `UsageError` for k* <= 0 or M <= 1.
    """
    _check_size(size_ratio)
    if budget is None:
        return Threshold(SmallerWins.NEVER, None, None)
    _check_budget(budget)
    spent = (1 + accounting.verifier) * (budget + accounting.difficulty)
    dearer = spent - size_ratio * (1 + accounting.large_verifier)
    if dearer <= 0:
        return Threshold(SmallerWins.ALWAYS, budget, None)
    return Threshold(SmallerWins.BELOW, budget, PRETRAINING / INFERENCE * (size_ratio - 1) / dearer)


def _check_size(size_ratio: float) -> None:
    if not 1 < size_ratio < math.inf:
        raise UsageError(
            f"the larger model has {size_ratio:g} times the small one's parameters; "
            "give a size ratio above 1"
        )


def _check_tokens(token_ratio: float) -> None:
    if not 0 < token_ratio < math.inf:
        raise UsageError(
            f"token ratio R = {token_ratio:g}; give inference tokens / pretraining tokens, above 0"
        )


def _check_budget(budget: float) -> None:
    if not 0 < budget < math.inf:
        raise UsageError(f"budget of {budget:g} generations; give a number above 0")


# Measured ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Accuracies of both models on the same problems.

    Raises `UsageError` where shapes disagree, budgets do not rise, an accuracy is missing or
    outside [0, 1], the larger model is not larger, a bin is empty, or there are fewer than
    `difficulty.LEAST_PER_BIN` problems a bin.
    """

    budgets: tuple[int, ...]
    """Generations, rising."""
    small: Floats
    """[B, P] the small model's accuracy at each budget."""
    large: Floats
    """[P] the larger model's, of one greedy answer."""
    size_ratio: float
    """M: the larger model's parameters over the small one's."""
    bins: Integers | None = None
    """[P] the difficulty bin of each problem, numbered from 0, the easiest."""

    def __post_init__(self) -> None:
        shape = (len(self.budgets), self.large.size)
        if self.small.shape != shape or self.large.shape != shape[1:] or 0 in shape:
            raise UsageError(
                f"accuracies of shapes {list(self.small.shape)} and {list(self.large.shape)} at "
                f"{shape[0]} budgets; give [budgets, problems] and [problems]"
            )
        if self.budgets[0] < 1 or any(b <= a for a, b in pairwise(self.budgets)):
            raise UsageError(f"budgets {list(self.budgets)}; give rising budgets of at least 1")
        for accuracy in (self.small, self.large):
            if not ((accuracy >= 0) & (accuracy <= 1)).all():
                raise UsageError(
                    "an accuracy is missing or outside [0, 1]; give shares, and leave out the "
                    "budgets that were not run"
                )
        _check_size(self.size_ratio)
        if self.bins is None:
            require_enough(self.large.size, 1)
        else:
            _check_bins(self.bins, self.large.size)


def _check_bins(bins: Integers, problems: int) -> None:
    if bins.shape != (problems,) or not np.issubdtype(bins.dtype, np.integer):
        raise UsageError(
            f"bins are {bins.dtype}{list(bins.shape)} for {problems} problems; "
            "give one whole number a problem"
        )
    if bins.min() < 0:
        raise UsageError(f"bin {bins.min()}; number bins from 0")
    count = int(bins.max()) + 1
    require_enough(problems, count)
    sizes = np.bincount(bins, minlength=count)
    if not sizes.all():
        raise UsageError(f"bin {sizes.argmin()} of {count} has no problem; number bins without gap")


def _groups(measured: Measured) -> Iterator[tuple[int | None, NDArray[np.bool_]]]:
    """All problems, then those of each bin."""
    yield None, np.ones(measured.large.size, np.bool_)
    if measured.bins is not None:
        for number in range(int(measured.bins.max()) + 1):
            yield number, measured.bins == number


# Crossovers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Crossover:
    """From which R on the larger model is the better buy, with the interval of that."""

    bin: int | None
    """0 is the easiest; `None` for all problems."""
    estimate: Threshold
    low: Threshold
    """The end of the interval at which the small model does worst: largest k*, smallest R*."""
    high: Threshold
    """The end at which it does best."""
    problems: int
    at_most: bool
    """It does better already at a smallest measured budget above 1: k* may be less, R* more. So may
    an end of the interval whose budget is that one."""
    largest: int
    """The largest measured budget, generations."""

    @property
    def note(self) -> str | None:
        """One line where the measured budgets do not settle k*."""
        if self.estimate.smaller_wins is SmallerWins.NEVER:
            return (
                f"the small model does not reach the larger one's accuracy within {self.largest} "
                "generations; what more would do was not measured"
            )
        if self.at_most and self.estimate.smaller_wins is SmallerWins.BELOW:
            return (
                f"the small model is there at its smallest budget, {self.estimate.budget:g}; "
                "R* is at least what it says"
            )
        return None


def crossovers(
    measured: Measured,
    accounting: Accounting = V1,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Crossover, ...]:
    """k* and R* over all problems, then in each bin: where test-time compute wins (F10; C19).

    k* is the least budget at which the small model's mean accuracy reaches the larger model's,
    linear in log2 of the budget between measured ones, of the running maximum, as in
    `measure.equivalence`. Nothing is extrapolated: see `SmallerWins.NEVER` and `Crossover.at_most`.
    The interval resamples problems with both models' accuracies and makes each resampled curve
    monotone anew. Equal accuracy by chance of a noisy maximum counts for the small model.
    """
    budgets = np.log2(np.array(measured.budgets, np.float64))
    tails = tails_of(level)

    def threshold(log2_k: float) -> Threshold:
        inside = float(2.0 ** max(log2_k, budgets[0])) if log2_k < np.inf else None
        return crossover_ratio(inside, measured.size_ratio, accounting)

    results = []
    for number, members in _groups(measured):
        both = np.vstack([measured.small[:, members], measured.large[None, members]])
        both = both.astype(np.float64)
        log2_k = float(reach(both.mean(axis=1)[None], budgets)[0, 0])
        spread = np.sort(reach(resampled_means(both, resamples, seed), budgets)[:, 0])
        # Order statistics, rounded outwards: a mean of a number and "never" would be neither.
        least = float(spread[math.floor(tails[0] * (resamples - 1))])
        most = float(spread[math.ceil(tails[1] * (resamples - 1))])
        results.append(
            Crossover(
                bin=number,
                estimate=threshold(log2_k),
                low=threshold(most),
                high=threshold(least),
                problems=both.shape[1],
                at_most=log2_k == -np.inf and measured.budgets[0] > 1,
                largest=measured.budgets[-1],
            )
        )
    return tuple(results)


# Comparisons -------------------------------------------------------------------------------------


class Match(StrEnum):
    """How the budget that was compared relates to the one that FLOPs match."""

    EXACT = "exact"
    """It is k(R), rounded to the nearest generation."""
    BELOW = "below"
    """The largest measured one not above k(R), which falls between two."""
    CAPPED = "capped"
    """The largest measured one, which k(R) exceeds: the small model could have spent more."""
    NONE = "none"
    """k(R) is below the smallest measured budget: the small model cannot answer for that."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The small model at a budget against the larger model's greedy answer, at equal FLOPs."""

    bin: int | None
    """0 is the easiest; `None` for all problems."""
    token_ratio: float
    """R = D_inf / D_pre."""
    matched: float
    """k(R), generations; what estimating difficulty took is already subtracted."""
    budget: int | None
    """The measured budget compared at; `None` where none is affordable."""
    match: Match
    small: float | None
    """The small model's accuracy at `budget`."""
    large: float
    difference: Interval | None
    """small - large, paired over problems."""
    problems: int

    @property
    def note(self) -> str | None:
        """One line where the budget compared is not the one that FLOPs match."""
        said = f"R = {self.token_ratio:g} allows {self.matched:.4g} generations"
        match self.match:
            case Match.EXACT:
                return None
            case Match.BELOW:
                return f"{said}; compared at {self.budget}, the next measured below"
            case Match.CAPPED:
                return f"{said}; compared at {self.budget}, the largest measured"
            case Match.NONE:
                return f"{said}, fewer than the smallest measured budget; not compared"


def compare(
    measured: Measured,
    token_ratios: Sequence[float],
    accounting: Accounting = V1,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Small at k(R) minus large, at each R: over all problems, then in each bin (C02).

    A generation is whole, so k(R) is rounded to the nearest: the paper's R = 0.164 gives 255.7 at
    M = 14.2 and stands for 256. Accuracies are taken as measured, without the running maximum of
    `crossovers`. Raises `UsageError` for no R or one that is not above 0.
    """
    if not token_ratios:
        raise UsageError("no token ratio R to compare at; give at least one")
    rows = [
        (token_ratio, matched_budget(token_ratio, measured.size_ratio, accounting))
        for token_ratio in token_ratios
    ]
    results = []
    for number, members in _groups(measured):
        large = measured.large[members].astype(np.float64)
        for token_ratio, matched in rows:
            row, match = _place(matched, measured.budgets)
            small = None if row is None else measured.small[row, members].astype(np.float64)
            results.append(
                Comparison(
                    bin=number,
                    token_ratio=token_ratio,
                    matched=matched,
                    budget=None if row is None else measured.budgets[row],
                    match=match,
                    small=None if small is None else float(small.mean()),
                    large=float(large.mean()),
                    difference=None
                    if small is None
                    else interval(small - large, level=level, resamples=resamples, seed=seed),
                    problems=large.size,
                )
            )
    return tuple(results)


def _place(matched: float, budgets: Sequence[int]) -> tuple[int | None, Match]:
    """The row of the measured budget to compare at."""
    whole = math.floor(matched + 0.5)
    affordable = sum(budget <= whole for budget in budgets)
    if not affordable:
        return None, Match.NONE
    row = affordable - 1
    if budgets[row] == whole:
        return row, Match.EXACT
    return row, Match.CAPPED if affordable == len(budgets) else Match.BELOW
