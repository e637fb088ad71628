"""All that comes of a reproduction: its page and its record, kept beside the stores.

Reading 2,000 problems' pools takes minutes, so what was read is kept and read again for as long as
the stores are of the same runs and the code that reads them is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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
    """What a reproduction comes to."""

    page: Reproduction
    record: dict[str, Any]
    """For the wire."""


def outcome(evidence: Evidence, *, provenance: data.Provenance, folder: Path) -> Outcome:
    """From `folder` where it was kept there, otherwise worked out and kept."""
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
        for name in pools:  # most of the time goes here
            main.curve(name, main.plan.known(name))
            bar.advance(1, name)
        judged = judge_all(findings, bar)
        found = page(findings, judged, provenance=provenance, progress=bar)
    return Outcome(found, record(findings, judged))


# Kept --------------------------------------------------------------------------------------------


def _key(evidence: Evidence) -> dict[str, str]:
    """What the numbers follow from: the runs, and the code that reads them."""
    studies = (
        evidence.main,
        evidence.orm,
        evidence.large,
        evidence.deep,
        evidence.beams,
        evidence.untuned,
        evidence.unled,
        evidence.alone,
        *evidence.labels.values(),
    )
    identities = [None if each is None else asdict(each.store.identity) for each in studies]
    runs = json.dumps([asdict(evidence.scale), evidence.seed, identities], sort_keys=True)
    code = hashlib.blake2b(digest_size=16)
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    stores = hashlib.blake2b(runs.encode(), digest_size=16)
    return {"stores": stores.hexdigest(), "code": code.hexdigest()}


def _read(file: Path, key: dict[str, str]) -> Outcome | None:
    try:
        found = json.loads(file.read_text("utf-8"))
        if found["key"] != key:
            return None
        return Outcome(wire.load(Reproduction, found["page"]), found["record"])
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None  # it is worked out again


def _keep(found: Outcome, file: Path, key: dict[str, str]) -> None:
    text = json.dumps({"key": key, "page": wire.dump(found.page), "record": found.record})
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with suppress(OSError):  # without it the next run takes longer, and nothing worse
        partial.write_text(text, "utf-8")
        partial.replace(file)
