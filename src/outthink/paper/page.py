"""From findings and judgements to what the page of a reproduction shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outthink.measure.equivalence import Equivalence
from outthink.paper.claims import Judged, Verdict
from outthink.paper.evidence import QUICK
from outthink.paper.figures import PARTS, at_headline, labels
from outthink.paper.findings import Axis, Findings
from outthink.report import data
from outthink.report import reproduction_data as shown
from outthink.report.format import counted, factor, listed, whole
from outthink.report.study import cef
from outthink.run.progress import Progress

TITLE = "Test-time compute, reproduced and put to the test"

STEPS = len(PARTS)
"""What `page` advances its progress by, besides what judging the claims takes."""


def page(
    findings: Findings,
    judged: Sequence[Judged],
    *,
    provenance: data.Provenance,
    progress: Progress | None = None,
) -> shown.Reproduction:
    """Everything the page shows; `progress` advances by one a section."""
    parts = []
    for make in PARTS:
        parts.append(make(findings))
        if progress is not None:
            progress.advance(1, parts[-1].name.lower())
    evidence = findings.evidence
    run = {*evidence.main.plan.strategies}
    return shown.Reproduction(
        title=TITLE,
        provenance=provenance,
        summary=_summary(findings, judged),
        key_figures=_key_figures(findings, judged),
        notes=_notes(findings),
        labels=tuple(data.Label(name, *told) for name, told in labels().items() if name in run),
        parts=tuple(parts),
        claims=tuple(map(_claim, judged)),
    )


def _headline(axis: Axis) -> Equivalence:
    return axis.net[axis.row(at_headline(axis.grid.budgets))]


def _factor(axis: Axis, found: Equivalence) -> str:
    drawn = cef(found, charged=True, kind="predicted")
    return factor(drawn, largest=axis.base_budgets[-1])


_AGAINST = {
    "search": ("compute-optimal search", "weighted best-of-N"),
    "revisions": ("the compute-optimal split of revisions", "parallel answers"),
    "both": ("one policy over both", "weighted best-of-N"),
}


def _summary(findings: Findings, judged: Sequence[Judged]) -> str:
    counts = Counter(each.judgement.verdict for each in judged)
    told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    said = [f"Of {len(judged)} claims {listed(told)}."] if told else []
    for axis in findings.axes:
        found = _headline(axis)
        ours, theirs = _AGAINST[axis.name]
        spent = f"{counted(found.n, 'generation')} a problem, and {whole(axis.cost)} to find out"
        before = f"With {spent} its difficulty, {ours}" if axis is findings.search else _upper(ours)
        said.append(
            f"{before} is as good as {theirs} with {_factor(axis, found)} of that{_settled(found)}."
        )
    if findings.against_plain:
        told = [
            f"{axis.name} {_factor(axis, _headline(axis))}{_settled(_headline(axis))}"
            for axis in findings.against_plain
        ]
        said.append(f"Against plain best-of-N, the single best-scored sample: {'; '.join(told)}.")
    return " ".join(said)


def _upper(said: str) -> str:
    return said[0].upper() + said[1:]


def _settled(found: Equivalence) -> str:
    if found.low > 1:
        return ": a saving"
    if found.high < 1 and not found.high_at_least:
        return ": a loss"
    return ": no saving is shown"


def _key_figures(findings: Findings, judged: Sequence[Judged]) -> tuple[data.KeyFigure, ...]:
    counts = Counter(each.judgement.verdict for each in judged)
    found = [
        data.KeyFigure(str(counts[verdict]), str(verdict), f"of {len(judged)} claims")
        for verdict in Verdict
        if judged
    ]
    for axis in findings.axes[:2]:
        net = _headline(axis)
        value, _, span = _factor(axis, net).partition(" [")
        note = f"[{span} at {whole(net.cost)} generations"
        against = f"{axis.name} against {_AGAINST[axis.name][1]}, difficulty charged"
        found.append(data.KeyFigure(value, against, note))
    return tuple(found)


def _notes(findings: Findings) -> tuple[str, ...]:
    evidence = findings.evidence
    scale, shapes = evidence.scale, evidence.shapes
    small, large = (shapes[name].multiplied_parameters for name in ("s", "l"))
    notes = [
        f"The models are tiny and trained from nothing on one task: S multiplies by "
        f"{whole(small)} parameters a token, L by {whole(large)} ({findings.size_ratio:.1f} "
        f"times), after {whole(evidence.pretraining_tokens)} tokens each. The paper has PaLM 2 on "
        "MATH: signs and shapes can be compared with it, sizes cannot.",
        f"{whole(scale.problems)} problems; searches run live up to {whole(findings.top)} "
        f"generations, samples and votes are read from pools of {whole(scale.pool)} samples and "
        f"of chains up to {whole(scale.chains)} long; what only ablations need ran on "
        f"{whole(scale.ablations)} problems.",
        "Intervals are over problems. How much another training of the same models would change "
        "is not in them: one training is shown.",
        f"Headlines use difficulty predicted from {whole(evidence.predicted.samples)} scored "
        "samples without labels, and charge them. Oracle bins, from the labels of "
        f"{whole(scale.oracle)} other samples (the paper takes 2048), are an upper bound.",
        "FLOPs are matched as in the first version of the paper: the verifier is not paid for.",
    ]
    if scale == QUICK:
        quick = (
            "A quick run: intervals are wide, and what is undecided here may not be in a full one."
        )
        notes.insert(0, quick)
    return tuple(notes)


SOURCES = {
    "000": "an answer on alphaXiv",
    "001": "a course presentation",
    "002": "AgentWiki",
    "003": "a lesson on ainiketan.in",
}
"""Who states the claims, by the names that they go by here."""

_UNITS: dict[str, shown.Unit] = {
    "share": "share",
    "difference": "difference",
    "factor": "factor",
    "number": "number",
}
_VERDICTS: dict[Verdict, shown.Verdict] = {
    Verdict.CONFIRMED: "confirmed",
    Verdict.REFUTED: "refuted",
    Verdict.UNDECIDED: "undecided",
    Verdict.NOT_TESTABLE: "not testable here",
}


def _claim(judged: Judged) -> shown.Claim:
    claim, judgement = judged.claim, judged.judgement
    return shown.Claim(
        id=claim.id,
        text=claim.text,
        stated_in=tuple(SOURCES.get(name, name) for name in claim.stated_in),
        paper=claim.paper,
        rule=claim.rule,
        how=claim.how.value,
        verdict=_VERDICTS[judgement.verdict],
        sentence=judgement.sentence,
        reason=judgement.reason,
        figures=tuple(
            shown.Evidence(
                each.name, each.value, each.low, each.high, each.problems, _UNITS[each.unit.value]
            )
            for each in judgement.figures
        ),
        contradicts=claim.contradicts,
    )
