"""What a search says of itself, written above it.

    @describe(label="Best of N", source="Cobbe et al. 2021", roles={PROPOSER, VERIFIER})
    def best_of_n(problem, budget, *, step=..., answer=...): ...

A search without it runs as well: it goes by its name, may ask any role, and is not read from pools.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from outthink.types import About, Reading

_Search = TypeVar("_Search", bound=Callable[..., Any])

Roles = Collection[str] | Callable[..., Collection[str]]
"""Roles that a search asks, or a function from its options to them."""


def describe(
    *,
    label: str,
    source: str = "",
    roles: Roles | None = None,
    reading: Callable[..., Reading | None] | None = None,
) -> Callable[[_Search], _Search]:
    """Say of a search how pages call it, where it is from, whom it asks, and how its outcome is
    read from a pool that was drawn once. `roles` and `reading` may depend on the options, which
    they are given by keyword, all of them."""

    def described(search: _Search) -> _Search:
        def about(options: Mapping[str, Any]) -> About:
            asked = roles(**options) if callable(roles) else roles
            return About(
                label,
                source,
                None if asked is None else frozenset(asked),
                None if reading is None else reading(**options),
            )

        search.about = about  # type: ignore[attr-defined]
        return search

    return described


def about(search: Callable[..., Any], options: Mapping[str, Any]) -> About:
    """What a search says of itself with these options, defaults included."""
    said: Callable[[Mapping[str, Any]], About] | None = getattr(search, "about", None)
    return About() if said is None else said(options)
