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
from outthink.lab.roofline import roofline
from outthink.lab.tokenizer import PROMPT_LENGTH
from outthink.measure.arrays import Floats
from outthink.measure.difficulty import BINS, bins
from outthink.measure.intervals import paired
from outthink.policy import as_json
from outthink.run.journal import Book, Job, Journal, Result
from outthink.run.progress import Progress
from outthink.run.runner import Runner, run_jobs
from outthink.run.store import Node, Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.study.parts import drawn_in_parts
from outthink.study.read import Study
from outthink.study.results import accuracies
from outthink.study.sweep import Sweep, swept
from outthink.types import (
    Budget,
    Problem,
    Usage,
)

COMPARED = (("best_of_n", "majority"), ("beam", "best_of_n"), ("best_of_n(answer=max)", "majority"))
"""Pairs compared at every budget."""
BEAM = "beam"
"""What every search is held against."""
ABOVE, BELOW, UNTOLD = "above", "below", "not told apart"
"""What an interval of 95 % says of a difference."""
MIDDLE = (3, 4)
"""Bins in which beam search is expected to win (Snell et al. 2024, section 5.3)."""


MANY = 200
"""Problems from which on processes of their own are worth the seconds that they take to begin."""


def strategies(asked: Sweep, *, store: Path | None, jobs: int = 1) -> dict[str, Any]:
    """Every strategy at every budget on fresh test problems, with paired comparisons.

    Bins are by oracle difficulty from samples that the accuracies do not use. `jobs` processes
    draw, which changes no figure. Without `store`, nothing is kept.
    """
    count = len(source.read(asked.problems))
    if asked.plan.oracle_samples and count < BINS:
        raise UsageError(
            f"{count} problems for {BINS} bins; give at least {BINS} problems, "
            "or --oracle-samples 0"
        )
    with tempfile.TemporaryDirectory() as scratch:
        kept = store or Path(scratch) / "bench.store"
        drawn_in_parts([asked], kept, jobs=jobs if count >= MANY else 1)
        with swept(asked, kept) as result:
            study = result.study
            numbers = bins(study.oracle.values)[0] if asked.plan.oracle_samples else None
            return {
                "problems": result.problems,
                "seed": asked.seed,
                "proposer": result.asked.proposer,
                "verifier": result.asked.verifier,
                **as_json.accuracies(len(study.problems), accuracies(study, numbers)),
                "pairs": list(_pairs(study, numbers)),
                "against": list(_against(study, numbers)),
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
                difference = _difference(a[column][inside], b[column][inside])
                yield {**named, "bins": list(MIDDLE), **difference}


def _against(study: Study, numbers: np.ndarray[Any, Any] | None) -> Iterator[dict[str, Any]]:
    """Every search but `BEAM` against it, at every budget, and by bin where there are bins."""
    grid = study.grid
    if BEAM not in grid.strategies:
        return
    beams = grid.accuracy[grid.strategies.index(BEAM)]
    for name, values in zip(grid.strategies, grid.accuracy, strict=True):
        for budget, ours, theirs in zip(grid.budgets, values, beams, strict=True):
            if name == BEAM or np.isnan(ours).all():
                continue
            row = {"strategy": name, "budget": budget, **_difference(ours, theirs)}
            row["verdict"] = _verdict(row)
            if numbers is not None:
                inside = [numbers == number for number in range(BINS)]
                row["bins"] = [_difference(ours[one], theirs[one]) for one in inside]
            yield row


def _verdict(difference: dict[str, Any]) -> str:
    if difference["low"] > 0:
        return ABOVE
    return BELOW if difference["high"] < 0 else UNTOLD


def _difference(a: Floats, b: Floats) -> dict[str, Any]:
    interval = paired(a, b)
    return {
        "problems": interval.problems,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
    }


# The engines -------------------------------------------------------------------------------------


def engine(*, problems: int, pool: int, weights: Path | None) -> dict[str, Any]:
    """Speed and memory of the engines, measured on this machine."""
    models = LabModels(weights or SHIPPED)
    asked = task.problems(task.Stream.TEST, problems, 0)
    figures: dict[str, Any] = {"problems": problems, "workers": WORKERS}
    # Measured first: the peak memory of a process never falls.
    figures |= _pool(models, asked, pool)
    figures |= _search(models, asked, "best_of_n", 64)
    figures |= _search(models, asked, "beam", 16)
    for which in ("s", "l"):
        rows = asked if which == "s" else asked[:64]
        figures[f"{which}_decoded_tokens_per_second"] = _speed(models.proposer(which), rows, 64)
    return figures | roofline(models.proposer("s"))


def _search(models: LabModels, asked: Sequence[Problem], name: str, budget: int) -> dict[str, Any]:
    """Where the time of a search goes, and how much of what it verified was computed."""
    proposer, verifier = models.proposer(), models.verifier()
    label = f"{name}_{budget}"
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store.open(Path(scratch) / "bench.store", write=True) as store,
    ):
        runner = Runner(Team.of(proposer, verifier), journal=store)
        began = time.perf_counter()
        usage = _run(runner, asked, name, budget, label)
        seconds = time.perf_counter() - began
        view = store.view()
        trees = (view.tree(problem.id, name, budget) for problem in asked)
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


def _run(runner: Runner, asked: Sequence[Problem], name: str, budget: int, label: str) -> Usage:
    """What a strategy spends on these problems."""
    made, usage = strategy(name), Usage()
    with Progress(label, len(asked), "problems") as bar:

        def count(result: Result) -> None:
            nonlocal usage
            usage += result.outcome.usage
            bar.advance(1)

        run_jobs(runner, (Job(problem, made, Budget(budget)) for problem in asked), count)
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
    usage = _run(Runner(Team.of(proposer)), asked, "majority", budget, f"speed of {proposer.name}")
    return round(usage.decoded_tokens / (time.perf_counter() - began))


def _pool(models: LabModels, asked: Sequence[Problem], pool: int) -> dict[str, Any]:
    """A large pool, drawn into a store: peak memory of the process, bytes and rows a second."""
    proposer = models.proposer()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store.open(Path(scratch) / "pool.store", write=True) as store,
    ):
        journal = Timed(store)
        runner = Runner(Team.of(proposer), journal=journal)
        _run(runner, asked, "majority", pool, f"pool of {pool}")
        solutions, size = store.counts().draws, store.bytes_per_solution()
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
    """A journal that hands every call to another, and adds up the seconds that these take."""

    keeps = True

    def __init__(self, journal: Journal) -> None:
        self.seconds = 0.0
        self._journal = journal

    def book(self, job: Job) -> Any:
        return _TimedCalls(self._journal.book(job), self)

    def verdict(self, problem: Problem, grader: str, answer: str) -> bool | None:
        return self._journal.verdict(problem, grader, answer)

    def keep_verdict(self, problem: Problem, grader: str, answer: str, right: bool) -> None:
        self._journal.keep_verdict(problem, grader, answer, right)

    def commit(self) -> None:
        with self.watch():
            self._journal.commit()

    @contextmanager
    def watch(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began


class _TimedCalls:
    """A job's book that adds up the seconds of its calls."""

    def __init__(self, book: Book, timed: Timed) -> None:
        self._book = book
        self._timed = timed

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._book, name)

        def timed(*words: Any, **options: Any) -> Any:
            with self._timed.watch():
                return call(*words, **options)

        return timed
