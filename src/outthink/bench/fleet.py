"""Throughput and cache hits of several servers of one model, one of them slow and one killed.

    throughput   requests answered, by those that servers which were alive could have answered
    affinity     tokens of prompts that were in a cache, by those that would have been in the cache
                 of a single server that was asked the same

The servers are stand-ins (`replica`). The load has the shape of beam searches: each problem asks
for some rows at once, whose prompts go on from one that it asked with before, and waits for all of
them. All of it is counted, from the first request to the last answer, so what is lost as the work
runs out is in the figure too.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from outthink.bench.replica import BLOCK, Prefixes
from outthink.errors import RunError
from outthink.models.fleet import Fleet
from outthink.models.http import RetryPolicy
from outthink.run.progress import Progress


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of which servers."""

    servers: int = 3
    slots: int = 16
    """Requests that a server runs at once."""
    seconds: float = 1.0
    """That an answer takes; of the slow server `slower` times that."""
    slower: float = 4.0
    problems: int = 120
    at_once: int = 48
    """Problems that are searched at one time."""
    rounds: int = 5
    width: int = 4
    """Requests of each round of a problem."""
    killed_at: float = 0.33
    """The share of the requests after which a quick server is killed."""

    @property
    def requests(self) -> int:
        return self.problems * self.rounds * self.width


def fleet(load: Load) -> dict[str, Any]:
    """All figures. Raises `RunError` where a server does not start."""
    times = [load.seconds] * (load.servers - 1) + [load.seconds * load.slower]
    with ExitStack() as held:
        processes = [held.enter_context(_running(load.slots, seconds)) for seconds in times]
        return {**asdict(load), **asyncio.run(_Bench(load, times, processes).run())}


@dataclass(frozen=True, slots=True)
class _Process:
    url: str
    process: subprocess.Popen[str]


@contextmanager
def _running(slots: int, seconds: float) -> Iterator[_Process]:
    words = ["-m", "outthink.bench.replica", "--slots", str(slots), "--seconds", str(seconds)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            if not url:
                raise RunError("a stand-in of a server did not start; see what it says above")
            yield _Process(url, process)
        finally:
            process.kill()


class _Bench:
    """One run."""

    def __init__(self, load: Load, times: Sequence[float], processes: Sequence[_Process]) -> None:
        self._load, self._times, self._processes = load, times, processes
        self._client = Fleet(
            [one.url for one in processes], retry=RetryPolicy(tries=8, first_wait_s=0.05)
        )
        self._one = Prefixes()
        """What a single server would have in its cache."""
        self._answered = self._cached = self._could = self._read = 0
        self._killed_s: float | None = None

    async def run(self) -> dict[str, Any]:
        self._began = time.perf_counter()
        turns = asyncio.Semaphore(self._load.at_once)
        try:
            with Progress("fleet", self._load.requests, "requests") as self._bar:
                async with asyncio.TaskGroup() as searching:
                    for number in range(self._load.problems):
                        searching.create_task(self._problem(number, turns))
            return self._told(time.perf_counter() - self._began)
        finally:
            await self._client.aclose()

    async def _problem(self, number: int, turns: asyncio.Semaphore) -> None:
        """One after the other, rounds of requests that go on from one of the last round."""
        async with turns:
            prompt = [number] * BLOCK * 4
            for depth in range(self._load.rounds):
                rows = [
                    [*prompt, *[1 + self._load.width * depth + row] * BLOCK]
                    for row in range(self._load.width)
                ]
                await asyncio.gather(*(self._ask(number, row) for row in rows))
                prompt = rows[-1]

    async def _ask(self, number: int, prompt: list[int]) -> None:
        known = await self._client.post(
            "/v1/completions",
            {"prompt": prompt},
            lambda told: int(told["cached_tokens"]),
            home=number,
        )
        self._cached += known
        self._could += self._one.read(prompt)
        self._read += len(prompt)
        self._answered += 1
        self._bar.advance(1)
        if self._killed_s is None and self._answered >= self._load.killed_at * self._load.requests:
            self._processes[0].process.kill()
            self._killed_s = time.perf_counter() - self._began

    def _told(self, seconds: float) -> dict[str, Any]:
        alive = [seconds] * len(self._times)
        if self._killed_s is not None:
            alive[0] = min(self._killed_s, seconds)
        could = sum(
            self._load.slots / takes * lived
            for takes, lived in zip(self._times, alive, strict=True)
        )
        return {
            "requests": self._answered,
            "elapsed_s": seconds,
            "killed_after_s": self._killed_s,
            "requests_possible": could,
            "throughput_share": self._answered / could,
            "cached_share": self._cached / self._read,
            "affinity": self._cached / self._could,
        }
