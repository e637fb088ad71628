"""A fitted sequential policy as a strategy, which sweeps and reports run like any other:

    outthink sweep new.jsonl --strategies 'policy(file=policy.json,average=8)' --budgets 64

The budget is the most that one problem may cost, in the policy's currency. The name holds a digest
of the file, so that another policy under the same name is another strategy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from outthink.errors import PolicyError, UsageError
from outthink.policy.family import Dial, Family
from outthink.policy.file import load
from outthink.policy.live import think
from outthink.search.describe import describe
from outthink.search.strategy import strategy
from outthink.types import Budget, Problem, Search

_MARK = "#"


def _settle(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the digest of the file in its name."""
    path, mark, digest = str(options["file"]).partition(_MARK)
    try:
        now = hashlib.blake2b(Path(path).read_bytes(), digest_size=4).hexdigest()
    except OSError as error:
        raise PolicyError(
            f"cannot read policy {path}: {error.strerror}; fit one, or correct the path"
        ) from error
    if mark and digest != now:
        raise PolicyError(
            f"policy {path} has changed since its searches were run; sweep again with file={path}"
        )
    return {**options, "file": f"{path}{_MARK}{now}"}


@cache
def _family(file: str) -> Family:
    path = file.partition(_MARK)[0]
    loaded = load(path)
    if not isinstance(loaded, Family):
        raise UsageError(
            f"{path} is a table, which 'outthink solve' follows; fit a sequential policy"
        )
    return loaded


@describe(
    label="sequential policy",
    source="outthink",
    roles=lambda file, **_: _family(file).roles,
    settle=_settle,
)
def policy(
    problem: Problem,
    budget: Budget,
    *,
    file: str,
    average: float | None = None,
    price: float | None = None,
    seed: int = 0,
) -> Search:
    """Spends as much as pays at a price, or what comes to `average`, and N at most. `seed` says
    which problems get which member where an average lies between two."""
    family = _family(file)
    dial = _dial(family, budget, average, price)
    return think(family.rule(family.member(dial, problem, seed)), family.limits(dial), problem)


def _dial(family: Family, budget: Budget, average: float | None, price: float | None) -> Dial:
    # A search is tried at a budget of 1 where its name is read; a policy may cost more at least.
    most = max(float(budget.generations), family.least)
    # Below the average, the cap alone decides.
    return Dial(price, average if average is not None and average <= most else None, most)


def dialled(name: str, budget: int) -> tuple[Family, Dial] | None:
    """The policy that a strategy follows at a budget, and how it is dialled; `None` for any other
    strategy. Raises `PolicyError` where its file is gone or another."""
    made = strategy(name)
    if getattr(made.start, "func", None) is not policy:
        return None
    options = made.options
    family = _family(str(options["file"]))
    return family, _dial(family, Budget(budget), options.get("average"), options.get("price"))
