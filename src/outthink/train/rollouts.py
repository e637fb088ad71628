"""Monte Carlo step labels: how often a prefix leads to the right answer.

Snell et al. 2024, appendix D.

The labelling is a search like any other: it draws samples, then completes every distinct prefix of
them. So the driver batches it, the store keeps it, and a run that was killed can be resumed. A
prefix that several samples share is rolled out once. Labels come from final answers alone; the text
of a step is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from outthink.run.journal import Result
from outthink.search import strategy
from outthink.search.select import MAJORITY
from outthink.types import (
    END,
    Budget,
    Grader,
    Problem,
    Propose,
    Purpose,
    Search,
    Solution,
    Strategy,
)

SAMPLES = 16
ROLLOUTS = 16
"""The paper's numbers."""


def labelling(rollouts: int) -> Strategy:
    """The search that labels; its budget is the number of samples."""
    return strategy(f"rollouts(each={rollouts})")


def roll_out(problem: Problem, budget: Budget, *, each: int) -> Search:
    """Draw samples, then `each` completions of every distinct unfinished prefix of a sample.

    Samples without an answer are dropped (appendix D). The choice's candidates are the samples,
    then the completions, `each` in a row, in the order of `prefixes`.
    """
    samples: list[Solution] = yield Propose([Solution.start(problem)] * budget.generations, END)
    kept = [sample for sample in samples if sample.answer is not None]
    starts = [prefix for prefix in prefixes(kept) for _ in range(each)]
    completions: list[Solution] = []
    if starts:
        completions = yield Propose(starts, END, purpose=Purpose.ROLLOUT)
    return replace(MAJORITY(kept), candidates=(*kept, *completions))


def prefixes(samples: Sequence[Solution]) -> list[Solution]:
    """The distinct prefixes of one step or more that stop before a sample's last step."""
    distinct: dict[tuple[int, ...], Solution] = {}
    for sample in samples:
        for place, end in enumerate(sample.step_ends[:-1]):
            tokens = sample.tokens[:end]
            if tokens not in distinct:
                ends = sample.step_ends[: place + 1]
                distinct[tokens] = Solution(sample.problem, tokens, ends, number=sample.number)
    return list(distinct.values())


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sample with the share of right completions after each of its steps."""

    solution: Solution
    labels: tuple[float, ...]
    """[steps] in [0, 1]; the last one is 0 or 1, whether the sample itself is right."""


def labels(result: Result, *, rollouts: int, grader: Grader) -> list[Labelled]:
    """The samples of a finished labelling, with their labels; the problem must have a reference."""
    reference = result.job.problem.reference
    assert reference is not None
    candidates = result.choice.candidates
    right = {
        candidate.number: float(
            candidate.answer is not None and grader(candidate.answer, reference)
        )
        for candidate in candidates
    }
    # The first request drew the samples, so theirs are the lowest numbers.
    samples = [c for c in candidates if c.number < result.job.budget.generations]
    completions = iter(candidates[len(samples) :])
    share = {
        prefix.tokens: sum(right[c.number] for c in islice(completions, rollouts)) / rollouts
        for prefix in prefixes(samples)
    }
    return [
        Labelled(
            sample,
            (*(share[sample.tokens[:end]] for end in sample.step_ends[:-1]), right[sample.number]),
        )
        for sample in samples
    ]
