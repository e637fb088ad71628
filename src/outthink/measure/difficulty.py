"""How hard a problem is for a proposer, and which of five equal bins that puts it in.

Oracle difficulty is pass@1 and needs the reference; it is an upper bound in a report and never
used to answer. Predicted difficulty is the verifier's mean score of a few samples and needs no
label. Both are values in [0, 1] of which the higher is the easier. Estimating costs generations,
which are reported with the estimate and charged to whoever uses it.

Does not protect against measuring twice on the same samples: where difficulty and accuracy come
from one pool, its luck is in both.

Snell et al. 2024 (arXiv 2408.03314), section 3.2 and appendices C and E.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.pools import Pool
from outthink.measure.quality import spearman

BINS = 5
"""Bins the paper cuts problems into."""

LEAST_PER_BIN = 20
"""Problems a bin needs for a choice of strategy to mean something."""


class Method(StrEnum):
    """Where a difficulty comes from."""

    ORACLE = "oracle"
    """The share of samples that is right: needs labels."""
    PREDICTED = "predicted"
    """The mean score a verifier gives the samples' answers."""
    VOTES = "votes"
    """The share of samples that give the commonest answer: needs no verifier."""


@dataclass(frozen=True, slots=True, eq=False)
class Difficulty:
    """How hard each problem is, and what estimating that cost."""

    problems: tuple[str, ...]
    values: Floats
    """[P] in [0, 1], higher is easier."""
    method: Method
    samples: int
    """Samples read a problem, the most where pools differ: the cost in generations."""
    without_score: int = 0
    """Problems whose answers the verifier could not score, valued by their votes instead."""


def oracle(pools: Sequence[Pool]) -> Difficulty:
    """Pass@1 of every problem over its whole pool: Snell et al., section 3.2."""
    values = np.array([pool.right.mean() for pool in pools], np.float64)
    samples = max((pool.size for pool in pools), default=0)
    return Difficulty(_ids(pools), values, Method.ORACLE, samples)


def predicted(pools: Sequence[Pool], samples: int) -> Difficulty:
    """Mean final verifier score of every problem's first `samples`: section 3.2, without labels.

    A sample without an answer cannot be right, which takes no label to know, and counts 0; an
    answer without a score is left out. A problem none of whose answers has a score is valued by the
    agreement of its votes, the share of its samples that give the commonest answer; where that is
    so of every problem with an answer, the method is `VOTES`. Raises `UsageError` where a pool has
    fewer samples.
    """
    for pool in pools:
        if not 1 <= samples <= pool.size:
            raise UsageError(
                f"difficulty from {samples} of the {pool.size} samples of problem "
                f"{pool.problem_id!r}; give 1 to {pool.size}, or sample more"
            )
    first = [pool.take(np.arange(samples)) for pool in pools]
    values = np.array([_predict(pool) for pool in first], np.float64)
    scored = [bool((pool.answered & pool.scored).any()) for pool in first]
    answered = [bool(pool.answered.any()) for pool in first]
    without = sum(has and not some for has, some in zip(answered, scored, strict=True))
    method = Method.VOTES if without and not any(scored) else Method.PREDICTED
    return Difficulty(_ids(pools), values, method, samples, without)


def _predict(pool: Pool) -> float:
    known = pool.answered & pool.scored
    if known.any():
        counted = np.count_nonzero(known) + np.count_nonzero(~pool.answered)
        return float(pool.scores[known].sum(dtype=np.float64) / counted)
    answers = pool.answers[pool.answered]
    if not answers.size:
        return 0.0
    _, votes = np.unique(answers, return_counts=True)
    return float(votes.max() / pool.size)


def _ids(pools: Sequence[Pool]) -> tuple[str, ...]:
    return tuple(pool.problem_id for pool in pools)


