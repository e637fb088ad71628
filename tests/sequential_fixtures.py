"""A sequential policy with everything that a fit has, on trials made up by hand: no fitting."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from outthink.policy.chance import ScoreCurve
from outthink.policy.family import Family, Member, Origin
from outthink.policy.frontier import FixedCurve, Frontier, Point, savings
from outthink.policy.menu import Stage
from outthink.policy.replay import play
from outthink.policy.results import SequentialFit
from outthink.policy.sequential import Chances, Sequential
from outthink.policy.trials import Source, Trials
from outthink.types import Problem

SAMPLE, BEAM = Stage("best_of_n", 2), Stage("beam", 4)
BASELINE = "best_of_n(step=last,answer=weighted)"
STRONG = "beam(width=4)"
PROBLEMS = 60
PRICES = (0.03, 0.01, 0.002)
MOST = 40.0


def problems(count: int = PROBLEMS) -> tuple[Problem, ...]:
    return tuple(Problem(f"p{n}", f"{n} + {n} = <?>", str(2 * n)) for n in range(count))


def _trials(count: int) -> Trials:
    """Answer 0 is right, the score is high where it is given, and every third problem is hard."""
    rng = np.random.default_rng(5)
    ease = np.array([0.9, 0.55, 0.12])[np.arange(count) % 3]

    def source(name: str, units: int, candidates: int, gain: float, cost: float) -> Source:
        shape = (count, units, candidates)
        right = rng.random(shape) < np.minimum(ease * gain, 0.97)[:, None, None]
        answers = np.where(right, 0, rng.integers(1, 6, shape)).astype(np.int16)
        scores = np.clip(np.where(right, 0.85, 0.2) + rng.normal(0, 0.25, shape), 0.01, 0.99)
        real = np.full(shape[:2], candidates, np.int16)
        return Source(name, answers, scores.astype(np.float32), real, np.full(shape[:2], cost))

    right = np.zeros((count, 6), np.bool_)
    right[:, 0] = True
    return Trials(
        (SAMPLE, BEAM),
        (source("best_of_n", 32, 1, 1.0, 1.0), source(BEAM.name, 6, 4, 1.3, 4.0)),
        right,
        tuple(problem.id for problem in problems(count)),
        texts=tuple(tuple(str(2 * n + wrong) for wrong in range(6)) for n in range(count)),
    )


def _rule(price: float) -> Sequential:
    """Goes on while the likeliest answer is unlikely to be right, with beams where it is least
    so."""
    weights = np.zeros(26)
    weights[[0, 1]] = -0.4, 1.1
    curve = ScoreCurve(0.4, (0.0, 1.0, 0.0))
    values = np.zeros((29, 2))
    values[0] = 0.22 - 2 * price, 0.34 - 5 * price
    values[1] = -0.26, -0.44
    values[16] = -0.045
    return Sequential(
        (SAMPLE, BEAM),
        Chances({SAMPLE.source: curve, BEAM.source: curve}, weights),
        price,
        np.array([1.3, 5.2]),
        np.array([0.5, 0.4]),
        values,
    )


@lru_cache
def a_fit(worth: float = 0.0, count: int = PROBLEMS) -> SequentialFit:
    """Three members; fixed strategies are `worth` more accurate than they would be."""
    trials = _trials(count)
    points = [
        Point.of(f"price {price:g}", play(_rule(price), trials, orders=4, most=MOST, seed=1))
        for price in PRICES
    ]
    ease = points[0].right
    budgets = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

    def fixed(name: str, gain: float) -> FixedCurve:
        rows = [np.clip(ease + gain * (n - 4.5) / 4 + worth, 0, 1) for n in range(len(budgets))]
        return FixedCurve(name, budgets, np.array(rows))

    frontier = Frontier(
        "generations",
        trials.menu,
        trials.problems,
        tuple(points),
        PRICES,
        tuple(points),
        (fixed(BASELINE, 0.3), fixed(STRONG, 0.35), fixed("majority()", 0.2)),
        BASELINE,
        (
            ("fixed, max", tuple(points)),
            ("score threshold", tuple(points[::-1])),
            ("greedy allocation", tuple(points)),
            ("clairvoyant", tuple(points[:2])),
        ),
    )
    found = savings(frontier)
    members = tuple(
        Member(rule.price, rule.first, rule.values, point.mean_cost, point.accuracy)
        for rule, point in zip(map(_rule, PRICES), points, strict=True)
    )
    family = Family(
        trials.menu,
        tuple(map(float, trials.costs)),
        (32, 6),
        "generations",
        MOST,
        _rule(PRICES[0]).chances_of,
        members,
        Origin({}, "", count, 1, "exact", "outthink", {}),
    )
    return SequentialFit(family, frontier, found, trials)


def of_votes(price: float, engines: dict[str, str], spec: dict[str, str]) -> Family:
    """A policy of one price whose stages are votes alone, fitted with these engines."""
    family = a_fit().family
    [member] = [one for one in family.members if one.price == price]
    menu = (Stage("majority", 2), Stage("first_finish(k=3)", 4))
    [curve, *_] = family.chances.curves.values()
    return replace(
        family,
        menu=menu,
        runs=(32, 32),
        chances=Chances({stage.source: curve for stage in menu}, family.chances.weights),
        members=(member,),
        provenance=replace(family.provenance, engines=engines, spec=spec),
    )


def never(fit: SequentialFit) -> SequentialFit:
    """The same where no fixed strategy is ever as accurate on any problem."""
    fixed = tuple(replace(curve, accuracy=0.1 * curve.accuracy) for curve in fit.frontier.fixed)
    frontier = replace(fit.frontier, fixed=fixed)
    return replace(fit, frontier=frontier, savings=savings(frontier))
