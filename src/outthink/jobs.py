"""What the commands do: each a function from plain options to a dict for the wire.

Here engines, stores and files come together; everything below is free of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from outthink import difficulty
from outthink.data import source
from outthink.driver import Driver, Job
from outthink.errors import RunError, StoreError, UsageError
from outthink.estimate import Pool, interval
from outthink.lab import task
from outthink.lab.engine import LabProposer, LabVerifier
from outthink.lab.models import SHIPPED, LabModels
from outthink.lab.tokenizer import decode
from outthink.policy import Policy, Provenance
from outthink.report import data as page
from outthink.report.page import write
from outthink.report.study import Analysis, build
from outthink.search import strategy as parse_strategy
from outthink.store import Identity, Store
from outthink.study import DIFFICULTY, POOL, Plan, Study, run
from outthink.types import Budget, Problem, Usage
from outthink.version import VERSION


def sweep(
    problems: str,
    *,
    plan: Plan,
    store: Path,
    model: str,
    verifier: str,
    weights: Path | None,
    seed: int,
) -> dict[str, Any]:
    """Run a plan over problems into a store; accuracies of everything that was run."""
    with sweep_into(
        store, problems, plan, model=model, verifier=verifier, weights=weights, seed=seed
    ) as study:
        return {"store": str(store), **_accuracies(study)}


@contextmanager
def sweep_into(
    store: Path,
    problems: str,
    plan: Plan,
    *,
    model: str,
    verifier: str,
    weights: Path | None,
    seed: int,
) -> Iterator[Study]:
    """The study of a plan, with whatever was missing in the store run first."""
    asked = source.read(problems)
    for problem in asked:
        task.parse(problem.prompt)
    proposer, judge = engines(model, verifier, weights)
    identity = Identity(
        proposer.name,
        judge.name if judge else None,
        seed,
        {
            "problems": problems,
            "problems_digest": source.digest(asked),
            "plan": json.dumps(asdict(plan)),
        },
    )
    with Store.open(store, identity=identity, write=True) as opened:
        run(plan, asked, proposer, judge, grader=exact, seed=seed, store=opened)
        yield Study(plan, tuple(asked), opened, exact)


def fit(store: Path, out: Path) -> dict[str, Any]:
    """Fit a policy on a store and save it; its cells and what it is worth."""
    with Store.open(store, write=False) as opened:
        study, identity = _study(opened)
        analysis = Analysis.of(study, seed=identity.seed)
        policy = _policy(analysis, identity)
        try:
            policy.save(out)
        except OSError as error:
            raise RunError(
                f"{out}: cannot write the policy ({error}); name another --out"
            ) from error
        return {"policy": str(out), **_fitted(analysis)}


def report(store: Path, out: Path, *, command: str) -> dict[str, Any]:
    """Write the page of a store."""
    with Store.open(store, write=False) as opened:
        study, identity = _study(opened)
        analysis = Analysis.of(study, seed=identity.seed)
        write(_page(analysis, identity, command), out)
        return {"report": str(out), **_accuracies(study), **_fitted(analysis)}


def demo(*, problems: int, seed: int, store: Path, out: Path, command: str) -> dict[str, Any]:
    """Sweep, fit and report on the lab's test problems."""
    difficulty.require_enough(problems)
    plan = Plan(pool=256, oracle_samples=256)
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{store.parent}: cannot make the folder ({error}); name a --store"
        ) from error
    swept = sweep(
        f"lab:test?size={problems}&seed={seed}",
        plan=plan,
        store=store,
        model="lab:s",
        verifier="lab:prm",
        weights=None,
        seed=seed,
    )
    fitted = fit(store, store.with_suffix(".policy.json"))
    report(store, out, command=command)
    return {"report": str(out), **swept, **fitted}


