"""Problems of reasoning-gym's generators, judged by their own scorers (see `outthink.grade.gym`).

reasoning-gym:chain_sum?size=200&seed=1&min_terms=3     any generator, with its own options
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from outthink.errors import UsageError
from outthink.grade import gym
from outthink.types import Problem

PREFIX = "reasoning-gym:"


def problems(name: str, options: Mapping[str, str], *, size: int, seed: int) -> list[Problem]:
    """The problems that a generator makes. Raises `UsageError` for a generator or option there is
    not, `RunError` where there is no sandbox."""
    known = gym.generators()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or known[:5]
        raise UsageError(
            f"reasoning-gym has no generator {name!r}; did you mean {', '.join(near)}? "
            f"There are {len(known)}: reasoning_gym.factory.DATASETS lists them"
        )
    configuration = {
        **{key: _value(text) for key, text in options.items()},
        "size": size,
        "seed": seed,
    }
    written = json.dumps(configuration, sort_keys=True)
    return [
        Problem(f"{name}-{seed}-{entry.index}", entry.question, entry.dump())
        for entry in gym.make(name, written, size)
    ]


def _value(text: str) -> Any:
    """An option's value: JSON where it is any, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
