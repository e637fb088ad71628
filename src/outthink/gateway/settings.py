"""What a gateway is started with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from outthink.errors import UsageError
from outthink.policy.family import Dial
from outthink.study.models import Models

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""Words of `reasoning_effort`, by rising cost."""


def prices(words: Sequence[str]) -> dict[str, float]:
    """Prices of words of `reasoning_effort`, as `low=0.01`. Raises `UsageError` for others."""
    told = {}
    for word in words:
        name, _, price = word.partition("=")
        if name not in EFFORTS[1:] or not _is_price(price):
            raise UsageError(
                f"--effort {word!r}: write WORD=PRICE with one of {', '.join(EFFORTS[1:])} and a "
                "number above 0, as low=0.01"
            )
        told[name] = float(price)
    return told


def _is_price(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and all of them, may take."""

    at_once: int = 64
    """Requests that are answered at a time; others wait."""
    waiting: int = 256
    """Requests that may wait; further ones are sent away (429)."""
    generations: int = 256
    """Of one answer: the most that a strategy may be given."""
    choices: int = 16
    """`n`: answers of one request, each thought about on its own."""
    calls: int = 16_384
    """Rows that models may write for one request, all its answers together. A tree search writes
    one for each step, and up to 40 for one generation."""
    body_bytes: int = 4 << 20
    messages: int = 1024
    deadline_s: float = 600.0
    """Of one request, its waiting included."""
    patience_s: float = 20.0
    """For which a model's server that fails or is busy is asked again, before the client is told;
    what `--patience` says comes before it."""
    keep_alive_s: float = 10.0
    """Between two signs of life of a stream."""
    grace_s: float = 60.0
    """That answers under way have once it is told to stop."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A gateway."""

    models: Models
    policy: Path | None = None
    """A sequential policy; `None` for none, and then `strategy` is what `auto` means."""
    strategy: str | None = None
    budget: int = 8
    """Of `strategy`, in generations."""
    dial: Dial = Dial()  # noqa: RUF009 - frozen
    """What the policy may spend where a request says nothing."""
    efforts: Mapping[str, float] = field(default_factory=dict)
    """Prices of words of `reasoning_effort`; the others follow from the policy."""
    grader: str | None = None
    """Finds answers; `None` for the policy's, and without one all of a text is its answer."""
    seed: int = 0
    store: Path | None = None
    """Keeps what is drawn."""
    keys: Path | None = None
    spent: Path | None = None
    """Keeps what users spend; `None` for a file beside the keys."""
    ignore: frozenset[str] = frozenset()
    """Parameters that are dropped where they cannot be done, in place of being refused."""
    limits: Limits = Limits()
    log_text: bool = False
    """Whether what users write is logged."""
