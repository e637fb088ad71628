"""A fitted sequential policy as it is kept: one member for every price, and what each promises.
A member decides after every look, or follows a plan where deciding was not worth more.

The dial is the price of accuracy, the mean cost it should come to, or a cap a problem. Members are
those on the frontier, by rising cost. A mean cost between two members is met by giving some
problems to one and the others to the other, by a hash of the problem and the seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from outthink.errors import PolicyError, UsageError
from outthink.measure.arrays import Floats
from outthink.measure.intervals import Interval
from outthink.policy.live import Limits
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan, Planned
from outthink.policy.pooled import Table
from outthink.policy.sequential import Chances, Sequential
from outthink.types import Problem


@dataclass(frozen=True, slots=True)
class Origin:
    """What a family was fitted on and with."""

    engines: Mapping[str, str]
    """Who answered each role that the menu asks."""
    data_hash: str
    problems: int
    seed: int
    grader: str
    created_by: str
    """The program and its version."""
    spec: Mapping[str, str]
    """The command-line options that name the same models; empty where they are not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """The policy at one price, with its promise: cost and accuracy on problems that it was not
    fitted on."""

    price: float
    first: Floats
    values: Floats
    cost: Interval
    accuracy: Interval
    tables: tuple[Table, ...] = ()
    plan: Plan | None = None
    """What it does whatever it sees; `first`, `values` and `tables` are empty then."""
    fitted_at: float | None = None
    """The price that its values are for, where that is another than the one it is best at."""


@dataclass(frozen=True, slots=True)
class Dial:
    """What a user asks for; at most one of price and average."""

    price: float | None = None
    """The probability of a right answer that one unit of cost must buy."""
    average: float | None = None
    """The mean cost that it should come to."""
    most: float | None = None
    """The most one problem may cost; `None` for what the policy was fitted up to."""


