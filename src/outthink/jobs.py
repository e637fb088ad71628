"""What the commands do: each a function from plain options to what came out, a value of `results`
or, where a program reads it alone, a dict for the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from outthink.data import source
from outthink.errors import RunError, UsageError
from outthink.grade import grading
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
from outthink.paper.evidence import Evidence, Scale, gathered
from outthink.paper.outcome import outcome
from outthink.policy.fit import fit_study, lacks
from outthink.policy.results import FitResult, Reported
from outthink.policy.table import Policy
from outthink.report import data as page
from outthink.report.page import write
from outthink.report.reproduction import write_reproduction
from outthink.report.study import build
from outthink.study.models import IN_PROCESS, Models, reads_any_text, setting_of, writer
from outthink.study.plan import Plan
from outthink.study.results import Accuracies, accuracies
from outthink.study.sweep import OpenStudy, Sweep, Watch, make_place, reopened, swept, swept_async
from outthink.study.verifiers import VerifierQuality, require_one, side_by_side
from outthink.version import VERSION

DEMO = Plan(pool=128, oracle_samples=128)
DEMO_STORE = Path("runs/demo.store")


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


def sweep(asked: Sweep, store: Path, pace: Watch | None = None) -> Accuracies:
    """Run a plan over problems into a store; accuracies of everything that was run."""
    with swept(asked, store, pace) as opened:
        return _accuracies(opened)


async def sweep_async(asked: Sweep, store: Path) -> Accuracies:
    """The same beside whatever else an event loop does."""
    async with swept_async(asked, store) as opened:
        return _accuracies(opened)


def fit(store: Path, out: Path | None, verifier: str | None = None) -> FitResult:
    """Fit a policy on a store, and save it where `out` says; what it is worth.

    Raises `UsageError` where several verifiers scored its samples and none is named.
    """
    if out is not None:
        make_place(out)
    with reopened(store, verifier=verifier) as opened:
        if verifier is None:
            require_one(opened.store, opened.asked)
        fitting = replace(fit_study(opened.study, seed=opened.asked.seed), path=out)
        fitting = replace(fitting, notes=(*_missing(opened), *fitting.notes))
        if out is not None:
            _save(fitting.policy, out)
        return fitting


def report(store: Path, out: Path, *, command: str, verifier: str | None = None) -> Reported:
    """Write the page of a store: all that can be told of it, even of an unfinished sweep."""
    make_place(out)
    with reopened(store, verifier=verifier) as opened:
        return _reported(opened, out, None, command)


def demo(
    *, problems: int, seed: int, weights: Path | None, store: Path | None, out: Path, command: str
) -> Reported:
    """Sweep, fit and report on the lab's test problems; without `store`, into one under runs/."""
    if problems < 2:
        raise UsageError(f"{problems} problem has no two halves; give at least 2, better 200")
    make_place(out)
    asked = Sweep(f"lab:test?size={problems}&seed={seed}", DEMO, Models(weights=weights), seed)
    with swept(asked, store or DEMO_STORE) as opened:
        path = opened.store.path
        policy = path.with_suffix(".policy.json")
        reported = _reported(opened, out, policy, command)
        assert reported.fitting is not None  # two problems, and what `DEMO` runs, are enough
        _save(reported.fitting.policy, policy)
        return reported


def reproduce(
    scale: Scale, *, seed: int, weights: Path | None, folder: Path, out: Path, command: str
) -> dict[str, Any]:
    """Measure the whole paper on the lab, judge the claims, and write it all on one page."""
    difficulty.require_enough(scale.problems)
    make_place(out)
    with gathered(scale, seed=seed, weights=weights, folder=folder) as evidence:
        reproduced = outcome(evidence, provenance=_measured_with(evidence, command), folder=folder)
        write_reproduction(reproduced.page, out)
        return {**reproduced.record, "report": str(out)}


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
        fitted = fit_study(study, seed=ours.asked.seed)
        grid = study.grid
        if strategy is None:
            accuracy, cost = fitted.predicted.held_out, fitted.policy.samples
        else:
            accuracy, cost = grid.accuracy[_row(grid, strategy, small)], 0
        accuracy_large = other.grid.accuracy[_row(other.grid, GREEDY, large), 0]
        measured = Measured(grid.budgets, accuracy, accuracy_large, ratio, fitted.predicted.bins)
        charged = replace(accounting, difficulty=float(cost))
        seed = ours.asked.seed
        return {
            "problems": len(study.problems),
            "small": ours.asked.proposer,
            "large": theirs.asked.proposer,
            "strategy": strategy or "compute-optimal",
            "size_ratio": ratio,
            "accounting": accounting.name,
            "difficulty_samples": cost,
            "comparisons": [
                _compared(row) for row in compare(measured, token_ratios, charged, seed=seed)
            ],
            "crossovers": [_crossed(row) for row in crossovers(measured, charged, seed=seed)],
        }


GREEDY = "greedy"


