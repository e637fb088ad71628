"""Measurements that anyone can repeat: strategies on fresh problems, and the speed of the engines."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outthink.difficulty import bins
from outthink.driver import Driver, Job
from outthink.estimate import interval, paired
from outthink.jobs import exact, sweep_into
from outthink.lab import task
from outthink.lab.engine import LabProposer
from outthink.lab.models import SHIPPED, LabModels
from outthink.progress import Progress
from outthink.search import strategy
from outthink.store import Identity, Store
from outthink.study import Plan, Study
from outthink.types import Budget, Problem, Usage

COMPARED = (("best_of_n", "majority"), ("beam", "best_of_n"), ("best_of_n(answer=max)", "majority"))
"""Pairs compared at every budget."""
MIDDLE = (3, 4)
"""Bins in which beam search is expected to win (Snell et al. 2024, section 5.3)."""


def strategies(
    *, plan: Plan, problems: int, seed: int, store: Path | None, weights: Path | None
) -> dict[str, Any]:
    """Every strategy at every budget on fresh test problems, with paired comparisons.

    Bins are by oracle difficulty from samples that the accuracies do not use.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = store or Path(scratch) / "bench.store"
        source = f"lab:test?size={problems}&seed={seed}"
        with sweep_into(
            path, source, plan, model="lab:s", verifier="lab:prm", weights=weights, seed=seed
        ) as study:
            return _compared(study, seed)


def _compared(study: Study, seed: int) -> dict[str, Any]:
    grid, plan = study.grid, study.plan
    numbers = bins(study.oracle.values)[0] if plan.oracle_samples else None
    rows = []
    for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True):
        for budget, values in zip(grid.budgets, accuracy, strict=True):
            found = interval(values)
            usage = study.usage(name, budget)
            rows.append(
                {
                    "strategy": name,
                    "budget": budget,
                    "accuracy": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "bins": None
                    if numbers is None
                    else [float(values[numbers == number].mean()) for number in range(5)],
                    "decoded_tokens_per_problem": usage.decoded_tokens / len(study.problems),
                    "verifier_tokens_per_problem": usage.verifier_tokens / len(study.problems),
                }
            )
    pairs = []
    for first, second in COMPARED:
        if not {first, second} <= set(grid.strategies):
            continue
        a, b = (grid.accuracy[grid.strategies.index(name)] for name in (first, second))
        for column, budget in enumerate(grid.budgets):
            pairs.append(_pair(first, second, budget, a[column], b[column], None))
            if numbers is not None:
                inside = np.isin(numbers + 1, MIDDLE)
                pairs.append(
                    _pair(first, second, budget, a[column][inside], b[column][inside], MIDDLE)
                )
    return {"problems": len(study.problems), "seed": seed, "rows": rows, "pairs": pairs}


def _pair(
    first: str,
    second: str,
    budget: int,
    a: np.ndarray[Any, Any],
    b: np.ndarray[Any, Any],
    inside: tuple[int, ...] | None,
) -> dict[str, Any]:
    found = paired(a, b)
    return {
        "a": first,
        "b": second,
        "budget": budget,
        "bins": None if inside is None else list(inside),
        "problems": found.problems,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
    }


def engine(*, problems: int, pool: int, weights: Path | None) -> dict[str, Any]:
    """Speed and memory of the engines, measured on this machine."""
    models = LabModels(weights or SHIPPED)
    asked = task.problems(task.Stream.TEST, problems, 0)
    figures: dict[str, Any] = {"problems": problems, "threads": torch.get_num_threads()}
    figures |= _shares(models, asked, "best_of_n", 64)
    figures |= _shares(models, asked, "beam", 16)
    for which in ("s", "l"):
        proposer = models.proposer(which)
        rows = asked if which == "s" else asked[:64]
        usage, seconds = _timed(proposer, rows, 64)
        figures[f"{which}_decoded_tokens_per_second"] = round(usage.decoded_tokens / seconds)
    figures |= _pool(models, asked, pool)
    return figures


