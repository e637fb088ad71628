"""How an answer is chosen from scored solutions: step aggregation, then answer aggregation.

Snell et al. 2024, section 5.1 and appendix E: the last step's score, and the weighted vote
argmax_a sum_i s_i [a_i = a]. Lightman et al. 2023 multiply, Math-Shepherd takes the minimum; both
are here as well. Knows nothing of models: tuples in, one `Choice` out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from outthink.types import Choice, Scores, Solution


class StepAggregation(StrEnum):
    """How the scores of a solution's steps become one score."""

    LAST = "last"
    MIN = "min"
    PROD = "prod"
    MEAN = "mean"


class AnswerAggregation(StrEnum):
    """How the solutions of a problem become one answer."""

    MAX = "max"
    """The best-scored solution's answer: plain best-of-N."""
    WEIGHTED = "weighted"
    """The answer with the largest sum of scores: weighted best-of-N."""
    MAJORITY = "majority"
    """The answer given most often; scores only break ties."""
    HIERARCHICAL = "hierarchical"
    """Weighted within each chain of revisions, then weighted among what the chains chose."""


_REDUCE: dict[StepAggregation, Callable[[Sequence[float]], float]] = {
    StepAggregation.LAST: lambda steps: steps[-1],
    StepAggregation.MIN: min,
    StepAggregation.PROD: math.prod,
    StepAggregation.MEAN: lambda steps: sum(steps) / len(steps),
}


def reduce_steps(scores: Scores, how: StepAggregation) -> float | None:
    """One score in [0, 1] for a solution, or `None` where a score it needs is missing."""
    if how is StepAggregation.LAST:
        return scores.last
    known = [score for score in scores.steps if score is not None]
    if not known or len(known) < len(scores.steps):
        return None
    return _REDUCE[how](known)


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of both aggregations. Call it with candidates and their scores."""

    step: StepAggregation = StepAggregation.LAST
    answer: AnswerAggregation = AnswerAggregation.WEIGHTED

    def __call__(
        self, candidates: Sequence[Solution], scores: Sequence[Scores] | None = None
    ) -> Choice:
        """Choose. Ties go to the higher mean score, then to the earliest candidate (A7); between
        equally scored solutions under `max`, to the earliest.

        Candidates without an answer have no vote. A candidate without a score adds no weight, and
        where no candidate that answered has a score the vote is a plain majority: a verifier that
        returned nothing is no reason to return nothing.
        """
        reduced = (
            [None] * len(candidates)
            if scores is None
            else [reduce_steps(score, self.step) for score in scores]
        )
        tallies: dict[str, _Tally] = {}
        for index, (candidate, score) in enumerate(zip(candidates, reduced, strict=True)):
            if candidate.answer is not None:
                tallies.setdefault(candidate.answer, _Tally(index)).add(index, score)
        kept = tuple(scores or ())
        if not tallies:
            return Choice(None, None, tuple(candidates), kept)
        how = self.answer
        if how is AnswerAggregation.HIERARCHICAL:
            how = AnswerAggregation.WEIGHTED  # solutions drawn on their own are one chain
        if all(tally.scored == 0 for tally in tallies.values()):
            how = AnswerAggregation.MAJORITY
        answer, tally = max(tallies.items(), key=lambda item: item[1].rank(how))
        return Choice(answer, tally.best, tuple(candidates), kept)

    def among(
        self,
        chains: Sequence[Sequence[int]],
        candidates: Sequence[Solution],
        scores: Sequence[Scores],
    ) -> Choice:
        """Choose among chains of revisions, each the indices of its candidates in their order.

        Hierarchical (Snell et al. 2024, appendix I): each chain chooses by a weighted vote and is
        represented by its best-scored solution with the answer that won; the representatives then
        vote, weighted by their own scores (A6). Everything else votes as if there were no chains.
        """
        if self.answer is not AnswerAggregation.HIERARCHICAL:
            return self(candidates, scores)
        chosen: list[int] = []
        for chain in chains:
            within = self([candidates[i] for i in chain], [scores[i] for i in chain])
            if within.index is not None:
                chosen.append(chain[within.index])
        final = self([candidates[i] for i in chosen], [scores[i] for i in chosen])
        index = None if final.index is None else chosen[final.index]
        return Choice(final.answer, index, tuple(candidates), tuple(scores))


class _Tally:
    """The votes one answer got."""

    __slots__ = ("best", "best_score", "count", "first", "scored", "weight")

    def __init__(self, first: int) -> None:
        self.first = first
        self.best = first
        self.best_score = -1.0
        self.count = 0
        self.scored = 0
        self.weight = 0.0

    def add(self, index: int, score: float | None) -> None:
        self.count += 1
        if score is None:
            return
        self.scored += 1
        self.weight += score
        if score > self.best_score:
            self.best, self.best_score = index, score

    def rank(self, how: AnswerAggregation) -> tuple[float, float, int]:
        mean = self.weight / self.scored if self.scored else -1.0
        value = {
            AnswerAggregation.MAX: self.best_score,
            AnswerAggregation.WEIGHTED: self.weight if self.scored else -1.0,
            AnswerAggregation.MAJORITY: float(self.count),
        }[how]
        tie = -self.best if how is AnswerAggregation.MAX else -self.first
        return (value, 0.0 if how is AnswerAggregation.MAX else mean, tie)


WEIGHTED_LAST = Selection()
MAJORITY = Selection(answer=AnswerAggregation.MAJORITY)