def _row(grid: Grid, name: str, store: Path) -> int:
    if name not in grid.strategies:
        raise UsageError(
            f"{store} holds no {name}; sweep it with '--strategies {name}' among the others"
        )
    return grid.strategies.index(name)


def _size_ratio(small: OpenStudy, large: OpenStudy) -> float:
    """M, where both stores tell how large their models are."""
    counts = [opened.asked.parameters for opened in (small, large)]
    if None in counts:
        raise UsageError(
            "a store does not say how many parameters its model has; give the larger model's over "
            "the smaller one's as --size-ratio"
        )
    first, second = (float(count or 0) for count in counts)
    return second / first


def _compared(row: Comparison) -> dict[str, Any]:
    difference = row.difference
    return {
        "bin": None if row.bin is None else row.bin + 1,
        "R": row.token_ratio,
        "matched": row.matched,
        "budget": row.budget,
        "match": row.match.value,
        "small": row.small,
        "large": row.large,
        "difference": difference and difference.mean,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "problems": row.problems,
        "note": row.note,
    }


def _crossed(row: Crossover) -> dict[str, Any]:
    return {
        "bin": None if row.bin is None else row.bin + 1,
        "verdict": row.estimate.smaller_wins.value,
        "k_star": row.estimate.budget,
        "R_star": row.estimate.token_ratio,
        "low": _end(row.low),
        "high": _end(row.high),
        "problems": row.problems,
        "note": row.note,
    }


def _end(threshold: Threshold) -> dict[str, Any]:
    """One end of the interval of R*."""
    return {"verdict": threshold.smaller_wins.value, "R_star": threshold.token_ratio}


def doctor(url: str) -> dict[str, Any]:
    """What the server at an address, or a model in this process, can do. Raises `ServerRefused`
    where there is none."""
    # The HTTP client takes a while to import, which no other command needs.
    from outthink.models.capabilities import examine
    from outthink.models.examine import findings, strategies
    from outthink.models.http import HttpClient
    from outthink.models.local import is_local, serve

    server = serve(url) if is_local(url) else None

    async def examined() -> dict[str, Any]:
        address, _, model = (server.url if server else url).partition("#")
        client = HttpClient(address)
        try:
            seen = await examine(client, model or None)
        finally:
            await client.aclose()
        return {
            "url": seen.url,
            "server": seen.server,
            "dialect": seen.kind.value,
            "model": seen.model,
            "models": list(seen.models),
            "context": seen.context,
            "strategies": strategies(seen),
            "findings": [asdict(finding) for finding in findings(seen)],
        }

    return asyncio.run(examined())


# Parts -------------------------------------------------------------------------------------------


def _measured_with(evidence: Evidence, command: str) -> page.Provenance:
    """Every model of a reproduction."""
    main = evidence.main.asked
    verifiers = (main.verifier, evidence.orm.asked.verifier, main.revision_verifier)
    proposers = (main.proposer, evidence.large.asked.proposer, main.reviser)
    return page.Provenance(
        proposer=", ".join(filter(None, proposers)),
        verifiers=tuple(filter(None, verifiers)),
        data=main.problems,
        problems=evidence.problems,
        seed=main.seed,
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


def _accuracies(opened: OpenStudy) -> Accuracies:
    study = opened.study
    return Accuracies(
        opened.store.path,
        opened.problems,
        len(study.problems),
        accuracies(study),
        opened.missing,
        side_by_side(opened.store, study),
    )


def _reported(opened: OpenStudy, out: Path, policy: Path | None, command: str) -> Reported:
    """Write the page of a sweep, with its policy where one can be fitted."""
    why = lacks(opened.study)
    fitting = None if why else fit_study(opened.study, seed=opened.asked.seed)
    notes = (*_missing(opened), *(fitting.notes if fitting else (f"No policy: {why}.",)))
    shown = _accuracies(opened)
    write(_page(opened, fitting, command, notes, shown.verifiers), out)
    if fitting is not None:
        fitting = replace(fitting, path=policy, notes=notes)
    return Reported(out, shown, fitting, notes)


def _missing(opened: OpenStudy) -> tuple[str, ...]:
    """What a reader must know of a sweep that is not finished."""
    return opened.missing.sentences() if opened.missing else ()


def _page(
    opened: OpenStudy,
    fitting: FitResult | None,
    command: str,
    notes: Sequence[str],
    compared: Sequence[VerifierQuality],
) -> page.Report:
    asked = opened.asked
    verifiers = (asked.verifier,) if asked.verifier else ()
    return build(
        opened.study,
        fitting,
        provenance=page.Provenance(
            proposer=asked.proposer,
            verifiers=verifiers,
            data=asked.problems,
            problems=len(opened.study.problems),
            seed=asked.seed,
            version=VERSION,
            command=command,
        ),
        text=decode if asked.proposer.startswith(WRITER) else None,
        title="How should this model think?",
        notes=notes,
        verifiers=compared,
    )
