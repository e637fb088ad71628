"""How sure the proposer was of what it wrote: a score without a second model.

Confidence in a token is minus the mean log probability of the k likeliest tokens there (DeepConf,
Fu et al. 2025, arXiv 2508.15260; over the whole vocabulary it is the self-certainty of Kang et al.
2025, arXiv 2502.18581, up to a constant): spread over k tokens evenly it is log k, and the more one
token has, the larger. A step's is the mean over its tokens, C, and its score 1 - log k / C: 0 where
all k are equally likely, towards 1 as one takes all. Weakest group and tail confidence are then the
`min` and `last` of steps.

It needs the k log probabilities of every token: left in `State.proposer` by an engine in process
(`Likelihoods`), and by llama.cpp as it writes; or the solution is read again: a model in process
does (`Rereads`), vLLM in one more request (`Rescores`, `prompt_logprobs`), llama.cpp in one a
token, which an interrupted search needs alone.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from outthink.errors import UsageError
from outthink.models.dialects import Reread
from outthink.types import AnyProposer, AnyVerifier, Scores, Solution, Verified

TOP = 20
"""Tokens a place: what vLLM gives without being told to give more."""


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
        """The `top` likeliest log probabilities at every token of the solution; nothing at a token
        that is not told of."""
        ...


@runtime_checkable
class Leaves(Protocol):
    """A served proposer that can be told to keep what was likely as it writes."""

    def leave(self, top: int) -> None: ...


@runtime_checkable
class Rereads(Protocol):
    """A proposer in process that reads solutions again."""

    name: str

    def reread(self, solutions: Sequence[Solution], top: int) -> list[Reread]:
        """The `top` likeliest log probabilities at every token of each solution."""
        ...


def confidence(proposer: AnyProposer, *, top: int = TOP) -> AnyVerifier:
    """The verifier that is the proposer's own confidence; raises `UsageError` where it has none to
    tell."""
    if top < 2:
        raise UsageError(f"confidence over {top} tokens tells nothing; give 2 or more")
    if isinstance(proposer, Rescores):
        can = getattr(proposer, "rescores", True)
        if can:
            if isinstance(proposer, Leaves):
                proposer.leave(top)
            return _Asked(proposer, top)
    elif isinstance(proposer, Rereads):
        return _Again(proposer, top)
    elif not inspect.iscoroutinefunction(proposer.propose) and getattr(
        proposer, "leaves_logprobs", False
    ):
        return _Left(proposer.name)
    raise UsageError(
        f"{proposer.name} does not tell how likely its tokens were, which confidence is made of; "
        "run the model as hf:NAME, serve it with vLLM or llama.cpp, which tell, or name another "
        "verifier"
    )


def step_confidence(top_logprobs: Sequence[Sequence[float]], ends: Sequence[int]) -> Scores:
    """One score a step."""
    scores: list[float | None] = []
    begin = 0
    for end in ends:
        places = [place for place in top_logprobs[begin:end] if len(place) > 1]
        begin = end
        if not places:
            scores.append(None)
            continue
        # What has no probability at all would make any place infinitely sure.
        sure = sum(-sum(max(each, -100.0) for each in place) / len(place) for place in places)
        even = sum(math.log(len(place)) for place in places)
        scores.append(min(1.0, max(0.0, 1 - even / sure)) if sure > 0 else None)
    return Scores(tuple(scores))


class _Asked:
    """What the proposer does not know of a solution it reads again."""

    def __init__(self, proposer: Rescores, top: int) -> None:
        self.name = f"confidence-{top}-{proposer.name}"
        self._proposer = proposer
        self._top = top

    async def verify(self, solution: Solution) -> Verified:
        """One row; counts are the server's."""
        if not solution.step_ends:
            return Verified(Scores(), 0, 0)
        found = await self._proposer.rescore(solution, self._top)
        scores = step_confidence(found.top_logprobs, solution.step_ends)
        return Verified(scores, found.computed_tokens, found.cached_tokens)


class _Again:
    """Every solution is read again."""

    def __init__(self, proposer: Rereads, top: int) -> None:
        self.name = f"confidence-{top}-{proposer.name}"
        self._proposer = proposer
        self._top = top

    def verify(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order."""
        asked = [each for each in solutions if each.step_ends]
        read = iter(self._proposer.reread(asked, self._top) if asked else [])
        return [
            self._verified(each, next(read)) if each.step_ends else Verified(Scores(), 0, 0)
            for each in solutions
        ]

    def _verified(self, solution: Solution, found: Reread) -> Verified:
        scores = step_confidence(found.top_logprobs, solution.step_ends)
        return Verified(scores, found.computed_tokens, found.cached_tokens, found.shared_tokens)


class _Left:
    """What is left in the state costs nothing; where it was dropped there is no score."""

    def __init__(self, proposer: str) -> None:
        self.name = f"confidence-{proposer}"

    def verify(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order."""
        return [Verified(self._scores(each), 0, 0) for each in solutions]

    def _scores(self, solution: Solution) -> Scores:
        left = solution.state.proposer if solution.state else None
        if not isinstance(left, Likelihoods):
            return Scores()
        return step_confidence(left.top_logprobs, solution.step_ends)
