"""What works where torch is not installed: everything but the lab and checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import FakeServer

SOURCE = Path(__file__).parent.parent / "src"

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "peft"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from outthink.cli import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def outthink(tmp_path):
    """Run a command in a process that has no torch."""

    def run(*words):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
        )

    return run


def test_a_server_is_inspected_swept_fitted_and_reported_without_torch(outthink, tmp_path):
    rows = [{"question": f"problem {i}", "answer": str(i)} for i in range(12)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with FakeServer("vllm") as server:
        for words in (
            ("doctor", server.url),
            (
                *("sweep", "p.jsonl", "--model", server.url, "-o", "a.store"),
                *("--strategies", "majority,best_of_n", "--budgets", "1,2", "--pool", "2"),
            ),
            ("fit", "a.store", "-o", "policy.json"),
            ("report", "a.store", "-o", "r.html"),
            ("solve", "problem 7", "--policy", "policy.json", "--budget", "2"),
            ("demo", "--real"),
        ):
            done = outthink(*words)
            assert done.returncode == 0, (words, done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("demo",),
        ("sweep", "lab:test?size=4", "-o", "b.store"),
        ("bench", "engine"),
        ("reproduce", "--quick"),
        ("solve", "1 + 1", "--model", "hf:some/model", "--budget", "1"),
    ],
)
def test_what_needs_torch_names_the_extra_that_brings_it(outthink, tmp_path, words):
    done = outthink(*words)
    assert done.returncode == 2, done.stderr
    [line] = [text for text in done.stderr.splitlines() if "outthink: " in text]
    assert "pip install 'outthink[" in line
    assert not list(tmp_path.glob("*.store*"))
