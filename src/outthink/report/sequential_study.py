"""The values of the page's first part, from a fitted sequential policy and its trials.

Costs, accuracies and probabilities are of problems that the policy was not fitted on. Decisions,
and the problems that are followed, are those of the policy that is kept, which is fitted on all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from outthink.measure.arrays import Floats, Integers
from outthink.measure.equivalence import Equivalence, reach
from outthink.measure.intervals import Interval, intervals, wilson
from outthink.measure.pools import NO_ANSWER
from outthink.measure.quality import calibration_error, reliability
from outthink.policy.family import Family, Member
from outthink.policy.frontier import FixedCurve, Frontier, Point, Saving
from outthink.policy.menu import Stage
from outthink.policy.plans import Planned
from outthink.policy.promise import Kept
from outthink.policy.replay import STOP, Allowed, Replay
from outthink.policy.results import SequentialFit
from outthink.policy.sequential import NEVER, Sequential
from outthink.policy.trials import Trials
from outthink.report import sequential_data as data
from outthink.report.format import bin_name, counted
from outthink.study.plan import reads_chains, reads_samples
from outthink.types import Problem

BOUNDS = ("greedy allocation", "clairvoyant")
"""Rules that read the reference answers."""
FIXED = "fixed, "
"""How the names of rules begin that are fixed strategies."""
ORDERS = 4
"""Random orders in which decisions are counted."""
LOOKS = 5
"""Looks that are counted each by itself; the later ones are left out."""
LONG, SHORT = range(3, 7), range(1, 2)
"""Stages of the problems that are followed."""
SURE = 0.9
"""A last answer as likely as this ends the search for a problem to follow."""
_TRIED = 200
"""Problems that are looked through for one to follow."""

Bins = tuple[str, Integers]
"""What bins are by, and each problem's, from 0, the easiest; -1 for none."""


def sequential(
    fitted: SequentialFit,
    problems: Sequence[Problem],
    *,
    bins: Bins | None = None,
    labels: Callable[[str], str] = lambda name: name,
) -> data.Sequential:
    """What the page says of a sequential policy.

    `problems` are those of the study; `bins` their difficulty, thirds by pass@1 where it is not
    known; `labels` says what a strategy is called.
    """
    frontier = fitted.frontier
    members = tuple(_member(saving, frontier) for saving in fitted.savings)
    chosen = max(range(len(members)), key=lambda n: _least(members[n].baseline))
    point = frontier.points[chosen]
    stages = stage_labels(frontier.menu, labels)
    by, binned = bins or ("pass@1", _thirds(fitted.trials))
    rule = fitted.family.rule(_nearest(fitted.family, point.mean_cost.mean))
    error = calibration_error(_flat(point.chances), _flat(point.hits).astype(bool))
    return data.Sequential(
        currency=frontier.currency,
        problems=len(frontier.problems),
        baseline=frontier.baseline,
        lines=tuple(_lines(frontier)),
        members=members,
        chosen=chosen,
        groups=_groups(point, fitted.trials, stages, binned, is_thirds=bins is None),
        by=by,
        taken=_taken(rule, fitted, stages),
        followed=tuple(_followed(rule, fitted, problems, stages)),
        certainties=tuple(_certainties(point)),
        calibration_error=error,
    )


def _nearest(family: Family, cost: float) -> Member:
    """The policy that is kept and costs about as much."""
    return min(family.members, key=lambda one: abs(math.log(one.cost.mean / cost)))


def _least(factor: data.Factor) -> float:
    return -1.0 if factor.low_at_most else factor.low


# Lines and members -------------------------------------------------------------------------------


def _lines(frontier: Frontier) -> Iterator[data.CostLine]:
    yield data.CostLine("policy", "policy", tuple(map(_cost_point, frontier.points)))
    for curve in frontier.fixed:
        yield data.CostLine(
            curve.name,
            "fixed",
            tuple(
                data.CostPoint(data.Estimate(cost, cost, cost), estimate(accuracy))
                for cost, accuracy in zip(curve.costs, intervals(curve.accuracy), strict=True)
            ),
        )
    for name, points in frontier.rules:
        if not name.startswith(FIXED):
            rising = sorted(points, key=lambda point: point.mean_cost.mean)
            kind: data.Kind = "bound" if name in BOUNDS else "rule"
            yield data.CostLine(name, kind, tuple(map(_cost_point, rising)))


