"""What an engine says of how likely each token of a solution was, and what reading it again cost.

Two readings: the log probabilities of the likeliest tokens at each place, which servers tell too,
and one number a place of the whole distribution, which only engines in this process can give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from outthink.types import Solution

Likely = Sequence[float]
"""Log probabilities of the likeliest tokens at one place, falling."""


@dataclass(frozen=True, slots=True)
class Reread:
    """Log probabilities at the tokens of an answer that a model read again, and what reading
    cost."""

    top_logprobs: tuple[Likely, ...]
    """At every place that was asked about."""
    computed_tokens: int
    cached_tokens: int
    shared_tokens: int = 0
    """Computed tokens that all answers to this problem begin with."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the distribution at each token of an answer is from one that knows nothing."""

    divergences: tuple[float, ...]
    """KL(U || p) in nats of the uniform distribution over the vocabulary from the model's, at each
    place: 0 where all tokens are equally likely (Kang et al. 2025, arXiv 2502.18581)."""
    vocabulary: int
    """Tokens of the vocabulary, 2 or more."""
    computed_tokens: int
    cached_tokens: int
    shared_tokens: int = 0
    """As of a `Reread`."""


@runtime_checkable
class Rereads(Protocol):
    """A proposer in process that reads solutions again."""

    name: str

    def reread(self, solutions: Sequence[Solution], top: int) -> list[Reread]:
        """The `top` likeliest log probabilities at every token of each solution."""
        ...


@runtime_checkable
class Spreads(Protocol):
    """A proposer in process that gives whole distributions."""

    name: str

    def spread(self, solutions: Sequence[Solution]) -> list[Spread]:
        """How far from uniform the model was at every token of each solution."""
        ...
