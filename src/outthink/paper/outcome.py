"""The results of a reproduction, its page and its record, with a cache beside the stores.

Computing them from the pools of 2,000 problems takes minutes. The cache is used as long as the runs
and the package's code are the same.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from outthink import whole
from outthink.errors import UsageError
from outthink.paper.claims import CLAIMS, judge_all
from outthink.paper.evidence import Evidence
from outthink.paper.findings import Findings
from outthink.paper.page import STEPS, page
from outthink.paper.record import record
from outthink.report import data, wire
from outthink.report.reproduction_data import Reproduction
from outthink.run.progress import Progress


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of a reproduction."""

    page: Reproduction
    record: dict[str, Any]
    """What `--json` prints."""


def outcome(evidence: Evidence, *, provenance: data.Provenance, folder: Path) -> Outcome:
    """The results, from the cache in `folder` if it is valid, otherwise computed and cached."""
    key = _key(evidence)
    file = folder / f"{key['stores'][:8]}.findings.json"
    known = _read(file, key)
    if known is None:
        known = _work_out(evidence, provenance)
        _keep(known, file, key)
    return replace(known, page=replace(known.page, provenance=provenance))


def _work_out(evidence: Evidence, provenance: data.Provenance) -> Outcome:
    findings = Findings(evidence)
    main = evidence.main
    pools = (*main.plan.pooled, *main.plan.chained)
    with Progress("reading", len(pools) + len(CLAIMS) + STEPS, "parts") as bar:
        for name in pools:  # this takes most of the time
            main.curve(name, main.plan.known(name))
            bar.advance(1, name)
        judged = judge_all(findings, bar)
        built = page(findings, judged, provenance=provenance, progress=bar)
    return Outcome(built, record(findings, judged))


# Kept --------------------------------------------------------------------------------------------


def _key(evidence: Evidence) -> dict[str, str]:
    """Digests of the runs and of the package's code: the results depend on nothing else."""
    studies = (
        evidence.main,
        evidence.orm,
        evidence.large,
        evidence.deep,
        evidence.beams,
        evidence.prompted_reviser,
        evidence.prm_on_revisions,
        evidence.no_history,
        evidence.stages,
        evidence.searches,
        *evidence.labels.values(),
        *evidence.refined.values(),
    )
    identities = [None if study is None else asdict(study.asked) for study in studies]
    runs = json.dumps([asdict(evidence.scale), evidence.seed, identities], sort_keys=True)
    code = hashlib.blake2b(digest_size=16)
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    stores = hashlib.blake2b(runs.encode(), digest_size=16)
    return {"stores": stores.hexdigest(), "code": code.hexdigest()}


def _read(file: Path, key: dict[str, str]) -> Outcome | None:
    try:
        kept = json.loads(file.read_text("utf-8"))
        if kept["key"] != key:
            return None
        return Outcome(wire.load(Reproduction, kept["page"]), kept["record"])
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None  # no valid cache: the results are computed again


def _keep(result: Outcome, file: Path, key: dict[str, str]) -> None:
    text = json.dumps({"key": key, "page": wire.dump(result.page), "record": result.record})
    with suppress(OSError):  # without a cache the next run takes longer, that is all
        whole.write(file, text)
