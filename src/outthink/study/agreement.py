"""How far a judge can be trusted: its agreement with a second judge, and its bias to a place.

Both judges mark the same answers of a store. The first also compares pairs of answers to one
problem, each pair in both orders: a verdict that changes with the order is bias. What they cost is
told. Nothing is drawn, and no verdict of the store changes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from outthink.errors import UsageError
from outthink.grade import GradingCost, as_reference, is_judge
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval
from outthink.measure.kappa import clustered, cohen_kappa
from outthink.measure.quality import spearman
from outthink.study.sweep import OpenStudy
from outthink.types import Problem
from outthink.verify.open_ended import OpenEnded
from outthink.verify.rubric import Marks

ANSWERS = 2
"""Of each problem, by default."""
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two judges said of the same answers."""

    judges: tuple[str, str]
    answers: int
    """That both marked."""
    unread: tuple[int, int]
    """Answers of which each gave no readable marks."""
    kappa: Interval | None
    """Cohen's, of the verdicts; `None` where it is not defined, as where all are right to both."""
    spearman: Interval | None
    """Of the scores."""
    pairs: int
    """Of answers to one problem that the first judge compared in both orders."""
    consistent: Interval | None
    """Share of them in which it kept its opinion."""
    first_place: Interval | None
    """Share of its preferences that were for the answer shown first; 1/2 without bias."""
    cost: tuple[GradingCost, GradingCost]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One problem, and the answers of it that are judged."""

    reference: str
    answers: tuple[str, ...]


def agreement(
    opened: OpenStudy, judges: Sequence[str], *, answers: int = ANSWERS, seed: int = 0
) -> Agreement:
    """Two judges on `answers` different answers of every problem, chosen at random.

    Raises `UsageError` unless there are two different judges, and where the store has no answers;
    `ServerRefused` where a judge cannot be had.
    """
    made = [OpenEnded(name) for name in judges if is_judge(name)]
    if len(made) != 2 or len(judges) != 2 or made[0].name == made[1].name:
        raise UsageError(
            "name two different judges, each as 'judge(rubric=FILE,model=http://HOST:PORT)'"
        )
    asked = _chosen(opened, answers, seed)
    if not asked:
        raise UsageError(f"{opened.store.path}: holds no answers that were graded")
    for judge in made:
        judge.require()
    marks = [_marks(judge, asked) for judge in made]
    both = [
        np.array([(a, b, x, y) for (a, x), (b, y) in zip(one, other, strict=True)], np.float64)
        for one, other in zip(*marks, strict=True)
    ]
    known = [rows[~np.isnan(rows).any(axis=1)] for rows in both]
    known = [rows for rows in known if rows.size]
    orders = _compared(made[0], asked)
    return Agreement(
        (made[0].name, made[1].name),
        sum(map(len, known)),
        (_unread(marks[0]), _unread(marks[1])),
        clustered(lambda rows: cohen_kappa(rows[:, 2] > 0, rows[:, 3] > 0), known, seed=seed),
        clustered(lambda rows: spearman(rows[:, 0], rows[:, 1]), known, seed=seed),
        sum(map(len, orders)),
        clustered(_consistent, orders, seed=seed),
        clustered(_first_place, orders, seed=seed),
        (made[0].spent(), made[1].spent()),
    )


def _chosen(opened: OpenStudy, count: int, seed: int) -> list[_Asked]:
    verdicts = opened.study.view.verdicts()
    graded_by_judge = is_judge(opened.asked.grader)
    chosen = []
    for problem in opened.study.problems:
        there = sorted(verdicts.get(problem.id, {}))
        some = random.Random(f"{seed} {problem.id}").sample(there, min(count, len(there)))
        if some:
            chosen.append(_Asked(_reference(problem, graded_by_judge), tuple(some)))
    return chosen


def _reference(problem: Problem, graded_by_judge: bool) -> str:
    if graded_by_judge and problem.reference is not None:
        return problem.reference
    return as_reference(problem.prompt, problem.reference)


_Marked = list[list[tuple[float, float]]]
"""By problem, of every answer its score and whether it is right; NaN where that is not known."""


def _marks(judge: OpenEnded, asked: Sequence[_Asked]) -> _Marked:
    flat = [(answer, one.reference) for one in asked for answer in one.answers]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        told = iter(list(threads.map(lambda pair: judge.marks(*pair), flat)))
    return [[_numbers(judge, next(told)) for _ in one.answers] for one in asked]


def _numbers(judge: OpenEnded, marks: Marks) -> tuple[float, float]:
    score, right = marks.score, judge.is_right(marks)
    return (np.nan, np.nan) if score is None or right is None else (score, float(right))


def _unread(marks: _Marked) -> int:
    return sum(bool(np.isnan(score)) for rows in marks for score, _ in rows)


def _compared(judge: OpenEnded, asked: Sequence[_Asked]) -> list[Floats]:
    """By problem [pairs, 2]: whether the first shown was preferred, in each order; pairs without an
    opinion in one of them are left out."""
    flat = [
        (first, second, one.reference, place)
        for place, one in enumerate(asked)
        for first, second in combinations(one.answers, 2)
    ]

    def both(pair: tuple[str, str, str, int]) -> tuple[float | None, float | None]:
        first, second, reference, _ = pair
        return (
            judge.first_is_better(first, second, reference),
            judge.first_is_better(second, first, reference),
        )

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        told = list(threads.map(both, flat))
    rows: dict[int, list[tuple[float, float]]] = {}
    for (*_, place), (one, other) in zip(flat, told, strict=True):
        if one is not None and other is not None:
            rows.setdefault(place, []).append((one, other))
    return [np.array(some) for some in rows.values()]


def _consistent(rows: Floats) -> float:
    return float((rows[:, 0] + rows[:, 1] == 1).mean())


def _first_place(rows: Floats) -> float | None:
    decided = rows[rows != 0.5]
    return float(decided.mean()) if decided.size else None
