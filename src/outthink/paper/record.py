"""The results of a reproduction as a dict: what `outthink reproduce --json` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from outthink.measure.equivalence import Equivalence
from outthink.measure.exchange import Comparison, Crossover, Threshold
from outthink.paper.claims import Figure, How, Judged, Verdict
from outthink.paper.figures import exchanges
from outthink.paper.findings import Axis, Bins, Exchanged, Findings
from outthink.paper.sequential import record as sequential


def record(findings: Findings, judged: Sequence[Judged]) -> dict[str, Any]:
    """Compute-equivalence factors, the exchange with the larger model, and every verdict.

    Bins are numbered from 1, the easiest.
    """
    evidence = findings.evidence
    return {
        "problems": evidence.problems,
        "seed": evidence.seed,
        "scale": asdict(evidence.scale),
        "cef": [
            row for axis in (*findings.axes, *findings.against_plain) for row in _factors(axis)
        ],
        "exchange": [_exchange(name, exchanged) for name, exchanged in exchanges(findings).items()],
        "sequential": sequential(findings.sequential),
        "claims": list(map(_claim, judged)),
        "claims_measured": sum(
            result.claim.how is How.MEASURED
            and result.judgement.verdict is not Verdict.NOT_TESTABLE
            for result in judged
        ),
    }


def _factors(axis: Axis) -> list[dict[str, Any]]:
    readings = (
        (Bins.PREDICTED, True, axis.net),
        (Bins.PREDICTED, False, axis.gross),
        (Bins.ORACLE, False, axis.upper),
    )
    return [
        _factor(axis, kind, charged, equivalence)
        for kind, charged, row in readings
        for equivalence in row
    ]


def _factor(axis: Axis, kind: Bins, charged: bool, equivalence: Equivalence) -> dict[str, Any]:
    return {
        "axis": axis.name,
        "against": axis.base,
        "bins": kind.value,
        "charged": charged,
        "budget": equivalence.n,
        "cost": equivalence.cost,
        "factor": equivalence.factor,
        "low": equivalence.low,
        "high": equivalence.known_high,
        "at_least": equivalence.at_least,
        "problems": equivalence.problems,
    }


def _exchange(name: str, exchanged: Exchanged) -> dict[str, Any]:
    return {
        "axis": name,
        "size_ratio": exchanged.measured.size_ratio,
        "accounting": exchanged.accounting.name,
        "rows": list(map(_comparison, exchanged.comparisons)),
        "r_star": list(map(_crossover, exchanged.crossovers)),
    }


def _comparison(row: Comparison) -> dict[str, Any]:
    gap = row.difference
    return {
        "r": row.token_ratio,
        "bin": None if row.bin is None else row.bin + 1,
        "budget": row.budget,
        "matched": row.matched,
        "match": row.match.value,
        "small": row.small,
        "large": row.large,
        "difference": None if gap is None else gap.mean,
        "low": None if gap is None else gap.low,
        "high": None if gap is None else gap.high,
        "problems": row.problems,
    }


def _crossover(crossover: Crossover) -> dict[str, Any]:
    return {
        "bin": None if crossover.bin is None else crossover.bin + 1,
        **_threshold(crossover.estimate),
        "budget": crossover.estimate.budget,
        "at_most": crossover.at_most,
        "low": _threshold(crossover.low),
        "high": _threshold(crossover.high),
        "problems": crossover.problems,
    }


def _threshold(threshold: Threshold) -> dict[str, Any]:
    return {"verdict": threshold.smaller_wins.value, "r_star": threshold.token_ratio}


def _claim(result: Judged) -> dict[str, Any]:
    return {
        "id": result.claim.id,
        "text": result.claim.text,
        "verdict": result.judgement.verdict.value,
        "sentence": result.judgement.sentence,
        "reason": result.judgement.reason,
        "figures": list(map(_figure, result.judgement.figures)),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "value": _finite(figure.value),
        "low": _finite(figure.low),
        "high": _finite(figure.high),
        "problems": figure.problems,
        "unit": figure.unit.value,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
