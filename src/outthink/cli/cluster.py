"""The options of what is drawn by workers on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outthink.cli import options, reads
from outthink.errors import UsageError

if TYPE_CHECKING:
    from outthink.study.shards import StartWorkers


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where to draw, as options say it."""

    ray: str | None
    workers: int | None
    worker_cores: int
    worker_gpus: float
    shards: int | None

    @property
    def start(self) -> StartWorkers | None:
        """Who starts the workers; `None` where this process draws."""
        from outthink.study.on_ray import ClusterSpec, ray_workers

        if self.ray is None:
            return None
        spec = ClusterSpec(self.ray, self.workers, self.worker_cores, self.worker_gpus)
        return lambda: ray_workers(spec)

    def check(self) -> None:
        """Raises `UsageError` for what only workers have, where there are none."""
        own = self.workers, self.shards, self.worker_cores, self.worker_gpus
        if self.ray is None and own != (None, None, 1, 0.0):
            raise UsageError(
                "--workers, --shards, --worker-cores and --worker-gpus are of work on Ray; add "
                "--ray"
            )


on_ray = options.together(
    "cluster",
    Cluster,
    options.option(
        "--ray",
        is_flag=False,
        flag_value="local",
        metavar="[ADDRESS]",
        help="Draw with workers on a Ray cluster, each in a process of its own: of this machine, "
        "started for this run, where no address is given; else HOST:PORT, ray://HOST:PORT, or auto "
        "for the one that runs here. See docs/clusters.md.",
    ),
    options.count("--workers", None, "Workers at once.", usual="as many as there is room for"),
    options.count("--worker-cores", 1, "Cores of each worker."),
    options.option(
        "--worker-gpus", type=reads.PRICE, default=0.0, metavar="X", help="GPUs of each worker."
    ),
    options.count("--shards", None, "Parts of the problems.", usual="four for each worker"),
)
