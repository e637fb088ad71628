"""The accuracy of every strategy at every budget on every problem."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The accuracy of every strategy at every budget on every problem.

    Raises `UsageError` where shapes disagree, a name or budget comes twice, budgets do not rise, an
    accuracy is outside [0, 1], a strategy was run at a budget on some of the problems only, or a
    budget has no strategy.
    """

    problems: tuple[str, ...]
    strategies: tuple[str, ...]
    """Cheapest first: of strategies that do equally well the first is taken."""
    budgets: tuple[int, ...]
    """Generations, rising."""
    accuracy: Floats
    """[S, N, P] in [0, 1]; NaN, in memory only, where a strategy was not run at a budget."""

    def __post_init__(self) -> None:
        shape = (len(self.strategies), len(self.budgets), len(self.problems))
        if self.accuracy.shape != shape or 0 in shape:
            raise UsageError(
                f"grid of shape {list(self.accuracy.shape)} for {shape[0]} strategies, {shape[1]} "
                f"budgets and {shape[2]} problems; give [strategies, budgets, problems]"
            )
        for names in (self.problems, self.strategies):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise UsageError(f"grid has {twice!r} twice; give every name once")
        if sorted(set(self.budgets)) != list(self.budgets) or self.budgets[0] < 1:
            raise UsageError(f"grid budgets {list(self.budgets)}; give rising budgets from 1 up")
        missing = np.isnan(self.accuracy)
        if not ((self.accuracy >= 0) & (self.accuracy <= 1) | missing).all():
            raise UsageError("grid has an accuracy outside [0, 1]; give shares")
        partial = missing.any(axis=2) & ~missing.all(axis=2)
        if partial.any():
            strategy, budget = np.argwhere(partial)[0]
            raise UsageError(
                f"{self.strategies[strategy]} at budget {self.budgets[budget]} misses problems; "
                "keep the problems that all of them have"
            )
        idle = missing.all(axis=(0, 2))
        if idle.any():
            raise UsageError(
                f"no strategy was run at budget {self.budgets[int(idle.argmax())]}; leave it out"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of everything in the grid, for `Provenance.data_hash`."""
        names = json.dumps([self.problems, self.strategies, self.budgets]).encode()
        # NaN has many bit patterns; a number no accuracy has stands in for them all.
        numbers = np.where(np.isnan(self.accuracy), -1.0, self.accuracy).astype("<f8")
        return hashlib.sha256(names + b"\0" + numbers.tobytes()).hexdigest()