def solve(
    prompt: str,
    *,
    policy: Path | None,
    strategy: str | None,
    budget: int,
    seed: int,
    model: str,
    verifier: str,
    weights: Path | None,
) -> dict[str, Any]:
    """Solve one problem; the cost of estimating its difficulty is part of the cost."""
    problem = task.parse(prompt).problem()
    # Whether the answer is right is for the person who asks: no label is used here.
    problem = Problem(problem.id, problem.prompt)
    proposer, judge = engines(model, verifier, weights)
    driver = Driver(proposer, judge, seed=seed)
    usage, how = Usage(), ""
    bin_number: int | None = None
    if policy is not None:
        fitted = Policy.load(policy)
        fitted.check(proposer.name, judge.name if judge else None)
        [probe] = driver.run(
            [Job(problem, parse_strategy(POOL), Budget(fitted.samples), DIFFICULTY)]
        )
        usage += probe.outcome.usage
        scores = probe.choice.scores
        answers = [candidate.answer for candidate in probe.choice.candidates]
        pool = Pool.of(
            problem.id, answers, [score.last for score in scores], [False] * len(answers)
        )
        value = float(difficulty.predicted([pool], fitted.samples).values[0])
        bin_number = fitted.place(value)
        chosen = fitted.choose(bin_number, budget)
        strategy = chosen.strategy
        how = (
            f"predicted difficulty: bin {bin_number + 1} of {fitted.binning.count} "
            f"(score {value:.2f}); {strategy} at {budget}"
            + (f"; {chosen.note}" if chosen.note else "")
        )
    made = parse_strategy(strategy or "best_of_n")
    [result] = driver.run([Job(problem, made, Budget(budget))])
    usage += result.outcome.usage
    index = result.choice.index
    text = "" if index is None else decode(result.choice.candidates[index].tokens)
    return {
        "answer": result.choice.answer,
        "text": text,
        "strategy": made.name,
        "budget": budget,
        "bin": None if bin_number is None else bin_number + 1,
        "how": how or f"{made.name} at {budget}",
        "usage": asdict(usage),
    }


# parts ---------------------------------------------------------------------------------------------


def engines(
    model: str, verifier: str, weights: Path | None
) -> tuple[LabProposer, LabVerifier | None]:
    """Engines by the names `--model` and `--verifier` take."""
    models = LabModels(weights or SHIPPED)
    if model not in ("lab:s", "lab:l"):
        raise UsageError(f"unknown model {model!r}; this version runs lab:s and lab:l")
    if verifier not in ("lab:prm", "lab:orm", "none"):
        raise UsageError(f"unknown verifier {verifier!r}; write lab:prm, lab:orm or none")
    judge = None if verifier == "none" else models.verifier(verifier.removeprefix(source.LAB))
    return models.proposer(model.removeprefix(source.LAB)), judge


def _study(store: Store) -> tuple[Study, Identity]:
    """The study a store was made by. Raises `StoreError` for a store of another kind."""
    identity = store.identity
    try:
        raw = json.loads(identity.settings["plan"])
        raw["strategies"], raw["budgets"] = tuple(raw["strategies"]), tuple(raw["budgets"])
        plan = Plan(**raw)
        asked = source.read(identity.settings["problems"])
    except KeyError as error:
        raise StoreError(
            f"{store.path}: not made by 'outthink sweep' (no {error}); sweep into a new store"
        ) from error
    if source.digest(asked) != identity.settings["problems_digest"]:
        raise StoreError(
            f"{store.path}: {identity.settings['problems']} holds other problems than were swept; "
            "put the file back or sweep into a new store"
        )
    return Study(plan, tuple(asked), store, exact), identity


def _policy(analysis: Analysis, identity: Identity) -> Policy:
    fitted = analysis.predicted
    return Policy(
        fitted.binning,
        fitted.difficulty.method,
        fitted.difficulty.samples,
        fitted.fit.cells,
        Provenance(
            proposer=identity.proposer,
            verifier=identity.verifier,
            data_hash=analysis.study.grid.digest,
            problems=len(analysis.study.problems),
            repeats=fitted.fit.repeats,
            seed=fitted.fit.seed,
            created_by=f"outthink {VERSION}",
        ),
    )


def _accuracies(study: Study) -> dict[str, Any]:
    grid = study.grid
    rows = []
    for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True):
        for budget, values in zip(grid.budgets, accuracy, strict=True):
            found = interval(values)
            rows.append(
                {
                    "strategy": name,
                    "budget": budget,
                    "accuracy": found.mean,
                    "low": found.low,
                    "high": found.high,
                }
            )
    return {"problems": len(study.problems), "rows": rows}


def _fitted(analysis: Analysis) -> dict[str, Any]:
    """Cells of the policy for predicted bins, and CEF under every reading."""
    cells = [
        {
            "bin": cell.bin + 1,
            "budget": cell.budget,
            "strategy": cell.strategy,
            "accuracy": cell.accuracy.mean,
            "low": cell.accuracy.low,
            "high": cell.accuracy.high,
            "problems": cell.accuracy.problems,
        }
        for cell in analysis.predicted.fit.cells
    ]
    factors = [
        {
            "bins": kind,
            "charged": charged,
            "budget": found.cost,
            "value": found.factor,
            "low": found.low,
            "high": None if found.high_at_least else found.high,
            "at_least": found.at_least,
        }
        for fit, kind, charged in (
            (analysis.predicted, "predicted", True),
            (analysis.predicted, "predicted", False),
            (analysis.oracle, "oracle", False),
        )
        if fit is not None
        for found in analysis.equivalences(fit, charged=charged)
    ]
    return {"cells": cells, "cef": factors}


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
        text=decode,
        title="How should this model think?",
    )


def exact(answer: str, reference: str) -> bool:
    return answer == reference
