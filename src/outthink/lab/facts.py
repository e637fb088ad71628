"""What the lab's models can do, measured: `outthink lab facts`.

Everything is measured on problems of the test stream drawn from a seed of the caller's, so anyone
can repeat it on problems nobody has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outthink.data import task
from outthink.errors import UsageError
from outthink.lab import recipes, tokenizer
from outthink.lab.engine import LabProposer, LabVerifier
from outthink.lab.models import LabModels
from outthink.measure.difficulty import bins
from outthink.measure.intervals import Interval, interval, paired
from outthink.measure.quality import auc, calibration_error
from outthink.run.journal import Job, Result
from outthink.run.progress import Progress, SweepProgress
from outthink.run.runner import Runner, run_jobs
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget, Draw, Problem, Solution

SAMPLES = 64
"""Samples of S a problem; L gets an eighth of them."""
SCORED = 8
"""Solutions a problem that the verifiers are measured on."""
CHAIN = 64
"""Revisions of a chain, and independent answers it is compared with."""
_BINS = 5


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A language model on the test problems."""

    parameters: int
    tokens: int
    """Pretraining tokens."""
    samples: int
    greedy: Interval
    pass_at_1: Interval
    bins: tuple[Interval, ...]
    """pass@1 in fifths of the problems, easiest first. A problem is placed by one half of its
    samples and measured on the other, so that luck is not counted as ease."""


