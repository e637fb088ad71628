"""The script that starts vLLM and measures it: whatever happens, no server is left behind.

What it starts here is no vLLM: it answers that it is healthy, and nothing else.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "bench_vllm.py"

SERVER = """
import fcntl, http.server, os, pathlib, sys
held = open(pathlib.Path(__file__).with_name("alive"), "w")
fcntl.flock(held, fcntl.LOCK_EX)
if os.fork() == 0:  # as vLLM's engine: it holds the lock too, and does not end by itself
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
port = next(word for word in sys.argv if word.startswith("--port=")).removeprefix("--port=")
print(*sys.argv[1:], flush=True)
http.server.HTTPServer(("127.0.0.1", int(port)), Healthy).serve_forever()
"""


@pytest.fixture
def run(tmp_path):
    """The script with a program in vLLM's place, and what it said."""

    def started(program):
        (tmp_path / "server.py").write_text(program)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/server.py "$@"\n')
        python.chmod(0o755)
        words = ["--python", str(python), "--model", "weights/tiny", "-o", "runs/figures.json"]
        return subprocess.run(
            [sys.executable, str(SCRIPT), *words, "--problems", "none.jsonl"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return started


def test_a_bench_that_fails_leaves_no_server_behind(run, tmp_path):
    done = run(SERVER)
    assert done.returncode == 2
    assert "vLLM answers at http://127.0.0.1:" in done.stderr and "none.jsonl" in done.stderr
    free = subprocess.run(["flock", "--wait", "20", str(tmp_path / "alive"), "true"])
    assert free.returncode == 0  # while anyone of them lives, the lock is taken
    asked = (tmp_path / "runs" / "figures.log").read_text()
    assert "-m vllm.entrypoints.openai.api_server --model=weights/tiny" in asked
    assert "--served-model-name=tiny" in asked and "--enable-prefix-caching" in asked


def test_a_server_that_does_not_start_is_told_with_its_last_words(run):
    done = run("import sys; sys.exit('no such model')")
    assert done.returncode == 1 and not done.stdout
    *said, last = done.stderr.strip().splitlines()
    assert said[-1] == "no such model" and last == "vLLM ended with 1; see runs/figures.log"
