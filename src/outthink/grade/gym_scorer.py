"""Makes and scores reasoning-gym's problems, inside the sandbox. A script, not a module.

Some scorers evaluate an answer as Python, so this never runs outside a sandbox, and each answer is
scored in a process of its own: what one does to that process is gone before the next. Problems are
made here too, since some generators depend on the order of sets, which this process fixes.

One request a line on file descriptor 3, one answer a line on 4, all of it JSON:

    ["names"]                                                     {"names": [...]}
    ["make", generator, configuration, first, last]               {"entries": [[question, answer]]}
    ["score", generator, configuration, index, question, answer]  {"score": number}

or {"error": text}.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any

CPU_SECONDS = 20.0
MOST_DATASETS = 64
CHANNEL = (3, 4)

_made: dict[str, Any] = {}


def generator(name: str, configuration: str) -> Any:
    import reasoning_gym

    key = json.dumps([name, configuration])
    if key not in _made:
        if len(_made) >= MOST_DATASETS:
            _made.clear()
        _made[key] = reasoning_gym.create_dataset(name, **json.loads(configuration))
    return _made[key]


def names() -> dict[str, Any]:
    from reasoning_gym.factory import DATASETS

    return {"names": sorted(DATASETS)}


def make(name: str, configuration: str, first: int, last: int) -> dict[str, Any]:
    made = generator(name, configuration)
    entries = [made[index] for index in range(first, last)]
    return {"entries": [[str(one["question"]), str(one["answer"])] for one in entries]}


def score(name: str, configuration: str, index: int, question: str, answer: str) -> dict[str, Any]:
    """The score of one answer. The problem is made here, the answer is read in a child."""
    made = generator(name, configuration)
    entry = made[index]
    if str(entry["question"]) != question:
        raise ValueError("another version of reasoning-gym made this problem")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for descriptor in CHANNEL:
            os.close(descriptor)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        with contextlib.suppress(BaseException):  # an answer that its scorer cannot read
            os.write(write, str(float(made.score_answer(answer, entry))).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        points = file.read()
    os.waitpid(child, 0)
    return {"score": float(points or b"0")}


def main() -> None:
    import reasoning_gym  # noqa: F401  once, and not in every process

    work: dict[str, Any] = {"names": names, "make": make, "score": score}
    with (
        open(os.devnull, "w") as nowhere,
        os.fdopen(CHANNEL[0], encoding="utf-8") as asked,
        os.fdopen(CHANNEL[1], "w", encoding="utf-8") as told,
    ):
        sys.stdout = sys.stderr = nowhere
        for line in asked:
            what, *about = json.loads(line)
            try:
                reply = work[what](*about)
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"[:300]}
            told.write(json.dumps(reply) + "\n")
            told.flush()


if __name__ == "__main__":
    main()
