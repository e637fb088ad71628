"""The whole paper, measured on the lab: stores, judged claims, and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from outthink.measure import difficulty
from outthink.paper.evidence import Evidence, Scale, gathered
from outthink.paper.outcome import outcome
from outthink.report.data import Provenance
from outthink.report.reproduction import write_reproduction
from outthink.study.sweep import make_place
from outthink.version import VERSION


def reproduce(
    scale: Scale,
    *,
    seed: int,
    weights: Path | None,
    folder: Path,
    out: Path,
    command: str,
    jobs: int = 1,
) -> dict[str, Any]:
    """Measure the whole paper on the lab, judge the claims, and write it all on one page. `jobs` is
    how many processes draw and fit; it changes no figure."""
    difficulty.require_enough(scale.problems)
    make_place(out)
    with gathered(scale, seed=seed, weights=weights, folder=folder, jobs=jobs) as evidence:
        reproduced = outcome(evidence, provenance=_measured_with(evidence, command), folder=folder)
        write_reproduction(reproduced.page, out)
        return {**reproduced.record, "report": str(out)}


def _measured_with(evidence: Evidence, command: str) -> Provenance:
    """Every model of a reproduction."""
    main = evidence.main.asked
    verifiers = (main.verifier, evidence.orm.asked.verifier, main.revision_verifier)
    proposers = (main.proposer, evidence.large.asked.proposer, main.reviser)
    return Provenance(
        proposer=", ".join(filter(None, proposers)),
        verifiers=tuple(filter(None, verifiers)),
        data=main.problems,
        problems=evidence.problems,
        seed=main.seed,
        version=VERSION,
        command=command,
    )
