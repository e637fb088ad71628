"""Votes that are decided before all are in: what is left could not change them.

Li et al. 2024 (early-stopping self-consistency, https://arxiv.org/abs/2401.10480) stop where the
rest is unlikely to change a vote; here it cannot, so the answer is that of the whole vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outthink.types import Enough, Solution


def decided(votes: int, before: Sequence[str | None] = ()) -> Enough:
    """Of so many solutions, after those whose answers are known."""

    def enough(drawn: Sequence[Solution]) -> bool:
        answers = [*before, *(solution.answer for solution in drawn)]
        return is_decided(answers, votes - len(drawn))

    return enough


def is_decided(answers: Sequence[str | None], left: int) -> bool:
    """Whether a vote stays as it is, whatever the votes that are left. Ties go to the answer that
    was drawn first; `None` is no vote."""
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return left == 0
    # In the order in which they were drawn, so the first of the largest leads.
    leader = max(counts, key=lambda answer: counts[answer])
    lead, is_earlier = counts[leader], True
    for rival, count in counts.items():
        if rival == leader:
            is_earlier = False
        elif count + left > lead or (count + left == lead and is_earlier):
            return False
    return left <= lead