@dataclass(frozen=True, slots=True)
class VerifierFacts:
    """A verifier on held-out solutions of S."""

    parameters: int
    steps: int
    auc: float | None
    """Of step scores against whether everything up to that step is exactly right."""
    ece: float | None
    """Calibration error of step scores, which are probabilities that the solution will end right,
    against whether it did."""
    final_auc: float | None
    """As `auc`, of the last step alone."""
    final_ece: float | None
    """Calibration error of the last step's score against exact correctness."""
    step_ece: float | None
    """Calibration error of step scores read as probabilities that the step is right, which they
    are not: a right step of a hard problem has a low value."""


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """The revision model: one chain of `CHAIN` a problem, against as many independent answers."""

    pass_at_1: tuple[Interval, ...]
    """Share of right answers at every step of the chain."""
    step_4_minus_step_1: Interval
    """Paired over problems."""
    turned_wrong: float
    """Share of right answers that the next one in the chain turned wrong (section 6.1: 38 %)."""
    turned_right: float
    """Share of wrong answers that the next one turned right."""
    sequential: Interval
    """Accuracy of the chain, chosen from by the verifier."""
    parallel: Interval
    """Accuracy of the independent answers, chosen from by the verifier."""
    sequential_minus_parallel: Interval


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that `outthink lab facts` measures."""

    problems: int
    seed: int
    chance: float
    s: ModelFacts
    l: ModelFacts  # noqa: E741 - the models are called S and L
    greedy_ratio: float
    """Greedy accuracy of L over that of S."""
    prm: VerifierFacts
    orm: VerifierFacts
    revision: RevisionFacts


def measure(models: LabModels, *, problems: int, seed: int, samples: int = SAMPLES) -> Facts:
    """Measure everything on `problems` test problems of `seed`; raises `UsageError` below five."""
    if problems < _BINS:
        raise UsageError(
            f"{problems} problems cannot be cut into fifths; give at least {_BINS} problems"
        )
    asked = task.problems(task.Stream.TEST, problems, seed)
    small, solutions = _model(models.proposer("s"), asked, samples, seed, "S")
    large, _ = _model(models.proposer("l"), asked, max(2, samples // 8), seed, "L")
    return Facts(
        problems=problems,
        seed=seed,
        chance=task.CHANCE,
        s=small,
        l=large,
        greedy_ratio=large.greedy.mean / small.greedy.mean if small.greedy.mean else float("inf"),
        prm=_verifier(models.verifier("prm"), solutions, "PRM"),
        orm=_verifier(models.verifier("orm"), solutions, "ORM"),
        revision=_revision(models, asked, seed),
    )


def _model(
    proposer: LabProposer, asked: Sequence[Problem], samples: int, seed: int, label: str
) -> tuple[ModelFacts, list[Solution]]:
    """Facts of a language model, and its first SCORED solutions of every problem."""
    runner = Runner(Team.of(proposer), seed=seed)
    right = np.zeros((len(asked), samples), bool)
    place = {problem.id: at for at, problem in enumerate(asked)}
    scored: list[Solution] = []
    jobs = (Job(problem, strategy("majority"), Budget(samples)) for problem in asked)
    with Progress(f"{label}: {samples} samples each", len(asked), "problems") as bar:

        def read(result: Result) -> None:
            problem = result.job.problem
            candidates = result.choice.candidates
            right[place[problem.id]] = [c.answer == problem.reference for c in candidates]
            scored.extend(candidates[:SCORED])
            bar.advance(1)

        run_jobs(runner, jobs, read)
    half = samples // 2
    order, _ = bins(right[:, :half].mean(axis=1))
    measured = right[:, half:].mean(axis=1)
    return ModelFacts(
        parameters=proposer.parameters_count,
        tokens=recipes.D_PRE,
        samples=samples,
        greedy=interval(greedy(proposer, asked)),
        pass_at_1=interval(right.mean(axis=1)),
        bins=tuple(interval(measured[order == number]) for number in range(_BINS)),
    ), scored


def _revision(models: LabModels, asked: Sequence[Problem], seed: int) -> RevisionFacts:
    reviser, verifier = models.proposer("reviser"), models.verifier("revision")
    place = {problem.id: at for at, problem in enumerate(asked)}
    ways = [strategy(f"revise(sequential={length})") for length in (CHAIN, 1)]
    chosen = np.zeros((2, len(asked)))
    right = np.zeros((len(asked), CHAIN), bool)
    jobs = (Job(problem, way, Budget(CHAIN)) for way in ways for problem in asked)
    work, label = 2 * len(asked) * CHAIN, f"chains of {CHAIN}, and as many answers"
    with Progress(label, work, "generations") as bar:
        progress = SweepProgress(bar, lambda job: job.budget.generations)
        runner = Runner(Team.of(reviser, verifier), seed=seed, watch=progress.drawn)

        def read(result: Result) -> None:
            problem, candidates = result.job.problem, result.choice.candidates
            way = ways.index(result.job.strategy)
            chosen[way, place[problem.id]] = bool(result.outcome.right)
            if way == 0:
                right[place[problem.id]] = [c.answer == problem.reference for c in candidates]
            progress.ended(result.job)

        run_jobs(runner, jobs, read)
    before, after = right[:, :-1], right[:, 1:]
    return RevisionFacts(
        pass_at_1=tuple(interval(step) for step in right.T.astype(float)),
        step_4_minus_step_1=paired(right[:, 3].astype(float), right[:, 0].astype(float)),
        turned_wrong=float((before & ~after).sum() / max(1, before.sum())),
        turned_right=float((~before & after).sum() / max(1, (~before).sum())),
        sequential=interval(chosen[0]),
        parallel=interval(chosen[1]),
        sequential_minus_parallel=paired(chosen[0], chosen[1]),
    )


def greedy(proposer: LabProposer, asked: Sequence[Problem]) -> NDArray[np.float64]:
    """[P] 1.0 where the greedy solution is right."""
    drawn = proposer.propose_batch(
        [Draw(Solution.start(problem), None, 0.0, 0) for problem in asked]
    )
    return np.array([float(row.solution.answer == row.solution.problem.reference) for row in drawn])


def exact_steps(solution: Solution) -> list[bool]:
    """For each step, whether the solution is exactly right up to its end."""
    lines = task.parse(solution.problem.prompt).lines
    verdicts, start, right = [], 0, True
    for place, end in enumerate(solution.step_ends):
        text = tokenizer.decode(solution.tokens[start:end])
        right = right and place < len(lines) and text == lines[place]
        verdicts.append(right)
        start = end
    return verdicts


def _verifier(verifier: LabVerifier, solutions: Sequence[Solution], label: str) -> VerifierFacts:
    """Facts of a verifier on these solutions."""
    scores: list[float] = []
    exact: list[bool] = []
    ended: list[bool] = []
    last: list[bool] = []
    with Progress(f"{label}: scoring", len(solutions), "solutions") as bar:
        for part in _parts(solutions, 4096):
            for solution, row in zip(part, verifier.verify_batch(part), strict=True):
                right = solution.answer == solution.problem.reference
                verdicts = exact_steps(solution)
                for place, score in enumerate(row.scores.steps):
                    assert score is not None
                    scores.append(score)
                    exact.append(verdicts[place])
                    ended.append(right)
                    last.append(place + 1 == len(verdicts))
            bar.advance(len(part))
    value, step, final = np.array(scores), np.array(exact), np.array(last)
    return VerifierFacts(
        parameters=verifier.parameters_count,
        steps=len(scores),
        auc=auc(value, step),
        ece=calibration_error(value, np.array(ended)),
        final_auc=auc(value[final], step[final]),
        final_ece=calibration_error(value[final], step[final]),
        step_ece=calibration_error(value, step),
    )


def _parts(items: Sequence[Solution], size: int) -> Iterable[Sequence[Solution]]:
    return (items[start : start + size] for start in range(0, len(items), size))
