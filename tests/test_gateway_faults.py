"""The gateway where everything fails: clients that go or dawdle, and servers that break off, send
nonsense or die. Every request is answered or refused clearly, and nobody pays for who has gone."""

import asyncio
import gzip
import json
import resource
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from functools import partial
from types import SimpleNamespace

import httpx
import pytest
from fake_server import MODEL, FakeServer
from serving import Serving

from outthink.gateway import dawdlers, stream
from outthink.gateway.dawdlers import Dawdlers
from outthink.gateway.settings import Limits, Settings
from outthink.run.store import Store
from outthink.study.models import Models

SAYS = [{"role": "user", "content": "What is 2 + 2?"}]
PASSED, SEARCHED = MODEL, f"{MODEL}:majority@2"
PATH = "/v1/chat/completions"
SECONDS = 20.0
"""For what has to happen; it takes none of it."""


@pytest.fixture(scope="module")
def upstream():
    with FakeServer("vllm") as server:
        yield server


@pytest.fixture(scope="module")
def served(upstream):
    settings = Settings(
        Models(upstream.url, verifier="none"), limits=Limits(patience_s=0.0), grader="math"
    )
    with Serving(settings) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def as_before(upstream):
    yield
    upstream.raw = upstream.hangs = upstream.alter = None
    upstream.waits.clear()
    upstream.left.clear()


def connect(served):
    host, port = served.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return closing(connection)


def written(model, more=None, **headers):
    """A request as it goes over the wire."""
    body = json.dumps({"model": model, "messages": SAYS, **(more or {})}).encode()
    told = {"Host": "localhost", "Content-Type": "application/json"} | headers
    told.setdefault("Content-Length", len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + body


def status_of(connection):
    return int(connection.recv(1 << 16).split(b" ", 2)[1])


def post(served, model=PASSED, **more):
    body = {"model": model, "messages": SAYS, **more}
    return httpx.post(served.url + PATH, json=body, timeout=SECONDS)


def works(served):
    return post(served, PASSED, max_tokens=50).status_code == 200


def is_over(served):
    """Waits until no request is under way or in line."""

    async def over():
        async with asyncio.timeout(SECONDS):
            while served.gateway.line.running or served.gateway.line.length:
                await asyncio.sleep(0)

    asyncio.run(over())
    return True


DRAWING = (PATH, "/v1/completions")


def drawn(path, body):
    return path in DRAWING


# Clients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize("streams", [False, True])
def test_a_client_that_goes_ends_what_its_request_spends(served, upstream, model, streams):
    upstream.hangs, asked = drawn, len(upstream.requests)
    with connect(served) as connection:
        connection.sendall(written(model, {"stream": streams}))
        assert upstream.waits.wait(SECONDS)
    assert upstream.left.wait(SECONDS)
    assert is_over(served)
    assert sum(path in DRAWING for path, _ in upstream.requests[asked:]) == 1
    upstream.hangs = None
    assert works(served)


def test_a_client_that_goes_within_a_stream_ends_it(served, upstream):
    upstream.raw = lambda path, body: EVENTS + b"data: {}\n\n" if drawn(path, body) else None
    upstream.hangs = drawn
    with connect(served) as connection:
        connection.sendall(written(PASSED, {"stream": True}))
        assert status_of(connection) == 200
    assert upstream.left.wait(SECONDS)
    assert is_over(served)


EVENTS = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n"


def test_a_client_that_goes_while_it_waits_leaves_the_line():
    limits = Limits(at_once=1, waiting=1)
    with (
        FakeServer("vllm") as upstream,
        Serving(Settings(Models(upstream.url, verifier="none"), limits=limits)) as served,
    ):
        upstream.hangs, asked = drawn, len(upstream.requests)
        with connect(served) as first:
            first.sendall(written(PASSED))
            assert upstream.waits.wait(SECONDS)
            with connect(served) as second:
                second.sendall(written(SEARCHED))
                wait_for(lambda: served.gateway.line.length == 1)
            wait_for(lambda: served.gateway.line.length == 0)
        assert is_over(served)
    assert len(upstream.requests) == asked + 1


def wait_for(condition):
    async def came():
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0)

    asyncio.run(came())


def test_a_body_that_comes_too_slowly_is_refused_and_others_are_served(served, monkeypatch):
    monkeypatch.setattr(stream, "SENDS_S", 0.3)
    with connect(served) as slow:
        slow.sendall(written(PASSED, **{"Content-Length": 1000}))
        assert works(served)
        assert status_of(slow) == 408


def test_a_head_that_never_ends_is_let_go(upstream, monkeypatch):
    monkeypatch.setattr(dawdlers, "SENDS_S", 0.05)
    monkeypatch.setattr(dawdlers, "_EVERY_S", 0.02)
    with (
        Serving(Settings(Models(upstream.url, verifier="none"))) as served,
        connect(served) as slow,
    ):
        slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: local")
        assert slow.recv(100) == b""


