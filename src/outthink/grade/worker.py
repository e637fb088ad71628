"""Asks separate processes for computer algebra, and kills one that takes too long.

A thread cannot be stopped, and a signal reaches the main thread alone, so a time limit that holds
in threads needs a process. A process is started once and asked many times; one that was killed is
replaced when the next is needed. A request that was cut off has the answer `None`, as one that
could not be understood. The limit is on CPU time, so a busy machine changes no answer.

The formulas come from models, so the processes inherit no environment: no API key is in it.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from outthink.errors import RunError, UsageError
from outthink.grade.lines import Lines

CPU_SECONDS = 5.0
"""Of one request."""
WALL_SECONDS = 120.0
"""A process that does not answer for so long is stuck without using CPU time, and is killed."""
MOST = 4
"""Processes kept at most."""

_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from outthink.grade import symbolic; symbolic.serve({seconds!r})"
)


class _Process:
    """One process, asked one thing at a time."""

    def __init__(self, cpu_seconds: float) -> None:
        start = _START.format(path=[entry for entry in sys.path if entry], seconds=cpu_seconds)
        self._process = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._lines = Lines(self._process.stdout.fileno(), self._process.stdin.fileno())
        if self._lines.next(seconds=WALL_SECONDS) != '"ready"':
            code = self.close()
            raise RunError(
                f"the process for computer algebra did not start (exit code {code}); "
                "check that 'import math_verify' works"
            )

    def ask(self, request: list[str]) -> Any:
        """The answer; `None` where there is none in time, and the process has then ended."""
        answer = self._lines.ask(json.dumps(request), seconds=WALL_SECONDS)
        if answer is None:
            self._process.kill()
            self._process.wait()
            return None
        return json.loads(answer)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> int:
        """Kill it, and wait."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        return self._process.wait()


def _environment() -> dict[str, str]:
    """What the process sees of the environment: no API key, and nothing else it does not need.

    Where modules are imported from is set by `_START`.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }


class Workers:
    """A few processes, each started when it is first needed. Safe to use from threads."""

    def __init__(self, most: int | None = None, *, cpu_seconds: float = CPU_SECONDS) -> None:
        self._cpu_seconds = cpu_seconds
        self._places = threading.BoundedSemaphore(most or min(MOST, os.cpu_count() or 1))
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    def ask(self, *request: str) -> Any:
        """The answer of `symbolic.serve`. Raises `UsageError` without the extra `math`."""
        require()
        with self._places:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is not None and process.ended:
                process.close()
                process = None
            if process is None:
                process = _Process(self._cpu_seconds)
            try:
                return process.ask(list(request))
            finally:
                if process.ended:
                    process.close()
                else:
                    with self._lock:
                        self._idle.append(process)

    def close(self) -> None:
        """End all that are idle; they start again when needed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()


_workers: dict[int, Workers] = {}
"""By process number: a fork must not talk to its parent's workers."""


def workers() -> Workers:
    """The workers of this process."""
    pool = _workers.get(os.getpid())
    if pool is None:
        pool = _workers.setdefault(os.getpid(), Workers())
    return pool


@atexit.register
def _close() -> None:
    if os.getpid() in _workers:
        _workers[os.getpid()].close()


@lru_cache(maxsize=1)
def installed() -> bool:
    """Whether the packages for mathematics are there."""
    return find_spec("math_verify") is not None


def require() -> None:
    """Raises `UsageError` where the packages for mathematics are missing."""
    if not installed():
        raise UsageError(
            "grading mathematics needs math-verify; install it with: pip install 'outthink[math]'"
        )
