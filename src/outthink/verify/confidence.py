"""How sure the proposer was of what it wrote: a score without a second model.

Confidence in a token is minus the mean log probability of the k likeliest tokens there (DeepConf,
Fu et al. 2025, arXiv 2508.15260; over the whole vocabulary it is the self-certainty of Kang et al.
2025, arXiv 2502.18581, up to a constant): it is log k where all k are equally likely, and grows as
one token takes more. A step's is the mean over its tokens, C, and its score 1 - log k / C: 0 where
all k are equally likely, towards 1 as one takes all. Weakest group and tail confidence are then the
`min` and `last` of steps.

It needs k log probabilities at every token. An engine in process leaves them in `State.proposer`
(`Likelihoods`), and so do vLLM and llama.cpp as they write. Otherwise the solution is read again:
by a model in process (`Rereads`), by vLLM in one more request (`Rescores`, `prompt_logprobs`), or
by llama.cpp in one request a token. With a server, only a solution drawn without this verifier, or
by a search that was interrupted, is read again.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, runtime_checkable

from outthink.errors import UsageError
from outthink.models.in_process import SharedTime, in_flight
from outthink.models.reread import Reread, Rereads
from outthink.types import (
    Arrival,
    BatchProposer,
    BatchVerifier,
    Proposer,
    Scores,
    Solution,
    Verified,
    Verifier,
)

TOP = 20
"""Likeliest tokens at each place: the most that vLLM gives by default."""


@runtime_checkable
class Likelihoods(Protocol):
    """What an engine may leave in `State.proposer`."""

    @property
    def top_logprobs(self) -> Sequence[Sequence[float]]:
        """For every token of the solution, the log probabilities of the likeliest ones there."""
        ...


@runtime_checkable
class Rescores(Protocol):
    """A served proposer that reads a solution again."""

    name: str

    async def rescore(self, solution: Solution, top: int) -> Reread:
        """The `top` likeliest log probabilities at every token of the solution; none at a token for
        which the server gives none."""
        ...


@runtime_checkable
class Leaves(Protocol):
    """A served proposer that can keep log probabilities as it writes."""

    def leave(self, top: int) -> None: ...


Scoring = Callable[[Sequence[Sequence[float]], Sequence[int]], Scores]
"""Scores of steps from the log probabilities at each token and the ends of the steps."""


def confidence(proposer: Proposer | BatchProposer, *, top: int = TOP) -> Verifier | BatchVerifier:
    """The verifier that scores by the proposer's own confidence. Raises `UsageError` for a proposer
    that gives no log probabilities."""
    return likelihoods(proposer, top, "confidence", step_confidence)


def likelihoods(
    proposer: Proposer | BatchProposer, top: int, what: str, how: Scoring
) -> Verifier | BatchVerifier:
    """A verifier that scores by how likely the proposer's tokens were, called `what`. Raises
    `UsageError` as `confidence`."""
    if top < 2:
        raise UsageError(f"{what} over {top} tokens tells nothing; give 2 or more")
    if isinstance(proposer, Rescores):
        can = getattr(proposer, "rescores", True)
        if can:
            if isinstance(proposer, Leaves):
                proposer.leave(top)
            return _Asked(proposer, top, what, how)
    elif isinstance(proposer, Rereads):
        return _Again(proposer, top, what, how)
    elif getattr(proposer, "leaves_logprobs", False):
        return _Left(proposer.name, what, how)
    raise UsageError(
        f"{proposer.name} gives no log probabilities of its tokens, which {what} is computed "
        "from; run the model as hf:NAME, serve it with vLLM or llama.cpp, or name another verifier"
    )


def step_confidence(top_logprobs: Sequence[Sequence[float]], ends: Sequence[int]) -> Scores:
    """One score a step, of its own tokens."""
    scores: list[float | None] = []
    begin = 0
    for end in ends:
        scores.append(sureness(top_logprobs[begin:end]))
        begin = end
    return Scores(tuple(scores))


def sureness(places: Sequence[Sequence[float]]) -> float | None:
    """1 - log k / C of some tokens, C their mean confidence; `None` where none has two log
    probabilities."""
    known = [place for place in places if len(place) > 1]
    if not known:
        return None
    sure = sum(map(token_confidence, known))
    even = sum(math.log(len(place)) for place in known)
    return min(1.0, max(0.0, 1 - even / sure)) if sure > 0 else None


def token_confidence(place: Sequence[float]) -> float:
    """Minus the mean of the log probabilities at a token (one at least)."""
    # A log probability of minus infinity would make the place infinitely sure.
    return -sum(max(logprob, -100.0) for logprob in place) / len(place)


class _Asked:
    """Confidence of a served proposer, which reads a solution again where it has to."""

    def __init__(self, proposer: Rescores, top: int, what: str, how: Scoring) -> None:
        self.name = f"{what}-{top}-{proposer.name}"
        self._how = how
        self._proposer = proposer
        self._top = top
        self._time = SharedTime()

    def verify(self, solutions: Sequence[Solution]) -> AsyncIterator[Arrival[Verified]]:
        """Rows as they come; counts are the server's."""
        return in_flight(self._verified, solutions, self._time)

    async def _verified(self, solution: Solution) -> Verified:
        if not solution.step_ends:
            return Verified(Scores(), 0, 0)
        reread = await self._proposer.rescore(solution, self._top)
        scores = self._how(reread.top_logprobs, solution.step_ends)
        return Verified(scores, reread.computed_tokens, reread.cached_tokens)


class _Again:
    """Confidence of a model in process, which reads every solution again."""

    def __init__(self, proposer: Rereads, top: int, what: str, how: Scoring) -> None:
        self.name = f"{what}-{top}-{proposer.name}"
        self._how = how
        self._proposer = proposer
        self._top = top

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order."""
        asked = [solution for solution in solutions if solution.step_ends]
        read = iter(self._proposer.reread(asked, self._top) if asked else [])
        return [
            self._verified(solution, next(read)) if solution.step_ends else Verified(Scores(), 0, 0)
            for solution in solutions
        ]

    def _verified(self, solution: Solution, reread: Reread) -> Verified:
        scores = self._how(reread.top_logprobs, solution.step_ends)
        return Verified(scores, reread.computed_tokens, reread.cached_tokens, reread.shared_tokens)


class _Left:
    """Confidence from the state of a solution, at no cost; where the state was dropped there is no
    score."""

    def __init__(self, proposer: str, what: str, how: Scoring) -> None:
        self.name = f"{what}-{proposer}"
        self._how = how

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order."""
        return [Verified(self._scores(solution), 0, 0) for solution in solutions]

    def _scores(self, solution: Solution) -> Scores:
        left = solution.state.proposer if solution.state else None
        if not isinstance(left, Likelihoods):
            return Scores()
        return self._how(left.top_logprobs, solution.step_ends)
