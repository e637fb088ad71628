#!/usr/bin/env python3
"""Starts vLLM on the CPU, measures with `outthink bench served` what searches get of it, stops it.

    make bench-vllm
    python scripts/bench_vllm.py --python VENV/bin/python --model DIR -o FIGURES [OPTION ...]

Options after FIGURES go to `outthink bench served`. What the server says is in FIGURES.log.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = {
    # GiB for keys and values: 180,000 tokens of SmolLM2-135M, or 50 beam searches of 16.
    "VLLM_CPU_KVCACHE_SPACE": "4",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
OPTIONS = (
    "--host=127.0.0.1",
    "--dtype=bfloat16",
    "--max-model-len=2048",
    "--max-num-seqs=128",
    # vLLM 0.32 rewinds the random numbers of a row whose prompt it read in parts, which those of a
    # CPU cannot: the first such row that has a seed ends the server ("CPU Generator does not use
    # offset").
    "--no-enable-chunked-prefill",
    "--max-num-batched-tokens=8192",
    "--enable-prefix-caching",
    # A prefix is held in whole blocks. On the CPU they have 128 tokens unless told otherwise, which
    # is more than many prompts have; 32 is the least there.
    "--block-size=32",
    # Or the ledger cannot tell cached from computed tokens.
    "--enable-prompt-tokens-details",
    # Sampling as requests say, whatever a model's folder recommends.
    "--generation-config=vllm",
    # Compiled it needs a C++ compiler, and ten minutes the first time.
    "--enforce-eager",
    "--disable-uvicorn-access-log",
)
START_S = 900.0
STOP_S = 30.0


class Failed(Exception):
    """Says what went wrong, and where to look."""


@contextmanager
def server(python: Path, model: Path, log: Path) -> Iterator[str]:
    """A vLLM server; its address. It and everything it started is gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server"]
    command += [f"--model={model}", f"--served-model-name={model.name}", f"--port={port}", *OPTIONS]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as said:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **SETTINGS},
            start_new_session=True,
        )
        try:
            wait(url, running, log)
            yield url
        finally:
            stop(running)


def wait(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers, saying now and then that it does not yet."""
    began = told = time.monotonic()
    while True:
        if running.poll() is not None:
            last = log.read_text("utf-8", "replace").splitlines()[-15:]
            raise Failed("\n".join([*last, f"vLLM ended with {running.returncode}; see {log}"]))
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                break
        except (urllib.error.URLError, OSError):
            pass
        now = time.monotonic()
        if now - began > START_S:
            raise Failed(f"vLLM did not answer within {START_S:g} s; see {log}")
        if now - told >= 15:
            told = now
            print(f"vLLM is starting, {now - began:.0f} s so far ({log})", file=sys.stderr)
        time.sleep(0.5)
    print(f"vLLM answers at {url} after {time.monotonic() - began:.0f} s", file=sys.stderr)


def stop(running: subprocess.Popen[bytes]) -> None:
    """It runs in several processes, which are one group."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(running.pid, sent)
        except ProcessLookupError:
            break
        try:
            running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
    running.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", type=Path, required=True, help="of an environment with vLLM")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="its weights")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FIGURES")
    options, more = parser.parse_known_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # A terminated script leaves no server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        # Not resolved: the link of a virtual environment is what makes it one.
        with server(
            options.python.absolute(), options.model, options.out.with_suffix(".log")
        ) as url:
            command = [sys.executable, "-m", "outthink", "bench", "served", url]
            return subprocess.run([*command, "--out", str(options.out), *more]).returncode
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
