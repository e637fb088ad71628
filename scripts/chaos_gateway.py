"""A gateway under every fault at once, for as long as one likes.

    python scripts/chaos_gateway.py --seconds 600 --seed 1

Clients ask, leave, dawdle and send what is no request, while the model's server fails, sends
nonsense, hangs, is killed and started again, the disk is full now and then, and the policy is read
again. Every request has to be answered or refused in OpenAI's shape; at the end nothing may be
under way, the gateway has to answer as before, and the store has to hold every row of an answer.
The tests of each fault alone are in `tests/test_gateway_faults.py`. Needs Linux.
"""

import argparse
import asyncio
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fake_server import FAULTS, MODEL, FakeServer
from test_gateway_faults import EVENTS, NONSENSE, PATH, drawn, written

from outthink.run.store import Store

PASSED, SEARCHED = MODEL, f"{MODEL}:majority@2"
REFUSED = {400, 408, 413, 415, 422, 429, 499, 502, 503, 504}
WAITS_S = 180.0


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--seconds", type=float, default=60.0)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--clients", type=int, default=16)
    words.add_argument("--json", action="store_true")
    told = words.parse_args()
    # A server of the tests is stopped from outside an event loop.
    with FakeServer("vllm") as server:
        outcome = asyncio.run(chaos(told, server))
    print(json.dumps(outcome) if told.json else "\n".join(f"{k}: {v}" for k, v in outcome.items()))
    return 1 if outcome["wrong"] else 0


