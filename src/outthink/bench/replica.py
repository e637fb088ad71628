"""A server that stands for one of several of a model: it runs some requests at once, takes a set
time for each, and remembers which prefixes it has read, in blocks, as a prefix cache does.

It computes nothing, runs in a process of its own, and knows nothing of HTTP beyond what is asked of
it. What it answers tells how much of the prompt it had read before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 16
"""Tokens of a block of the cache."""


def blocks(prompt: Sequence[int]) -> list[tuple[int, ...]]:
    """The prefixes of a prompt that end with a whole block, shortest first."""
    ends = range(BLOCK, len(prompt) + 1, BLOCK)
    return [tuple(prompt[:end]) for end in ends]


class Prefixes:
    """Prefixes that were read; none is forgotten."""

    def __init__(self) -> None:
        self._read: set[tuple[int, ...]] = set()

    def read(self, prompt: Sequence[int]) -> int:
        """Tokens that were known, and now all of them are."""
        whole = blocks(prompt)
        known = sum(prefix in self._read for prefix in whole)
        self._read.update(whole)
        return BLOCK * known


@dataclass(eq=False)
class Replica:
    """Answers so many requests at once, each in so many seconds; the others wait."""

    slots: int
    seconds: float

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)
        self._prefixes = Prefixes()

    async def answer(self, prompt: Sequence[int]) -> int:
        """Tokens of the prompt that were known, once it has been answered."""
        async with self._free:
            known = self._prefixes.read(prompt)
            await asyncio.sleep(self.seconds)
        return known

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, until it is closed."""
        while head := await _head(reader):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            prompt = json.loads(await reader.readexactly(length))["prompt"]
            told = json.dumps({"cached_tokens": await self.answer(prompt)}).encode()
            size = f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n".encode()
            writer.write(size + told)
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The head of a request; empty where the connection was closed."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def serve(replica: Replica) -> None:
    """Serve on a free port of this machine, which is printed, until the process is ended."""
    server = await asyncio.start_server(replica.connected, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--slots", type=int, required=True)
    words.add_argument("--seconds", type=float, required=True)
    told = words.parse_args()
    asyncio.run(serve(Replica(told.slots, told.seconds)))
