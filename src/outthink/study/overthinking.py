"""What length is worth in a store: short against long solutions, who finishes first or last, how
much of a chain was needed, and what a guard saves.

Everything is read from what was drawn. Lengths are tokens that models wrote.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.arrays import Floats
from outthink.measure.difficulty import LEVELS, levels
from outthink.measure.intervals import Interval, interval, paired
from outthink.measure.lengths import (
    Halves,
    Response,
    at_first_agreement,
    halves,
    outcome_efficiency,
    process_efficiency,
    response,
)
from outthink.measure.pools import Pool
from outthink.search import strategy
from outthink.study.read import Study

VOTE = "majority"
_ORDERS = 32
"""Random orders of a pool in which samples are drawn one by one."""


@dataclass(frozen=True, slots=True)
class Level:
    """One strategy on the problems of one level of difficulty."""

    level: str
    """`easy`, `medium` or `hard`, by pass@1 (`measure.difficulty.ABSOLUTE`)."""
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Recipe:
    """A vote, or one of those who finish first or last, at one budget."""

    strategy: str
    budget: int
    accuracy: Interval
    over_vote: Interval
    """Minus the vote of all at this budget."""
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """Stopping as soon as an answer is given a second time."""

    solutions: float
    """Drawn, on average."""
    of: int
    """Without the guard."""
    tokens: float
    """Share of the tokens without the guard."""
    accuracy: Interval
    difference: Interval
    """Minus what it is held against: the vote of all samples, the last answer of a chain."""


@dataclass(frozen=True, slots=True)
class Along:
    """Chains of revisions of one length: each chain is a response of several solutions."""

    length: int
    chains: int
    outcome_efficiency: Interval
    """Share of tokens up to the first right solution, 0 where there is none."""
    process_efficiency: Interval
    """Share of tokens in solutions with an answer not given before."""
    right_at_once: float | None
    """Of chains with a right solution, those whose first is; `None` where none has one."""
    guard: Guard


@dataclass(frozen=True, slots=True)
class Overthinking:
    """All of it, of one store."""

    problems: int
    samples: int
    """A problem."""
    all: Halves | None
    """Of all samples; `None` with fewer than two a problem, or none."""
    answered: Halves | None
    """Of the samples that end in an answer alone: what was cut off is long, and wrong."""
    recipes: tuple[Recipe, ...]
    guard: Guard | None
    along: tuple[Along, ...]
    """By the length of chains; empty without chains."""


def overthinking(study: Study, *, k: int = 1) -> Overthinking:
    """Measure it; those who finish first or last are `k`.

    Raises `UsageError` where there is neither a pool nor chains, or tokens were not counted.
    """
    plan = study.plan
    pooled = bool(plan.pooled and study.problems)
    if not pooled and not (plan.chained and study.problems):
        raise UsageError(
            "there are neither samples nor chains of problems with references; sweep majority"
        )
    if pooled:
        _require_counted(study)
    return Overthinking(
        len(study.problems),
        plan.pool if pooled else 0,
        _halves(study, answered=False) if pooled else None,
        _halves(study, answered=True) if pooled else None,
        _recipes(study, k) if pooled else (),
        _pool_guard(study) if pooled and plan.pool > 1 else None,
        _along(study) if plan.chained else (),
    )


def _require_counted(study: Study) -> None:
    unknown = sum(int(np.isnan(some).sum()) for some in study.lengths)
    if unknown:
        total = sum(some.size for some in study.lengths)
        raise UsageError(
            f"{unknown} of {total} samples have no count of tokens; import a file that has them"
        )


def _halves(study: Study, *, answered: bool) -> Halves | None:
    rows = []
    for pool, lengths in zip(study.read_pools, study.lengths, strict=True):
        kept = pool.answered if answered else np.ones(pool.size, np.bool_)
        rows.append((lengths[kept], pool.right[kept]))
    return halves(rows)


# Recipes -----------------------------------------------------------------------------------------


def _recipes(study: Study, k: int) -> tuple[Recipe, ...]:
    names = tuple(
        strategy(name).name for name in (VOTE, f"first_finish(k={k})", f"last_finish(k={k})")
    )
    budgets = [budget for budget in study.plan.budgets if budget <= study.plan.pool]
    numbers = levels(pass_at_1(study))
    curves = {name: study.curve(name, budgets) for name in names}
    return tuple(
        Recipe(
            name,
            budget,
            interval(curves[name][row]),
            paired(curves[name][row], curves[VOTE][row]),
            tuple(
                Level(LEVELS[number], interval(curves[name][row][numbers == number]))
                for number in np.unique(numbers)
            ),
        )
        for row, budget in enumerate(budgets)
        for name in names
    )


def pass_at_1(study: Study) -> Floats:
    """[P] the share of samples that is right: of samples of their own where the sweep drew them,
    else of the pool, whose luck is then in the level and in what is compared on it."""
    if study.plan.oracle_samples:
        return study.oracle.values
    return np.array([pool.right.mean() for pool in study.pools])


# Guards and chains -------------------------------------------------------------------------------


def _pool_guard(study: Study) -> Guard:
    responses = [
        [response(pool, lengths, order) for order in _orders(pool)]
        for pool, lengths in zip(study.read_pools, study.lengths, strict=True)
    ]
    return _guard(responses, study.curve(VOTE, (study.plan.pool,))[0])


def _orders(pool: Pool) -> list[np.typing.NDArray[np.int64]]:
    rng = np.random.default_rng(zlib.crc32(pool.problem_id.encode()))
    return [rng.permutation(pool.size) for _ in range(_ORDERS)]


def _guard(responses: Sequence[Sequence[Response]], against: Floats) -> Guard:
    """The guard on the responses of each problem, against an accuracy [P] without it."""
    stopped = [[at_first_agreement(one) for one in some] for some in responses]
    right = np.array([np.mean([one.right for one in some]) for some in stopped])
    spent = sum(one.tokens for some in stopped for one in some)
    whole = sum(sum(one.tokens) for some in responses for one in some)
    return Guard(
        float(np.mean([np.mean([one.solutions for one in some]) for some in stopped])),
        len(responses[0][0].tokens),
        spent / whole if whole else 1.0,
        interval(right),
        paired(right, against),
    )


def _along(study: Study) -> tuple[Along, ...]:
    size = study.plan.chains
    powers = [2**power for power in range(1, size.bit_length())]
    return tuple(at_length(study, length) for length in powers)


def at_length(study: Study, length: int) -> Along:
    """Chains of one length, a power of two. Raises `UsageError` where tokens were not counted."""
    if any(np.isnan(some).any() for some in study.chain_lengths):
        raise UsageError("chains have no count of tokens; import a file that has them")
    responses = study.responses(length)
    last = np.array([np.mean([_last(one) for one in some]) for some in responses])
    solved = [one for some in responses for one in some if any(one.right)]
    return Along(
        length,
        len(responses[0]),
        interval(np.array([np.mean([*map(outcome_efficiency, some)]) for some in responses])),
        interval(np.array([np.mean([*map(process_efficiency, some)]) for some in responses])),
        float(np.mean([one.right[0] for one in solved])) if solved else None,
        _guard(responses, last),
    )


def _last(response: Response) -> bool:
    """Whether the last answer there is, is right."""
    rows = zip(response.right, response.answers, strict=True)
    return next((right for right, a in reversed([*rows]) if a is not None), False)
