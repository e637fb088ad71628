"""Every search that ships, as these models can run it: what `--strategies all` stands for."""

from __future__ import annotations

from outthink.errors import UsageError
from outthink.search import SEARCHES
from outthink.study.models import Models, reads_any_text, require_verifier, require_words
from outthink.study.plan import STRATEGIES
from outthink.types import VERIFIER

ALL = "all"
"""The word for all of them."""
_FORCED = ("budget_forcing",)
"""Searches that put words into a model's mouth, which one of a single task does not read."""


def every(models: Models) -> tuple[str, ...]:
    """The paper's searches, then all others, by their names. Of one that asks a model in words,
    which these do not read, it is the way by a verifier's scores, or none."""
    able = [name for name in STRATEGIES if _can(models, name)]
    for name in SEARCHES:
        ways = (name, f"{name}(by={VERIFIER})")
        able += [way for way in ways if _can(models, way)][:1]
    return tuple(dict.fromkeys(able))


def _can(models: Models, name: str) -> bool:
    if name in _FORCED and not reads_any_text(models.proposer):
        return False
    try:
        require_verifier(models, (name,))
        require_words(models, (name,))
    except UsageError:
        return False
    return True
