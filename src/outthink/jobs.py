"""What the commands do: each a function from plain options to what came out, a value of `results`
or, where a program reads it alone, a dict for the wire."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from outthink.data import source, task
from outthink.errors import RunError, UsageError
from outthink.grade import EXACT, grading
from outthink.lab.tokenizer import WRITER, decode
from outthink.measure import difficulty
from outthink.measure.exchange import (
    Accounting,
    Comparison,
    Crossover,
    Measured,
    Threshold,
    compare,
    crossovers,
)
from outthink.measure.grid import Grid
from outthink.measure.intervals import interval, paired
from outthink.measure.pools import Pool
from outthink.paper.evidence import Evidence, Scale, gathered
from outthink.paper.outcome import outcome
from outthink.policy.results import Fitting, Reported, Solved, Worth
from outthink.policy.table import Policy, Provenance
from outthink.report import data as page
from outthink.report.page import write
from outthink.report.reproduction import write_reproduction
from outthink.report.study import Analysis, Fitted, build
from outthink.run.queues import is_served_proposer
from outthink.run.runner import Job, Result
from outthink.run.store import Identity
from outthink.search import strategy as parse_strategy
from outthink.study.plan import DIFFICULTY, POOL, UNSCORED, VOTES, Plan
from outthink.study.results import Accuracies
from outthink.study.session import Mind, Wanted, mind
from outthink.study.sweep import (
    GRADER,
    IN_PROCESS,
    PARAMETERS,
    Models,
    Sweep,
    Swept,
    accuracies,
    make_place,
    reads_any_text,
    reopened,
    require_verifier,
    setting_of,
    swept,
    swept_async,
    writer,
)
from outthink.types import AnyProposer, Budget, Problem, Usage
from outthink.version import VERSION

DEMO = Plan(pool=128, oracle_samples=128)


def train(
    kind: str,
    model: str,
    problems: str,
    out: Path,
    *,
    samples: int,
    rollouts: int,
    family: str,
    chain: int,
    sampler: str | None,
    lora: int,
    rate: float | None,
    batch: int,
    rows: int,
    epochs: int,
    most_tokens: int,
    seed: int,
    command: str,
) -> dict[str, Any]:
    """Train a verifier or a revision model from a model of transformers; what its card says."""
    if not model.startswith(IN_PROCESS):
        raise UsageError(f"cannot train {model!r}; give a model of transformers, as hf:NAME")
    if sampler is not None and not reads_any_text(sampler):
        raise UsageError(
            f"cannot sample from {sampler!r}; give the address of a server, or hf:NAME"
        )
    asked = source.read(problems)
    judge = grading(asked.grader)
    judge.require()
    # transformers takes seconds to import, which nothing else needs, and is optional.
    from outthink.models.weights import transformers

    transformers()
    from outthink.train.pipeline import Training, usual
    from outthink.train.pipeline import train as trained

    recipe = usual(kind, lora, seed)
    plan = Training(
        kind,
        model,
        out,
        replace(recipe, rate=rate or recipe.rate, batch=batch, rows=rows, epochs=epochs),
        samples,
        rollouts,
        seed,
        setting_of(model, most_tokens, judge.name),
        family,
        chain,
        command,
    )
    other = None if sampler is None else writer(sampler, most_tokens, judge.name)
    return trained(plan, asked, grader=judge.grade, read=judge.read, sampler=other)


def sweep(asked: Sweep, store: Path) -> Accuracies:
    """Run a plan over problems into a store; accuracies of everything that was run."""
    with swept(asked, store) as found:
        return _accuracies(found)


async def sweep_async(asked: Sweep, store: Path) -> Accuracies:
    """The same beside whatever else an event loop does."""
    async with swept_async(asked, store) as found:
        return _accuracies(found)


def fit(store: Path, out: Path | None) -> Fitting:
    """Fit a policy on a store, and save it where `out` says; what it is worth."""
    if out is not None:
        make_place(out)
    with reopened(store) as found:
        analysis = Analysis.of(found.study, seed=found.identity.seed)
        fitting = _fitted(analysis, found, out)
        if out is not None:
            _save(fitting.policy, out)
        return fitting


def report(store: Path, out: Path, *, command: str) -> Reported:
    """Write the page of a store."""
    make_place(out)
    with reopened(store) as found:
        analysis = Analysis.of(found.study, seed=found.identity.seed)
        write(_page(analysis, found.identity, command), out)
        return Reported(out, _accuracies(found), _fitted(analysis, found, None))


def demo(
    *, problems: int, seed: int, weights: Path | None, store: Path | None, out: Path, command: str
) -> Reported:
    """Sweep, fit and report on the lab's test problems; without `store`, into one under runs/."""
    difficulty.require_enough(problems)
    make_place(out)
    asked = Sweep(f"lab:test?size={problems}&seed={seed}", DEMO, Models(weights=weights), seed)
    with swept(asked, store, Path("runs")) as found:
        path = found.study.store.path
        policy = path.with_suffix(".policy.json")
        analysis = Analysis.of(found.study, seed=seed)
        fitting = _fitted(analysis, found, policy)
        _save(fitting.policy, policy)
        write(_page(analysis, found.identity, command), out)
        return Reported(out, _accuracies(found), fitting)


