"""What the live page sees: requests of late, and all that happens to them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

_REQUESTS = 32
"""That a page shows which is opened later."""
_EVENTS = 4000
"""Of one request; what comes after is counted and not shown."""
_BEHIND = 20_000
"""Events that a page may be behind; then it is let go, and comes again."""


@dataclass(slots=True)
class _Shown:
    who: str
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(eq=False)
class Live:
    """Whoever listens sees the requests of one user alone, or all where there are no keys."""

    _shown: OrderedDict[str, _Shown] = field(default_factory=OrderedDict)
    _pages: dict[asyncio.Queue[dict[str, Any] | None], str] = field(default_factory=dict)

    def begin(self, id: str, who: str, about: dict[str, Any]) -> None:
        """A request begins."""
        self._shown[id] = _Shown(who)
        while len(self._shown) > _REQUESTS:
            self._shown.popitem(last=False)
        self.tell(id, {"kind": "begin", **about})

    def tell(self, id: str, event: dict[str, Any]) -> None:
        """Something happens to a request."""
        shown = self._shown.get(id)
        if shown is None:
            return
        event = {"request": id, **event}
        if len(shown.events) < _EVENTS or event["kind"] in ("end", "failed"):
            shown.events.append(event)
        for page, who in list(self._pages.items()):
            if who == shown.who:
                self._send(page, event)

    def _send(self, page: asyncio.Queue[dict[str, Any] | None], event: dict[str, Any]) -> None:
        if page.qsize() > _BEHIND:
            del self._pages[page]
            page.put_nowait(None)
        else:
            page.put_nowait(event)

    async def listen(self, who: str) -> AsyncIterator[dict[str, Any]]:
        """What there is to see, then all that comes."""
        page: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        for shown in self._shown.values():
            if shown.who == who:
                for event in shown.events:
                    page.put_nowait(event)
        self._pages[page] = who
        try:
            while (told := await page.get()) is not None:
                yield told
        finally:
            self._pages.pop(page, None)

    def close(self) -> None:
        """Let all pages go."""
        for page in self._pages:
            page.put_nowait(None)
        self._pages.clear()
