"""What a gateway does on SIGHUP and SIGTERM: a process of its own, with requests under way."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from fake_server import FakeServer
from sequential_fixtures import PRICES, of_votes

from outthink.gateway.keys import add
from outthink.policy.file import save
from outthink.study.models import Models

ASKED = {"model": "auto", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


@dataclass
class Process:
    """A gateway in a process; what it logs comes line by line."""

    child: subprocess.Popen
    url: str
    logged: queue.Queue

    def tell(self, sig, logs):
        """Send a signal, and wait until it is said what became of it."""
        self.child.send_signal(sig)
        for line in iter(lambda: self.logged.get(timeout=60), None):
            if logs in line:
                return line
        raise AssertionError(f"it ended and never logged {logs!r}")

    def ask(self, **headers):
        path = f"{self.url}/v1/chat/completions"
        return httpx.post(path, json=ASKED, headers=headers, timeout=60)

    def price(self):
        """Of the policy that answers."""
        told = self.ask()
        assert told.status_code == 200, told.text
        return told.json()["outthink"]["strategy"].rpartition(" ")[2]


@contextmanager
def process(*options):
    command = [sys.executable, "-m", "outthink", "serve", "--port", "0", "--json", *options]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""},
    )
    logged = queue.Queue()

    def read():
        for line in child.stderr:
            logged.put(line)
        logged.put(None)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield Process(child, json.loads(child.stdout.readline())["url"], logged)
    finally:
        child.kill()
        child.wait()
        reading.join()
        child.stdout.close()
        child.stderr.close()


class Gate:
    """Holds what a server is asked first, until it is opened."""

    def __init__(self, server):
        self.asked, self.opened = threading.Event(), threading.Event()
        server.holds = self._held

    def _held(self, path, body):
        if path == "/v1/completions":
            self.asked.set()
            return self.opened
        return None


@pytest.fixture
def upstream():
    with FakeServer("vllm") as server:
        yield server


@pytest.fixture
def write_policy(upstream, tmp_path):
    """Writes a policy of one price, and says where."""
    engines = Models(upstream.url).team({"proposer"}).engine_names()

    def write(price):
        spec = {"model": upstream.url, "verifier": "none"}
        save(of_votes(price, engines, spec), tmp_path / "policy.json")
        return tmp_path / "policy.json"

    return write


def test_a_policy_that_is_read_again_is_followed_by_requests_that_come_after(
    upstream, write_policy
):
    policy = write_policy(PRICES[0])
    with process("--policy", str(policy)) as served, ThreadPoolExecutor() as threads:
        gate = Gate(upstream)
        asking = threads.submit(served.price)
        assert gate.asked.wait(60)
        write_policy(PRICES[2])
        served.tell(signal.SIGHUP, "read the policy again")
        gate.opened.set()
        assert asking.result() == f"{PRICES[0]:g}"
        assert served.price() == f"{PRICES[2]:g}"


@pytest.mark.parametrize("broken", ["{", "another model's"])
def test_a_policy_that_is_broken_leaves_the_old_one_in_place(write_policy, broken):
    policy = write_policy(PRICES[0])
    with process("--policy", str(policy)) as served:
        other = policy.read_text().replace('"proposer": "up-', '"proposer": "other-')
        policy.write_text("{" if broken == "{" else other)
        said = served.tell(signal.SIGHUP, "goes on with the old policy")
        assert "policy.json" in said or "was fitted with proposer" in said
        assert served.price() == f"{PRICES[0]:g}"


def test_keys_are_read_again_too(upstream, tmp_path):
    keys = tmp_path / "keys.json"
    first = add(keys, "alice")
    with process("--model", upstream.url, "--keys", str(keys)) as served:
        second = add(keys, "bob")
        assert served.ask(Authorization=f"Bearer {second}").status_code == 401
        served.tell(signal.SIGHUP, "read the keys again")
        for key in (first, second):
            assert served.ask(Authorization=f"Bearer {key}").status_code == 200
        keys.write_text("{")
        served.tell(signal.SIGHUP, "goes on with the old keys")
        assert served.ask(Authorization=f"Bearer {first}").status_code == 200


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_that_is_told_to_stop_finishes_what_is_under_way(upstream, sig):
    with process("--model", upstream.url) as served, ThreadPoolExecutor() as threads:
        gate = Gate(upstream)
        asking = threads.submit(served.ask)
        assert gate.asked.wait(60)
        assert served.tell(sig, "stops;").endswith(": 1\n")
        assert httpx.get(f"{served.url}/readyz").status_code == 503
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        late = served.ask()
        assert (late.status_code, late.json()["error"]["code"]) == (503, "shutting_down")
        assert int(late.headers["retry-after"]) >= 1
        gate.opened.set()
        assert asking.result().json()["choices"][0]["message"]["content"]
        assert served.child.wait() == 0


def test_a_gateway_with_nothing_to_do_stops_at_once(upstream):
    with process("--model", upstream.url) as served:
        served.child.send_signal(signal.SIGTERM)
        assert served.child.wait() == 0


@pytest.mark.parametrize("grace", ["0.1", "600"])
def test_answers_are_cut_off_when_the_grace_is_over_or_it_is_told_again(upstream, grace):
    with (
        process("--model", upstream.url, "--grace", grace) as served,
        ThreadPoolExecutor() as threads,
    ):
        gate = Gate(upstream)
        asking = threads.submit(served.ask)
        assert gate.asked.wait(60)
        served.tell(signal.SIGTERM, "stops;")
        if grace == "600":
            served.child.send_signal(signal.SIGTERM)
        assert served.child.wait() == 1
        assert asking.exception() is not None or asking.result().status_code >= 500
        assert "1 answers were cut off" in "".join(iter(served.logged.get, None))
        gate.opened.set()
