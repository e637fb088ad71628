"""What the gateway adds to the model's own answer, and how it bears a crowd.

    pairs   the same requests sent to a server directly and through the gateway, in turns: requests
            a second, and what each request took longer
    crowd   as many requests at once as one likes, of two keys that want unequally much, for a set
            time: what became of each, the keys' shares, and the gateway's memory

The server is a stand-in (`stand_in`) that takes as long as a model would and computes nothing, so
that what is measured is the gateway. Server and gateway are processes of their own; all share the
cores of this machine, and what the gateway's processor time allows is told beside what was seen.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from outthink.bench.stand_in import MODEL
from outthink.errors import RunError
from outthink.run.progress import Progress

_PATH = "/v1/chat/completions"
_PATIENCE_S = 120.0
"""For one answer."""
_KEYS = {"many": 3, "few": 1}
"""Names of the keys of a crowd, and in what ratio their clients are."""
_AT_ONCE = 64
"""Requests that the gateway answers at a time, of a crowd; of a small one a tenth of its clients,
or there would be no line to share."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent."""

    seconds: float = 0.5
    """Mean time of an answer of the server."""
    concurrency: int = 64
    """Clients, each of which sends its next request once it has an answer."""
    requests: int = 1000
    """Of one round, directly or through the gateway."""
    rounds: int = 5
    most_tokens: int = 64


@dataclass(slots=True)
class _Seen:
    """What clients saw."""

    took_s: dict[int, float] = field(default_factory=dict)
    """By the seed of the request."""
    statuses: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    """Of what came before the time was up: after that nobody stands in line any more."""
    seconds: float = 0.0
    ends: float = math.inf
    """When the time is up, by `time.monotonic`."""


def pairs(load: Load) -> dict[str, Any]:
    """All figures of the pairs. Raises `RunError` where a request failed."""
    with ExitStack() as held:
        server, gateway = _both(held, load.seconds)
        return asyncio.run(_pairs(load, server, gateway))