_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Family:
    """Sequential policies at falling prices."""

    menu: tuple[Stage, ...]
    costs: tuple[float, ...]
    """[A] what each stage costs on average."""
    runs: tuple[int, ...]
    """[A] units of each stage's source that it was fitted on."""
    currency: str
    most: float
    """The cap that it was fitted up to."""
    chances: Chances
    members: tuple[Member, ...]
    """By rising cost."""
    provenance: Origin

    def rule(self, member: Member) -> Sequential | Planned:
        """The rule of a member."""
        if member.plan is not None:
            return Planned(self.menu, self.chances, member.plan)
        return Sequential(
            self.menu,
            self.chances,
            member.fitted_at or member.price,
            np.array(self.costs),
            member.first,
            member.values,
            member.tables,
        )

    def limits(self, dial: Dial) -> Limits:
        """What it may spend on one problem. Raises `UsageError` for a cap that no stage fits in."""
        most = self.most if dial.most is None else dial.most
        if most < min(self.costs):
            raise UsageError(
                f"a cap of {most:g} {self.currency} is below the cheapest stage, "
                f"{self.menu[int(np.argmin(self.costs))].name} at {min(self.costs):g}; raise it"
            )
        if dial.average is not None and dial.average > most:
            raise UsageError(
                f"an average of {dial.average:g} {self.currency} is above the cap of {most:g}; "
                "lower it, or raise the cap"
            )
        return Limits(min(most, self.most), self.costs, self.runs)

    def member(self, dial: Dial, problem: Problem, seed: int) -> Member:
        """Who decides about a problem.

        Raises `UsageError` for an average below the cheapest member, a price and an average, or a
        cap that no member fits in.
        """
        if dial.price is not None and dial.average is not None:
            raise UsageError("a price and an average both say how much to spend; give one")
        members = self._within(dial)
        if dial.average is not None:
            return self._of_average(members, dial.average, problem, seed)
        if dial.price is not None:
            return self._of_price(members, dial.price)
        return members[-1]

    @property
    def least(self) -> float:
        """The smallest cap that a member fits in."""
        return min(self._at_most(member) for member in self.members)

    def _at_most(self, member: Member) -> float:
        """The smallest cap that a member fits in: all stages of a plan, and the first one of who
        looks before the next."""
        if member.plan is None:
            return min(self.costs)
        stages = member.plan.stages[: 1 if member.plan.bounds else None]
        return sum(self.costs[stage] for stage in stages)

    def _within(self, dial: Dial) -> tuple[Member, ...]:
        """Who fits in the cap: a plan that is cut off does not do what it promises, or nothing."""
        most = self.most if dial.most is None else dial.most
        members = tuple(one for one in self.members if self._at_most(one) <= most + _ROUNDING)
        if not members:
            raise UsageError(
                f"a cap of {most:g} {self.currency} is below the {self.least:g} of the cheapest "
                "member of this policy; raise it"
            )
        return members

    @staticmethod
    def _of_price(members: Sequence[Member], price: float) -> Member:
        if not price > 0:
            raise UsageError(f"price {price:g} is not above 0; give how much a unit must buy")
        return min(members, key=lambda member: abs(math.log(member.price / price)))

    def _of_average(
        self, members: Sequence[Member], average: float, problem: Problem, seed: int
    ) -> Member:
        means = [member.cost.mean for member in members]
        if average < means[0]:
            raise UsageError(
                f"an average of {average:g} {self.currency} is below the {means[0]:.2f} of the "
                "cheapest member of this policy; raise it"
            )
        above = next((n for n, mean in enumerate(means) if mean > average), None)
        if above is None:
            return members[-1]
        low, high = means[above - 1], means[above]
        share = (average - low) / (high - low)
        return members[above if _lot(problem, seed) < share else above - 1]

    def promise(self, dial: Dial) -> tuple[Interval, Interval]:
        """Mean cost and accuracy that a dial promises."""
        members = self._within(dial)
        if dial.average is None:
            member = members[-1] if dial.price is None else self._of_price(members, dial.price)
            return member.cost, member.accuracy
        means = [member.cost.mean for member in members]
        above = next((n for n, mean in enumerate(means) if mean > dial.average), None)
        if above is None or above == 0:
            member = members[-1 if above is None else 0]
            return member.cost, member.accuracy
        one, other = members[above - 1], members[above]
        share = (dial.average - means[above - 1]) / (means[above] - means[above - 1])
        return mixed(one.cost, other.cost, share), mixed(one.accuracy, other.accuracy, share)

    def reading(self, grader: str | None = None) -> str:
        """As `table.Policy.reading`."""
        fitted = self.provenance.grader
        if grader is not None and grader != fitted:
            raise PolicyError(
                f"policy was fitted on answers as grader {fitted} reads them, this run asks for "
                f"{grader}; leave the grader out, or fit a policy for this run"
            )
        return fitted

    @property
    def roles(self) -> frozenset[str]:
        """Roles that its menu asks."""
        return frozenset[str]().union(*(stage.roles for stage in self.menu))

    def check(self, given_by_role: Mapping[str, str]) -> None:
        """As `table.Policy.check`, for the roles that the menu asks."""
        was = self.provenance.engines
        for role in sorted(self.roles):
            if was.get(role) != given_by_role.get(role):
                raise PolicyError(
                    f"policy was fitted with {role.replace('_', ' ')} {was.get(role) or 'none'}, "
                    f"this run has {given_by_role.get(role) or 'none'}; use "
                    f"{was.get(role) or 'none'} or fit a policy for this run"
                )


def _lot(problem: Problem, seed: int) -> float:
    """A number in [0, 1) that belongs to a problem and a seed."""
    text = f"{seed} {problem.id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64


def mixed(one: Interval, other: Interval, share: float) -> Interval:
    """Of a mean to which the second gives this share of the problems."""

    def mix(name: str) -> float:
        return (1 - share) * float(getattr(one, name)) + share * float(getattr(other, name))

    return Interval(mix("mean"), mix("low"), mix("high"), one.problems)
