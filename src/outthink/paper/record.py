"""What a reproduction found, as a dict for the wire."""

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


def record(findings: Findings, judged: Sequence[Judged]) -> dict[str, Any]:
    """Compute-equivalence factors, the exchange, and every verdict. Bins are numbered from 1."""
    evidence = findings.evidence
    return {
        "problems": evidence.problems,
        "seed": evidence.seed,
        "scale": asdict(evidence.scale),
        "cef": [
            row for axis in (*findings.axes, *findings.against_plain) for row in _factors(axis)
        ],
        "exchange": [_exchange(name, found) for name, found in exchanges(findings).items()],
        "claims": list(map(_claim, judged)),
        "claims_measured": sum(
            each.claim.how is How.MEASURED and each.judgement.verdict is not Verdict.NOT_TESTABLE
            for each in judged
        ),
    }


def _factors(axis: Axis) -> list[dict[str, Any]]:
    readings = (
        (Bins.PREDICTED, True, axis.net),
        (Bins.PREDICTED, False, axis.gross),
        (Bins.ORACLE, False, axis.upper),
    )
    return [_factor(axis, kind, charged, found) for kind, charged, row in readings for found in row]


def _factor(axis: Axis, kind: Bins, charged: bool, found: Equivalence) -> dict[str, Any]:
    return {
        "axis": axis.name,
        "against": axis.base,
        "bins": kind.value,
        "charged": charged,
        "budget": found.n,
        "cost": found.cost,
        "factor": found.factor,
        "low": found.low,
        "high": None if found.high_at_least else found.high,
        "at_least": found.at_least,
        "problems": found.problems,
    }


def _exchange(name: str, found: Exchanged) -> dict[str, Any]:
    return {
        "axis": name,
        "size_ratio": found.measured.size_ratio,
        "accounting": found.accounting.name,
        "rows": list(map(_comparison, found.comparisons)),
        "r_star": list(map(_crossover, found.crossovers)),
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


def _crossover(found: Crossover) -> dict[str, Any]:
    return {
        "bin": None if found.bin is None else found.bin + 1,
        **_threshold(found.found),
        "budget": found.found.budget,
        "at_most": found.at_most,
        "low": _threshold(found.low),
        "high": _threshold(found.high),
        "problems": found.problems,
    }


def _threshold(found: Threshold) -> dict[str, Any]:
    return {"verdict": found.verdict.value, "r_star": found.token_ratio}


def _claim(each: Judged) -> dict[str, Any]:
    return {
        "id": each.claim.id,
        "text": each.claim.text,
        "verdict": each.judgement.verdict.value,
        "sentence": each.judgement.sentence,
        "reason": each.judgement.reason,
        "figures": list(map(_figure, each.judgement.figures)),
    }


def _figure(found: Figure) -> dict[str, Any]:
    return {
        "name": found.name,
        "value": _finite(found.value),
        "low": _finite(found.low),
        "high": _finite(found.high),
        "problems": found.problems,
        "unit": found.unit.value,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
