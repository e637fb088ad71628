"""Workers on a Ray cluster (Moritz et al. 2018, arXiv 1712.05889): an actor each.

Ray finds a machine with the cores and GPUs that a worker needs, starts it again where it died, and
gives it the shard again that it had. A worker is given one shard at a time. Knows nothing of
sweeps, stores or models.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from outthink.errors import MissingPackage, RunError, UsageError
from outthink.models.http import KEY, OPENAI_KEY
from outthink.study.shards import ShardDone, ShardProgress, Task
from outthink.study.worker import Worker, WorkerSettings

LOCAL = "local"
RESTARTS = 100
"""How often one worker is started again. Each goes on where the last one was, so this bounds only
what dies at once, every time."""
_LOOK_S = 0.5
"""Seconds between looks at how far shards are."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Which cluster, and the workers to start on it."""

    address: str = LOCAL
    """As `ray.init` takes it; `local` starts Ray on this machine, for this run alone."""
    workers: int | None = None
    """`None` for as many as there is room for."""
    cores: int = 1
    """Of each worker."""
    gpus: float = 0.0


@contextmanager
def ray_workers(spec: ClusterSpec) -> Iterator[RayWorkers]:
    """Workers of a cluster, until the end of the block.

    Raises `MissingPackage` without Ray, `UsageError` where there is no room for a single worker,
    `RunError` where there is no cluster.
    """
    ray = _ray()
    # Ray talks of tasks that it tries again on standard output, where only results belong.
    with redirect_stdout(sys.stderr):
        _begin(ray, spec)
        try:
            yield RayWorkers(ray, spec)
        finally:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        missing = MissingPackage.of(error)
        if missing is None:
            raise
        raise missing from error
    return ray


def _begin(ray: Any, spec: ClusterSpec) -> None:
    own: dict[str, Any] = {}
    if spec.address == LOCAL:
        own["include_dashboard"] = False
        if spec.workers is not None:
            own["num_cpus"] = spec.workers * spec.cores
    try:
        ray.init(address=spec.address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RunError(
            f"no Ray cluster at {spec.address!r} ({' '.join(str(error).split())[:200]}); start "
            "one with 'ray start --head', or give --ray alone for this machine"
        ) from error


class RayWorkers:
    """Actors of a cluster; make some with `ray_workers`."""

    def __init__(self, ray: Any, spec: ClusterSpec) -> None:
        self._ray = ray
        self.count = _room(ray.cluster_resources(), spec)
        variables = {name: os.environ[name] for name in (KEY, OPENAI_KEY) if name in os.environ}
        settings = WorkerSettings(os.getcwd(), spec.cores, variables)
        actor = ray.remote(Worker).options(
            num_cpus=spec.cores,
            num_gpus=spec.gpus,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
            max_concurrency=2,  # `run` and `news`
        )
        self._actors = [actor.remote(settings) for _ in range(self.count)]

    def run(self, tasks: Sequence[Task]) -> Iterator[ShardProgress | ShardDone]:
        """Sweep all, in any order; every task ends once. Raises `RunError` where a worker cannot be
        kept alive."""
        waiting = deque(tasks)
        # One that has no place yet is given nothing: another would wait for what it holds.
        idle = {actor.news.remote(): actor for actor in self._actors}
        busy: dict[Any, Any] = {}
        while waiting or busy:
            ready, _ = self._ray.wait([*busy, *idle], timeout=_LOOK_S)
            for call in ready:
                if call in busy:
                    yield self._got(call)
                actor = busy.pop(call, None) or idle.pop(call)
                if waiting:
                    busy[actor.run.remote(waiting.popleft())] = actor
            yield from self._news([*busy.values()])

    def _got(self, call: Any) -> ShardDone:
        try:
            ended: ShardDone = self._ray.get(call)
        except self._ray.exceptions.RayActorError as error:
            raise RunError(
                f"a worker died and could not be started again ({' '.join(str(error).split())}); "
                "see its log on the cluster; the same command goes on"
            ) from error
        return ended

    def _news(self, actors: Sequence[Any]) -> Iterator[ShardProgress]:
        """What those say that are alive; the others will say it later."""
        calls = [actor.news.options(max_task_retries=0).remote() for actor in actors]
        if not calls:
            return
        ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=_LOOK_S)
        for call in ready:
            try:
                news: ShardProgress | None = self._ray.get(call)
            except self._ray.exceptions.RayActorError:
                continue
            if news is not None:
                yield news


def _room(resources: dict[str, float], spec: ClusterSpec) -> int:
    """How many workers there is room for, and no more than are spec."""
    room = int(resources.get("CPU", 0) // spec.cores)
    if spec.gpus:
        room = min(room, int(resources.get("GPU", 0) / spec.gpus))
    if not room:
        raise UsageError(
            f"the cluster has {resources.get('CPU', 0):g} cores and {resources.get('GPU', 0):g} "
            f"GPUs, and a worker wants {spec.cores} and {spec.gpus:g}; ask for less with "
            "--worker-cores and --worker-gpus"
        )
    return room if spec.workers is None else min(room, spec.workers)
