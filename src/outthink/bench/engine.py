"""Measurements that anyone can repeat: strategies on fresh problems, and speed of the engines."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from outthink.data import source, task
from outthink.errors import UsageError
from outthink.lab.engine import WORKERS, LabProposer
from outthink.lab.models import SHIPPED, LabModels
from outthink.lab.tokenizer import PROMPT_LENGTH
from outthink.measure.arrays import Floats
from outthink.measure.difficulty import BINS, bins
from outthink.measure.intervals import paired
from outthink.policy import as_json
from outthink.run.progress import Progress
from outthink.run.runner import Driver, Job, Journal, Replay, Result, exact
from outthink.run.store import Identity, Node, Store
from outthink.search import strategy
from outthink.study.plan import Study
from outthink.study.sweep import Sweep, accuracies, swept
from outthink.types import Budget, Drawn, Problem, Solution, Usage, Verified

COMPARED = (("best_of_n", "majority"), ("beam", "best_of_n"), ("best_of_n(answer=max)", "majority"))
"""Pairs compared at every budget."""
MIDDLE = (3, 4)
"""Bins in which beam search is expected to win (Snell et al. 2024, section 5.3)."""


def strategies(asked: Sweep, *, store: Path | None) -> dict[str, Any]:
    """Every strategy at every budget on fresh test problems, with paired comparisons.

    Bins are by oracle difficulty from samples that the accuracies do not use. Without `store`,
    everything is forgotten afterwards.
    """
    count = len(source.read(asked.problems))
    if asked.plan.oracle_samples and count < BINS:
        raise UsageError(
            f"{count} problems for {BINS} bins; give at least {BINS} problems, "
            "or --oracle-samples 0"
        )
    with (
        tempfile.TemporaryDirectory() as scratch,
        swept(asked, store or Path(scratch) / "bench.store") as found,
    ):
        study = found.study
        numbers = bins(study.oracle.values)[0] if asked.plan.oracle_samples else None
        return {
            "problems": found.problems,
            "seed": asked.seed,
            "proposer": found.identity.proposer,
            "verifier": found.identity.verifier,
            **as_json.accuracies(len(study.problems), accuracies(study, numbers)),
            "pairs": list(_pairs(study, numbers)),
        }


def _pairs(study: Study, numbers: np.ndarray[Any, Any] | None) -> Iterator[dict[str, Any]]:
    grid = study.grid
    for first, second in COMPARED:
        if not {first, second} <= set(grid.strategies):
            continue
        a, b = (grid.accuracy[grid.strategies.index(name)] for name in (first, second))
        for column, budget in enumerate(grid.budgets):
            named = {"a": first, "b": second, "budget": budget}
            yield {**named, "bins": None, **_difference(a[column], b[column])}
            if numbers is not None:
                inside = np.isin(numbers + 1, MIDDLE)
                found = _difference(a[column][inside], b[column][inside])
                yield {**named, "bins": list(MIDDLE), **found}


def _difference(a: Floats, b: Floats) -> dict[str, Any]:
    found = paired(a, b)
    return {
        "problems": found.problems,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
    }


# The engines -------------------------------------------------------------------------------------


def engine(*, problems: int, pool: int, weights: Path | None) -> dict[str, Any]:
    """Speed and memory of the engines, measured on this machine."""
    models = LabModels(weights or SHIPPED)
    asked = task.problems(task.Stream.TEST, problems, 0)
    figures: dict[str, Any] = {"problems": problems, "workers": WORKERS}
    # First, while nothing else has used memory: what a process once had counts for ever.
    figures |= _pool(models, asked, pool)
    figures |= _search(models, asked, "best_of_n", 64)
    figures |= _search(models, asked, "beam", 16)
    for which in ("s", "l"):
        rows = asked if which == "s" else asked[:64]
        figures[f"{which}_decoded_tokens_per_second"] = _speed(models.proposer(which), rows, 64)
    return figures


def _search(models: LabModels, asked: Sequence[Problem], name: str, budget: int) -> dict[str, Any]:
    """Where the time of a search goes, and how much of what it verified was computed."""
    proposer, verifier = models.proposer(), models.verifier()
    label = f"{name}_{budget}"
    with tempfile.TemporaryDirectory() as scratch:
        identity = Identity(proposer.name, verifier.name, 0)
        with Store.open(Path(scratch) / "bench.store", identity=identity, write=True) as store:
            driver = Driver(proposer, verifier, grader=exact, seed=0, journal=store)
            began = time.perf_counter()
            usage = _run(driver, asked, name, budget, label)
            seconds = time.perf_counter() - began
            trees = (store.tree(problem.id, name, budget) for problem in asked)
            existing = sum(_verifiable(tree.nodes) for tree in trees)
    watches = (proposer.watch, verifier.watch)
    wall = sum(watch.wall_seconds for watch in watches)
    worked = sum(watch.worker_seconds for watch in watches)
    return {
        f"{label}_seconds": round(seconds, 2),
        f"{label}_forward_share_of_wall_seconds": round(wall / seconds, 4),
        f"{label}_forward_share_of_worker_seconds": round(worked / (WORKERS * seconds), 4),
        f"{label}_verifier_tokens_computed_per_token": round(usage.verifier_tokens / existing, 4),
    }


def _run(driver: Driver, asked: Sequence[Problem], name: str, budget: int, label: str) -> Usage:
    """What a strategy spends on these problems."""
    made, usage = strategy(name), Usage()
    with Progress(label, len(asked), "problems") as bar:
        for result in driver.run(Job(problem, made, Budget(budget)) for problem in asked):
            usage += result.outcome.usage
            bar.advance(1)
    return usage


def _verifiable(nodes: Sequence[Node]) -> int:
    """Tokens that a verifier has to read once: the prompt, and every verified node's own."""
    length = {node.number: len(node.tokens) for node in nodes}
    read = [node for node in nodes if node.scores is not None and node.scores.steps]
    own = sum(len(node.tokens) - length.get(node.parent, 0) for node in read)
    return own + (PROMPT_LENGTH if read else 0)