async def chaos(told, server):
    with tempfile.TemporaryDirectory() as place:
        store = Path(place) / "requests.store"
        how = [*("--model", server.url), *("--verifier", "none"), *("--strategy", "majority")]
        how += [*("--grader", "math"), *("--store", str(store)), *("--waiting", "8")]
        command = [sys.executable, "-m", "outthink", "serve", *how, *("--at-once", "8"), "--port"]
        log = (Path(place) / "log").open("w+")
        with subprocess.Popen(
            [*command, "0", "--json"], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process:
            try:
                url = json.loads(process.stdout.readline())["url"]
                world = World(url, process, server, random.Random(told.seed))
                await world.run(told)
            except httpx.ConnectError as error:
                world.wrong.append(f"{error}: {process.poll()}")
            finally:
                process.terminate()
        log.seek(0)
        said = log.read()
        if "Traceback" in said:
            world.wrong.append(said[said.index("Traceback") :][:5000])
        with Store.open(store, write=False) as opened:
            kept = opened.counts().draws
        if kept < world.generations:
            world.wrong.append(f"{kept} rows are kept of {world.generations} that answers had")
        return {
            "requests": world.requests,
            "statuses": dict(sorted(world.statuses.items())),
            "faults": dict(sorted(world.faults.items())),
            "rows_kept": kept,
            "rows_answered": world.generations,
            "wrong": world.wrong,
        }


class World:
    def __init__(self, url, process, server, rng):
        self.url, self.process, self.server, self.rng = url, process, server, rng
        self.address = url.removeprefix("http://").split(":")
        self.requests = self.generations = 0
        self.statuses, self.faults, self.wrong = Counter(), Counter(), []

    async def run(self, told):
        ends = time.monotonic() + told.seconds
        async with httpx.AsyncClient(base_url=self.url, timeout=WAITS_S) as http:
            doing = [self.client(http, ends) for _ in range(told.clients)]
            await asyncio.gather(*doing, self.trouble(ends))
            self.mend()
            await self.over(http)

    async def client(self, http, ends):
        kinds = (
            *[self.asks] * 4,
            *(self.leaves, self.dawdles, self.sends_no_request, self.takes_nothing),
            *(self.sends_half, self.sends_too_much, self.sends_no_json),
        )
        while time.monotonic() < ends:
            with suppress(ConnectionError):
                await self.rng.choice(kinds)(http)

    async def trouble(self, ends):
        """One fault after the other, each for a moment."""
        kinds = (self.nonsense, self.fails, self.hangs, self.dies, self.fills_the_disk, self.reads)
        while time.monotonic() < ends:
            kind = self.rng.choice(kinds)
            self.faults[kind.__name__] += 1
            await kind()
            self.mend()
            await asyncio.sleep(0.5)

    # Clients -------------------------------------------------------------------------------------

    async def asks(self, http):
        body = {
            "model": self.rng.choice((PASSED, SEARCHED)),
            "messages": [{"role": "user", "content": f"What is {self.rng.randrange(99)} + 2?"}],
            "stream": self.rng.random() < 0.3,
            "max_tokens": 50,
        }
        self.requests += 1
        try:
            told = await http.post(PATH, json=body)
        except httpx.HTTPError as error:
            self.wrong.append(f"{type(error).__name__} to {body}")
            return
        self.statuses[told.status_code] += 1
        if told.status_code == 200:
            self.answered(body, told)
        else:
            self.refused(told)

    def answered(self, body, told):
        if body["model"] == SEARCHED and not body["stream"]:
            self.generations += told.json()["outthink"]["usage"]["generations"]
        elif body["stream"] and body["model"] == SEARCHED:
            *_, last = [line for line in told.text.splitlines() if line.startswith("data: ")]
            if last != "data: [DONE]" and "error" not in json.loads(last[6:]):
                self.wrong.append(f"a stream ended with {last}")

    def refused(self, told):
        try:
            error = told.json()["error"]
            fine = set(error) >= {"message", "type", "param", "code"}
        except (ValueError, LookupError):
            fine = False
        if not fine or told.status_code not in REFUSED:
            self.wrong.append(f"{told.status_code}: {told.text[:200]}")

    async def leaves(self, http):
        async with self.connection() as (_, writer):
            model = self.rng.choice((PASSED, SEARCHED))
            writer.write(written(model, {"stream": self.rng.random() < 0.5}))
            await asyncio.sleep(self.rng.random() * 0.1)

    async def dawdles(self, http):
        async with self.connection() as (_, writer):
            for letter in written(PASSED)[: self.rng.randrange(300)]:
                writer.write(bytes([letter]))
                await asyncio.sleep(0.002)

    async def sends_no_request(self, http):
        async with self.connection() as (reader, writer):
            writer.write(self.rng.randbytes(self.rng.randrange(5000)) + b"\r\n\r\n")
            await asyncio.wait_for(reader.read(100), WAITS_S)

    async def takes_nothing(self, http):
        async with self.connection() as (_, writer):
            writer.write(written(PASSED, {"stream": True}))
            await asyncio.sleep(0.5)

    async def sends_half(self, http):
        async with self.connection() as (_, writer):
            sent = written(self.rng.choice((PASSED, SEARCHED)))
            writer.write(sent[: self.rng.randrange(len(sent))])
            await writer.drain()

    async def sends_too_much(self, http):
        told = await http.post(PATH, content=b" " * (5 << 20), headers=_JSON)
        self.refused(told)

    async def sends_no_json(self, http):
        told = await http.post(PATH, content=self.rng.randbytes(200), headers=_JSON)
        self.refused(told)

    def connection(self):
        return _Connection(*self.address)

    # The world -----------------------------------------------------------------------------------

    def mend(self):
        self.server.raw = self.server.hangs = None
        self.server.faults = []
        self.room(resource.RLIM_INFINITY)

    async def nonsense(self):
        sent = self.rng.choice([*NONSENSE.values(), EVENTS + b'data: {"half'])
        self.server.raw = lambda path, body: sent if drawn(path, body) else None
        await asyncio.sleep(1.0)

    async def fails(self):
        self.server.faults = self.rng.choices(FAULTS, k=50)
        await asyncio.sleep(1.0)

    async def hangs(self):
        self.server.hangs = drawn
        await asyncio.sleep(0.5)
        port = int(self.server.url.rpartition(":")[2])
        await self.again(port)  # what hangs would hang for ten minutes

    async def dies(self):
        await self.again(int(self.server.url.rpartition(":")[2]), 0.7)

    async def again(self, port, after_s=0.0):
        await asyncio.to_thread(self.server.__exit__)
        self.server.port = port
        self.mend()
        await asyncio.sleep(after_s)
        await asyncio.to_thread(self.server.__enter__)

    async def fills_the_disk(self):
        self.room(1000)
        await asyncio.sleep(1.0)

    def room(self, size):
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    async def reads(self):
        self.process.send_signal(signal.SIGHUP)

    async def over(self, http):
        """Nothing is under way any more, and all is as before."""
        ends = time.monotonic() + WAITS_S
        while (left := await self.under_way(http)) and time.monotonic() < ends:
            await asyncio.sleep(0.5)
        if left:
            self.wrong.append(f"{left} requests are still under way")
        for model in (PASSED, SEARCHED):
            body = {"model": model, "max_tokens": 50}
            body["messages"] = [{"role": "user", "content": "What is 2 + 2?"}]
            told = await http.post(PATH, json=body)
            if told.status_code != 200:
                self.wrong.append(f"afterwards {told.status_code}: {told.text[:200]}")

    async def under_way(self, http):
        lines = (await http.get("/metrics")).text.splitlines()
        names = ("outthink_requests_running ", "outthink_requests_waiting ")
        return sum(float(line.split()[1]) for line in lines if line.startswith(names))


class _Connection:
    def __init__(self, host, port):
        self.host, self.port = host, port

    async def __aenter__(self):
        reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return reader, self.writer

    async def __aexit__(self, *_):
        self.writer.transport.abort()


_JSON = {"Content-Type": "application/json"}

if __name__ == "__main__":
    sys.exit(main())