def _cost_point(point: Point) -> data.CostPoint:
    return data.CostPoint(estimate(point.mean_cost), estimate(point.accuracy))


def estimate(interval: Interval) -> data.Estimate:
    """An interval as the page shows it."""
    return data.Estimate(interval.mean, interval.low, interval.high)


def promise(kept: Kept) -> data.Promise:
    """As the page shows it."""
    return data.Promise(
        kept.strategy,
        kept.budget,
        kept.currency,
        estimate(kept.promised_cost),
        estimate(kept.cost),
        estimate(kept.promised_accuracy),
        estimate(kept.accuracy),
        kept.holds,
        kept.is_capped,
        kept.calibration_error,
        kept.chance_error,
    )


def _member(saving: Saving, frontier: Frontier) -> data.Member:
    base = [curve for curve in frontier.fixed if curve.name == frontier.baseline]
    return data.Member(
        saving.price,
        estimate(saving.cost),
        estimate(saving.accuracy),
        _factor(saving.baseline, saving, base),
        _factor(saving.strongest, saving, frontier.fixed),
        estimate(saving.difference),
    )


def _factor(found: Equivalence, saving: Saving, fixed: Sequence[FixedCurve]) -> data.Factor:
    name = strongest(fixed, saving.accuracy.mean)
    return data.Factor(
        strategy=name,
        value=found.factor,
        low=found.low,
        high=found.high,
        at_least=found.at_least,
        at_most=found.at_most,
        low_at_most=found.low_at_most,
        low_at_least=found.at_least and found.low >= found.factor,
        high_at_least=found.high_at_least,
        most=next(curve.costs[-1] for curve in fixed if curve.name == name),
        of_several=len(fixed) > 1,
    )


def strongest(fixed: Sequence[FixedCurve], accuracy: float) -> str:
    """The fixed strategy that is as accurate at the smallest cost; where none is, the one that
    comes nearest."""

    def place(curve: FixedCurve) -> tuple[float, float]:
        means = np.append(curve.accuracy.mean(axis=1), accuracy)
        cost = float(reach(means[None], np.log2(np.asarray(curve.costs)))[0, 0])
        return max(cost, float(np.log2(curve.costs[0]))), -float(means[:-1].max())

    return min(fixed, key=place).name


# Where the budget went ---------------------------------------------------------------------------


def stage_labels(menu: Sequence[Stage], labels: Callable[[str], str]) -> tuple[str, ...]:
    """What each stage is called: `4 samples`, `Beam (M = 4) with 8`. No two are called the same."""
    called = [_stage_label(stage, labels) for stage in menu]
    return tuple(
        stage.name if called.count(label) > 1 else label
        for stage, label in zip(menu, called, strict=True)
    )


def _stage_label(stage: Stage, labels: Callable[[str], str]) -> str:
    if reads_samples(stage.strategy):
        return counted(stage.size, "sample")
    if reads_chains(stage.strategy):
        return counted(stage.size, "revision")
    label = labels(stage.strategy)
    return label if stage.size == 1 else f"{label} with {stage.size}"


def _groups(
    point: Point, trials: Trials, stages: Sequence[str], bins: Integers, *, is_thirds: bool
) -> tuple[data.Group, ...]:
    used = np.flatnonzero(point.runs.sum(axis=0))
    numbers = [number for number in np.unique(bins) if number >= 0]
    names = ("the easiest third", "the middle third", "the hardest third")

    def group(name: str, members: NDArray[np.bool_]) -> data.Group:
        runs = point.runs[members].mean(axis=0)
        uses = [
            data.StageUse(stages[n], float(runs[n]), float(runs[n] * trials.costs[n]))
            for n in used.tolist()
        ]
        return data.Group(name, int(members.sum()), float(point.right[members].mean()), tuple(uses))

    found = [
        group(names[int(n)] if is_thirds else bin_name(int(n) + 1, len(numbers)), bins == n)
        for n in numbers
    ]
    return (*found, group("all problems", np.ones(len(bins), np.bool_)))