def test_a_client_that_does_not_read_its_stream_is_let_go(served, upstream, monkeypatch):
    monkeypatch.setattr(stream, "TAKES_S", 0.3)
    upstream.raw = lambda path, body: EVENTS + b"data: {}\n\n" * 2_000_000
    with connect(served) as connection:
        connection.sendall(written(PASSED, {"stream": True}))
        wait_for(lambda: served.gateway.line.running == 1)
        assert is_over(served)


def test_a_connection_that_asks_for_nothing_is_closed_and_then_broken_off():
    idle, busy, between = connection(), connection(is_over=False), connection()
    known = Dawdlers(10.0)
    for now in (0.0, 9.0):
        known.look([idle, busy, between], now)
    between.cycle = SimpleNamespace(response_complete=True)  # of another request
    known.look([idle, busy, between], 11.0)
    assert (idle.did, busy.did, between.did) == (["close"], [], [])
    known.look([idle, busy, between], 19.0)
    assert between.did == []
    known.look([idle, busy, between], 21.5)
    assert (idle.did, busy.did, between.did) == (["close", "close", "abort"], [], ["close"])


def connection(*, is_over=True):
    did = []
    transport = SimpleNamespace(
        close=lambda: did.append("close"),
        abort=lambda: did.append("abort"),
        is_closing=lambda: False,
    )
    cycle = SimpleNamespace(response_complete=is_over)
    return _Connection(cycle, transport, did)


class _Connection:
    def __init__(self, cycle, transport, did):
        self.cycle, self.transport, self.did = cycle, transport, did


def test_a_client_that_goes_within_its_body_is_no_error_of_the_gateway(served):
    def failed():
        text = httpx.get(f"{served.url}/metrics").text
        return [line for line in text.splitlines() if 'status="499"' in line or 'status="5' in line]

    before = failed()
    with connect(served) as connection:
        connection.sendall(written(PASSED, **{"Content-Length": 1000}))
    wait_for(lambda: failed() != before)
    assert [line for line in failed() if 'status="5' in line] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # a hello of TLS
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
    ids=["tls", "zeros", "version", "length", "long"],
)
def test_what_is_no_request_of_http_is_turned_away(served, sent):
    with connect(served) as connection:
        connection.sendall(sent)
        said = connection.recv(1 << 16)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")
    assert works(served)


def test_requests_that_come_in_one_piece_are_answered_in_order(served):
    with connect(served) as connection:
        connection.sendall(written("nobody") + written(PASSED, {"max_tokens": 50}))
        said = b""
        while said.count(b"HTTP/1.1 ") < 2:
            said += connection.recv(1 << 16)
    first, second = (said.index(b"HTTP/1.1 404"), said.index(b"HTTP/1.1 200"))
    assert first < second


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
def test_half_a_character_is_no_error_of_the_gateway(served, model):
    said = json.dumps({"model": model, "messages": [{"role": "user", "content": "\ud800"}]})
    told = httpx.post(
        served.url + PATH, content=said, headers={"Content-Type": "application/json"}, timeout=20
    )
    assert told.status_code in (200, 400)
    json.loads(told.content)


# Servers -----------------------------------------------------------------------------------------


def reply(body=b"{}", status="200 OK", **headers):
    told = {"Content-Type": "application/json", "Content-Length": len(body)} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


NONSENSE = {
    "nothing": b"",
    "no http": b"\x00\xffgarbage\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut": reply(b'{"choices": [', Content_Length=5000),
    "no json": reply(b"certainly!"),
    "a page": reply(b"<html>Bad gateway</html>", Content_Type="text/html"),
    "a list": reply(b"[]"),
    "nested": reply(b"[" * 200_000),
    "half a letter": reply(b'{"choices": "\xe2\x82"}'),
    "empty": reply(b"", "204 No Content"),
    "elsewhere": reply(b"", "302 Found", Location="http://evil.example/"),
    "no gzip": reply(b"no gzip", Content_Encoding="gzip"),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "error as answer": reply(b'{"error": {"message": "out of memory", "code": 500}}'),
    "status 999": reply(b"{}", "999 X"),
    "long head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500_000 + b"\r\n\r\n{}",
}


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_of_a_server_is_the_gateways_error(served, upstream, model, sent):
    upstream.raw = lambda path, body: sent if drawn(path, body) else None
    told = post(served, model)
    assert (told.status_code, told.json()["error"]["code"]) == (502, "upstream")
    upstream.raw = None
    assert works(served)


def test_a_stream_that_breaks_off_ends_with_an_error(served, upstream):
    half = b'data: {"choices": [{"delta": {"content": "fo'
    for sent in (
        EVENTS + half,
        EVENTS.replace(b"\r\n\r\n", b"\r\nContent-Length: 999\r\n\r\n") + half,
    ):
        upstream.raw = lambda path, body, sent=sent: sent if drawn(path, body) else None
        told = post(served, stream=True)
        assert told.status_code == 200
        *_, last = [line for line in told.text.splitlines() if line]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream"


