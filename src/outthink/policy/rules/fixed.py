"""A fixed strategy: one stage, whatever it shows. Every factor is measured against these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outthink.measure.arrays import Integers
from outthink.policy.menu import Stage
from outthink.policy.replay import Allowed
from outthink.policy.rules.shared import as_given, chosen, on
from outthink.policy.tally import Cells, Tally
from outthink.search import Selection, strategy
from outthink.search.select import AnswerAggregation
from outthink.study.plan import verifies


@dataclass(frozen=True, slots=True)
class Fixed:
    """Runs a stage once and answers as its strategy does, or as `answer` says.

    The answer is chosen from a tally: see `chosen` for where that differs. What asks no verifier
    has no scores, even where the trials hold some. Raises `UsageError` as `strategy` does.
    """

    stage: Stage
    answer_by: AnswerAggregation | None = None
    """`None` for what the strategy says."""

    @property
    def name(self) -> str:
        """The stage's, and what was asked for in place of its own selection."""
        return self.stage.name + (f" by {self.answer_by.value}" if self.answer_by else "")

    @property
    def menu(self) -> tuple[Stage, ...]:
        """The one stage."""
        return (self.stage,)

    @property
    def needs_scores(self) -> bool:
        """Whether it is of no use where candidates have no scores."""
        return self._how is not AnswerAggregation.MAJORITY

    @property
    def _how(self) -> AnswerAggregation:
        if self.answer_by is not None:
            return self.answer_by
        said = strategy(self.stage.strategy)
        if not verifies(said.name):
            return AnswerAggregation.MAJORITY
        if said.about.reading and isinstance(said.about.reading.choose, Selection):
            return said.about.reading.choose.answer
        return AnswerAggregation(said.options.get("answer", AnswerAggregation.WEIGHTED))

    def chances(self, stage: Stage, scores: Cells) -> Cells:
        """The scores; 0 for every candidate of a stage that asks no verifier."""
        return as_given(scores) if verifies(stage.strategy) else np.zeros_like(scores)

    def decide(self, tally: Tally, allowed: Allowed) -> Integers:
        """The stage, then stop."""
        return on(tally.looks > 0, allowed)

    def answer(self, tally: Tally) -> Integers:
        """By the strategy's own selection."""
        return chosen(tally, self._how)
