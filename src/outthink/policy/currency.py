"""What a stage costs, in the currency that a policy saves.

generations     solutions drawn, whoever draws them
tokens          tokens read and written, the verifier's among them; cached ones are free
seconds         engine seconds
flops           2 N for every token computed, by the parameters of who computed it
                (Snell et al. 2024, section 7)
money           a price for a million tokens that are read, cached and written, by role
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from outthink.errors import UsageError
from outthink.types import LARGER, PROPOSER, REVISER, REVISION_VERIFIER, VERIFIER, Usage

GENERATIONS = "generations"
CURRENCIES = (GENERATIONS, "tokens", "seconds", "flops", "money")

Currency = Callable[[Usage, Collection[str]], float]
"""The cost of a usage by a search that asks these roles."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens."""

    read: float
    cached: float
    written: float


def read_prices(path: Path) -> dict[str, Price]:
    """The price list in a JSON file, by role. Raises `UsageError` where it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {
            role: Price(*(float(entry[name]) for name in ("read", "cached", "written")))
            for role, entry in data.items()
        }
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; correct the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no price list ({error}); write by role what a million tokens cost, as "
            '{"proposer": {"read": 1, "cached": 0.1, "written": 4}}'
        ) from error


def currency(
    name: str, sizes: Mapping[str, int] | None = None, prices: Mapping[str, Price] | None = None
) -> Currency:
    """The currency of this name. `sizes` are parameters and `prices` price lists, by role.

    Raises `UsageError` for an unknown name, and where a role is asked that a list lacks.
    """
    if name == GENERATIONS:
        return lambda usage, roles: float(usage.generations)
    if name == "tokens":
        return lambda usage, roles: float(
            usage.prompt_tokens + usage.decoded_tokens + usage.verifier_tokens
        )
    if name == "seconds":
        return lambda usage, roles: usage.seconds
    if name == "flops":
        return _Flops(sizes or {})
    if name == "money":
        return _Money(prices or {})
    raise UsageError(f"unknown currency {name!r}; name one of {', '.join(CURRENCIES)}")


def writer_of(roles: Collection[str]) -> str:
    """The role that writes in a search that asks these."""
    return next((role for role in (LARGER, REVISER) if role in roles), PROPOSER)


def _scorer_of(roles: Collection[str]) -> str:
    return REVISION_VERIFIER if REVISION_VERIFIER in roles else VERIFIER


@dataclass(frozen=True, slots=True)
class _Flops:
    sizes: Mapping[str, int]

    def __call__(self, usage: Usage, roles: Collection[str]) -> float:
        written = 2.0 * self._size(writer_of(roles)) * (usage.prompt_tokens + usage.decoded_tokens)
        if not usage.verifier_tokens:
            return written
        return written + 2.0 * self._size(_scorer_of(roles)) * usage.verifier_tokens

    def _size(self, role: str) -> int:
        if role not in self.sizes:
            raise UsageError(
                f"the store does not say how many parameters the {role.replace('_', ' ')} has, "
                "which FLOPs are counted by; choose another currency"
            )
        return self.sizes[role]


@dataclass(frozen=True, slots=True)
class _Money:
    prices: Mapping[str, Price]

    def __call__(self, usage: Usage, roles: Collection[str]) -> float:
        price = self._price(writer_of(roles))
        paid = (
            price.read * usage.prompt_tokens
            + price.cached * usage.cached_tokens
            + price.written * usage.decoded_tokens
        )
        if usage.verifier_tokens:
            price = self._price(_scorer_of(roles))
            paid += price.read * usage.verifier_tokens + price.cached * usage.verifier_cached_tokens
        return paid / 1e6

    def _price(self, role: str) -> Price:
        if role not in self.prices:
            raise UsageError(
                f"the price list lacks the {role.replace('_', ' ')}, which the menu asks; add it, "
                f"it has {', '.join(self.prices) or 'nobody'}"
            )
        return self.prices[role]
