"""A policy of a store: fitted on the sweep that it was asked for last, and saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from outthink.errors import RunError
from outthink.policy.fit import fit_study
from outthink.policy.results import FitResult
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


def save(policy: Policy, out: Path) -> None:
    """Raises `RunError` where it cannot be written."""
    try:
        policy.save(out)
    except OSError as error:
        raise RunError(
            f"{out}: cannot write the policy ({error.strerror}); free some space, "
            "or name another file"
        ) from error
