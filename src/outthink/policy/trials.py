"""Trials: what each stage of a menu gave, each time it was run on each problem.

The runs of a stage do not depend on one another, so any order of stages can be replayed from them:
a stage takes the next runs of its source that were not taken yet. One order says little, so a
problem is replayed in many random ones; nothing is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.measure.arrays import Floats, Integers
from outthink.measure.pools import NO_ANSWER
from outthink.policy.menu import Stage


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """U units of what stages draw from, a problem: samples, or whole runs of a search."""

    name: str
    answers: NDArray[np.int16]
    """[P, U, M] answer ids of each unit's candidates, local to the problem; `NO_ANSWER` where a
    candidate has none, and to fill up."""
    scores: NDArray[np.float32]
    """[P, U, M] in [0, 1]; NaN where there is none."""
    candidates: NDArray[np.int16]
    """[P, U] how many of the M are real."""
    costs: NDArray[np.float64]
    """[P, U] in the currency of the trials."""
    chain: int = 1
    """Units come in chains of this length, each of which is taken in its order."""

    @property
    def units(self) -> int:
        """Runs a problem."""
        return int(self.answers.shape[1])

    def order(self, rows: int, rng: np.random.Generator) -> Integers:
        """[rows, U] the units in random orders."""
        chains = rng.random((rows, self.units // self.chain)).argsort(axis=1)
        units = chains[:, :, None] * self.chain + np.arange(self.chain)
        order: Integers = units.reshape(rows, -1)
        return order

    def take(self, problems: Integers) -> Source:
        """The same of these problems alone."""
        return Source(
            self.name,
            self.answers[problems],
            self.scores[problems],
            self.candidates[problems],
            self.costs[problems],
            self.chain,
        )


@dataclass(frozen=True, eq=False)
class Trials:
    """What a menu gave on P problems. Raises `UsageError` for a stage without a source."""

    menu: tuple[Stage, ...]
    sources: tuple[Source, ...]
    right: NDArray[np.bool_]
    """[P, K] whether each answer of a problem is right."""
    problems: tuple[str, ...]
    currency: str = "generations"
    texts: tuple[tuple[str, ...], ...] = ()
    """The answers of each problem by number; empty where they are not known."""

    def __post_init__(self) -> None:
        named = {source.name for source in self.sources}
        for stage in self.menu:
            if stage.source not in named:
                raise UsageError(
                    f"no runs of stage {stage.name} are in the store, only of "
                    f"{', '.join(sorted(named))}; sweep with '--stages {stage.name}'"
                )

    @cached_property
    def source_of(self) -> tuple[int, ...]:
        """The number of each stage's source."""
        names = [source.name for source in self.sources]
        return tuple(names.index(stage.source) for stage in self.menu)

    @cached_property
    def costs(self) -> Floats:
        """[A] mean cost of each stage: what a policy expects to pay."""
        means = [float(source.costs.mean()) for source in self.sources]
        return np.array(
            [
                stage.units * means[source]
                for stage, source in zip(self.menu, self.source_of, strict=True)
            ]
        )

    def take(self, problems: Integers) -> Trials:
        """The trials of these problems alone."""
        return replace(
            self,
            sources=tuple(source.take(problems) for source in self.sources),
            right=self.right[problems],
            problems=tuple(self.problems[place] for place in problems),
            texts=tuple(self.texts[place] for place in problems) if self.texts else (),
        )

    def only(self, menu: Sequence[Stage]) -> Trials:
        """The trials of a smaller menu."""
        return replace(self, menu=tuple(menu))

    def is_right(self, problems: Integers, answers: Integers) -> NDArray[np.bool_]:
        """Whether these answers [E] to these problems [E] are right; `NO_ANSWER` never is."""
        right: NDArray[np.bool_] = self.right[problems, answers] & (answers != NO_ANSWER)
        return right