def _shares(models: LabModels, asked: Sequence[Problem], name: str, budget: int) -> dict[str, Any]:
    """Where the time of a search goes, and how much of what it verified was computed."""
    proposer, verifier = models.proposer(), models.verifier()
    label = f"{strategy(name).name}_{budget}"
    with tempfile.TemporaryDirectory() as scratch:
        identity = Identity(proposer.name, verifier.name, 0, {})
        with Store.open(Path(scratch) / "bench.store", identity=identity, write=True) as store:
            driver = Driver(proposer, verifier, grader=exact, seed=0, journal=store)
            usage, existing = Usage(), 0
            began = time.perf_counter()
            with Progress(label, len(asked), "problems") as bar:
                for result in driver.run(_jobs(asked, name, budget)):
                    usage += result.outcome.usage
                    bar.advance(1)
            seconds = time.perf_counter() - began
            for problem in asked:
                tree = store.tree(problem.id, name, budget)
                existing += _tokens(tree.nodes)
    forward = proposer.watch.seconds + verifier.watch.seconds
    return {
        f"{label}_seconds": round(seconds, 2),
        f"{label}_forward_share_of_seconds": round(forward / seconds, 4),
        f"{label}_verifier_tokens_computed_per_token_existing": round(
            usage.verifier_tokens / existing, 4
        ),
    }


def _tokens(nodes: Sequence[Any]) -> int:
    """Tokens that a verifier has to read once: the prompt, and every verified node's own."""
    from outthink.lab.tokenizer import PROMPT_LENGTH

    length = {node.number: len(node.tokens) for node in nodes}
    read = [node for node in nodes if node.scores is not None and node.scores.steps]
    own = sum(len(node.tokens) - length.get(node.parent, 0) for node in read)
    return own + (PROMPT_LENGTH if read else 0)


def _jobs(asked: Sequence[Problem], name: str, budget: int) -> Iterator[Job]:
    made = strategy(name)
    return (Job(problem, made, Budget(budget)) for problem in asked)


def _timed(proposer: LabProposer, asked: Sequence[Problem], budget: int) -> tuple[Usage, float]:
    driver = Driver(proposer, seed=0)
    began = time.perf_counter()
    usage = Usage()
    with Progress(proposer.name, len(asked), "problems") as bar:
        for result in driver.run(_jobs(asked, "majority", budget)):
            usage += result.outcome.usage
            bar.advance(1)
    return usage, time.perf_counter() - began


def _pool(models: LabModels, asked: Sequence[Problem], pool: int) -> dict[str, Any]:
    """A large pool, drawn into a store: peak memory of the process, bytes and rows a second."""
    proposer = models.proposer()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pool.store"
        identity = Identity(proposer.name, None, 0, {})
        with Store.open(path, identity=identity, write=True) as store, _clocked(store) as clock:
            driver = Driver(proposer, grader=exact, seed=0, journal=store)
            with Progress(f"pool of {pool}", len(asked), "problems") as bar:
                for _ in driver.run(_jobs(asked, "majority", pool)):
                    bar.advance(1)
            solutions = store.counts().solutions
            size = store.bytes_per_solution()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "pool_problems": len(asked),
        "pool_samples_per_problem": pool,
        "pool_solutions": solutions,
        "pool_peak_memory_bytes": peak * 1024,
        "store_bytes_per_solution": None if size is None else round(size, 1),
        "store_rows_written_per_second": round(solutions / clock[0]),
    }


@contextmanager
def _clocked(store: Store) -> Iterator[list[float]]:
    """Seconds spent in the store's writing calls."""
    seconds = [0.0]

    def timed(call: Any) -> Any:
        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                seconds[0] += time.perf_counter() - began

        return run

    for name in ("proposed", "verified", "finished", "commit"):
        setattr(store, name, timed(getattr(store, name)))
    yield seconds
