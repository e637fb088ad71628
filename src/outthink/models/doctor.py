"""What a server can do, found out by asking it, as a program reads it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from outthink.models.capabilities import Capabilities, examine
from outthink.models.examine import findings, strategies
from outthink.models.http import HttpClient
from outthink.models.local import is_local, serve


def doctor(url: str) -> dict[str, Any]:
    """What the server at an address, or a model in this process, can do. Raises `ServerRefused`
    where there is none."""
    server = serve(url) if is_local(url) else None
    address, _, model = (server.url if server else url).partition("#")
    seen = asyncio.run(_examined(address, model or None))
    return {
        "url": seen.url,
        "server": seen.server,
        "dialect": seen.kind.value,
        "model": seen.model,
        "models": list(seen.models),
        "context": seen.context,
        "strategies": strategies(seen),
        "findings": [asdict(finding) for finding in findings(seen)],
    }


async def _examined(address: str, model: str | None) -> Capabilities:
    client = HttpClient(address)
    try:
        return await examine(client, model)
    finally:
        await client.aclose()
