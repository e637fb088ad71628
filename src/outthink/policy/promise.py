"""What a policy promised, beside what came of it on problems that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outthink.errors import PolicyError, UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval, interval
from outthink.measure.quality import calibration_error, chance_error
from outthink.policy.currency import Currency, currency
from outthink.policy.family import Dial, Family
from outthink.policy.strategy import dialled
from outthink.study.plan import asks
from outthink.study.read import Study
from outthink.types import LARGER, PROPOSER, REVISER

_BY_ROLE = ("flops", "money")
_WRITERS = {PROPOSER, REVISER, LARGER}


@dataclass(frozen=True, slots=True)
class Kept:
    """A policy that was run live, against its promise. Intervals are over problems, 95 %."""

    strategy: str
    budget: int
    """The cap that it was run with."""
    currency: str
    promised_cost: Interval
    cost: Interval
    promised_accuracy: Interval
    accuracy: Interval
    calibration_error: float | None
    """Of the probability that came with its answers; `None` where none came."""
    chance_error: float | None
    """What that error is on so many problems where the probability is exact."""
    is_capped: bool
    """Whether it was run with a smaller cap than it was fitted up to, which its promise is for."""

    @property
    def holds(self) -> bool:
        """Whether mean cost and accuracy are inside the promised intervals."""
        return _inside(self.cost, self.promised_cost) and _inside(
            self.accuracy, self.promised_accuracy
        )


@dataclass(frozen=True, slots=True)
class Promises:
    """All policies among the strategies of a study."""

    kept: tuple[Kept, ...] = ()
    notes: tuple[str, ...] = ()
    """Why a policy is not compared."""


def promises(study: Study) -> Promises:
    """Every policy that was run live, against its promise."""
    compared, notes = [], []
    for name in study.strategies:
        for budget in study.plan.budgets:
            if not study.is_known(name, budget):
                continue
            try:
                followed = dialled(name, budget)
                if followed is not None:
                    compared.append(_compared(study, name, budget, *followed))
            except (PolicyError, UsageError) as error:
                notes.append(f"{name} at {budget} is not held to its promise: {error}.")
    return Promises(tuple(compared), tuple(notes))


def _compared(study: Study, name: str, budget: int, family: Family, dial: Dial) -> Kept:
    promised = family.promise(dial)
    if family.currency in _BY_ROLE and len(family.roles & _WRITERS) > 1:
        raise UsageError(
            f"a store tells what a search cost in all, and {family.currency} differ by who wrote"
        )
    weigh = currency(family.currency, study.asked.sizes)
    grid = study.grid
    right: Floats = grid.accuracy[grid.strategies.index(name), grid.budgets.index(budget)]
    chances = study.chances(name, budget)
    return Kept(
        name,
        budget,
        family.currency,
        promised[0],
        interval(_costs(study, name, budget, weigh)),
        promised[1],
        interval(right),
        _calibration(chances, right),
        chance_error(chances),
        budget < family.most,
    )


def _costs(study: Study, name: str, budget: int, weigh: Currency) -> Floats:
    roles = asks(name)
    return np.array([weigh(usage, roles) for usage in study.live_usages(name, budget)])


def _calibration(chances: Floats, right: Floats) -> float | None:
    said = ~np.isnan(chances)
    return calibration_error(chances[said], right[said] > 0) if said.any() else None


def _inside(came: Interval, promised: Interval) -> bool:
    return promised.low <= came.mean <= promised.high
