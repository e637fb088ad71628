"""Whether anything that the gateway's OpenAPI document allows, or just forbids, makes it fail.

    pip install 'outthink[serve]' schemathesis
    python scripts/fuzz_gateway.py --cases 10000

A gateway before a stand-in for a model's server is sent requests by schemathesis, until there were
so many. None may be answered with a 5xx, with a status that the document lacks, or with a body that
is not as it says. What is left out of `--cases` is rounded up to whole runs, each of its own seed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
HOOKS = Path(__file__).resolve().with_name("fuzz_hooks.py")
EACH = 400
"""Examples an operation, of one run."""


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--cases", type=int, default=10_000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--schemathesis", default="schemathesis", help="its command")
    words.add_argument("--json", action="store_true")
    told = words.parse_args()
    with ExitStack() as held:
        standing = python("outthink.bench.stand_in")
        upstream = held.enter_context(running(standing)).stdout.readline().strip()
        serving = python("outthink", "serve", "--model", upstream, "--verifier", "none")
        serving += ["--strategy", "majority", "--grader", "text", "--port", "0", "--json"]
        url = json.loads(held.enter_context(running(serving)).stdout.readline())["url"]
        place = held.enter_context(tempfile.TemporaryDirectory())
        outcome = fuzzed(told, url, place)
    print(json.dumps(outcome) if told.json else outcome)
    return 1 if outcome["failed"] else 0


def fuzzed(told, url, place):
    seen = {"cases": 0, "failed": 0, "runs": 0}
    while seen["cases"] < told.cases:
        command = [told.schemathesis, "run", f"{url}/openapi.json", "--checks", ",".join(CHECKS)]
        command += ["--max-examples", str(EACH), "--seed", str(told.seed + seen["runs"])]
        command += ["--request-timeout", "60", "--continue-on-failure", "--no-color"]
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
            cwd=place,  # it leaves notes
        )
        counted = re.search(r"(\d+) generated(?:, (\d+) found)?.*", ran.stdout)
        if counted is None:
            raise SystemExit(f"schemathesis counted nothing:\n{ran.stdout}{ran.stderr}")
        seen["runs"] += 1
        seen["cases"] += int(counted[1])
        if ran.returncode:
            seen["failed"] += 1
            print(ran.stdout, file=sys.stderr)
    return seen | {"statuses": statuses(url)}


def statuses(url):
    """What was answered, by status, as the gateway counts it."""
    import httpx

    seen = {}
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        if told := re.match(r'outthink_requests_total\{.*status="(\d+)"\} (\S+)', line):
            seen[told[1]] = seen.get(told[1], 0) + int(float(told[2]))
    return seen


def python(*words):
    return [sys.executable, "-m", *words]


def running(command):
    return _Running(command, stdout=subprocess.PIPE, text=True)


class _Running(subprocess.Popen):
    def __exit__(self, *error):
        self.terminate()
        super().__exit__(*error)


if __name__ == "__main__":
    sys.exit(main())
