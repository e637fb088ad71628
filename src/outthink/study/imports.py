"""Samples that other tools recorded, as the sweep that would have drawn them.

A proposer that replays what was written and a verifier that replays its scores are run by the plan
that pooled strategies are read from, so that a store of an import is read as any other.

An answer that a file judges both ways is kept as two answers, since a verdict is of an answer:
their samples do not vote together. A sample that was judged and has no answer that can be read is
an answer of its own. How often that happened is said. All samples are held in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outthink.data.formats import recording, samples
from outthink.data.samples import Reading, Recording, Sample, by_problem
from outthink.errors import UsageError
from outthink.grade import RECORDED, Grading, grading
from outthink.measure.steps import LabelledSteps, StepQuality, step_quality
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.study import scoring
from outthink.study.plan import Plan
from outthink.study.record import Asked
from outthink.study.run import engines_of, run
from outthink.study.sweep import make_place
from outthink.types import (
    Draw,
    Drawn,
    Problem,
    Scores,
    Solution,
    Verified,
)

SCORED = ("majority", "best_of_n(answer=max)", "best_of_n")
UNSCORED = ("majority",)
UNKNOWN_TARGET = "(not recorded)"
"""The reference of a problem whose samples are judged, and whose target nobody wrote down."""


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported, and how."""

    files: tuple[Path, ...]
    reading: Reading
    grader: str = "math"
    """Reads answers from texts, and judges where a file has no verdict."""
    again: bool = False
    """Judge again where there is a verdict, too."""
    verifier: str | None = None
    """Scores the steps of every sample, in place of the files' scores."""
    samples: int | None = None
    """Samples a problem; problems with fewer are left out. `None` is the fewest of any problem."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it."""

    store: Path
    sources: tuple[Recording, ...]
    problems: int
    samples: int
    """A problem."""
    notes: tuple[str, ...]
    steps: StepQuality | None = None
    """How well scores of steps agree with labels; `None` where the files have none."""


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A sample with the answer that it is kept under."""

    sample: Sample
    answer: str | None
    right: bool | None


def import_samples(wanted: Import, store: Path) -> Imported:
    """Make a store of recorded samples. It appears when it is whole.

    Raises `UsageError` where a store is there already, `ProblemFileError` for a file that cannot be
    read or disagrees with another.
    """
    make_place(store)
    if store.exists():
        raise UsageError(f"{store}: is there already; import into a new store")
    judge = grading(wanted.grader)
    judge.require()
    if wanted.verifier is not None:
        scoring.require(wanted.verifier)
    sources = tuple(map(recording, wanted.files))
    _require_once(sources)
    every = [one for path in wanted.files for one in samples(path, wanted.reading)]
    if wanted.verifier is not None:
        every = scoring.scored(every, wanted.verifier)
    steps = _step_quality(every)
    recorded = by_problem([one for one in every if not one.failed])
    if not recorded:
        raise UsageError(f"{wanted.files[0]}: no sample was drawn; import what did not fail")
    size = wanted.samples or min(map(len, recorded.values()))
    kept = {id: rows[:size] for id, rows in recorded.items() if len(rows) >= size}
    if not kept:
        most = max(map(len, recorded.values()))
        raise UsageError(f"no problem has {size} samples; the most is {most}: give fewer --samples")
    notes = (*_failures(every), *_left_out(recorded, kept, size))
    problems = [_problem(id, rows) for id, rows in kept.items()]
    replayed = {p.id: _replayed(p, kept[p.id], judge, wanted.again) for p in problems}
    notes += (*_said(replayed, kept, judge, wanted.again), *_said_of_steps(every, steps))
    partial = store.with_name(f"{store.name}.partial")
    partial.unlink(missing_ok=True)
    _write(partial, problems, replayed, judge, sources, wanted, notes)
    partial.replace(store)
    return Imported(store, sources, len(problems), size, notes, steps)


def _require_once(sources: Sequence[Recording]) -> None:
    first: dict[str, str] = {}
    for one in sources:
        if one.digest in first:
            raise UsageError(
                f"{one.file} holds the same as {first[one.digest]}; give each file once"
            )
        first[one.digest] = one.file


def _step_quality(every: Sequence[Sample]) -> StepQuality | None:
    return step_quality(
        [
            LabelledSteps(one.problem_id, one.labels, one.scores, one.finished is not False)
            for one in every
            if one.labels is not None and one.scores is not None
        ]
    )


def _said_of_steps(every: Sequence[Sample], steps: StepQuality | None) -> tuple[str, ...]:
    """What the labels of steps say of the scores."""
    labelled = sum(one.labels is not None for one in every)
    if not labelled:
        return ()
    if steps is None:
        return (
            f"The steps of {labelled} samples are labelled. How well a verifier finds the first "
            "wrong one is said where the file has step_scores or --verifier gives them, and each "
            "half of the problems has right and wrong solutions.",
        )
    low, high = 100 * steps.f1.low, 100 * steps.f1.high
    ranked = "" if steps.auc is None else f" AUC of {steps.steps} step scores: {steps.auc:.3f}."
    return (
        f"Labels of steps: first-error F1 {100 * steps.f1.mean:.1f} [{low:.1f}, {high:.1f}] on "
        f"{steps.problems} problems. The first wrong step is named in {steps.found:.1%} of "
        f"{steps.wrong} wrong solutions, and none in {steps.kept:.1%} of {steps.right} right ones."
        f"{ranked}",
    )


def _failures(every: Sequence[Sample]) -> tuple[str, ...]:
    count = sum(one.failed for one in every)
    return (f"{count} samples that their tool failed to draw are left out.",) if count else ()


def _left_out(
    recorded: Mapping[str, Sequence[Sample]], kept: Mapping[str, Sequence[Sample]], size: int
) -> tuple[str, ...]:
    problems = len(recorded) - len(kept)
    rows = sum(len(recorded[id]) - size for id in kept)
    said = []
    if problems:
        said.append(f"{problems} problems with fewer than {size} samples are left out.")
    if rows:
        said.append(f"{rows} samples past the first {size} of their problem are left out.")
    return tuple(said)


def _problem(id: str, rows: Sequence[Sample]) -> Problem:
    prompt = next((row.prompt for row in rows if row.prompt is not None), id)
    target = next((row.target for row in rows if row.target is not None), None)
    judged = any(row.right is not None for row in rows)
    return Problem(id, prompt, UNKNOWN_TARGET if target is None and judged else target)


def _replayed(
    problem: Problem, rows: Sequence[Sample], judge: Grading, again: bool
) -> list[_Replayed]:
    """Samples with answers that have one verdict each."""
    answers = [_answer(row, judge) for row in rows]
    if again:
        if problem.reference == UNKNOWN_TARGET:
            raise UsageError(f"problem {problem.id!r} has no target; import without --grade")
        return [_Replayed(row, answer, None) for row, answer in zip(rows, answers, strict=True)]
    rights = [_verdict(problem, row, a, judge) for row, a in zip(rows, answers, strict=True)]
    both = _both_ways(answers, rights)
    return [
        _Replayed(row, _name(answer, right, number, both), right)
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
        return None if right is None else f"(unread answer {number + 1})"
    return f"{answer} (judged {'right' if right else 'wrong'})" if answer in both else answer


def _said(
    replayed: Mapping[str, Sequence[_Replayed]],
    kept: Mapping[str, Sequence[Sample]],
    judge: Grading,
    again: bool,
) -> tuple[str, ...]:
    """What a reader must know of verdicts and counts."""
    said = []
    rows = [row for of in replayed.values() for row in of]
    if both := len(
        {
            (r.sample.problem_id, (r.answer or "").rsplit(" (judged ", 1)[0])
            for r in rows
            if " (judged " in (r.answer or "")
        }
    ):
        said.append(
            f"{both} answers are judged both right and wrong by the files; each is kept as two "
            "answers, whose samples do not vote together."
        )
    if unread := sum((row.answer or "").startswith("(unread answer ") for row in rows):
        said.append(
            f"{unread} judged samples have no answer that {judge.name} can read; each is an answer "
            "of its own."
        )
    uncounted = sum(row.sample.tokens is None for row in rows)
    if uncounted:
        said.append(f"{uncounted} of {len(rows)} samples have no count of tokens.")
    if again:
        said.append(_differences(replayed, kept, judge))
    return tuple(said)


def _differences(
    replayed: Mapping[str, Sequence[_Replayed]],
    kept: Mapping[str, Sequence[Sample]],
    judge: Grading,
) -> str:
    judged = differ = 0
    for id, rows in replayed.items():
        target = _problem(id, kept[id]).reference
        for row in rows:
            if row.sample.right is None or target is None:
                continue
            judged += 1
            differ += row.sample.right != (
                row.answer is not None and judge.grade(row.answer, target)
            )
    return f"Graded again by {judge.name}: {differ} of {judged} verdicts differ from the files'."


def _write(
    path: Path,
    problems: Sequence[Problem],
    replayed: Mapping[str, Sequence[_Replayed]],
    judge: Grading,
    sources: Sequence[Recording],
    wanted: Import,
    notes: tuple[str, ...],
) -> None:
    size = len(replayed[problems[0].id])
    scored = any(row.sample.scores for rows in replayed.values() for row in rows)
    digest = hashlib.sha256("".join(one.digest for one in sources).encode()).hexdigest()
    team = Team.of(_Writes(digest, replayed), _Scores(digest, replayed) if scored else None)
    budgets = tuple(sorted({2**power for power in range(size.bit_length())} | {size}))
    plan = Plan(
        SCORED if scored else UNSCORED, budgets, pool=size, oracle_samples=0, predicted_samples=0
    )
    name = judge.name if wanted.again else f"{RECORDED}{judge.name}"
    asked = Asked(
        plan,
        ", ".join(one.file for one in sources),
        tuple(problem.id for problem in problems),
        digest,
        engines_of(team, 0),
        name,
        0,
        counted=all(row.sample.tokens is not None for rows in replayed.values() for row in rows),
        imported=(*(one.sentence for one in sources), *notes),
    )
    with Store.open(path, write=True) as store:
        store.add_problems(problems)
        asked.write(store)
        for problem in problems:
            for row in replayed[problem.id]:
                if row.answer is not None and row.right is not None:
                    store.keep_verdict(problem, name, row.answer, row.right)
        store.commit()
        asyncio.run(
            run(
                plan,
                problems,
                team,
                grader=judge.grade,
                grader_name=name,
                seed=0,
                store=store,
            )
        )


class _Writes:
    """A proposer that replays the samples of each problem, in order."""

    def __init__(self, digest: str, replayed: Mapping[str, Sequence[_Replayed]]) -> None:
        self.name = f"imported {digest[:12]}"
        self._left = {id: iter(enumerate(rows)) for id, rows in replayed.items()}

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


class _Scores:
    """A verifier that replays recorded scores."""

    def __init__(self, digest: str, replayed: Mapping[str, Sequence[_Replayed]]) -> None:
        self.name = f"imported scores {digest[:12]}"
        self._rows = replayed

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        return [Verified(Scores(self._of(one)), 0, 0) for one in solutions]

    def _of(self, solution: Solution) -> tuple[float | None, ...]:
        return self._rows[solution.problem.id][solution.tokens[0]].sample.scores or ()
