"""The 45 claims about test-time compute, and `judge_all`, which applies their rules to evidence.

A claim is a statement of the paper or of a document about it, with a rule that was fixed before
anything was measured.
"""

from __future__ import annotations

from outthink.errors import UsageError
from outthink.paper.claims import costs, known, larger, laws, limits, policies, revisions, search
from outthink.paper.claims.base import Claim, Figure, How, Judged, Judgement, Unit, Verdict
from outthink.paper.evidence import Evidence
from outthink.paper.findings import Findings
from outthink.run.progress import Progress

CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            claim
            for room in (policies, search, revisions, larger, limits, laws, costs, known)
            for claim in room.CLAIMS
        ),
        key=lambda claim: claim.id,
    )
)
"""In the order of their ids."""


def judge_all(
    evidence: Evidence | Findings, progress: Progress | None = None
) -> tuple[Judged, ...]:
    """Every claim with its judgement, by id; `progress` advances by one for every claim.

    Give `Findings` to use them again afterwards: they keep what they computed.
    """
    findings = evidence if isinstance(evidence, Findings) else Findings(evidence)
    results = []
    for claim in CLAIMS:
        results.append(Judged(claim, _judged(claim, findings)))
        if progress is not None:
            progress.advance(1, claim.id)
    return tuple(results)


def _judged(claim: Claim, findings: Findings) -> Judgement:
    try:
        return claim.judge(findings)
    except UsageError as error:  # e.g. models that solve no problem: nothing can be estimated
        return Judgement(Verdict.NOT_TESTABLE, (), "Not measured.", str(error))


__all__ = [
    "CLAIMS",
    "Claim",
    "Figure",
    "How",
    "Judged",
    "Judgement",
    "Unit",
    "Verdict",
    "judge_all",
]
