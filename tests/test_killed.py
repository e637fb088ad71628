"""Commands that write, killed again and again, paused, out of disk, by a clock that runs back: no
row that was paid for is lost or paid for twice, stores are sound, and a file is whole or is not
there. The server counts.

`OUTTHINK_KILLS=1000` kills as often; by default it is done few times.
"""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import killed
import pytest
from fake_server import MODEL, FakeServer, text_of
from killed import KINDS

from outthink.run.store import Store

KILLS = int(os.environ.get("OUTTHINK_KILLS", "24"))
COMMANDS = ("sweep", "train", "merge", "import", "serve", "export", "key")
EACH = -(-KILLS // len(COMMANDS))
IN_FLIGHT, ROWS = 4, 16
"""Requests at one time, and rows of one."""
SECONDS = 60.0


@pytest.fixture(scope="module")
def process():
    """Runs commands in processes of their own: `start` and, once it is to end, `end`."""
    with processes() as process:
        yield process


@contextmanager
def processes(*modules):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["OMP_NUM_THREADS"] = "1"  # a process with threads is not forked
    with subprocess.Popen(
        [sys.executable, Path(killed.__file__), *modules],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        yield Process(child)
        child.stdin.close()


class Process:
    def __init__(self, child):
        self._child = child

    def start(self, folder, words, kind="", at=0, **more):
        asked = {"folder": str(folder), "words": words, "kind": kind, "at": at, **more}
        self._child.stdin.write(json.dumps(asked) + "\n")
        self._child.stdin.flush()

    def line(self):
        return int(self._child.stdout.readline())

    def run(self, *given, **more):
        """The exit status."""
        self.start(*given, **more)
        return self.line()

    def kill(self):
        """End one that was started `alone`."""
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return self.line()


def check_stores(folder):
    for path in folder.rglob("*.store*"):
        if path.suffix in (".store", ".partial", ".part") and path.stat().st_size:
            with closing(sqlite3.connect(path)) as database:
                assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path


def rows(path):
    """Draws that a store holds, 0 of one that is not there."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "draw" not in tables:
            return 0
        return database.execute("SELECT count(*) FROM draw").fetchone()[0]


def said(folder):
    return (folder / "said").read_text()


def killed_through(process, tmp_path, prepare, words, after=lambda folder, died: None):
    """Kill a command at moments of a seed, up to three times a folder, then let it end; yields
    the folders."""
    whole = tmp_path / "whole"
    whole.mkdir()
    prepare(whole)
    assert process.run(whole, words) == 0, said(whole)
    after(whole, False)
    passed = json.loads((whole / "passed").read_text())
    kills = seed = 0
    while kills < EACH:
        rng, folder = random.Random(seed), tmp_path / str(seed)
        folder.mkdir()
        prepare(folder)
        seed += 1
        for _ in range(3):
            kind = rng.choice([kind for kind in KINDS if passed[kind]])
            status = process.run(folder, words, kind, rng.randrange(passed[kind]))
            assert status in (0, -signal.SIGKILL), said(folder)
            kills += status != 0
            check_stores(folder)
            after(folder, status != 0)
            if status == 0:
                break
        else:
            assert process.run(folder, words) == 0, said(folder)
            after(folder, False)
        yield folder
    assert kills >= EACH


def same_pool(one, other):
    """Whether two stores hold the same rows."""
    return contents(one) == contents(other)


def contents(path):
    with Store.open(path, write=False) as store:
        view = store.view()
        trees = {
            key: [(n.tokens, n.answer, n.scores) for n in view.tree(*key).nodes]
            for key in view.finished()
        }
        return store.counts(), trees


# Sweeps, whose rows are paid for -----------------------------------------------------------------


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    path = tmp_path_factory.mktemp("problems") / "p.jsonl"
    lines = [
        json.dumps({"question": f"What is {n} + {n}?", "answer": str(2 * n)}) for n in range(4)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


SWEEP = "--verifier none --strategies majority --budgets 1,8 --difficulty-samples 0"


def sweep_words(url, problems):
    return [
        "sweep",
        str(problems),
        "-o",
        "a.store",
        "--model",
        url,
        *SWEEP.split(),
        "--in-flight",
        str(IN_FLIGHT),
    ]


class Bill:
    """What a server answered, and what of it is kept."""

    def __init__(self, server, store="a.store"):
        self.server, self.store, self.wire, self.before = server, store, 0, 0

    def begin(self, folder):
        self.server.answered.clear()
        self.wire = self.before = 0

    def after(self, folder, died):
        answered = sum(n for row, n in self.server.answered.items() if is_of_a_problem(row[0]))
        held = rows(folder / self.store)
        lost = answered - self.wire - held
        assert lost >= 0, "a row was kept that nobody answered"
        assert lost <= IN_FLIGHT * ROWS * died, "rows were answered and lost"
        self.wire += lost


def is_of_a_problem(prompt):
    """Not of what a client asks to find out what a server can do."""
    told = json.loads(prompt)
    return isinstance(told, list) and "What is" in text_of(told)


@pytest.fixture
def server():
    with FakeServer("vllm") as server:
        yield server


def test_a_killed_sweep_loses_no_row_and_pays_for_none_twice(process, tmp_path, problems, server):
    bill = Bill(server)
    words = sweep_words(server.url, problems)
    for folder in killed_through(process, tmp_path, bill.begin, words, bill.after):
        assert same_pool(folder / "a.store", tmp_path / "whole" / "a.store")


def test_a_sweep_goes_on_where_one_died_as_it_made_its_store(process, tmp_path, problems, server):
    with closing(sqlite3.connect(tmp_path / "a.store")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert (tmp_path / "a.store").stat().st_size
    assert process.run(tmp_path, sweep_words(server.url, problems)) == 0, said(tmp_path)


# Training, whose samples are paid for -------------------------------------------------------------


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A tiny model of transformers."""
    pytest.importorskip("peft", reason="needs transformers and peft (outthink[transformers])")
    from hf_fixtures import causal, saved

    model = causal(max_position_embeddings=2000)
    return f"hf:{saved(tmp_path_factory.mktemp('writer'), model)}"


def test_a_killed_training_pays_for_no_sample_twice_and_trains_the_same_model(
    tmp_path, writer, server
):
    path = tmp_path / "p.jsonl"
    lines = [json.dumps({"question": f"What is {n}?", "answer": "right"}) for n in range(10)]
    path.write_text("\n".join(lines) + "\n")
    words = ["train", "orm", str(path), "--model", writer, "--sampler", server.url, "-o", "out"]
    words += ["--samples", "3", "--epochs", "1", "--lora", "0"]
    bill = Bill(server, "out/samples.store")
    with processes("outthink.train.pipeline", "transformers", "peft") as process:
        for folder in killed_through(process, tmp_path, bill.begin, words, bill.after):
            trained, alone = (
                one / "out" / "model.safetensors" for one in (folder, tmp_path / "whole")
            )
            assert trained.read_bytes() == alone.read_bytes()
            assert not (folder / "out" / "training.checkpoint").exists()


# Files that are made of stores -------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(process, tmp_path_factory, problems):
    """Two stores of halves of the problems."""
    folder = tmp_path_factory.mktemp("parts")
    with FakeServer("vllm") as server:
        for number in (1, 2):
            words = sweep_words(server.url, f"{problems}?part={number}/2")
            words[words.index("a.store")] = f"{number}.store"
            assert process.run(folder, words) == 0, said(folder)
    return folder


def test_a_killed_merge_goes_on_to_the_same_store(process, tmp_path, parts):
    words = ["merge", str(parts / "1.store"), str(parts / "2.store"), "-o", "a.store"]
    for folder in killed_through(process, tmp_path, lambda folder: None, words):
        assert same_pool(folder / "a.store", tmp_path / "whole" / "a.store")
        check_stores(parts)


def exported(parts, name, *more):
    return ["export", str(parts / "1.store"), "-o", name, *more]


def is_whole(folder, name):
    return not (folder / name).exists() or same_bytes(folder, name)


def same_bytes(folder, name):
    whole = folder.parent / "whole" / name
    return not whole.exists() or (folder / name).read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_killed_export_leaves_a_whole_table_or_none(process, tmp_path, parts, name):
    def after(folder, died):
        assert is_whole(folder, name)

    words = exported(parts, name)
    for folder in killed_through(process, tmp_path, lambda folder: None, words, after):
        assert (folder / name).exists()
        assert not (folder / f"{name}.part").exists()


def test_a_killed_import_leaves_a_whole_store_or_none(process, tmp_path, parts):
    assert process.run(parts, exported(parts, "b.jsonl")) == 0, said(parts)

    def prepare(folder):
        (folder / "a.store").unlink(missing_ok=True)

    def after(folder, died):
        whole, made = tmp_path / "whole" / "a.store", folder / "a.store"
        assert not made.exists() or same_pool(made, whole)
        if folder.name != "whole":
            made.unlink(missing_ok=True)

    words = ["import", str(parts / "b.jsonl"), "-o", "a.store"]
    for folder in killed_through(process, tmp_path, prepare, words, after):
        assert {path.name for path in folder.iterdir()} <= {"said", "passed"}


def test_a_killed_key_leaves_the_keys_of_others(process, tmp_path):
    def prepare(folder):
        assert process.run(folder, ["key", "alice", "-o", "keys"]) == 0

    def after(folder, died):
        told = json.loads((folder / "keys").read_text())
        assert {"alice"} <= told.keys() <= {"alice", "bob"}
        if "bob" in told and folder.name != "whole":
            del told["bob"]
            (folder / "keys").write_text(json.dumps(told))

    for folder in killed_through(process, tmp_path, prepare, ["key", "bob", "-o", "keys"], after):
        assert process.run(folder, ["key", "bob", "-o", "keys"]) == 0, said(folder)


# The gateway -------------------------------------------------------------------------------------


def serve_words(url):
    return [
        "serve",
        "--model",
        url,
        *["--verifier", "none", "--strategy", "majority", "--grader", "math"],
        *["--store", "a.store", "--port", "0", "--json"],
    ]


def test_a_killed_gateway_keeps_what_it_answered_and_pays_for_it_once(process, tmp_path, server):
    rng, bill = random.Random(0), Bill(server)
    bill.begin(tmp_path)
    for number in range(EACH):
        (tmp_path / "said").unlink(missing_ok=True)
        process.start(tmp_path, serve_words(server.url), alone=True)
        process.line()
        url = served_at(tmp_path)
        with httpx.Client(base_url=url, timeout=SECONDS) as client:
            # The one asked last may have been on the wire; it is asked again, and paid for once.
            for question in range(max(0, number - 2), number + rng.randrange(1, 3)):
                assert ask(client, question).status_code == 200
            hanging = rng.random() < 0.5
            if hanging:
                leave(url, 1000 + number, rng.randrange(3))
        assert process.kill() == -signal.SIGKILL
        check_stores(tmp_path)
        bill.after(tmp_path, True)
    again = {row: n for row, n in server.answered.items() if is_of_a_problem(row[0]) and n > 1}
    assert sum(again.values()) - len(again) <= bill.wire


def served_at(folder):
    """Where the gateway says that it is."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        lines = said(folder).splitlines(keepends=True) if (folder / "said").exists() else ()
        for line in lines:
            if line.startswith("{") and line.endswith("\n"):
                return json.loads(line)["url"]
        time.sleep(0.01)
    raise AssertionError("no gateway")


def ask(client, number):
    body = {
        "model": f"{MODEL}:majority@4",
        "messages": [{"role": "user", "content": f"What is {number} + {number}?"}],
    }
    return client.post("/v1/chat/completions", json=body)


def leave(url, number, turns):
    """Ask, and do not wait for the answer."""
    body = json.dumps(
        {
            "model": f"{MODEL}:majority@4",
            "messages": [{"role": "user", "content": f"What is {number} + {number}?"}],
        }
    ).encode()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.003 * turns)


# Pauses, clocks, disks ---------------------------------------------------------------------------


def test_a_sweep_that_is_paused_is_the_same(process, tmp_path, problems, server):
    words, answered = sweep_words(server.url, problems), None
    for number in range(4):
        server.answered.clear()
        folder = tmp_path / str(number)
        folder.mkdir()
        more = {"kind": KINDS[number % 3], "at": 5 + number, "signal": signal.SIGSTOP}
        assert process.run(folder, words, **more) == 0, said(folder)
        check_stores(folder)
        assert same_pool(folder / "a.store", tmp_path / "0" / "a.store")
        answered = answered or server.answered.copy()
        assert server.answered == answered


def test_a_sweep_by_a_clock_that_runs_back_is_the_same(process, tmp_path, problems, server):
    words = sweep_words(server.url, problems)
    for name, clock in (("right", False), ("back", True)):
        (tmp_path / name).mkdir()
        assert process.run(tmp_path / name, words, clock=clock) == 0, said(tmp_path / name)
    assert same_pool(tmp_path / "back" / "a.store", tmp_path / "right" / "a.store")


WRITING = {
    "sweep": None,
    "merge": ["merge", "1.store", "2.store", "-o", "a.store"],
    "import": ["import", "b.jsonl", "-o", "a.store"],
    "export": ["export", "1.store", "-o", "a.jsonl"],
    "csv": ["export", "1.store", "-o", "a.csv"],
    "parquet": ["export", "1.store", "-o", "a.parquet"],
    "report": ["report", "1.store", "-o", "a.html"],
    "key": ["key", "bob", "-o", "a.keys"],
}


@pytest.mark.parametrize("name", WRITING)
def test_a_command_whose_disk_is_full_says_so_in_a_line_and_leaves_no_half(
    process, tmp_path, parts, problems, server, name
):
    assert process.run(parts, exported(parts, "b.jsonl")) == 0, said(parts)
    for path in (*parts.glob("?.store"), parts / "b.jsonl"):
        shutil.copy(path, tmp_path)
    words = WRITING[name] or sweep_words(server.url, problems)
    out = words[words.index("-o") + 1]
    fills = "-lock" if out.endswith(".store") else ".part"
    assert process.run(tmp_path, words, room=64, fills=fills) in (1, 2), said(tmp_path)
    told = [line for line in said(tmp_path).splitlines() if line.startswith("outthink: ")]
    assert len(told) == 1 and "Traceback" not in said(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert name in ("sweep", "merge") or out not in left
    assert not any(path.endswith((".part", ".partial")) for path in left)
    check_stores(tmp_path)
    assert process.run(tmp_path, words) == 0, said(tmp_path)
    check_stores(tmp_path)
