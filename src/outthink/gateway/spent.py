"""What each user may spend, and has: tokens within the last minute, and within the last day.

Tokens are counted as they are spent, in seconds of the clock, so requests that fail or are left
count too. They are kept in one SQLite file, and a restart changes nothing. A user who has spent
what is allowed gets no further request; those under way are finished, so a window may end above
its limit by what they come to.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from outthink.errors import UsageError
from outthink.gateway.refused import Refused

MINUTE_S, _HOUR_S, DAY_S = 60, 3600, 86_400
LOG = logging.getLogger("outthink.gateway")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one user may spend; `None` is without a limit."""

    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None


_CODES = {MINUTE_S: "rate_limit_exceeded", DAY_S: "insufficient_quota"}
_NAMES = {MINUTE_S: "minute", DAY_S: "day"}
_PARTS = 1440
"""Of a window, which moves by one of them at a time, and by a second at least."""


@dataclass(slots=True)
class _Window:
    """Tokens of one user within the last so many seconds."""

    length_s: int
    total: int = 0
    _parts: deque[list[int]] = field(default_factory=deque)
    """Pairs of when a part of the window ends and what was spent in it, oldest first."""

    def add(self, second: int, tokens: int) -> None:
        long = max(1, self.length_s // _PARTS)
        end = second - second % long + long
        if self._parts and self._parts[-1][0] >= end:
            self._parts[-1][1] += tokens
        else:
            self._parts.append([end, tokens])
        self.total += tokens

    def move(self, now: float) -> None:
        """Forget what is too long ago."""
        while self._parts and self._parts[0][0] <= now - self.length_s:
            self.total -= self._parts.popleft()[1]

    def wait_s(self, limit: int, now: float) -> int:
        """Seconds until less than the limit is left in it; 0 where it is."""
        left, wait = self.total, 0
        for end, tokens in self._parts:
            if left < limit:
                break
            left, wait = left - tokens, max(1, math.ceil(end + self.length_s - now))
        return wait


@dataclass(eq=False)
class Spent:
    """`spent.check(name)` before a request, `spent.add(name, tokens)` as it goes. Make one with
    `opened`."""

    allowed: Mapping[str, Allowance]
    _database: sqlite3.Connection
    clock: Callable[[], float] = time.time
    _windows: dict[str, tuple[_Window, _Window]] = field(default_factory=dict)
    _unwritten: dict[tuple[str, int], int] = field(default_factory=dict)
    _since: int = 0
    """Rows before this second are dropped already."""

    @classmethod
    def opened(
        cls, path: Path, allowed: Mapping[str, Allowance], clock: Callable[[], float] = time.time
    ) -> Spent:
        """With what was spent before. Raises `UsageError` for a file that cannot be used."""
        try:
            database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_TABLE)
            made = cls(allowed, database, clock)
            made._read()
        except sqlite3.Error as error:
            raise UsageError(f"cannot keep what is spent in {path}: {error}") from error
        return made

    def _read(self) -> None:
        self._forget()
        rows = self._database.execute("SELECT name, second, tokens FROM spent ORDER BY second")
        for name, second, tokens in rows.fetchall():
            self._count(name, second, tokens)

    def check(self, name: str) -> None:
        """Raises `Refused` (429) for a user who has spent what is allowed."""
        allowance = self.allowed.get(name, Allowance())
        limits = (allowance.tokens_per_minute, allowance.tokens_per_day)
        for window, limit in zip(self._of(name), limits, strict=True):
            if limit is not None:
                self._check(window, limit)

    def _check(self, window: _Window, limit: int) -> None:
        now = self.clock()
        window.move(now)
        if wait := window.wait_s(limit, now):
            raise Refused(
                429,
                f"{window.total} tokens are spent within a {_NAMES[window.length_s]}, and {limit} "
                f"are allowed; try again in {wait} s",
                code=_CODES[window.length_s],
                retry_after_s=wait,
            )

    def add(self, name: str, tokens: int) -> None:
        """Count what was spent, and keep it. A disk that fails is told in the log and tried again;
        the count goes on."""
        if tokens <= 0:
            return
        second = int(self.clock())
        self._count(name, second, tokens)
        place = name, second
        self._unwritten[place] = self._unwritten.get(place, 0) + tokens
        self._write()

    def _count(self, name: str, second: int, tokens: int) -> None:
        for window in self._of(name):
            window.add(second, tokens)
            window.move(self.clock())

    def _of(self, name: str) -> tuple[_Window, _Window]:
        return self._windows.setdefault(name, (_Window(MINUTE_S), _Window(DAY_S)))

    def _write(self) -> None:
        try:
            for (name, second), tokens in list(self._unwritten.items()):
                self._database.execute(_ADD, (name, second, tokens))
                del self._unwritten[name, second]
            self._forget()
        except sqlite3.Error as error:
            LOG.error("what is spent cannot be kept, and is tried again: %s", error)

    def _forget(self) -> None:
        """Once an hour, drop rows that no window needs."""
        since = int(self.clock()) - DAY_S
        if since - self._since >= _HOUR_S:
            self._database.execute("DELETE FROM spent WHERE second < ?", (since - MINUTE_S,))
            self._since = since

    def close(self) -> None:
        self._database.close()


_BUSY_S = 0.1
"""For which a file that another process writes is waited for: everyone waits meanwhile."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS spent (name TEXT NOT NULL, second INTEGER NOT NULL, "
    "tokens INTEGER NOT NULL, PRIMARY KEY (name, second)) WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO spent VALUES (?, ?, ?) "
    "ON CONFLICT (name, second) DO UPDATE SET tokens = tokens + excluded.tokens"
)
