"""A vote of the solutions that finish first, or last, of N that were begun together.

How long a solution is stands for when it finishes: N that are drawn side by side advance token by
token. One that was cut off, or declares no answer, finishes with none and is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outthink.errors import UsageError
from outthink.search.select import MAJORITY
from outthink.types import Choice, Scores, Solution


@dataclass(frozen=True, slots=True)
class Finish:
    """Votes of the first `k` to finish with an answer, or of the last. Raises `UsageError` for a
    `k` below 1."""

    k: int
    last: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"a vote of k={self.k} solutions; give at least 1")

    def __call__(
        self, candidates: Sequence[Solution], scores: Sequence[Scores] | None = None
    ) -> Choice:
        """Choose. Of equal lengths the earlier draw finishes first; ties of the vote go to the
        answer that came first."""
        answered = [place for place, one in enumerate(candidates) if one.answer is not None]
        sign = -1 if self.last else 1
        answered.sort(key=lambda place: sign * len(candidates[place].tokens))
        voters = answered[: self.k]
        vote = MAJORITY([candidates[place] for place in voters])
        index = None if vote.index is None else voters[vote.index]
        return Choice(vote.answer, index, tuple(candidates), tuple(scores or ()))
