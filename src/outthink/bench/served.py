"""How much of a server's speed searches get, measured on any server that proposers speak to.

    best-of-N     through the runner, with a store, against a bare client that sends the same
                  requests at the same concurrency; they alternate, and so does which goes first
    beam search   of all problems at once against one problem after the other
    prefix cache  the share of that beam search's prompts that were in it, by the server's metrics

The verifier is a stand-in that computes the score of a step from its tokens, so that a beam search
runs as usual and costs only what its proposer costs. The beam search of all problems at once runs
first, with an empty cache; the search of one problem after the other then finds every prompt in the
cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from outthink.data import source
from outthink.errors import RunError
from outthink.grade import Grading, grading
from outthink.models import metrics
from outthink.models.capabilities import Capabilities, examine
from outthink.models.http import HttpClient
from outthink.models.openai import OpenAIProposer, Setting
from outthink.run.journal import Job
from outthink.run.progress import Progress
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import (
    Budget,
    Problem,
    Scores,
    Solution,
    Usage,
    Verified,
)

_DRAWS = ("/v1/completions", "/completion", "/v1/chat/completions")
"""Paths of requests that draw."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Load:
    """The work that the server is measured on."""

    problems: str
    """As `outthink.data.source` reads it."""
    budget: int = 4
    """Generations a problem, of both searches."""
    beam: str = "beam"
    repeats: int = 5
    """Pairs of one run through the runner and one of the bare client."""
    concurrency: int = 32
    """Requests in flight."""
    most_tokens: int = 256
    step_end: str = "\n\n"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run; tokens are the server's own counts."""

    seconds: float
    requests: int
    decoded_tokens: int

    @property
    def speed(self) -> float:
        """Decoded tokens a second."""
        return self.decoded_tokens / self.seconds


