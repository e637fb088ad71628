"""What verdicts of a judge cost, kept in the store that they are in."""

from __future__ import annotations

import json

from outthink.grade import Grading, GradingCost
from outthink.run.store import Store

_META = "grading by "
"""How the remark in a store begins that tells it."""


def charge(store: Store, grader: Grading) -> None:
    """Add what a grader spent since it was asked last; nothing for one that is no model."""
    spent = grader.spent()
    if spent is None or not spent.verdicts:
        return
    before = cost(store, grader.name) or GradingCost(0, 0, 0)
    total = [
        before.verdicts + spent.verdicts,
        before.tokens + spent.tokens,
        before.written_tokens + spent.written_tokens,
    ]
    store.set_meta(_META + grader.name, json.dumps(total))


def cost(store: Store, grader: str) -> GradingCost | None:
    """What the verdicts of a grader cost in all; `None` of one that is no model."""
    told = store.get_meta(_META + grader)
    return GradingCost(*json.loads(told)) if told else None


def graded(store: Store, grader: str) -> tuple[str, ...]:
    """The same in words; nothing of a grader that is no model."""
    spent = cost(store, grader)
    return () if spent is None else (in_words(spent),)


def in_words(spent: GradingCost) -> str:
    """What a judge cost."""
    return (
        f"A judge graded the answers: {spent.verdicts} verdicts took {spent.tokens} tokens, of "
        f"which it wrote {spent.written_tokens}. They are beside the tokens of searches; 'outthink "
        "agreement' holds it against another judge."
    )