def crowd(load: Load, for_s: float) -> dict[str, Any]:
    """All figures of a crowd of `load.concurrency` clients that ask for `for_s` seconds."""
    with ExitStack() as held:
        place = Path(held.enter_context(tempfile.TemporaryDirectory())) / "keys.json"
        keys = {name: _key(place, name) for name in _KEYS}
        words = ("--keys", str(place), "--waiting", str(load.concurrency))
        at_once = max(1, min(_AT_ONCE, load.concurrency // 10))
        _, gateway = _both(held, load.seconds, *words, "--at-once", str(at_once))
        return asyncio.run(_crowd(load, for_s, gateway, keys))


# Pairs -------------------------------------------------------------------------------------------


async def _pairs(load: Load, server: _Process, gateway: _Process) -> dict[str, Any]:
    rows = []
    async with AsyncExitStack() as held:
        clients = {
            name: [await held.enter_async_context(_client(url)) for _ in range(load.concurrency)]
            for name, url in (("direct", server.url), ("gateway", gateway.url))
        }
        for name, some in clients.items():
            await _round(load, some, f"not counted, {name}", range(2 * load.concurrency))
        gc.freeze()
        for number in range(load.rounds):
            seeds = range(number * load.requests, (number + 1) * load.requests)
            seen, before = {}, gateway.processor_s()
            for name in ("direct", "gateway")[:: 1 if number % 2 else -1]:
                label = f"round {number + 1} of {load.rounds}, {name}"
                seen[name] = await _round(load, clients[name], label, seeds)
            used = gateway.processor_s() - before
            rows.append(_pair(seen["direct"], seen["gateway"], used / load.requests))
    told = {name: _over_rounds(rows, name) for name in _OF_A_PAIR}
    return {**asdict(load), **told, "cores": os.cpu_count(), "pairs": rows}


_OF_A_PAIR = ("throughput_ratio", "added_p50_ms", "added_p99_ms", "gateway_processor_ms")


def _pair(direct: _Seen, through: _Seen, processor_s: float) -> dict[str, Any]:
    added = [1e3 * (through.took_s[seed] - direct.took_s[seed]) for seed in direct.took_s]
    speeds = [len(seen.took_s) / seen.seconds for seen in (direct, through)]
    return {
        "direct_requests_per_second": speeds[0],
        "gateway_requests_per_second": speeds[1],
        "throughput_ratio": speeds[1] / speeds[0],
        "added_p50_ms": statistics.median(added),
        "added_p99_ms": statistics.quantiles(added, n=100)[98],
        "gateway_processor_ms": 1e3 * processor_s,
    }


def _over_rounds(rows: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    values = [row[name] for row in rows]
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


async def _round(
    load: Load, clients: Sequence[httpx.AsyncClient], label: str, seeds: Sequence[int]
) -> _Seen:
    """Every request once, by clients that share them out among themselves. They begin one after
    the other: many that begin at once wait for each other, and not for a gateway."""
    seen, waiting = _Seen(), iter(seeds)
    began = time.perf_counter()
    with Progress(label, len(seeds), "requests") as bar:

        async def ask(number: int, http: httpx.AsyncClient) -> None:
            await asyncio.sleep(number / len(clients) * load.seconds)
            for seed in waiting:
                status = await _ask(http, seed, load, seen)
                if status != "200":
                    raise RunError(f"{http.base_url}: {status} to a request; try fewer at once")
                bar.advance(1)

        await asyncio.gather(*(ask(number, http) for number, http in enumerate(clients)))
    seen.seconds = time.perf_counter() - began
    return seen


# A crowd -----------------------------------------------------------------------------------------


async def _crowd(
    load: Load, for_s: float, gateway: _Process, keys: dict[str, str]
) -> dict[str, Any]:
    seeds, memory = count(), list[int]()
    ends = time.monotonic() + for_s
    seen = {name: _Seen(ends=ends) for name in keys}
    whole = sum(_KEYS.values())
    with Progress("asking", round(for_s), "seconds") as bar:

        async def client(name: str) -> None:
            async with _client(gateway.url, keys[name]) as http:
                while time.monotonic() < ends:
                    await _ask_until_taken(http, next(seeds), load, seen[name])

        async def watch() -> None:
            while time.monotonic() < ends:
                memory.append(gateway.memory_bytes())
                await asyncio.sleep(min(1.0, for_s / 20))
                bar.advance(1)

        names = [
            name for name, part in _KEYS.items() for _ in range(load.concurrency * part // whole)
        ]
        await asyncio.gather(watch(), *map(client, names))
    return {**asdict(load), "for_s": for_s, **_of_crowd(seen), **_of_memory(memory)}


def _of_crowd(seen: dict[str, _Seen]) -> dict[str, Any]:
    statuses = sum((one.statuses for one in seen.values()), Counter[str]())
    tokens = [one.tokens for one in seen.values()]
    took = sorted(value for one in seen.values() for value in one.took_s.values())
    return {
        "statuses": dict(statuses),
        "server_errors": sum(n for status, n in statuses.items() if status.startswith("5")),
        "lost": sum(n for status, n in statuses.items() if not status.isdecimal()),
        "tokens_by_key": {name: one.tokens for name, one in seen.items()},
        "largest_share_over_smallest": max(tokens) / max(1, min(tokens)),
        "latency_p50_s": statistics.median(took or [0.0]),
        "latency_most_s": max(took, default=0.0),
    }


def _of_memory(memory: Sequence[int]) -> dict[str, Any]:
    """The gateway's memory in the two halves of the time, of which the first fills what is kept."""
    half = len(memory) // 2
    first, second = memory[half // 2 : half], memory[half:]
    if not first or not second:
        return {"memory_bytes": None}
    medians = [statistics.median(first), statistics.median(second)]
    return {
        "memory_bytes": {"first_half": medians[0], "second_half": medians[1], "most": max(memory)},
        "memory_growth": medians[1] / medians[0] - 1 if medians[0] else None,
    }


async def _ask_until_taken(http: httpx.AsyncClient, seed: int, load: Load, seen: _Seen) -> None:
    """A client that is told to come again does, in a second: of what it is told it hears the first
    alone, or a short run would measure nothing."""
    while await _ask(http, seed, load, seen) == "429":
        await asyncio.sleep(1.0)


# One request -------------------------------------------------------------------------------------


@asynccontextmanager
async def _client(url: str, key: str = "none") -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=_PATIENCE_S,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        verify=False,
        trust_env=False,
    ) as client:
        yield client


async def _ask(http: httpx.AsyncClient, seed: int, load: Load, seen: _Seen) -> str:
    """What became of a request: its status, or `wrong` for another request's answer, or the name of
    the error where none came."""
    turn = {"role": "user", "content": f"Question {seed}"}
    body = {"model": MODEL, "messages": [turn], "seed": seed, "max_tokens": load.most_tokens}
    began = time.perf_counter()
    try:
        reply = await http.post(_PATH, json=body)
        status = str(reply.status_code)
        if status == "200":
            told = reply.json()
            if not told["choices"][0]["message"]["content"].startswith(f"{seed} "):
                status = "wrong"
            if time.monotonic() < seen.ends:
                seen.tokens += told["usage"]["completion_tokens"]
            seen.took_s[seed] = time.perf_counter() - began
    except (httpx.HTTPError, ValueError, LookupError) as error:
        status = type(error).__name__
    seen.statuses[status] += 1
    return status


# Processes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Process:
    url: str
    number: int

    def memory_bytes(self) -> int:
        """Resident; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.number}/statm").read_text().split()[1])
        except OSError:
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_s(self) -> float:
        """Used so far; 0 where the system does not tell."""
        try:
            told = Path(f"/proc/{self.number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def _both(held: ExitStack, seconds: float, *words: str) -> tuple[_Process, _Process]:
    """The server, and a gateway in front of it."""
    standing = _module("outthink.bench.stand_in", "--seconds", str(seconds))
    server = held.enter_context(_running(standing, lambda line: line.strip()))
    serving = _module("outthink", "serve", "--model", server.url, "--verifier", "none")
    serving += ["--strategy", "majority", "--port", "0", "--json", *words]
    gateway = held.enter_context(_running(serving, lambda line: str(json.loads(line)["url"])))
    return server, gateway


def _key(place: Path, name: str) -> str:
    made = subprocess.run(
        _module("outthink", "key", name, "-o", str(place)),
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def _module(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", name, *words]


@contextmanager
def _running(command: Sequence[str], url: Any) -> Iterator[_Process]:
    """A process that says its address on its first line. Raises `RunError` where it says none."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise RunError(f"{' '.join(command)} did not start: {process.stderr.read().strip()}")
        try:
            yield _Process(url(line), process.pid)
        finally:
            process.kill()
