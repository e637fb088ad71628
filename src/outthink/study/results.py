"""What a sweep says: accuracy and tokens of every strategy at every budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outthink.grade import GradingCost
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import BINS
from outthink.measure.intervals import Interval, interval
from outthink.measure.steps import StepQuality
from outthink.search import strategy
from outthink.study.grading import cost
from outthink.study.labels import remembered
from outthink.study.partial import Missing
from outthink.study.read import Study
from outthink.study.sweep import OpenStudy
from outthink.study.verifiers import VerifierQuality, side_by_side
from outthink.types import Usage


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good one strategy is at one budget, and what it spent."""

    strategy: str
    budget: int
    accuracy: Interval
    decoded_tokens: float | None
    """A problem, as are the verifier's; `None` where imported samples do not say."""
    verifier_tokens: float | None
    verifier_computed: float | None
    """Of the tokens that the verifier was shown, the share that no cache held; `None` without
    one."""
    bins: tuple[float, ...] | None = None
    """Accuracy by difficulty bin, easiest first, where bins were asked for."""
    bounds: tuple[float, float] | None = None
    """Accuracy over all problems with references, were those without this search all wrong, and all
    right; `None` where none is without."""
    saved: Saved | None = None
    """`None` for a search that never ends early."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a search that may end early did not spend, a problem, at the mean of what it did."""

    generations: float
    """That it spent."""
    tokens: float | None
    """Decoded, that it did not spend; what was written of solutions that were cancelled is not
    known. `None` where tokens are not."""
    seconds: float
    """Of engines."""


@dataclass(frozen=True, slots=True)
class Accuracies:
    """What a sweep measured: all of it, or what of it is there."""

    store: Path
    problems: int
    graded: int
    """Those of the problems that have a reference, and every search that is shown."""
    rows: tuple[Accuracy, ...]
    """Empty where no problem has a reference: an accuracy that cannot be had is not 0."""
    missing: Missing | None = None
    """What is not there; `None` where the sweep is finished."""
    verifiers: tuple[VerifierQuality, ...] = ()
    """All that scored the same samples."""
    graded_for: GradingCost | None = None
    """What the verdicts of a judge cost; `None` for a grader that is no model."""
    steps: StepQuality | None = None
    """How well scores of steps agree with labels; `None` where no import brought both."""


def measured(opened: OpenStudy) -> Accuracies:
    """Accuracies of everything that was run."""
    study = opened.study
    return Accuracies(
        opened.store.path,
        opened.problems,
        len(study.problems),
        accuracies(study),
        opened.missing,
        side_by_side(opened.store, study),
        cost(opened.store, opened.asked.grader),
        remembered(opened.store),
    )


def accuracies(study: Study, bins: Integers | None = None) -> tuple[Accuracy, ...]:
    """Accuracy of every strategy at every budget, by bin [P] too where bins are given.

    Nothing where no problem has a reference: an accuracy that cannot be had is not 0.
    """
    graded = len(study.problems)
    if not (graded and study.strategies):
        return ()
    grid = study.grid
    rows = []
    for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True):
        for budget, values in zip(grid.budgets, accuracy, strict=True):
            if np.isnan(values).all():
                continue  # not run at this budget
            usage = study.usage(name, budget)
            share = graded / (graded + study.left_out)
            lowest = share * float(values.mean())
            read = usage.verifier_tokens + usage.verifier_cached_tokens
            rows.append(
                Accuracy(
                    strategy=name,
                    budget=budget,
                    accuracy=interval(values),
                    decoded_tokens=usage.decoded_tokens / graded if study.asked.counted else None,
                    verifier_tokens=None
                    if study.asked.imported
                    else usage.verifier_tokens / graded,
                    verifier_computed=usage.verifier_tokens / read if read else None,
                    bins=None if bins is None else _by_bin(values, bins),
                    bounds=(lowest, lowest + 1 - share) if study.left_out else None,
                    saved=_saved(study, name, budget, usage),
                )
            )
    return tuple(rows)


def _saved(study: Study, name: str, budget: int, usage: Usage) -> Saved | None:
    if not strategy(name).options.get("early"):
        return None
    graded, left = len(study.problems), budget * len(study.problems) / usage.generations - 1
    return Saved(
        usage.generations / graded,
        left * usage.decoded_tokens / graded if study.asked.counted else None,
        left * usage.seconds / graded,
    )


def _by_bin(values: Floats, bins: Integers) -> tuple[float, ...]:
    return tuple(float(values[bins == number].mean()) for number in range(BINS))
