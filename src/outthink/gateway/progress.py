"""What is told of a request while it is thought about, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from outthink.grade.calls import Call
from outthink.policy.live import Decision
from outthink.types import Scores, Usage


@dataclass(frozen=True, slots=True)
class Wrote:
    """A row of a model that came."""

    number: int
    parent: int
    role: str
    purpose: str
    text: str
    tokens: int
    finished: bool
    truncated: bool
    answer: str | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A score that came."""

    number: int
    role: str
    scores: Scores


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision of the policy."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Counted:
    """All that was spent so far."""

    usage: Usage


Progress = Wrote | Judged | Decided | Counted


@dataclass(frozen=True, slots=True)
class Thought:
    """One answer, and what it took."""

    answer: str | None
    """`None` where none was found in the text."""
    text: str
    reasoning: str
    """What a reasoning model thought before it wrote `text`."""
    chance: float | None
    """The probability that the answer is right; `None` without a policy."""
    strategy: str
    usage: Usage
    answer_tokens: int
    """Of the solution that was chosen."""
    late: bool
    """Its time was up: this is the best that there was."""
    truncated: bool
    """The text was cut off."""
    currency: str = "generations"
    """Of the policy."""
    decisions: tuple[Decision, ...] = ()
    number: int | None = None
    """Of the solution that was chosen, in the tree of `Wrote`."""
    trace: tuple[Wrote | Judged, ...] = field(default=(), repr=False)
    calls: tuple[Call, ...] = ()
    """Of tools, where the answer calls any."""
