"""Early ending: a trace that falls below the confidence of most earlier ones is given up.

DeepConf online (Fu et al. 2025, arXiv 2508.15260; with `--verifier deepconf`, or any
that scores unfinished solutions). A few traces are drawn whole, and the confidence that the best
`keep` of them have becomes the threshold; the others are drawn a step at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from outthink.errors import UsageError
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection
from outthink.types import (
    END,
    MAX_ROUNDS,
    PROPOSER,
    STEP,
    VERIFIER,
    Budget,
    Problem,
    Propose,
    Purpose,
    Scores,
    Search,
    Solution,
    Verify,
)

WARMUP = 16


@describe(
    label="early ending",
    source="Fu et al. 2025, arXiv 2508.15260",
    roles={PROPOSER, VERIFIER},
)
def early_end(
    problem: Problem,
    budget: Budget,
    *,
    warmup: int = WARMUP,
    keep: float = 0.9,
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED,
) -> Search:
    """Spends N generations and fewer tokens: up to `warmup` whole traces, a quarter of N at most
    and one at least, then the rest by steps. `keep=0.1` is the paper's DeepConf-low, 0.9 its
    DeepConf-high. What was given up has no vote; the others vote by their last scores."""
    if warmup < 1 or not 0 < keep <= 1:
        raise UsageError(f"early_end warmup={warmup}, keep={keep}; give 1 or more, and a share")
    n = budget.generations
    first = max(1, min(warmup, n // 4))
    start = Solution.start(problem)
    begun: list[Solution] = yield Propose([start] * first)
    candidates: list[Solution] = [*begun]
    scores: list[Scores] = [*(yield Verify(begun))]
    least = threshold(scores, keep)
    going = [start] * (n - first)
    for _ in range(MAX_ROUNDS):
        if not going:
            break
        drawn: list[Solution] = yield Propose(going, until=STEP)
        said: list[Scores] = yield Verify(drawn)
        kept = [pair for pair in zip(drawn, said, strict=True) if is_above(pair[1], least)]
        candidates += [solution for solution, _ in kept if not solution.is_open]
        scores += [score for solution, score in kept if not solution.is_open]
        going = [solution for solution, _ in kept if solution.is_open]
    if going:
        rest: list[Solution] = yield Propose(going, until=END, purpose=Purpose.STEP)
        candidates += rest
        scores += yield Verify(rest)
    return Selection(answer=answer)(candidates, scores)


def threshold(scores: Sequence[Scores], keep: float) -> float | None:
    """The least score among the best `keep` of some traces; `None` where none has a score."""
    known = sorted((one.last for one in scores if one.last is not None), reverse=True)
    return known[max(1, math.ceil(keep * len(known))) - 1] if known else None


def is_above(scores: Scores, least: float | None) -> bool:
    """Whether a trace goes on: what has no score is given the benefit of the doubt."""
    return least is None or scores.last is None or scores.last >= least
