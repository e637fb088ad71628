"""How well a way to set the length of thoughts works: control, scaling, performance.

Muennighoff et al. 2025 (s1, arXiv 2501.19393), section 3.2. Lengths are in thinking tokens, and
accuracy is a share from 0 to 1. Knows nothing of how thoughts were made long or short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from outthink.errors import UsageError


@dataclass(frozen=True, slots=True)
class Setting:
    """One length that was asked for, and what came of it."""

    tokens: float
    """Thinking tokens of a solution, on average."""
    accuracy: float


def control(lengths: Sequence[float], *, most: float, least: float = 0.0) -> float:
    """The share of thoughts whose length is within what was asked for. Raises `UsageError` for
    none."""
    if not lengths:
        raise UsageError("control of no thought; give the length of one at least")
    return sum(least <= length <= most for length in lengths) / len(lengths)


def scaling(settings: Sequence[Setting]) -> float | None:
    """The average slope between any two settings: accuracy a thinking token. Positive for a method
    that is of use. `None` where no two lengths differ."""
    pairs = [
        (b.accuracy - a.accuracy) / (b.tokens - a.tokens)
        for a, b in combinations(settings, 2)
        if a.tokens != b.tokens
    ]
    return sum(pairs) / len(pairs) if pairs else None


def performance(settings: Sequence[Setting]) -> float:
    """The best accuracy of any setting. Raises `UsageError` for none."""
    if not settings:
        raise UsageError("performance of no setting; give one at least")
    return max(setting.accuracy for setting in settings)
