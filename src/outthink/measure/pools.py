"""What one pool of samples says about every smaller budget, and how sure that is.

Sample once at the largest N; every n below it comes from the same pool, averaged over its n-subsets
rather than read off "the first n". Coverage and plain best-of-n are exact at every n; votes are
exact where that is cheap and otherwise unbiased over random subsets. Then intervals by bootstrap
over problems, the compute-equivalence factor, and how good a verifier's scores are.

An accuracy belongs to one problem until the last moment: curves are [n, P], and a mean over
problems comes with an interval. Knows nothing of models, stores or strategies. It cannot protect
against a pool whose order carries meaning: a pool is taken to be exchangeable draws.

Coverage: Brown et al. 2024 (arXiv 2407.21787; F1), after Chen et al. 2021. Weighted best-of-n:
Snell et al. 2024 (arXiv 2408.03314), section 5.1 (F5). F6 and F14 are derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers

NO_ANSWER = -1
"""The answer id of a sample that has no answer."""


# Pools -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """n scored samples of one problem in the order they were drawn; 9 bytes a sample.

    Of imported samples an answer may be both right and wrong, as their file judged each: one that
    is chosen counts as its earliest sample. Raises `UsageError` where lengths or types differ from
    what is written here, a sample without an answer is right, or a score is outside [0, 1].
    """

    problem_id: str
    answers: NDArray[np.int32]
    """[n] ids of canonical answers, local to the problem; `NO_ANSWER` where there is none."""
    scores: NDArray[np.float32]
    """[n] one aggregated score a sample in [0, 1]; NaN, in memory only, where it could not be had.
    Two scores that differ by less than a float32 can hold are tied here."""
    right: NDArray[np.bool_]
    """[n] whether the sample's answer is right."""

    def __post_init__(self) -> None:
        columns = {"answers": np.int32, "scores": np.float32, "right": np.bool_}
        for name, kind in columns.items():
            column = getattr(self, name)
            if column.dtype != kind or column.shape != (self.answers.size,) or not column.size:
                raise UsageError(
                    f"pool of problem {self.problem_id!r}: {name} is {column.dtype}"
                    f"{list(column.shape)}; give {np.dtype(kind)} and one entry a sample"
                )
        if self.answers.min() < NO_ANSWER:
            raise self._wrong(f"answer id {self.answers.min()}; give {NO_ANSWER} for no answer")
        if self.right[self.answers == NO_ANSWER].any():
            raise self._wrong("a sample without an answer is right; grade it as wrong")
        known = self.scores[~np.isnan(self.scores)]
        if known.size and not (known.min() >= 0 and known.max() <= 1):
            raise self._wrong("a score is outside [0, 1]; give probabilities, or none at all")

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"pool of problem {self.problem_id!r}: {what}")

    @classmethod
    def of(
        cls,
        problem_id: str,
        answers: Sequence[str | None],
        scores: Sequence[float | None],
        right: Sequence[bool],
    ) -> Pool:
        """A pool from canonical answers and scores, `None` where there is none."""
        ids: dict[str, int] = {}
        numbers = [
            NO_ANSWER if answer is None else ids.setdefault(answer, len(ids)) for answer in answers
        ]
        return cls(
            problem_id,
            np.array(numbers, np.int32),
            np.array([np.nan if score is None else score for score in scores], np.float32),
            np.array(right, np.bool_),
        )

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.answers.size

    @property
    def answered(self) -> NDArray[np.bool_]:
        """[n] True where there is an answer."""
        has: NDArray[np.bool_] = self.answers != NO_ANSWER
        return has

    @property
    def scored(self) -> NDArray[np.bool_]:
        """[n] True where there is a score."""
        return ~np.isnan(self.scores)

    def take(self, samples: Integers) -> Pool:
        """The pool of these samples, in the order given."""
        return Pool(
            self.problem_id, self.answers[samples], self.scores[samples], self.right[samples]
        )


class Estimator(Protocol):
    """The expected accuracy of one selection on a random n-subset of a pool: [len(ns)]."""

    def __call__(self, pool: Pool, ns: Sequence[int], /) -> Floats: ...


def curve(pools: Sequence[Pool], estimator: Estimator, ns: Sequence[int]) -> Floats:
    """[len(ns), P]: the estimate for every problem at every n, 1 <= n <= each pool's size.

    Options of an estimator are bound with `functools.partial`. A problem's column depends on its
    own pool alone. Raises `UsageError` for an n that a pool cannot give.
    """
    result = np.empty((len(ns), len(pools)))
    for column, pool in enumerate(pools):
        result[:, column] = estimator(pool, ns)
    return result


# Estimators --------------------------------------------------------------------------------------


def pass_at_k(pool: Pool, ns: Sequence[int]) -> Floats:
    """Coverage: the chance that a random k-subset has a right sample, 1 - C(n-c, k) / C(n, k) (F1).

    Summed over which right sample is met first, so that no binomial is formed and nothing cancels.
    """
    weights = best_of_subset(pool.size, checked_sizes(pool, ns))
    chance: Floats = weights[:, : np.count_nonzero(pool.right)].sum(axis=1)
    return chance


def checked_sizes(pool: Pool, ns: Sequence[int]) -> tuple[int, ...]:
    for n in ns:
        if not 1 <= n <= pool.size:
            raise UsageError(
                f"n = {n} from the {pool.size} samples of problem {pool.problem_id!r}; "
                f"give 1 to {pool.size}, or sample more"
            )
    return tuple(ns)


@lru_cache(maxsize=64)
def best_of_subset(size: int, ns: tuple[int, ...]) -> Floats:
    """[len(ns), size]: chance that the j-th best of `size` is the best of a random n-subset (F6).

    C(size-j, n-1) / C(size, n) for j = 1, 2, ... as a running product of ratios in [0, 1]: relative
    error about size * 1e-16 at any size.
    """
    n = np.array(ns, np.float64).reshape(-1, 1)
    j = np.arange(1, size)
    ratios = np.maximum(size - n - j + 1, 0) / (size - j)
    weights = n / size * np.cumprod(np.hstack([np.ones_like(n), ratios]), axis=1)
    weights.flags.writeable = False
    return weights


# Intervals ---------------------------------------------------------------------------------------


# Compute equivalence -----------------------------------------------------------------------------


# How good the scores are -------------------------------------------------------------------------
