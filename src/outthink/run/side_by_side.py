"""Tasks in processes of their own, each on one core, as many at a time as asked.

A small model, and arrays of moderate size, gain more from a second process than from a second
thread: nothing is shared, and no operation is split that is too short for it. A process ends with
the one that began it, however that ends. Knows nothing of what the tasks are.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from outthink.errors import RunError

Task = TypeVar("Task")
Value = TypeVar("Value")

Tell = Callable[[float], None]
"""Tells the process that waits how much of a task is done, in any unit."""

_CORES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def side_by_side(
    do: Callable[[Task, Tell], Value],
    tasks: Sequence[Task],
    *,
    jobs: int,
    heard: Callable[[int, float], None] = lambda number, done: None,
) -> list[Value]:
    """What `do` makes of every task, in order, at most `jobs` of them at a time.

    `do`, tasks and values are pickled. `heard` is told of a task's number and how much of it is
    done. What one raises is raised here, and the others are ended; where a process ends without a
    word, `RunError`.
    """
    waiting = deque(enumerate(tasks))
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    values: dict[int, Value] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, task = waiting.popleft()
                pipe, process = _begun(do, task)
                running[pipe] = number, process
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                number, process = running[ready]
                kind, value = _received(ready, process)
                if kind == _DONE:
                    values[number] = value
                    del running[ready]
                    process.join()
                elif kind == _FAILED:
                    raise value
                else:
                    heard(number, value)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
    return [values[number] for number in range(len(tasks))]


_DONE, _FAILED, _TOLD = "done", "failed", "told"


def _begun(do: Callable[[Task, Tell], Value], task: Task) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(do, task, theirs), daemon=True)
    with _one_core():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _one_core() -> Iterator[None]:
    """What is begun in here computes in one thread: libraries read these when they are loaded."""
    before = {name: os.environ.get(name) for name in _CORES}
    os.environ.update(dict.fromkeys(_CORES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _received(pipe: Connection, process: SpawnProcess) -> tuple[str, Any]:
    try:
        received: tuple[str, Any] = pipe.recv()
        return received
    except EOFError:
        process.join()
        raise RunError(
            f"a process ended with status {process.exitcode}, and said nothing; where memory is "
            "short, give fewer --jobs; the same command goes on"
        ) from None


def _work(do: Callable[[Any, Tell], Any], task: Any, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Two bars on one terminal could not be read: how far it is, is told.
    with open(os.devnull, "w") as nowhere:
        sys.stderr = nowhere
        try:
            pipe.send((_DONE, do(task, lambda done: pipe.send((_TOLD, done)))))
        except Exception as error:
            pipe.send((_FAILED, _sendable(error)))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    """The error itself, where it can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RunError(f"{type(error).__name__}: {error}")
    return error
