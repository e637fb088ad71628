"""Searches that failed, and what they failed of, as remarks in a store.

The runner tells an error once, to whoever runs it; a store that is read later has to say why
something is missing. A search that succeeds after all leaves its remark behind, which counts for
nothing.
"""

from __future__ import annotations

import json

from outthink.run.store import JobKey, Store
from outthink.types import Outcome

PREFIX = "failed "


def record(store: Store, outcome: Outcome, stream: str) -> None:
    """Keep what a search failed of."""
    assert outcome.error is not None
    key = [outcome.problem_id, outcome.strategy, outcome.budget, stream]
    store.set_meta(PREFIX + json.dumps(key), outcome.error)


def recorded(store: Store) -> dict[JobKey, str]:
    """What searches failed of, the last time each was tried."""
    errors: dict[JobKey, str] = {}
    for name, error in store.metas(PREFIX).items():
        problem, strategy, budget, stream = json.loads(name)
        errors[problem, strategy, budget, stream] = error
    return errors
