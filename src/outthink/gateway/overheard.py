"""The tokens of a reply that is passed on byte by byte: as its server counts them, where it does.

A stream counts them only for a client that asks for it. Without a count, one event of a stream is
taken for one token, and four bytes of anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOTAL = re.compile(rb'"total_tokens"\s*:\s*(\d{1,15})')
_TAIL = 16_384
"""Bytes at the end of a reply in which its count is looked for."""
_BYTES = 4
"""Of a token, as in English."""


@dataclass(slots=True)
class Overheard:
    """`hear` every part of a reply; `tokens` are those of the request and of what came so far."""

    sent: int
    """Bytes of the request."""
    _came: int = 0
    _events: int = 0
    _tail: bytes = b""
    _taken: int = 0

    def hear(self, part: bytes) -> None:
        self._came += len(part)
        self._events += part.count(b"data: ")
        self._tail = (self._tail + part)[-_TAIL:]

    def take(self) -> int:
        """The tokens that were not taken before."""
        fresh = self.tokens - self._taken
        self._taken += fresh
        return fresh

    @property
    def tokens(self) -> int:
        told = _TOTAL.findall(self._tail)
        if told:
            return int(told[-1])
        return self.sent // _BYTES + (self._events or self._came // _BYTES)