class StandIn:
    """A verifier that computes scores from the tokens: they mean nothing, but are always the
    same."""

    name = "stand-in"

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order; no tokens are read."""
        return [
            Verified(
                Scores(tuple(_score(solution.tokens[:end]) for end in solution.step_ends)), 0, 0
            )
            for solution in solutions
        ]


def _score(tokens: tuple[int, ...]) -> float:
    digest = hashlib.blake2b(repr(tokens).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") / 2**32


class Recorder(HttpClient):
    """A client that records the requests that drew tokens, and how many the server counted."""

    def __init__(self, url: str, *, requests_in_flight: int) -> None:
        super().__init__(url, requests_in_flight=requests_in_flight)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.decoded_tokens = 0

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[Any], _T],
        *,
        rows: int = 1,
        home: int | None = None,
    ) -> _T:
        """As `HttpClient.post`."""

        def kept(value: Any) -> _T:
            result = read(value)
            if path in _DRAWS:
                self.sent.append((path, body))
                self.decoded_tokens += decoded(value)
            return result

        return await super().post(path, body, kept, rows=rows, home=home)

    def forget(self) -> None:
        """Drop what was recorded."""
        self.sent, self.decoded_tokens = [], 0


def decoded(value: Any) -> int:
    """Tokens decoded for one response, as the server counts them."""
    if isinstance(value, list):
        return sum(map(decoded, value))
    return int(
        value["usage"]["completion_tokens"] if "usage" in value else value["tokens_predicted"]
    )


def served(url: str, load: Load) -> dict[str, Any]:
    """All figures. Raises `ServerRefused` where the server cannot do what is measured, `RunError`
    where it failed a request."""
    asked = source.read(load.problems)
    judge = grading(asked.grader)
    judge.require()
    address, _, model = url.partition("#")
    return asyncio.run(_served(address, model or None, load, asked, judge))


async def _served(
    url: str, model: str | None, load: Load, problems: Sequence[Problem], judge: Grading
) -> dict[str, Any]:
    client = Recorder(url, requests_in_flight=load.concurrency)
    try:
        bench = _Bench(client, await examine(client, model), load, problems, judge)
        beam = await bench.beams()
        return {
            **asdict(load),
            "server": bench.server.server,
            "model": bench.server.model,
            "count": len(problems),
            "beam_search": beam,
            "best_of_n": await bench.pairs(),
        }
    finally:
        await client.aclose()


class _Bench:
    """One server, one load."""

    def __init__(
        self,
        client: Recorder,
        server: Capabilities,
        load: Load,
        problems: Sequence[Problem],
        judge: Grading,
    ) -> None:
        self.server = server
        self._client = client
        self._load = load
        self._problems = problems
        self._judge = judge

    async def beams(self) -> dict[str, Any]:
        """Beam search of all problems at once, then of one after the other."""
        before = await metrics.read(self._client)
        together, usage = await self._search(self._load.beam, "beam, all at once")
        counted = await metrics.read(self._client) - before
        alone, _ = await self._search(self._load.beam, "beam, one by one", at_once=False)
        return {
            "together": _told(together),
            "one_by_one": _told(alone),
            "times_faster": alone.seconds / together.seconds,
            "times_the_tokens_a_second": together.speed / alone.speed,
            "prefix_cache_hit_share": counted.hit_share,
            "prefix_cache_queries": counted.cache_queries,
            "prefix_cache_hits": counted.cache_hits,
            "ledger": _ledger(usage),
            "server": {
                "decoded_tokens": counted.decoded_tokens,
                "computed_prompt_tokens": counted.computed_tokens,
            },
        }

    async def pairs(self) -> dict[str, Any]:
        """Best-of-N through the runner and by a bare client, alternating."""
        await self._search("best_of_n", "best-of-N, not counted")
        sent = [(path, json.dumps(body).encode()) for path, body in self._client.sent]
        rows = []
        for number in range(self._load.repeats):
            label = f"best-of-N, {number + 1} of {self._load.repeats}"
            bare = await self._bare(sent, label) if number % 2 == 0 else None
            driven, usage = await self._search("best_of_n", f"{label}, runner")
            rows.append((driven, bare or await self._bare(sent, label), usage))
        ratios = [driven.speed / bare.speed for driven, bare, _ in rows]
        return {
            "driver_over_bare": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
            "pairs": [
                {
                    "driver": _told(driven),
                    "bare": _told(bare),
                    "ratio": ratio,
                    "ledger": _ledger(usage),
                }
                for (driven, bare, usage), ratio in zip(rows, ratios, strict=True)
            ],
        }

    async def _search(self, name: str, label: str, *, at_once: bool = True) -> tuple[Run, Usage]:
        """All problems searched, as a sweep would: into a store, answers read and judged."""
        load, client = self._load, self._client
        setting = Setting(load.most_tokens, load.step_end)
        # A new proposer each time: an old one remembers the token ids of prompts.
        proposer = OpenAIProposer(client, self.server, setting, self._judge.read)
        made, usage = strategy(name), Usage()
        jobs = [Job(problem, made, Budget(load.budget)) for problem in self._problems]
        client.forget()
        with (
            tempfile.TemporaryDirectory() as scratch,
            Store.open(Path(scratch) / "bench.store", write=True) as store,
        ):
            runner = Runner(
                Team.of(proposer, StandIn()),
                grader=self._judge.grade,
                grader_name=self._judge.name,
                seed=load.seed,
                journal=store,
            )
            began = time.perf_counter()
            with Progress(label, len(jobs), "problems") as bar:
                for some in [jobs] if at_once else [[job] for job in jobs]:
                    async for result in runner.run(some):
                        if result.outcome.error is not None:
                            raise RunError(result.outcome.error)
                        usage += result.outcome.usage
                        bar.advance(1)
            seconds = time.perf_counter() - began
        return Run(seconds, len(client.sent), client.decoded_tokens), usage

    async def _bare(self, sent: Sequence[tuple[str, bytes]], label: str) -> Run:
        """The same requests from as many clients as there may be requests in flight, each reading
        its response before it sends the next."""
        waiting = iter(sent)
        total = 0
        headers = {**self._client.headers, "Content-Type": "application/json"}

        async def client(http: httpx.AsyncClient) -> None:
            nonlocal total
            for path, body in waiting:
                response = await http.post(self._client.root + path, content=body)
                if response.status_code != 200:
                    raise RunError(
                        f"{self._client.root}{path}: {response.status_code} to a bare client; see "
                        "to the server and give the same command again"
                    )
                total += decoded(response.json())
                bar.advance(1)

        clients = [
            httpx.AsyncClient(headers=headers, timeout=None)
            for _ in range(min(self._load.concurrency, len(sent)))
        ]
        try:
            began = time.perf_counter()
            with Progress(f"{label}, bare", len(sent), "requests") as bar:
                await asyncio.gather(*map(client, clients))
            return Run(time.perf_counter() - began, len(sent), total)
        finally:
            for connection in clients:
                await connection.aclose()


def _told(run: Run) -> dict[str, Any]:
    return {**asdict(run), "decoded_tokens_per_second": run.speed}


def _ledger(usage: Usage) -> dict[str, Any]:
    """What the runner counted."""
    return {
        "decoded_tokens": usage.decoded_tokens,
        "computed_prompt_tokens": usage.prompt_tokens,
        "cached_prompt_tokens": usage.cached_tokens,
    }