def _speed(proposer: LabProposer, asked: Sequence[Problem], budget: int) -> int:
    """Decoded tokens a second."""
    began = time.perf_counter()
    usage = _run(Driver(proposer, seed=0), asked, "majority", budget, f"speed of {proposer.name}")
    return round(usage.decoded_tokens / (time.perf_counter() - began))


def _pool(models: LabModels, asked: Sequence[Problem], pool: int) -> dict[str, Any]:
    """A large pool, drawn into a store: peak memory of the process, bytes and rows a second."""
    proposer = models.proposer()
    with tempfile.TemporaryDirectory() as scratch:
        identity = Identity(proposer.name, None, 0)
        with Store.open(Path(scratch) / "pool.store", identity=identity, write=True) as store:
            journal = Timed(store)
            driver = Driver(proposer, grader=exact, seed=0, journal=journal)
            _run(driver, asked, "majority", pool, f"pool of {pool}")
            solutions, size = store.counts().solutions, store.bytes_per_solution()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "pool_problems": len(asked),
        "pool_samples_per_problem": pool,
        "pool_solutions": solutions,
        "pool_peak_memory_bytes": peak * 1024,
        "store_bytes_per_solution": None if size is None else round(size, 1),
        "store_rows_written_per_second": round(solutions / journal.seconds),
    }


class Timed:
    """A journal that adds up the seconds spent writing into another."""

    def __init__(self, journal: Journal) -> None:
        self.seconds = 0.0
        self._journal = journal

    def replay(self, job: Job) -> Replay:
        return self._journal.replay(job)

    def proposed(self, job: Job, rows: Sequence[tuple[Solution, Drawn]]) -> None:
        with self._watch():
            self._journal.proposed(job, rows)

    def verified(self, job: Job, rows: Sequence[tuple[Solution, Verified]]) -> None:
        with self._watch():
            self._journal.verified(job, rows)

    def finished(self, result: Result) -> None:
        with self._watch():
            self._journal.finished(result)

    def commit(self) -> None:
        with self._watch():
            self._journal.commit()

    @contextmanager
    def _watch(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began