def reproduce(
    scale: Scale, *, seed: int, weights: Path | None, folder: Path, out: Path, command: str
) -> dict[str, Any]:
    """Measure the whole paper on the lab, judge the claims, and write it all on one page."""
    difficulty.require_enough(scale.problems)
    make_place(out)
    with gathered(scale, seed=seed, weights=weights, folder=folder) as evidence:
        found = outcome(evidence, provenance=_measured_with(evidence, command), folder=folder)
        write_reproduction(found.page, out)
        return {**found.record, "report": str(out)}


@dataclass(frozen=True, slots=True)
class Thought:
    """How to go about one problem, and what finding that out took."""

    strategy: str
    how: str
    bin: int | None = None
    """From 1, the easiest; `None` where nobody asked."""
    usage: Usage = Usage()  # noqa: RUF009 - frozen


NUMBER = "number"
"""The grader that reads the answers of a problem of which nothing is known."""


async def solve(
    prompt: str,
    *,
    policy: Policy | Path | None,
    strategy: str | None,
    budget: int,
    seed: int,
    models: Models | None = None,
    grader: str | None = None,
) -> Solved:
    """Solve one problem; the cost of estimating its difficulty is part of the cost.

    Without `models`, with those that the policy was fitted with, where it says what they were.

    Answers of a model that reads any text are found, and written alike to vote together, as
    `grader` has it: the policy's own, and without a policy `number` unless another is named. Raises
    `PolicyError` where policy and `grader` disagree.
    """
    fitted = Policy.load(policy) if isinstance(policy, Path) else policy
    models = models or Models.of(fitted.provenance.words if fitted else {})
    any_text = reads_any_text(models.proposer)
    problem = _asked(prompt) if any_text else _of_lab(prompt)
    # Whether the answer is right is for the person who asks: no label is used here.
    problem = Problem(problem.id, problem.prompt)
    known = parse_strategy(strategy or POOL)
    asked = known.name if fitted is None else _probe(fitted)[0]
    require_verifier(models, (asked,))
    reading = (grader or NUMBER) if fitted is None else fitted.reading(grader)
    grading(reading).require()
    names = [known.name] if fitted is None else [cell.strategy for cell in fitted.cells]
    wanted = Wanted(models, reading, seed, any(parse_strategy(name).revises for name in names))
    async with mind(wanted) as found:
        if fitted is None:
            thought = Thought(known.name, f"{known.name} at {budget}")
        else:
            fitted.check(found.engines, found.revision)
            thought = await _choose(fitted, problem, budget, found)
        made = parse_strategy(thought.strategy)
        result = await _run(found, Job(problem, made, Budget(budget)))
        index = result.choice.index
        writer = found.revision if found.revision and made.revises else found.engines
        tokens = () if index is None else result.choice.candidates[index].tokens
        return Solved(
            answer=result.choice.answer,
            text=await _text(writer.proposer, tokens),
            strategy=made.name,
            budget=budget,
            bin=thought.bin,
            how=thought.how,
            usage=thought.usage + result.outcome.usage,
        )


async def _run(asked: Mind, job: Job) -> Result:
    """One job. Raises `RunError` where a server failed it."""
    result = await asked.ask(job)
    if result.outcome.error is not None:
        raise RunError(result.outcome.error)
    return result


def _of_lab(prompt: str) -> Problem:
    """A problem of the lab's task. Raises `UsageError` for any other, with what would do."""
    try:
        return task.parse(prompt).problem()
    except UsageError as error:
        raise UsageError(
            f"{error}; the lab's models read nothing else: for any other question name a model, "
            "as --model local or --model http://HOST:PORT"
        ) from error


def _asked(prompt: str) -> Problem:
    """A problem of any kind."""
    return Problem(hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest(), prompt)


async def _text(proposer: AnyProposer, tokens: Sequence[int]) -> str:
    """What a solution says."""
    if is_served_proposer(proposer):
        return await proposer.text(tokens)
    return proposer.text(tokens)  # type: ignore[return-value]


def _probe(policy: Policy) -> tuple[str, str]:
    """The strategy that draws the samples which tell the difficulty, and their stream."""
    by_votes = policy.method is difficulty.Method.VOTES
    return (UNSCORED, VOTES) if by_votes else (POOL, DIFFICULTY)


