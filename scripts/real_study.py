#!/usr/bin/env python3
"""A study of a real model: samples, a policy that is checked on other problems, a probe, a page.

    python scripts/dequantise.py model.gguf -o MODEL --dtype bfloat16
    python scripts/real_study.py MODEL --vllm VENV/bin/python --asking asking.toml \\
        --test 'test.jsonl?size=250&seed=1' --aside aside.jsonl --train train.jsonl -o runs/real

MODEL is a folder of safetensors. Killed at any moment, the same command goes on: every stage is a
command of outthink, which pays for nothing twice. The problems of --test, --aside and --train have
to be different ones.
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
    policy, live = str(options.out / "policy.json"), str(options.out / "aside.store")
    served = f"{url}#{options.model.name}"
    asked = ["--most-tokens", str(options.most_tokens)]
    if options.asking is not None:
        asked += ["--asking", str(options.asking)]
    asked += ["--in-flight", str(options.in_flight)]
    drawn = ["--model", served, *asked, "--difficulty-samples", "0"]
    pool = [*drawn, "--strategies", POOLED, "--budgets", BUDGETS, "--pool", "16"]
    yield ["sweep", options.test, "-o", store, *pool, "--verifier", "confidence"]
    yield ["fit", store, "-o", policy]
    kept = ["--strategies", f"policy(file={policy},average={options.average})", "--budgets", "16"]
    yield ["sweep", options.aside, "-o", live, *drawn, *kept, "--verifier", "confidence"]
    samples = ["--samples", str(options.samples), "--sampler", served, *asked]
    learnt = ["train", "probe", options.train, "--model", f"hf:{options.model}", "-o", probe]
    yield [*learnt, *samples, "--dtype", options.dtype]
    yield ["sweep", options.test, "-o", store, *pool, "--verifier", f"probe:{probe}"]
    yield ["report", store, "-o", str(options.out / "report.html")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="a folder of safetensors")
    parser.add_argument("--vllm", type=Path, required=True, help="Python of an environment of it")
    parser.add_argument("--train", required=True, help="problems that the probe learns from")
    parser.add_argument("--test", required=True, help="problems that are measured")
    parser.add_argument("--aside", required=True, help="problems that check the policy")
    parser.add_argument("--asking", type=Path, metavar="FILE", help="how it is asked, a TOML file")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--samples", type=int, default=4, help="of a training problem")
    parser.add_argument("--average", type=float, default=4, help="samples the policy may spend")
    parser.add_argument("--most-tokens", type=int, default=256, help="of a solution")
    parser.add_argument("--in-flight", type=int, default=10, help="requests, of up to 16 samples")
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
