"""Recorded samples as what would have drawn them: answers with one verdict each, a proposer that
replays what was written, and a verifier that replays its scores.

An answer that a file judges both ways is kept as two answers, since a policy knows verdicts by
answer; a vote counts them as one. A sample that was judged and has no answer that can be read is an
answer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outthink.data.samples import Sample
from outthink.errors import UsageError
from outthink.grade import Grading
from outthink.run.store import Recorded
from outthink.types import Draw, Drawn, Problem, Scores, Solution, Verified

UNKNOWN_TARGET = "(not recorded)"
"""The reference of a problem whose samples are judged, and whose target nobody wrote down."""
UNREAD = "(unread answer "


@dataclass(frozen=True, slots=True)
class Replayed:
    """A sample with the answer that it is kept under."""

    sample: Sample
    answer: str | None
    right: bool | None
    read: str | None
    """The answer as it was read."""

    @property
    def recorded(self) -> Recorded:
        """What its file says of it."""
        one = self.sample
        return Recorded(
            self.read, self.right, one.tokens, one.finished, one.text is not None, one.labels
        )


def problem_of(id: str, rows: Sequence[Sample]) -> Problem:
    """The problem of these samples."""
    prompt = next((row.prompt for row in rows if row.prompt is not None), id)
    target = next((row.target for row in rows if row.target is not None), None)
    judged = any(row.right is not None for row in rows)
    return Problem(id, prompt, UNKNOWN_TARGET if target is None and judged else target)


def replayed(
    problem: Problem, rows: Sequence[Sample], judge: Grading, again: bool
) -> list[Replayed]:
    """Samples with answers that have one verdict each. Raises `UsageError` where there is neither a
    verdict nor a target, or `again` without a target."""
    answers = [_answer(row, judge) for row in rows]
    if again:
        if problem.reference == UNKNOWN_TARGET:
            raise UsageError(f"problem {problem.id!r} has no target; import without --grade")
        return [
            Replayed(row, answer, row.right, answer)
            for row, answer in zip(rows, answers, strict=True)
        ]
    rights = [_verdict(problem, row, a, judge) for row, a in zip(rows, answers, strict=True)]
    both = _both_ways(answers, rights)
    return [
        Replayed(row, _name(answer, right, number, both), right, answer)
        for number, (row, answer, right) in enumerate(zip(rows, answers, rights, strict=True))
    ]


def _answer(row: Sample, judge: Grading) -> str | None:
    if row.finished is False:
        return None
    if row.answer is not None:
        return judge.canonical(row.answer) or None
    return None if row.text is None else judge.read(row.text)


def _verdict(problem: Problem, row: Sample, answer: str | None, judge: Grading) -> bool | None:
    """That of the file; where it has none, the grader's."""
    if row.right is not None or answer is None or problem.reference is None:
        return row.right
    if problem.reference == UNKNOWN_TARGET:
        raise UsageError(f"{row.where}: neither a verdict nor a target is there; give one of them")
    return judge.grade(answer, problem.reference)


def _both_ways(answers: Sequence[str | None], rights: Sequence[bool | None]) -> set[str]:
    kinds: dict[str, set[bool | None]] = {}
    for answer, right in zip(answers, rights, strict=True):
        if answer is not None:
            kinds.setdefault(answer, set()).add(right)
    return {answer for answer, seen in kinds.items() if len(seen) > 1}


def _name(answer: str | None, right: bool | None, number: int, both: set[str]) -> str | None:
    if answer is None:
        return None if right is None else f"{UNREAD}{number + 1})"
    return f"{answer} (judged {'right' if right else 'wrong'})" if answer in both else answer


class Writes:
    """A proposer that replays the samples of each problem, in order."""

    reads_words = False

    def __init__(self, digest: str, rows: Mapping[str, Sequence[Replayed]]) -> None:
        self.name = f"imported {digest[:12]}"
        self._left = {id: iter(enumerate(some)) for id, some in rows.items()}

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        return [self._next(draw.prefix.problem) for draw in draws]

    def decode(self, tokens: Sequence[int]) -> str:
        return ""

    def _next(self, problem: Problem) -> Drawn:
        number, row = next(self._left[problem.id])
        sample = row.sample
        texts = _steps(sample)
        count = max(1, len(sample.scores or ()), len(texts))
        # Nobody knows the ids: each step is one, the sample's number.
        solution = Solution(
            problem,
            (number,) * count,
            tuple(range(1, count + 1)),
            finished=sample.finished is not False,
            truncated=sample.finished is False,
            answer=row.answer,
        )
        texts = (*texts, *[""] * (count - len(texts)))
        return Drawn(solution, 0, 0, sample.tokens or 0, measured=True, texts=texts)


def _steps(sample: Sample) -> tuple[str, ...]:
    """The text, cut where its steps are known to end."""
    if sample.steps is not None:
        return sample.steps
    text = sample.text if sample.text is not None else sample.answer or ""
    parts = text.split("\n\n")
    if sample.scores is not None and len(parts) == len(sample.scores):
        return (*(f"{part}\n\n" for part in parts[:-1]), parts[-1])
    return (text,)


class ReplayedScores:
    """A verifier that replays recorded scores."""

    def __init__(self, digest: str, rows: Mapping[str, Sequence[Replayed]]) -> None:
        self.name = f"imported scores {digest[:12]}"
        self._rows = rows

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        return [Verified(Scores(self._of(one)), 0, 0) for one in solutions]

    def _of(self, solution: Solution) -> tuple[float | None, ...]:
        return self._rows[solution.problem.id][solution.tokens[0]].sample.scores or ()