def _thirds(trials: Trials) -> Integers:
    """Thirds of the problems by the share of single samples that are right, 0 the easiest."""
    source = trials.sources[0]
    answers = source.answers.reshape(len(trials.problems), -1)
    places = np.arange(len(trials.problems))[:, None]
    right = trials.right[places, answers] & (answers != NO_ANSWER)
    ranks = np.argsort(np.argsort(-right.mean(axis=1), kind="stable"), kind="stable")
    thirds: Integers = np.minimum(3 * ranks // max(1, len(ranks)), 2)
    return thirds


def _taken(
    rule: Sequential | Planned, fitted: SequentialFit, stages: Sequence[str]
) -> tuple[data.Taken, ...]:
    """Shares of problems by look and decision."""
    trials = fitted.trials
    problems = np.tile(np.arange(len(trials.problems)), ORDERS)
    replay = Replay(rule, trials, problems, fitted.family.provenance.seed)
    going = np.ones(problems.size, np.bool_)
    counts = np.zeros((LOOKS, len(stages) + 1))
    for look in range(LOOKS):
        rows = np.flatnonzero(going)
        decided = np.full(problems.size, STOP)
        allowed = replay.allowed(fitted.family.most)[rows]
        decided[rows] = rule.decide(replay.tally.take(rows), allowed)
        counts[look] = np.bincount(decided[rows] + 1, minlength=len(stages) + 1)
        going = decided != STOP
        replay.run(decided)
    shares = counts / problems.size
    decisions = ("", *stages)
    return tuple(
        data.Taken(decisions[n], tuple(map(float, shares[:, n])))
        for n in np.flatnonzero(shares.sum(axis=0))
    )


# Problems followed -------------------------------------------------------------------------------


def _followed(
    rule: Sequential | Planned,
    fitted: SequentialFit,
    problems: Sequence[Problem],
    stages: Sequence[str],
) -> Iterator[data.Followed]:
    """One that took several stages and ended right, best where the first answer was wrong and the
    last one sure; then one that was answered after a single stage."""
    long: list[data.Followed] = []
    short: list[data.Followed] = []
    for place, problem in enumerate(problems[:_TRIED]):
        one = _play(rule, fitted, problem, place, stages)
        if one.right and len(one.looks) - 1 in LONG:
            long.append(one)
        elif one.right and len(one.looks) - 1 in SHORT:
            short.append(one)
        if short and long and _turn(long[-1]) > SURE:
            break
    yield from sorted(long, key=_turn)[-1:]
    yield from short[:1]


def _turn(one: data.Followed) -> float:
    """How sure its last answer is, below 0 where the first one was the same."""
    is_same = one.looks[1].answer == one.looks[-1].answer
    return (one.looks[-1].chance or 0.0) - is_same


def _play(
    rule: Sequential | Planned,
    fitted: SequentialFit,
    problem: Problem,
    place: int,
    stages: Sequence[str],
) -> data.Followed:
    trials = fitted.trials
    replay = Replay(rule, trials, np.array([place]), fitted.family.provenance.seed)
    looks = []
    while True:
        allowed = replay.allowed(fitted.family.most)
        best = _worth(rule, replay, allowed)
        number = int(rule.decide(replay.tally, allowed)[0])
        answer = int(rule.answer(replay.tally)[0])
        looks.append(
            data.Look(
                float(replay.tally.spent[0]),
                None if answer == NO_ANSWER else trials.texts[place][answer],
                float(rule.chance(replay.tally)[0]) if replay.tally.looks[0] else None,
                None if number == STOP else stages[number],
                best,
            )
        )
        if number == STOP:
            break
        replay.run(np.array([number]))
    right = bool(trials.is_right(np.array([place]), np.array([answer]))[0])
    return data.Followed(problem.id, problem.prompt, problem.reference, tuple(looks), right)


def _worth(rule: Sequential | Planned, replay: Replay, allowed: Allowed) -> float | None:
    """What the best stage is worth; `None` where no stage is allowed, and to a plan."""
    if isinstance(rule, Planned):
        return None
    best = float(rule.worth(replay.tally, allowed)[0].max())
    return None if best == NEVER else best


# Is it right? ------------------------------------------------------------------------------------


def _certainties(point: Point) -> Iterator[data.Certainty]:
    """Intervals count problems: orders of one problem are not independent."""
    chances, hits = point.chances.astype(float), point.hits
    for row in reliability(_flat(chances), _flat(hits).astype(bool), rows=10):
        inside = (chances >= row.low) & ((chances < row.high) | (row.high == 1.0))
        problems = int(inside.any(axis=1).sum())
        yield data.Certainty(row.score, row.rate, *wilson(row.rate, problems), row.count)


def _flat(values: Floats | NDArray[np.floating] | NDArray[np.bool_]) -> Floats:
    flat: Floats = np.asarray(values, float).ravel()
    return flat
