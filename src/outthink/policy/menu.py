"""The menu of a sequential policy: stages, each a strategy at a size.

A stage is written as a strategy and its size: `best_of_n@4`, `beam@4`, `greedy(by=larger)@1`. It is
run whole; then the policy looks at all that was drawn and decides again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outthink.errors import UsageError
from outthink.study.plan import asks, reads_chains, reads_samples, stage_parts

AT = "@"


@dataclass(frozen=True, slots=True, order=True)
class Stage:
    """A strategy at a size in generations. Raises `UsageError` for a size below 1."""

    strategy: str
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"stage {self.name} spends nothing; give a size of at least 1")

    @classmethod
    def parse(cls, text: str) -> Stage:
        """The stage that `text` names, its strategy by its canonical name."""
        return cls(*stage_parts(text))

    @property
    def name(self) -> str:
        """As it is written."""
        return f"{self.strategy}{AT}{self.size}"

    @property
    def is_divisible(self) -> bool:
        """Whether it can be looked at after every generation: independent samples, and revisions,
        which go on with the chain that is begun."""
        return reads_samples(self.strategy) or reads_chains(self.strategy)

    @property
    def source(self) -> str:
        """What it draws from. Divisible stages of one strategy draw from one source, whatever their
        size; a search is a source of its own."""
        return self.strategy if self.is_divisible else self.name

    @property
    def units(self) -> int:
        """Units that it draws from its source: solutions, or one run of a search."""
        return self.size if self.is_divisible else 1

    @property
    def roles(self) -> frozenset[str]:
        """Roles that it asks."""
        return asks(self.strategy)


def stages(texts: Sequence[str]) -> tuple[Stage, ...]:
    """A menu. Raises `UsageError` for no stage, or one that is named twice."""
    menu = tuple(map(Stage.parse, texts))
    if not menu:
        raise UsageError("an empty menu; name at least one stage, as 'best_of_n@4'")
    if len(set(menu)) < len(menu):
        twice = next(stage.name for stage in menu if menu.count(stage) > 1)
        raise UsageError(f"stage {twice} is named twice; name each once")
    return menu
