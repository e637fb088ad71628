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
from dataclasses import dataclass
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
    """What `do` makes of every task, in order, in `jobs` processes that take one after the other.

    `do`, tasks and values are pickled. `heard` is told of a task's number and how much of it is
    done. What one raises is raised here, and the others are ended; where a process ends without a
    word, `RunError`.
    """
    waiting = deque(enumerate(tasks))
    idle = [_begun(do) for _ in range(min(jobs, len(tasks)))]
    workers = list(idle)
    running: dict[Connection, tuple[int, _Worker]] = {}
    values: dict[int, Value] = {}
    try:
        while waiting or running:
            while waiting and idle:
                number, task = waiting.popleft()
                worker = idle.pop()
                worker.pipe.send(task)
                running[worker.pipe] = number, worker
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                number, worker = running[ready]
                kind, value = _received(worker)
                if kind == _DONE:
                    values[number] = value
                    del running[ready]
                    idle.append(worker)
                elif kind == _FAILED:
                    raise value
                else:
                    heard(number, value)
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
    return [values[number] for number in range(len(tasks))]


def called(calls: Sequence[Callable[[], Value]], jobs: int) -> list[Value]:
    """What each of the calls returns, in order, at most `jobs` at a time; with one job they are
    made here. Raises as `side_by_side`."""
    if jobs == 1:
        return [call() for call in calls]
    return side_by_side(_call, calls, jobs=jobs)


def _call(call: Callable[[], Value], tell: Tell) -> Value:
    return call()


_DONE, _FAILED, _TOLD = "done", "failed", "told"


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process that does one task after the other."""

    pipe: Connection
    process: SpawnProcess


def _begun(do: Callable[[Task, Tell], Value]) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(do, theirs), daemon=True)
    with _one_core():
        process.start()
    theirs.close()
    return _Worker(ours, process)


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


def _received(worker: _Worker) -> tuple[str, Any]:
    try:
        received: tuple[str, Any] = worker.pipe.recv()
        return received
    except (EOFError, ConnectionResetError):
        worker.process.join()
        raise RunError(
            f"a process ended with status {worker.process.exitcode}, and said nothing; where "
            "memory is short, give fewer --jobs; the same command goes on"
        ) from None


def _work(do: Callable[[Any, Tell], Any], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Two bars on one terminal could not be read: how far it is, is told.
    with open(os.devnull, "w") as nowhere:
        sys.stderr = nowhere
        while True:
            task = pipe.recv()
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
