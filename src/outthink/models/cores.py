"""How many cores the models of this process may compute on."""

from __future__ import annotations

import os

CORES = "OUTTHINK_CORES"
"""The variable that says so, where a process shares its machine with others; otherwise it may use
all that the system lets it run on."""


def cores() -> int:
    """At least one."""
    told = os.environ.get(CORES, "")
    if told.isdecimal() and int(told):
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
