"""What a server can do, found out by asking it, as a program reads it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from outthink.models import fleet
from outthink.models.asking import Asking
from outthink.models.capabilities import Capabilities
from outthink.models.examine import findings, strategies
from outthink.models.families import suggestions
from outthink.models.http import REQUESTS_IN_FLIGHT, RetryPolicy
from outthink.models.local import is_local, serve
from outthink.models.openai import MOST_TOKENS, STEP_END, Wording, refuse


def doctor(url: str, asking: Asking = Asking()) -> dict[str, Any]:  # noqa: B008 - frozen
    """What the server at an address, or a model in this process, can do, and how it would be asked.
    Of several addresses every server is tried, and what is told is of all of them.

    Raises `ServerRefused` where there is none, where it cannot be asked so, or where one of several
    is not as the others are."""
    server = serve(url) if is_local(url) else None
    address, _, model = (server.url if server else url).partition("#")
    seen = asyncio.run(_examined(address, model or None))
    refuse(seen, asking)
    return {
        "url": seen.url,
        "servers": [part.strip() for part in address.split(",") if part.strip()],
        "server": seen.server,
        "dialect": seen.kind.value,
        "model": seen.model,
        "models": list(seen.models),
        "context": seen.context,
        "strategies": strategies(seen),
        "asking": effective(seen, asking),
        "suggestions": suggestions(seen.model),
        "findings": [asdict(finding) for finding in findings(seen)],
    }


async def _examined(address: str, model: str | None) -> Capabilities:
    client = fleet.client(address)
    try:
        return await fleet.examined(client, model)
    finally:
        await client.aclose()


def effective(seen: Capabilities, asking: Asking) -> dict[str, Any]:
    """Every option as a server of this kind would be asked: what is given, else what is usual."""
    usual: dict[str, Any] = {
        "temperature": "the search's own",
        "top_p": 1.0 if seen.top_p else "not sent",
        "most_tokens": MOST_TOKENS,
        "delimiter": STEP_END,
        "instruction": Wording().question.removeprefix("{prompt}").strip(),
        "requests_in_flight": REQUESTS_IN_FLIGHT,
        "request_s": RetryPolicy().request_s,
    }
    return {**usual, **asking.given}
