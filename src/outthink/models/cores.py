"""How many cores the models of this process may compute on."""

from __future__ import annotations

import os

CORES = "OUTTHINK_CORES"
"""The variable that says so, where a process shares its machine with others; after it comes
`OMP_NUM_THREADS`, which torch goes by. Without them a process uses all cores it may run on."""


def cores() -> int:
    """At least one."""
    for name in (CORES, "OMP_NUM_THREADS"):
        told = os.environ.get(name, "")
        if told.isdecimal() and int(told):
            return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
