"""The report of a store: the page of the sweep that it was asked for last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from outthink.lab.tokenizer import WRITER, decode
from outthink.policy.currency import GENERATIONS, currency
from outthink.policy.fit import fit_study, lacks
from outthink.policy.fit_sequential import begun, case, compared, lacks_stages
from outthink.policy.promise import promises
from outthink.policy.results import FitResult, Reported, SequentialFit
from outthink.policy.store import save
from outthink.report.data import Provenance, Report
from outthink.report.page import write
from outthink.report.sequential_study import promise
from outthink.report.study import build
from outthink.study.results import measured
from outthink.study.sweep import OpenStudy, make_place, reopened
from outthink.study.verifiers import VerifierQuality
from outthink.version import VERSION


def report_store(
    store: Path,
    out: Path,
    *,
    command: str,
    verifier: str | None = None,
    policy: Path | None = None,
    jobs: int = 1,
) -> Reported:
    """Write the page of a store: all that can be told of it, even of an unfinished sweep. `policy`
    and `jobs` are as in `report_sweep`."""
    make_place(out)
    with reopened(store, verifier=verifier) as opened:
        return report_sweep(opened, out, command=command, policy=policy, jobs=jobs)


def report_sweep(
    opened: OpenStudy, out: Path, *, command: str, policy: Path | None = None, jobs: int = 1
) -> Reported:
    """Write the page of a sweep, with its policy where one can be fitted; `policy` is where that is
    saved. It is fitted in as many processes as `jobs`."""
    why, why_not = lacks(opened.study), lacks_stages(opened.study)
    fitting, sequential = _fitted(opened, why, why_not, jobs)
    notes = (
        *opened.notes,
        *(() if sequential else (f"No sequential policy: {why_not}.",)),
        *(fitting.notes if fitting else (f"No table: {why}.",)),
    )
    held = promises(opened.study)
    notes = (*notes, *held.notes)
    shown = measured(opened)
    page = _page(opened, fitting, sequential, command, notes, shown.verifiers)
    write(replace(page, promises=tuple(map(promise, held.kept))), out)
    if fitting is not None:
        fitting = replace(fitting, notes=notes)
    if sequential is not None:
        sequential = replace(sequential, path=policy)
        if policy is not None:
            save(sequential.family, policy)
    return Reported(out, shown, fitting, sequential, notes, held.kept)


def _fitted(
    opened: OpenStudy, why: str | None, why_not: str | None, jobs: int
) -> tuple[FitResult | None, SequentialFit | None]:
    """The table and the sequential policy, each unless something says why not."""
    study, seed = opened.study, opened.asked.seed
    if why_not:
        return None if why else fit_study(study, seed=seed), None
    asked = case(study, seed=seed)
    with begun(asked, jobs=jobs) as fits:
        table = None if why else fit_study(study, seed=seed)
        return table, compared(study, asked, currency(GENERATIONS), fits)


def _page(
    opened: OpenStudy,
    fitting: FitResult | None,
    sequential: SequentialFit | None,
    command: str,
    notes: Sequence[str],
    qualities: Sequence[VerifierQuality],
) -> Report:
    asked = opened.asked
    verifiers = (asked.verifier,) if asked.verifier else ()
    return build(
        opened.study,
        fitting,
        provenance=Provenance(
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
        verifiers=qualities,
        policy=sequential,
    )