def test_what_a_server_has_packed_is_unpacked(served, upstream):
    packed = gzip.compress(b'{"choices": []}')
    sent = reply(packed, Content_Encoding="gzip")
    upstream.raw = lambda path, body: sent if drawn(path, body) else None
    assert post(served).json() == {"choices": []}


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize("wait", ["inf", "nan", "-5", "1e400", "soon", "9" * 400])
def test_a_wait_that_makes_no_sense_is_no_error_of_the_gateway(served, upstream, model, wait):
    sent = reply(b"{}", "429 X", Retry_After=wait)
    upstream.raw = lambda path, body: sent if drawn(path, body) else None
    told = post(served, model)
    assert told.status_code == 429
    assert 1 <= int(told.headers["retry-after"]) <= 86_400


def test_a_header_that_cannot_be_passed_on_is_left_out(served, upstream):
    sent = reply(b'{"choices": []}').replace(b"\r\n", b"\r\nX-Request-Id: \xe4\xb8\xad\r\n", 1)
    upstream.raw = lambda path, body: sent if drawn(path, body) else None
    told = post(served)
    assert (told.status_code, "x-request-id" in told.headers) == (200, False)


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
def test_half_a_character_of_a_model_is_no_error_of_the_gateway(served, upstream, model):
    def halved(path, body, value):
        text = json.dumps(value).replace("right", "\\ud800").replace("wrong", "\\ud800")
        return json.loads(text) if drawn(path, body) or path == "/detokenize" else value

    upstream.alter = halved
    told = post(served, model, max_tokens=50)
    assert told.status_code == 200
    assert "boxed" in told.json()["choices"][0]["message"]["content"]


def test_a_server_that_is_killed_and_started_again_is_found_again(monkeypatch):
    monkeypatch.setattr("outthink.models.http.RetryPolicy.wait_s", lambda *_: 0.01)

    async def many(count):
        async with httpx.AsyncClient(base_url=served.url, timeout=SECONDS) as client:
            bodies = [
                {"model": (PASSED, SEARCHED)[n % 2], "messages": SAYS, "max_tokens": 50}
                for n in range(count)
            ]
            return await asyncio.gather(*(client.post(PATH, json=body) for body in bodies))

    with FakeServer("vllm") as first:
        port = int(first.url.rpartition(":")[2])
        settings = Settings(Models(first.url, verifier="none"), grader="math")
        with Serving(settings) as served:
            assert {told.status_code for told in asyncio.run(many(20))} == {200}
            first.__exit__()
            refused = asyncio.run(many(20))
            assert {told.status_code for told in refused} == {502}
            assert {told.json()["error"]["code"] for told in refused} == {"upstream"}
            with FakeServer("vllm", port=port):
                assert {told.status_code for told in asyncio.run(many(20))} == {200}
            first.__enter__()


# The store ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs limits of another process")
def test_a_disk_that_is_full_stops_the_spending_and_loses_nothing(upstream, tmp_path):
    path = tmp_path / "requests.store"
    words = [*("--model", upstream.url), *("--verifier", "none"), *("--grader", "math")]
    words += [*("--strategy", "majority"), *("--store", str(path)), *("--port", "0"), "--json"]
    with gateway_process(words) as (url, process):
        examined = upstream.answered.total()
        ask = partial(post, SimpleNamespace(url=url), SEARCHED)
        assert ask().status_code == 200
        limit(process, (tmp_path / "requests.store-wal").stat().st_size)
        told = [ask() for _ in range(5)]
        assert {one.status_code for one in told} == {503}
        assert {one.json()["error"]["code"] for one in told} == {"store"}
        assert all(int(one.headers["retry-after"]) > 0 for one in told)
        # Those of the first that was refused, and of no other.
        assert upstream.answered.total() - examined <= 2 + 2
        assert post(SimpleNamespace(url=url), PASSED, max_tokens=50).status_code == 200
        limit(process, resource.RLIM_INFINITY)
        assert ask().status_code == 200
        drawn = upstream.answered.total() - examined
    with Store.open(path, write=False) as store:
        assert store.counts().draws == drawn


def test_a_store_that_another_process_holds_is_not_waited_for_and_nothing_is_lost(
    upstream, tmp_path
):
    path = tmp_path / "requests.store"
    settings = Settings(
        Models(upstream.url, verifier="none"), store=path, strategy="majority", grader="math"
    )
    with Serving(settings) as served, closing(sqlite3.connect(path)) as other:
        examined = upstream.answered.total()
        other.execute("BEGIN IMMEDIATE")
        told = post(served, SEARCHED)
        assert (told.status_code, told.json()["error"]["code"]) == (503, "store")
        other.execute("ROLLBACK")
        assert post(served, SEARCHED).status_code == 200
        assert upstream.answered.total() == examined + 2
    with Store.open(path, write=False) as store:
        assert store.counts().draws == 2


def limit(process, size):
    """No file that this process writes may be longer."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def gateway_process(words):
    command = [sys.executable, "-m", "outthink", "serve", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.terminate()
            process.stdout.read()
