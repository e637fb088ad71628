"""The section of claims: all verdicts at a glance, contradicting claims side by side, and a card
for every claim with its rule and the figures it was judged by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outthink.report.format import (
    THIN,
    TIMES,
    counted,
    listed,
    percent,
    ratio,
    signed,
    signed_span,
    span,
    whole,
)
from outthink.report.markup import escape, tag
from outthink.report.reproduction_data import VERDICTS, Claim, Evidence, Verdict
from outthink.report.section import Section, radio

SHOWN = 4
"""Figures of a claim that are shown before the rest folds away."""


def claims(judged: Sequence[Claim]) -> Section | None:
    """Every claim with its verdict, or `None` where there are no claims."""
    if not judged:
        return None
    counts = Counter(claim.verdict for claim in judged)
    verdicts = [verdict for verdict in VERDICTS if counts[verdict]]
    choices = radio("verdict", "", f"all {len(judged)}", is_on=True) + "".join(
        radio("verdict", _css(verdict), f"{verdict} {counts[verdict]}") for verdict in verdicts
    )
    body = (
        tag("ul", *map(_chip, judged), class_="chips", aria_label="All claims by verdict")
        + _sides(judged)
        + tag("h3", "Every claim", id="claims-all")
        + tag(
            "fieldset",
            tag("legend", "Verdict"),
            choices,
            class_="choice verdict-choice",
            hidden=True,
        )
        + tag("div", *map(_card, judged), class_="claims")
    )
    return Section("claims", "Claims", f"Verdicts on {counted(len(judged), 'claim')}", body)


def _css(verdict: Verdict) -> str:
    return verdict.replace(" ", "-")


def badge(verdict: Verdict) -> str:
    """A verdict as a coloured label."""
    return tag("span", escape(verdict), class_=f"verdict-of {_css(verdict)}")


def _chip(claim: Claim) -> str:
    link = tag(
        "a",
        escape(claim.id),
        href=f"#claim-{claim.id}",
        title=f"{claim.verdict}: {claim.text}",
        class_=_css(claim.verdict),
        aria_label=f"{claim.id} {claim.verdict}",
    )
    return tag("li", link)


def _sides(judged: Sequence[Claim]) -> str:
    """Pairs of claims that cannot both be true."""
    known = {claim.id: claim for claim in judged}
    pairs = dict.fromkeys(
        (min(claim.id, other), max(claim.id, other))
        for claim in judged
        for other in claim.contradicts
        if other in known
    )
    if not pairs:
        return ""
    drawn = "".join(
        tag("div", _side(known[one]), _side(known[two]), class_="pair")
        for one, two in sorted(pairs)
    )
    return tag("h3", "Claims that contradict each other") + tag("div", drawn, class_="pairs")


def _side(claim: Claim) -> str:
    name = tag("a", escape(claim.id), href=f"#claim-{claim.id}")
    return tag(
        "div",
        tag("p", badge(claim.verdict), " ", name, class_="head"),
        tag("p", escape(claim.text), class_="said"),
        tag("p", escape(f"Stated in {_sources(claim)}"), class_="by"),
    )


def _sources(claim: Claim) -> str:
    return listed(list(claim.stated_in)) if claim.stated_in else "none of the documents"


def _card(claim: Claim) -> str:
    facts = [
        ("Stated in", escape(_sources(claim))),
        ("The paper", escape(claim.paper)),
        ("Measured", tag("b", escape(claim.sentence))),
        ("Reason", escape(claim.reason) if claim.reason else ""),
        ("Figures", _figures(claim.figures)),
        ("Rule", escape(claim.rule) + tag("span", escape(f" ({claim.how})"), class_="by")),
    ]
    return tag(
        "article",
        tag(
            "h4",
            badge(claim.verdict),
            tag("span", escape(claim.id), class_="id"),
            tag("span", escape(claim.text), class_="said"),
            id=f"claim-{claim.id}",
        ),
        tag(
            "dl",
            *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts if value),
        ),
        class_="claim",
        data_verdict=_css(claim.verdict),
    )


def _figures(figures: Sequence[Evidence]) -> str:
    if not figures:
        return ""
    items = [
        tag("li", escape(figure.name), " ", tag("b", escape(quantity(figure))), _basis(figure))
        for figure in figures
    ]
    if len(items) <= SHOWN + 1:
        return tag("ul", *items)
    more = tag("summary", f"{len(items) - SHOWN} more")
    return tag("ul", *items[:SHOWN]) + tag("details", more, tag("ul", *items[SHOWN:]))


def _basis(figure: Evidence) -> str:
    if figure.problems is None:
        return ""
    return tag("span", escape(f", {counted(figure.problems, 'problem')}"), class_="by")


def quantity(figure: Evidence) -> str:
    """A number in the format of its unit, with its interval."""
    value, low, high = figure.value, figure.low, figure.high
    known = low is not None or high is not None
    if figure.unit == "share":
        shown = percent(value)
        if low is not None and high is not None:
            return f"{shown} {span(low, high)}"
        return shown
    if figure.unit == "difference":
        shown = signed(value).replace("%", "points")
        return f"{shown} {signed_span(low, high)}" if known else shown
    written = ratio if figure.unit == "factor" else number
    ends = ["\u2026" if end is None else written(end) for end in (low, high)]
    shown = f"{TIMES}{written(value)}" if figure.unit == "factor" else written(value)
    return f"{shown} [{', '.join(ends)}]" if known else shown


def number(value: float) -> str:
    """A whole number in full; another one in three significant figures."""
    if value == round(value) and abs(value) < 1e6:
        return whole(value)
    return f"{value:.3g}".replace("e+0", f"{THIN}e").replace("e+", f"{THIN}e")
