"""Budget forcing: a reasoning model thinks as long as it is told to.

Muennighoff et al. 2025 (s1, arXiv 2501.19393), section 3.1. To cap, a thought that reaches its most
tokens is ended with the mark that ends thoughts, and the model is made to answer. To extend, the
mark is left out where the model would write it, and "Wait" is put in its place.

It needs a model whose answers can be continued, and that ends its thoughts with a mark. A model
that ended its answer before it was forced has its answer.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from outthink.errors import UsageError
from outthink.search.describe import describe
from outthink.search.select import AnswerAggregation, Selection, StepAggregation
from outthink.types import (
    END,
    PROPOSER,
    VERIFIER,
    Budget,
    Force,
    Problem,
    Propose,
    Purpose,
    Request,
    Scores,
    Search,
    Solution,
    Verify,
)

MARK = "</think>"
"""Ends the thoughts of most reasoning models."""
WAIT = "Wait"
THINKING = 1024
CAPPED = "\n\nFinal Answer:"
"""Follows the mark of a thought that was cut, so that the model answers at once."""
ENDED = "\n\n"


def _roles(answer: AnswerAggregation, **_: object) -> set[str]:
    return {PROPOSER} if answer is AnswerAggregation.MAJORITY else {PROPOSER, VERIFIER}


@describe(label="budget forcing", source="Muennighoff et al. 2025, section 3.1", roles=_roles)
def budget_forcing(
    problem: Problem,
    budget: Budget,
    *,
    thinking: int = THINKING,
    waits: int = 0,
    begin: str = "",
    mark: str = MARK,
    wait: str = WAIT,
    step: StepAggregation = StepAggregation.LAST,
    answer: AnswerAggregation = AnswerAggregation.MAJORITY,
) -> Search:
    """Spends N generations: N solutions, each with at most `thinking` tokens of thought, whose end
    is put off `waits` times. `begin` begins the thoughts of a model that does not do so itself.
    `majority` asks no verifier.
    """
    if thinking < 1 or waits < 0 or not mark or not wait:
        raise UsageError(
            f"budget_forcing thinking={thinking}, waits={waits}, mark={mark!r}, wait={wait!r}; "
            "give at least one token, no less than 0 waits, and words"
        )
    thoughts = [Solution.start(problem)] * budget.generations
    for word in [begin, *[wait] * waits]:
        going = [place for place, one in enumerate(thoughts) if _goes_on(one, thinking)]
        yield from _extend(thoughts, going, Force(word, mark, thinking))
    opened = [place for place, one in enumerate(thoughts) if one.is_open]
    capped = [place for place in opened if len(thoughts[place].tokens) >= thinking]
    ended = [place for place in opened if place not in capped]
    yield from _extend(thoughts, ended, Force(mark + ENDED))
    yield from _extend(thoughts, capped, Force(mark + CAPPED))
    selection = Selection(step, answer)
    if answer is AnswerAggregation.MAJORITY:
        return selection(thoughts)
    scores: list[Scores] = yield Verify(thoughts)
    return selection(thoughts, scores)


def _goes_on(solution: Solution, thinking: int) -> bool:
    return solution.is_open and len(solution.tokens) < thinking


def _extend(
    solutions: list[Solution], places: list[int], force: Force
) -> Generator[Request, Any, None]:
    """Extend the solutions at these places, in place; each is one generation, however often it is
    extended."""
    if not places:
        return
    prefixes = [solutions[place] for place in places]
    drawn = yield Propose(prefixes, until=END, purpose=Purpose.STEP, force=force)
    for place, solution in zip(places, drawn, strict=True):
        solutions[place] = solution
