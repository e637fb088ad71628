"""Self-certainty: how far the model's distributions were from one that knows nothing.

KL(U || p) of the uniform distribution over the vocabulary V from the model's, the mean over the
tokens of a solution (Kang et al. 2025, arXiv 2502.18581). The score of a step is that of the
solution up to its end, D, written as D / (D + log V) to lie in [0, 1].

It needs whole distributions, which engines in this process give (`Spreads`). Servers tell the k
likeliest tokens alone: of those it is approximated as if they were the whole vocabulary, and the
name of the verifier says so (`self-certainty-top20`). A model that tells neither is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from outthink.models.reread import Spread, Spreads
from outthink.types import (
    BatchProposer,
    BatchVerifier,
    Proposer,
    Scores,
    Solution,
    Verified,
    Verifier,
)
from outthink.verify.confidence import TOP, likelihoods, sureness


def self_certainty(
    proposer: Proposer | BatchProposer, *, top: int = TOP
) -> Verifier | BatchVerifier:
    """The verifier; `top` is for servers. Raises `UsageError` as `confidence`."""
    if isinstance(proposer, Spreads):
        return _Whole(proposer)
    return likelihoods(proposer, top, "self-certainty-top", of_likeliest)


def of_likeliest(top_logprobs: Sequence[Sequence[float]], ends: Sequence[int]) -> Scores:
    """One score a step, of all tokens up to its end, from the likeliest ones alone."""
    return Scores(tuple(sureness(top_logprobs[:end]) for end in ends))


def of_all(spread: Spread, ends: Sequence[int]) -> Scores:
    """One score a step, of all tokens up to its end."""
    totals = list(accumulate(spread.divergences, initial=0.0))
    even = math.log(spread.vocabulary)
    means = [totals[end] / end for end in ends]
    return Scores(tuple(mean / (mean + even) for mean in means))


class _Whole:
    """Self-certainty of a model in process, which reads every solution again."""

    def __init__(self, proposer: Spreads) -> None:
        self.name = f"self-certainty-{proposer.name}"
        self._proposer = proposer

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order."""
        asked = [solution for solution in solutions if solution.step_ends]
        read = iter(self._proposer.spread(asked) if asked else [])
        return [
            _verified(solution, next(read)) if solution.step_ends else Verified(Scores(), 0, 0)
            for solution in solutions
        ]


def _verified(solution: Solution, spread: Spread) -> Verified:
    scores = of_all(spread, solution.step_ends)
    return Verified(scores, spread.computed_tokens, spread.cached_tokens, spread.shared_tokens)
