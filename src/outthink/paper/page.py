"""The content of a reproduction's page, from its findings and verdicts."""

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
"""How far `page` advances its progress bar."""


def page(
    findings: Findings,
    judged: Sequence[Judged],
    *,
    provenance: data.Provenance,
    progress: Progress | None = None,
) -> shown.Reproduction:
    """The content of the page; `progress` advances by one for every section."""
    parts = []
    for make in PARTS:
        parts.append(make(findings))
        if progress is not None:
            progress.advance(1, parts[-1].name.lower())
    evidence = findings.evidence
    compared = (fit.frontier.fixed for fit in findings.sequential.values())
    run = {*evidence.main.plan.strategies, *(one.name for fixed in compared for one in fixed)}
    return shown.Reproduction(
        title=TITLE,
        provenance=provenance,
        summary=_summary(findings, judged),
        key_figures=_key_figures(findings, judged),
        notes=_notes(findings),
        labels=tuple(data.Label(name, *label) for name, label in labels().items() if name in run),
        parts=tuple(parts),
        claims=tuple(map(_claim, judged)),
    )


def _headline(axis: Axis) -> Equivalence:
    return axis.net[axis.row(at_headline(axis.grid.budgets))]


def _factor(axis: Axis, equivalence: Equivalence) -> str:
    drawn = cef(equivalence, charged=True, kind="predicted")
    return factor(drawn, largest=axis.base_budgets[-1])


_AGAINST = {
    "search": ("compute-optimal search", "weighted best-of-N"),
    "revisions": ("the compute-optimal split of revisions", "parallel answers"),
    "both": ("one policy over both", "weighted best-of-N"),
}


def _summary(findings: Findings, judged: Sequence[Judged]) -> str:
    counts = Counter(result.judgement.verdict for result in judged)
    verdicts = [f"{counts[verdict]} are {verdict}" for verdict in Verdict if counts[verdict]]
    sentences = [f"Of {len(judged)} claims {listed(verdicts)}."] if verdicts else []
    for axis in findings.axes:
        headline = _headline(axis)
        ours, theirs = _AGAINST[axis.name]
        if axis is findings.search:
            budget = counted(headline.n, "generation")
            start = f"With {budget} a problem to answer and {whole(axis.cost)} to predict its "
            start += f"difficulty, {ours}"
        else:
            start = ours[0].upper() + ours[1:]
        sentences.append(
            f"{start} is as accurate as {theirs} with {_factor(axis, headline)} that budget "
            f"({_settled(headline)})."
        )
    if findings.against_plain:
        factors = [
            f"{axis.name} {_factor(axis, _headline(axis))} ({_settled(_headline(axis))})"
            for axis in findings.against_plain
        ]
        sentences.append(
            f"Against plain best-of-N, the single best-scored sample: {'; '.join(factors)}."
        )
    return " ".join(sentences)


def _settled(equivalence: Equivalence) -> str:
    if equivalence.low > 1:
        return "a saving"
    if equivalence.high < 1 and not equivalence.high_at_least:
        return "a loss"
    return "no saving is shown"


def _key_figures(findings: Findings, judged: Sequence[Judged]) -> tuple[data.KeyFigure, ...]:
    counts = Counter(result.judgement.verdict for result in judged)
    figures = [
        data.KeyFigure(str(counts[verdict]), str(verdict), f"of {len(judged)} claims")
        for verdict in Verdict
        if judged
    ]
    for axis in findings.axes[:2]:
        net = _headline(axis)
        value, _, span = _factor(axis, net).partition(" [")
        note = f"[{span} at {whole(net.cost)} generations"
        against = f"{axis.name} against {_AGAINST[axis.name][1]}, difficulty charged"
        figures.append(data.KeyFigure(value, against, note))
    return tuple(figures)


def _notes(findings: Findings) -> tuple[str, ...]:
    evidence = findings.evidence
    scale, shapes = evidence.scale, evidence.shapes
    small, large = (shapes[name].multiplied_parameters for name in ("s", "l"))
    notes = [
        f"The models are tiny and trained from scratch on one task, on "
        f"{whole(evidence.pretraining_tokens)} tokens each: S has {whole(small)} parameters, L "
        f"{whole(large)}, {findings.size_ratio:.1f} times as many. The paper uses PaLM 2 on MATH: "
        "compare the direction of effects and the shape of curves with it, not their size.",
        f"{whole(scale.problems)} problems. Searches were run at up to {whole(findings.top)} "
        f"generations; best-of-N and votes are computed from pools of {whole(scale.pool)} samples, "
        f"revisions from chains of up to {whole(scale.chains)} answers. Runs that only ablations "
        f"need have {whole(scale.ablations)} problems.",
        "Intervals are over problems. They do not include how results would differ had the models "
        "been trained again: one training is shown.",
        f"Main results use difficulty predicted from {whole(evidence.predicted.samples)} scored "
        "samples, without reference answers, and charge for them. Oracle bins, from pass@1 over "
        f"{whole(scale.oracle)} other samples (the paper takes 2048), are an upper bound.",
        "FLOPs are matched as in the first version of the paper: the verifier's are not counted.",
    ]
    if scale == QUICK:
        quick = (
            "This is a quick run: intervals are wide, and a full run may decide what is undecided."
        )
        notes.insert(0, quick)
    return tuple(notes)


SOURCES = {
    "000": "an answer on alphaXiv",
    "001": "a course presentation",
    "002": "AgentWiki",
    "003": "a lesson on ainiketan.in",
}
"""The documents that state the claims, by their ids."""

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
                figure.name,
                figure.value,
                figure.low,
                figure.high,
                figure.problems,
                _UNITS[figure.unit.value],
            )
            for figure in judgement.figures
        ),
        contradicts=claim.contradicts,
    )
