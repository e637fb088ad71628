"""A policy of a store: fitted on the sweep that it was asked for last, and saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from outthink.errors import RunError, UsageError
from outthink.policy import file
from outthink.policy.currency import GENERATIONS, Price, currency
from outthink.policy.family import Family
from outthink.policy.fit import fit_study
from outthink.policy.fit_sequential import fit_sequential
from outthink.policy.frontier import LEAST
from outthink.policy.results import FitResult, SequentialFit
from outthink.policy.table import Policy
from outthink.study.sweep import make_place, reopened
from outthink.study.verifiers import require_one


def fit_store(store: Path, out: Path | None, verifier: str | None = None) -> FitResult:
    """Fit a policy on a store, and save it where `out` says; what it is worth.

    Raises `UsageError` where several verifiers scored its samples and none is named.
    """
    if out is not None:
        make_place(out)
    with reopened(store, verifier=verifier) as opened:
        if verifier is None:
            require_one(opened.store, opened.asked)
        fitted = fit_study(opened.study, seed=opened.asked.seed)
        fitted = replace(fitted, path=out, notes=(*opened.notes, *fitted.notes))
        if out is not None:
            save(fitted.policy, out)
        return fitted


def is_small(store: Path) -> bool:
    """Whether a store has too few problems for a sequential policy."""
    with reopened(store) as opened:
        return len(opened.study.problems) < LEAST


def fit_sequential_store(
    store: Path,
    out: Path | None,
    verifier: str | None = None,
    *,
    name: str = GENERATIONS,
    prices: Mapping[str, Price] | None = None,
    most: float | None = None,
    jobs: int = 1,
) -> SequentialFit:
    """Fit a sequential policy on a store in the currency `name`, and save it where `out` says.

    It is held against every fixed strategy; adaptive rules of others are played in the report.
    `jobs` processes fit it.

    Raises `UsageError` as `fit_store`, and where no sequential policy can be fitted.
    """
    if out is not None:
        make_place(out)
    with reopened(store, verifier=verifier) as opened:
        if verifier is None:
            require_one(opened.store, opened.asked)
        if opened.asked.imported and name != GENERATIONS:
            raise UsageError(
                f"what imported samples cost in {name} is not known, as nobody recorded the tokens "
                f"that were read; fit in {GENERATIONS}"
            )
        money = (name, currency(name, opened.asked.sizes, prices))
        fitted = fit_sequential(
            opened.study, seed=opened.asked.seed, money=money, most=most, rules=False, jobs=jobs
        )
        fitted = replace(fitted, path=out, notes=(*opened.notes, *fitted.notes))
        if out is not None:
            save(fitted.family, out)
        return fitted


def save(policy: Policy | Family, out: Path) -> None:
    """Raises `RunError` where it cannot be written."""
    try:
        if isinstance(policy, Family):
            file.save(policy, out)
        else:
            policy.save(out)
    except OSError as error:
        raise RunError(
            f"{out}: cannot write the policy ({error.strerror}); free some space, "
            "or name another file"
        ) from error