# Bins --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Binning:
    """The thresholds between bins, with which a problem not seen before is put into one."""

    edges: tuple[float, ...]
    """`edges[b]` is the largest value of bin b + 1: the edges fall from easy to hard."""

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, self.edges))
        if not finite or any(b > a for a, b in pairwise(self.edges)):
            raise UsageError(f"bin edges {list(self.edges)}; give numbers that do not rise")

    @property
    def count(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1

    def place(self, value: float) -> int:
        """The bin of a value; 0 is the easiest. A value equal to an edge is in the harder bin.

        A problem the edges were cut from gets the bin it was in, but for ties at an edge. Raises
        `UsageError` for NaN.
        """
        if math.isnan(value):
            raise UsageError("difficulty is NaN; a problem without an estimate has no bin")
        return sum(value <= edge for edge in self.edges)


def bins(values: Floats, count: int = BINS) -> tuple[Integers, Binning]:
    """The bin of each of values [P], and the thresholds; bin 0 holds the easiest problems.

    Equal split of a stable sort (A8): sizes differ by at most one, and of problems tied at a
    quantile the earlier goes to the easier bin. Raises `UsageError` for fewer problems than bins,
    or a value that is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise UsageError(
            f"difficulties of shape {list(values.shape)}; give one finite number a problem"
        )
    if not 1 <= count <= values.size:
        raise UsageError(f"{count} bins of {values.size} problems; give 1 to {values.size} bins")
    order = np.argsort(-values, kind="stable")
    numbers = np.empty(values.size, np.int64)
    numbers[order] = np.arange(values.size) * count // values.size
    edges = [float(values[numbers == number].max()) for number in range(1, count)]
    return numbers, Binning(tuple(edges))


ABSOLUTE = (0.5, 0.1)
"""Pass@1 from which a problem is easy, and from which it is medium. Liu et al. 2025 (arXiv
2502.06703), where it is that of a strong reference model."""
LEVELS = ("easy", "medium", "hard")


def levels(values: Floats) -> Integers:
    """[P] 0 for easy, 1 for medium, 2 for hard, by pass@1 itself and not by rank: bins of any size,
    that mean the same in every set of problems. Raises `UsageError` for a value outside [0, 1]."""
    values = np.asarray(values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise UsageError("a pass@1 outside [0, 1]; give shares")
    easy, medium = ABSOLUTE
    result: Integers = np.where(values >= easy, 0, np.where(values >= medium, 1, 2))
    return result


def bins_for(problems: int, most: int = BINS) -> int:
    """How many bins so many problems fill, of `LEAST_PER_BIN` each; at least one."""
    return max(1, min(most, problems // LEAST_PER_BIN))


def require_enough(problems: int, count: int = BINS) -> None:
    """Raises `UsageError` where there are fewer than `LEAST_PER_BIN` problems a bin."""
    needed = count * LEAST_PER_BIN
    if problems < needed:
        raise UsageError(
            f"{problems} problems for {count} bins; give at least {needed} problems "
            f"({LEAST_PER_BIN} a bin)"
        )


# Oracle against predicted ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well predicted difficulty stands in for oracle difficulty."""

    spearman: float | None
    """Rank correlation of the values; `None` where one of them is constant."""
    same_bin: float
    """Share of problems in the same bin. By chance: one in as many as there are bins."""
    within_one: float
    """Share of problems at most one bin apart."""
    confusion: NDArray[np.int64]
    """[bins, bins] problems by oracle bin (row) and predicted bin (column)."""
    problems: int


def agreement(oracle: Floats, predicted: Floats, count: int = BINS) -> Agreement:
    """Compare two difficulties, values [P], of the same problems in the same order.

    Raises `UsageError` as `bins` and `spearman` do.
    """
    correlation = spearman(oracle, predicted)
    row, _ = bins(oracle, count)
    column, _ = bins(predicted, count)
    confusion = np.bincount(row * count + column, minlength=count * count)
    apart = np.abs(row - column)
    return Agreement(
        spearman=correlation,
        same_bin=float(np.mean(apart == 0)),
        within_one=float(np.mean(apart <= 1)),
        confusion=confusion.reshape(count, count).astype(np.int64),
        problems=row.size,
    )
