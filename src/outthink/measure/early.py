"""What ending traces early would have cost and come to, from traces that were drawn whole.

DeepConf offline of its online rule (Fu et al. 2025, arXiv 2508.15260): a random part of the traces
is the warm-up, whose scores give the threshold; any other ends at its first step below it. Knows
nothing of stores; a trace is its steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.pools import NO_ANSWER
from outthink.search.early_end import WARMUP, threshold
from outthink.types import Scores


@dataclass(frozen=True, slots=True)
class Trace:
    """One solution that was drawn whole."""

    ends: tuple[int, ...]
    """Tokens up to the end of each step; the last one is all of them."""
    scores: tuple[float | None, ...]
    """Of each step, as far as it was known then."""
    answer: int
    """An id, or `NO_ANSWER`."""
    right: bool


def replayed(
    traces: Sequence[Trace], budget: int, keep: float, *, repeats: int, seed: int
) -> Floats:
    """[repeats, 4] of one problem, `budget` traces at random each time: whether the vote of those
    that were not ended is right, the tokens they cost, and the same of all of them whole.

    Votes count once each; ties go to the trace drawn first. Raises `UsageError` for a budget that
    there are no traces for.
    """
    if not 1 <= budget <= len(traces):
        raise UsageError(f"{budget} traces of {len(traces)}; give 1 to {len(traces)}")
    rng = np.random.default_rng(seed)
    first = max(1, min(WARMUP, budget // 4))
    rows = []
    for _ in range(repeats):
        some = [traces[at] for at in rng.permutation(len(traces))[:budget]]
        least = threshold([Scores(one.scores) for one in some[:first]], keep)
        ended = [None if at < first else _ended(one, least) for at, one in enumerate(some)]
        kept = [one for one, end in zip(some, ended, strict=True) if end is None]
        tokens = sum(
            one.ends[-1] if end is None else end for one, end in zip(some, ended, strict=True)
        )
        rows.append((_voted(kept), tokens, _voted(some), sum(one.ends[-1] for one in some)))
    return np.array(rows, np.float64)


def _ended(trace: Trace, least: float | None) -> int | None:
    """Tokens at which a trace is given up; `None` where it is not."""
    if least is None:
        return None
    pairs = zip(trace.ends, trace.scores, strict=True)
    return next((end for end, score in pairs if score is not None and score < least), None)


def _voted(traces: Sequence[Trace]) -> bool:
    """Whether the answer given most often is right."""
    votes = Counter(one.answer for one in traces if one.answer != NO_ANSWER)
    if not votes:
        return False
    winner, _ = votes.most_common(1)[0]
    return next(one.right for one in traces if one.answer == winner)