async def _choose(policy: Policy, problem: Problem, budget: int, asked: Mind) -> Thought:
    """What a policy says to a problem, by a few scored samples of it."""
    policy.choose(0, budget)  # a budget it cannot serve is refused before anything is spent
    name, stream = _probe(policy)
    probe_job = Job(problem, parse_strategy(name), Budget(policy.samples), stream)
    probe = await _run(asked, probe_job)
    answers = [candidate.answer for candidate in probe.choice.candidates]
    scores = [score.last for score in probe.choice.scores] or [None] * len(answers)
    pool = Pool.of(problem.id, answers, scores, [False] * len(answers))
    value = float(difficulty.predicted([pool], policy.samples).values[0])
    number = policy.place(value)
    chosen = policy.choose(number, budget)
    said = "that agree by" if policy.method is difficulty.Method.VOTES else "scored"
    how = (
        f"difficulty bin {number + 1} of {policy.binning.count}, from {policy.samples} samples "
        f"{said} {value:.2f}; {chosen.strategy} at {budget}"
    )
    how += f"; {chosen.note}" if chosen.note else ""
    return Thought(chosen.strategy, how, number + 1, probe.outcome.usage)


def exchange(
    small: Path,
    large: Path,
    *,
    token_ratios: Sequence[float],
    size_ratio: float | None,
    accounting: Accounting,
    strategy: str | None,
) -> dict[str, Any]:
    """The small model with test-time compute against the larger one's greedy answer.

    The small one is compute-optimal on predicted bins, and charged for the prediction, unless a
    `strategy` is given.
    """
    with reopened(small) as ours, reopened(large) as theirs:
        study, other = ours.study, theirs.study
        if study.problems != other.problems:
            raise UsageError(
                f"{small} and {large} hold different problems; sweep the same ones with both models"
            )
        ratio = size_ratio or _size_ratio(ours, theirs)
        curve = Analysis.of(study, seed=ours.identity.seed).predicted
        grid = study.grid
        if strategy is None:
            accuracy, cost = curve.fit.held_out, curve.difficulty.samples
        else:
            accuracy, cost = grid.accuracy[_row(grid, strategy, small)], 0
        accuracy_large = other.grid.accuracy[_row(other.grid, GREEDY, large), 0]
        measured = Measured(grid.budgets, accuracy, accuracy_large, ratio, curve.bins)
        charged = replace(accounting, difficulty=float(cost))
        seed = ours.identity.seed
        return {
            "problems": len(study.problems),
            "small": ours.identity.proposer,
            "large": theirs.identity.proposer,
            "strategy": strategy or "compute-optimal",
            "size_ratio": ratio,
            "accounting": accounting.name,
            "difficulty_samples": cost,
            "comparisons": [
                _compared(found) for found in compare(measured, token_ratios, charged, seed=seed)
            ],
            "crossovers": [_crossed(found) for found in crossovers(measured, charged, seed=seed)],
        }


GREEDY = "greedy"


def _row(grid: Grid, name: str, store: Path) -> int:
    if name not in grid.strategies:
        raise UsageError(
            f"{store} holds no {name}; sweep it with '--strategies {name}' among the others"
        )
    return grid.strategies.index(name)


def _size_ratio(small: Swept, large: Swept) -> float:
    """M, where both stores tell how large their models are."""
    counts = [found.identity.settings.get(PARAMETERS) for found in (small, large)]
    if None in counts:
        raise UsageError(
            "a store does not say how many parameters its model has; give the larger model's over "
            "the smaller one's as --size-ratio"
        )
    first, second = (float(count or 0) for count in counts)
    return second / first


def _compared(found: Comparison) -> dict[str, Any]:
    difference = found.difference
    return {
        "bin": None if found.bin is None else found.bin + 1,
        "R": found.token_ratio,
        "matched": found.matched,
        "budget": found.budget,
        "match": found.match.value,
        "small": found.small,
        "large": found.large,
        "difference": difference and difference.mean,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "problems": found.problems,
        "note": found.note,
    }


def _crossed(found: Crossover) -> dict[str, Any]:
    return {
        "bin": None if found.bin is None else found.bin + 1,
        "verdict": found.found.verdict.value,
        "k_star": found.found.budget,
        "R_star": found.found.token_ratio,
        "low": _end(found.low),
        "high": _end(found.high),
        "problems": found.problems,
        "note": found.note,
    }


def _end(found: Threshold) -> dict[str, Any]:
    """One end of the interval of R*."""
    return {"verdict": found.verdict.value, "R_star": found.token_ratio}


