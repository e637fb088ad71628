#!/usr/bin/env python3
"""A study of a real model from a path: samples, a probe of its own, its scores, the report.

    python scripts/dequantise.py model.gguf -o MODEL --dtype bfloat16
    python scripts/real_study.py MODEL --vllm VENV/bin/python --train train.jsonl \\
        --test 'test.jsonl?size=250&seed=1' -o runs/real

MODEL is a folder of safetensors. Killed at any moment, the same command goes on: every stage is a
command of outthink, which pays for nothing twice. Test problems and those that the probe learns
from have to be different ones.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench_vllm import Failed, server

POOLED = "majority,best_of_n,best_of_n(answer=max)"
BUDGETS = "1,2,4,8,16"


def stages(options: argparse.Namespace, url: str) -> Iterator[list[str]]:
    """The commands of outthink, in their order."""
    store, probe = str(options.out / "test.store"), str(options.out / "probe")
    served = f"{url}#{options.model.name}"
    most = ["--most-tokens", str(options.most_tokens)]
    asked = ["sweep", options.test, "-o", store, "--model", served, *most]
    pool = ["--strategies", POOLED, "--budgets", BUDGETS, "--pool", "16"]
    yield [*asked, "--verifier", "confidence", *pool, "--difficulty-samples", "0"]
    drawn = ["--samples", str(options.samples), "--sampler", served, *most]
    learnt = ["train", "probe", options.train, "--model", f"hf:{options.model}", "-o", probe]
    yield [*learnt, *drawn, "--dtype", options.dtype]
    yield [*asked, "--verifier", f"probe:{probe}", *pool, "--difficulty-samples", "0"]
    yield ["report", store, "-o", str(options.out / "report.html")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="a folder of safetensors")
    parser.add_argument("--vllm", type=Path, required=True, help="Python of an environment of it")
    parser.add_argument("--train", required=True, help="problems that the probe learns from")
    parser.add_argument("--test", required=True, help="problems that are measured")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--samples", type=int, default=8, help="of a training problem")
    parser.add_argument("--most-tokens", type=int, default=300, help="of a solution")
    parser.add_argument("--dtype", default="bfloat16", help="in which the probe reads the model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # A terminated script leaves no server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        # The address is part of no draw's identity, so a new port goes on with the same store.
        with server(options.vllm.absolute(), options.model, options.out / "vllm.log") as url:
            for stage in stages(options, url):
                subprocess.run([sys.executable, "-m", "outthink", *stage], check=True)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
