"""Searches that failed, and what they failed of, as remarks in a store.

The driver tells an error once, to whoever runs it; a store that is read later has to say why
something is missing. A search that succeeds after all leaves its remark behind, which counts for
nothing.
"""

from __future__ import annotations

import json

from outthink.store import Store
from outthink.types import Outcome

_PREFIX = "failed "

Search = tuple[str, str, int, str]
"""Problem, strategy, budget, stream: what makes a search this search."""


def record(store: Store, outcome: Outcome, stream: str) -> None:
    """Keep what a search failed of."""
    assert outcome.error is not None
    key = [outcome.problem_id, outcome.strategy, outcome.budget, stream]
    store.note(_PREFIX + json.dumps(key), outcome.error)


def recorded(store: Store) -> dict[Search, str]:
    """What searches failed of, the last time each was tried."""
    found: dict[Search, str] = {}
    for name, error in store.notes(_PREFIX).items():
        problem, strategy, budget, stream = json.loads(name)
        found[problem, strategy, budget, stream] = error
    return found
