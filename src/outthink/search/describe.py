"""The description of a search: a decorator above it gives label, source, roles and reading.

    @describe(label="Best of N", source="Cobbe et al. 2021", roles={PROPOSER, VERIFIER})
    def best_of_n(problem, budget, *, step=..., answer=...): ...

A search without a description runs too: its label is its name, it may ask any role, and it is never
read from a pool.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from outthink.errors import UsageError
from outthink.types import REVISION_VERIFIER, VERIFIER, About, Reading

_Search = TypeVar("_Search", bound=Callable[..., Any])

Roles = Collection[str] | Callable[..., Collection[str]]
"""Roles that a search asks, or a function from its options to them."""


def describe(
    *,
    label: str,
    source: str = "",
    roles: Roles | None = None,
    reading: Callable[..., Reading | None] | None = None,
    settle: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
    words: Roles = (),
) -> Callable[[_Search], _Search]:
    """Describe a search: its label on pages, its source, the roles it asks, and how its outcome is
    computed from a pool of samples that was drawn once. `roles` and `reading` may be functions of
    the options; they are called with every option as a keyword. `settle` makes options as written
    into those that the name holds, where the same words may mean another algorithm tomorrow: a file
    into a file and its digest. `words` are those of the roles that it asks in words."""

    def described(search: _Search) -> _Search:
        def about(options: Mapping[str, Any]) -> About:
            asked = roles(**options) if callable(roles) else roles
            in_words = words(**options) if callable(words) else words
            return About(
                label,
                source,
                None if asked is None else frozenset(asked),
                None if reading is None else reading(**options),
                frozenset(in_words),
            )

        search.about = about  # type: ignore[attr-defined]
        search.settle = settle  # type: ignore[attr-defined]
        return search

    return described


def writes(by: str) -> str:
    """A role that writes. Raises `UsageError` for one that scores."""
    if by in (VERIFIER, REVISION_VERIFIER):
        raise UsageError(f"by={by}: who scores does not write; name a role that writes, as larger")
    return by


def about(search: Callable[..., Any], options: Mapping[str, Any]) -> About:
    """The description of a search with these options; options not given have their defaults."""
    said: Callable[[Mapping[str, Any]], About] | None = getattr(search, "about", None)
    return About() if said is None else said(options)


def settled(search: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the name of a strategy holds them."""
    settle: Callable[[Mapping[str, Any]], dict[str, Any]] | None = getattr(search, "settle", None)
    return dict(options) if settle is None else settle(options)