def doctor(url: str) -> dict[str, Any]:
    """What the server at an address, or a model in this process, can do. Raises `ServerRefused`
    where there is none."""
    # The HTTP client takes a while to import, which no other command needs.
    from outthink.models.capabilities import examine
    from outthink.models.examine import findings, strategies
    from outthink.models.http import Wire
    from outthink.models.local import is_local, serve

    server = serve(url) if is_local(url) else None

    async def examined() -> dict[str, Any]:
        address, _, model = (server.url if server else url).partition("#")
        wire = Wire(address)
        try:
            found = await examine(wire, model or None)
        finally:
            await wire.aclose()
        return {
            "url": found.url,
            "server": found.server,
            "dialect": found.kind.value,
            "model": found.model,
            "models": list(found.models),
            "context": found.context,
            "strategies": strategies(found),
            "findings": [asdict(each) for each in findings(found)],
        }

    return asyncio.run(examined())


# Parts -------------------------------------------------------------------------------------------


def _measured_with(evidence: Evidence, command: str) -> page.Provenance:
    """Every model of a reproduction."""
    identity = evidence.main.store.identity
    settings = identity.settings
    verifiers = (
        identity.verifier,
        evidence.orm.store.identity.verifier,
        settings.get("revision_verifier"),
    )
    proposers = (
        identity.proposer,
        evidence.large.store.identity.proposer,
        settings.get("reviser"),
    )
    return page.Provenance(
        proposer=", ".join(filter(None, proposers)),
        verifiers=tuple(filter(None, verifiers)),
        data=settings["problems"],
        problems=evidence.problems,
        seed=identity.seed,
        version=VERSION,
        command=command,
    )


def _save(policy: Policy, out: Path) -> None:
    try:
        policy.save(out)
    except OSError as error:
        raise RunError(
            f"{out}: cannot write the policy ({error.strerror}); free some space, "
            "or name another file"
        ) from error


def _policy(analysis: Analysis, found: Swept) -> Policy:
    fitted, identity = analysis.predicted, found.identity
    checker = identity.settings.get("revision_verifier", "none")
    return Policy(
        fitted.binning,
        fitted.difficulty.method,
        fitted.difficulty.samples,
        fitted.fit.cells,
        Provenance(
            proposer=identity.proposer,
            verifier=identity.verifier,
            reviser=identity.settings.get("reviser"),
            revision_verifier=None if checker == "none" else checker,
            data_hash=analysis.study.grid.digest,
            problems=len(analysis.study.problems),
            repeats=fitted.fit.repeats,
            seed=fitted.fit.seed,
            created_by=f"outthink {VERSION}",
            grader=identity.settings.get(GRADER, EXACT),
            words=found.words,
        ),
    )


def _accuracies(found: Swept) -> Accuracies:
    study = found.study
    return Accuracies(study.store.path, found.problems, len(study.problems), accuracies(study))


def _fitted(analysis: Analysis, found: Swept, path: Path | None) -> Fitting:
    """The policy for predicted bins, and what each reading of it is worth."""
    readings = [(analysis.predicted, False), (analysis.predicted, True)]
    readings += [(analysis.oracle, False)] if analysis.oracle else []
    worth = tuple(row for fit, charged in readings for row in _reading(analysis, fit, charged))
    return Fitting(_policy(analysis, found), found.problems, worth, analysis.base, path)


def _reading(analysis: Analysis, fit: Fitted, charged: bool) -> Sequence[Worth]:
    """A policy against best-of-N that spends as much, and what best-of-N would need (CEF)."""
    study, budgets = analysis.study, analysis.study.plan.budgets
    factors = analysis.equivalences(fit, charged=charged)
    costs = [min(round(found.cost), study.plan.pool) for found in factors]
    base = study.curve(analysis.base, costs)
    rows = []
    columns = zip(budgets, fit.fit.held_out, base, costs, factors, strict=True)
    for budget, ours, theirs, cost, found in columns:
        rows.append(
            Worth(
                bins=fit.difficulty.method,
                charged=charged,
                budget=budget,
                accuracy=interval(ours),
                best_of_n=float(np.mean(theirs)),
                best_of_n_budget=cost,
                difference=paired(ours, theirs),
                equivalence=found,
            )
        )
    return rows


def _page(analysis: Analysis, identity: Identity, command: str) -> page.Report:
    verifiers = (identity.verifier,) if identity.verifier else ()
    return build(
        analysis,
        provenance=page.Provenance(
            proposer=identity.proposer,
            verifiers=verifiers,
            data=identity.settings["problems"],
            problems=len(analysis.study.problems),
            seed=identity.seed,
            version=VERSION,
            command=command,
        ),
        text=decode if identity.proposer.startswith(WRITER) else None,
        title="How should this model think?",
    )
