"""The vote of the solutions that finish first, or last, at every N, from one pool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.pools import Pool, best_of_subset, checked_sizes
from outthink.measure.votes import SUBSETS, Ballots, permutations


def by_finish(
    pool: Pool,
    lengths: Floats,
    ns: Sequence[int],
    *,
    k: int = 1,
    last: bool = False,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> Floats:
    """Expected accuracy of `search.finish.Finish` on a random n-subset; `lengths` [n] in tokens.

    Exact at k = 1, otherwise the mean over `subsets` random ones. Raises `UsageError` for a length
    that is not known.
    """
    ns = checked_sizes(pool, ns)
    lengths = np.asarray(lengths, np.float64)
    if lengths.shape != pool.answers.shape or not np.isfinite(lengths).all():
        raise UsageError(
            f"problem {pool.problem_id!r}: not every solution has a length; who finishes first "
            "needs the tokens of each"
        )
    # What has no answer is passed over.
    time = np.where(pool.answered, -lengths if last else lengths, np.inf)
    if k == 1:
        order = np.argsort(time, kind="stable")
        exact: Floats = best_of_subset(pool.size, ns) @ pool.right[order]
        return exact
    ballots = Ballots(pool, np.full_like(pool.scores, np.nan))
    result = np.zeros(len(ns))
    for order in permutations(pool, subsets, seed):
        for row, n in enumerate(ns):
            some = np.sort(order[:, :n], axis=1)
            first = np.argsort(time[some], axis=1, kind="stable")[:, :k]
            voters = np.take_along_axis(some, first, axis=1)
            result[row] += ballots.count_right(voters, False) / subsets
    return result
