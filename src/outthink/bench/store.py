"""How fast a store of many solutions is written and read: rows a second, seconds, memory.

The solutions are made up: answers and scores are drawn at random for problems of every difficulty,
and written as a run writes them, so nothing but the store and what reads it is measured.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outthink.data import source
from outthink.errors import UsageError
from outthink.models.cores import cores
from outthink.policy.store import fit_sequential_store, fit_store
from outthink.report.store import report_store
from outthink.run.journal import (
    Job,
    KeptDraw,
    KeptScore,
    Result,
    Writer,
    draw_keys,
    solution_keys,
)
from outthink.run.progress import Progress
from outthink.run.runner import ROWS_IN_FLIGHT
from outthink.run.store import Store
from outthink.search import strategy
from outthink.study.plan import Plan
from outthink.study.record import Asked
from outthink.types import (
    PROPOSER,
    VERIFIER,
    Budget,
    Choice,
    Draw,
    Drawn,
    Outcome,
    Problem,
    Scores,
    Solution,
    Usage,
    Verified,
)

STRATEGIES = ("majority", "best_of_n(answer=max)", "best_of_n")
ORACLE, PREDICTED = 64, 8
"""Samples a problem for difficulty."""
LEAST = 64
"""Of a pool."""
ANSWERS = 24
"""Answers that problems have; the first is right."""
_VARIANTS, _LEVELS = 64, 256
"""Texts of one answer, and scores of right and of wrong ones, that solutions are chosen from."""
_PROMPT, _LONGEST = 14, 40


def measure(*, solutions: int, problems: int, folder: Path | None, seed: int) -> dict[str, Any]:
    """Write a store of about so many solutions, fit both policies and write the report.

    The store and what is made of it are left in `folder`, where one is given. Raises `UsageError`
    where a pool would be below 64 solutions.
    """
    pool = solutions // problems - ORACLE - PREDICTED
    if pool < LEAST:
        raise UsageError(
            f"{solutions} solutions of {problems} problems leave pools of {pool}; give "
            f"{(LEAST + ORACLE + PREDICTED) * problems} solutions at least, or fewer problems"
        )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        path, page, jobs = place / "bench.store", place / "report.html", cores()
        if path.exists():
            raise UsageError(f"{path}: is there already; remove it, or name another folder")
        figures = _written(path, problems, pool, seed)
        for name, work in (
            ("fit_table", lambda: fit_store(path, place / "table.json")),
            ("fit", lambda: fit_sequential_store(path, place / "policy.json", jobs=jobs)),
            ("report", lambda: report_store(path, page, command="bench store", jobs=jobs)),
        ):
            with _watch(name, figures):
                work()
        figures["report_bytes"] = page.stat().st_size
    return figures


@contextmanager
def _watch(name: str, figures: dict[str, Any]) -> Iterator[None]:
    began, worked = time.perf_counter(), _worked()
    yield
    figures[f"{name}_seconds"] = round(time.perf_counter() - began, 2)
    figures[f"{name}_processor_seconds"] = round(_worked() - worked, 2)
    own, of_one = (resource.getrusage(who).ru_maxrss * 1024 for who in _PROCESSES)
    figures[f"peak_memory_bytes_after_{name}"] = own
    figures[f"peak_memory_bytes_of_a_child_after_{name}"] = of_one


_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _worked() -> float:
    """Processor seconds of this process and of those that it began and that have ended."""
    used = [resource.getrusage(who) for who in _PROCESSES]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _written(path: Path, problems: int, pool: int, seed: int) -> dict[str, Any]:
    asked = [Problem(f"p{number}", f"problem {number}", "0") for number in range(problems)]
    plan = Plan(STRATEGIES, (1, 4, 16, 64), pool, 0, ORACLE, PREDICTED)
    figures: dict[str, Any] = {"problems": problems, "samples_per_problem": pool}
    with Store.open(path, write=True) as store:
        synthetic = _Synthetic(store, seed)
        store.add_problems(asked)
        with _watch("write", figures), Progress("writing", problems, "problems") as bar:
            for problem in asked:
                synthetic.write(problem, plan)
                bar.advance(1)
        team: dict[str, Writer | str] = {
            PROPOSER: synthetic.writer,
            VERIFIER: synthetic.verifier,
        }
        ids, digest = tuple(problem.id for problem in asked), source.digest(asked)
        Asked(plan, "synthetic", ids, digest, team, "exact", seed).write(store)
        counts, size = store.counts(), store.bytes_per_solution()
    rows, seconds = counts.draws + counts.scores, synthetic.seconds
    return {
        **figures,
        "solutions": counts.draws,
        "rows": rows,
        "store_processor_seconds": round(seconds, 2),
        "rows_written_per_processor_second": round(rows / seconds),
        "solutions_written_per_processor_second": round(counts.draws / seconds),
        "rows_made_and_written_per_second": round(rows / figures["write_seconds"]),
        "store_bytes_per_solution": None if size is None else round(size, 1),
    }


@dataclass(frozen=True, slots=True)
class _Rows:
    """Solutions of one request, and their scores."""

    draws: list[KeptDraw]
    scores: list[KeptScore]


class _Synthetic:
    """Writes what a proposer and a verifier might have said."""

    def __init__(self, store: Store, seed: int) -> None:
        self.writer = Writer("synthetic", "", seed)
        self.verifier = "synthetic-prm"
        self.seconds = 0.0
        """Of the processor, spent in the store."""
        self._store = store
        self._rng = np.random.default_rng(seed)
        self._draws = [[self._draw(answer) for _ in range(_VARIANTS)] for answer in range(ANSWERS)]
        self._scores = [[self._score(is_right) for _ in range(_LEVELS)] for is_right in (0, 1)]

    def _draw(self, answer: int) -> KeptDraw:
        tokens = tuple(self._rng.integers(0, 20, self._rng.integers(20, _LONGEST)).tolist())
        ends = tuple(range(6, len(tokens), 6))
        solution = Solution(Problem("", ""), tokens, ends, True, answer=str(answer))
        return KeptDraw(Drawn(solution, _PROMPT, 0, len(tokens), _PROMPT), 1e-4, False, False)

    def _score(self, is_right: int) -> KeptScore:
        steps = self._rng.beta(2 + 3 * is_right, 2, 5).astype(np.float32).tolist()
        row = Verified(Scores(tuple(steps)), _PROMPT + _LONGEST, 0, _PROMPT)
        return KeptScore(row, 1e-4, False, False)

    def write(self, problem: Problem, plan: Plan) -> None:
        """Every job of a plan on one problem."""
        chance = self._rng.beta(0.8, 1.2)
        for name, size, stream in plan.kinds:
            job = Job(problem, strategy(name), Budget(size), stream)
            self._write(job, self._rows(chance, size), scores=name == plan.pool_job)

    def _rows(self, chance: float, count: int) -> _Rows:
        rng = self._rng
        wrong = np.minimum(1 + rng.geometric(0.3, count), ANSWERS - 1)
        answers = np.where(rng.random(count) < chance, 0, wrong).tolist()
        variants = rng.integers(0, _VARIANTS, count).tolist()
        levels = rng.integers(0, _LEVELS, count).tolist()
        draws = [self._draws[a][v] for a, v in zip(answers, variants, strict=True)]
        scores = [self._scores[a == 0][n] for a, n in zip(answers, levels, strict=True)]
        return _Rows(draws, scores)

    def _write(self, job: Job, rows: _Rows, *, scores: bool) -> None:
        start = Solution.start(job.problem)
        count = len(rows.draws)
        keys = draw_keys(job.stream, 0, range(count), [Draw(start, None, 1.0, 0)] * count)
        named = solution_keys(self.writer, keys)
        answers = {one.row.solution.answer: None for one in rows.draws}
        began = time.process_time()
        store, book = self._store, self._store.book(job)
        for at in range(0, count, ROWS_IN_FLIGHT):
            some = slice(at, at + ROWS_IN_FLIGHT)
            book.keep_draws(self.writer, keys[some], [start] * len(keys[some]), rows.draws[some])
            if scores:
                book.keep_scores(self.verifier, named[some], rows.scores[some])
            store.commit()
        book.numbered(self.writer, keys, [-1] * count, [one.row for one in rows.draws])
        if scores:
            scored = [one.row for one in rows.scores]
            book.scored(self.verifier, range(count), named, scored)
        for answer in answers:
            assert answer is not None
            if store.verdict(job.problem, "exact", answer) is None:
                store.keep_verdict(job.problem, "exact", answer, answer == job.problem.reference)
        asked: dict[str, Writer | str] = {PROPOSER: self.writer}
        if scores:
            asked[VERIFIER] = self.verifier
        book.finish(Result(job, _outcome(job, rows), Choice(None, None, ())), asked)
        store.commit()
        book.close()
        self.seconds += time.process_time() - began


def _outcome(job: Job, rows: _Rows) -> Outcome:
    first = rows.draws[0].row.solution.answer
    size = job.budget.generations
    decoded = sum(one.row.decoded_tokens for one in rows.draws)
    usage = Usage(size, _PROMPT, _PROMPT * (size - 1), decoded, verifier_calls=size)
    right = first == job.problem.reference
    return Outcome(job.problem.id, job.strategy.name, size, first, right, 0, usage)
