"""How a sequential policy spends: where the budget went, its decisions, and single problems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from outthink.report import sequential_prose as prose
from outthink.report.calibration import reliability
from outthink.report.data import Bucket, Calibration, Report
from outthink.report.format import DASH, counted, percent, signed, span, whole
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section, figure
from outthink.report.sequential_data import Followed, Group, Look, Sequential, StageUse
from outthink.report.style import COLOURS, Styles

MOST_STAGES = COLOURS - 1
"""Stages that have a colour of their own; the others are drawn as one."""
OTHERS = "other stages"
LONGEST = 600
"""Characters of a prompt that are shown."""
LONGEST_ANSWER = 40


def decisions(report: Report, _: Styles) -> Section | None:
    """Bars by difficulty, how often each decision was taken, and problems followed."""
    policy = report.sequential
    if policy is None:
        return None
    return Section(
        "decisions",
        "Decisions",
        "Where the budget went",
        spending(policy) + taken(policy) + _problems(policy),
    )


# Bars by difficulty ------------------------------------------------------------------------------


def spending(policy: Sequential, id: str = "decisions") -> str:
    """What every group of problems got of each stage, as bars."""
    drawn = [_merged(group, _shown(policy)) for group in policy.groups]
    most = max(sum(use.cost for use in group.uses) for group in drawn) or 1.0
    names = [use.stage for use in drawn[0].uses]
    key = "".join(
        tag("li", tag("i", class_=f"swatch {_css(n, names)}"), escape(name))
        for n, name in enumerate(names)
    )
    bars = "".join(_bar(group, most, is_first=n == 0) for n, group in enumerate(drawn))
    rows = [
        [use.stage, *(_use(group.uses[n]) for group in policy.groups)]
        for n, use in enumerate(policy.groups[0].uses)
    ]
    spent = f"mean {policy.currency} a problem"
    return figure(
        f"figure-{id}",
        tag("ul", key, class_="key", aria_label="Legend")
        + tag("ul", bars, class_="bars on", aria_label=f"{spent} by difficulty".capitalize()),
        reading=prose.read_groups(policy.groups),
        basis=f"{spent.capitalize()} by stage, of the member that the page speaks of, on problems "
        f"that it was not fitted on. Groups are by {policy.by}.",
        numbers=table(
            ["stage", *(group.name for group in policy.groups)],
            rows,
            caption=f"Times a problem that each stage was run, and its cost in {policy.currency}",
        ),
        can_save=False,
    )


def _use(use: StageUse) -> str:
    return f"{use.runs:.2f} ({prose.amount(use.cost) if use.cost else 0})"


def _shown(policy: Sequential) -> list[str]:
    """The stages that most was spent on, in the order of the menu."""
    whole_set = policy.groups[-1].uses
    ranked = sorted(whole_set, key=lambda use: -use.cost)[:MOST_STAGES]
    kept = {use.stage for use in ranked}
    return [use.stage for use in whole_set if use.stage in kept]


def _merged(group: Group, shown: Sequence[str]) -> Group:
    own = [use for use in group.uses if use.stage in shown]
    rest = [use for use in group.uses if use.stage not in shown]
    if rest:
        runs, cost = sum(use.runs for use in rest), sum(use.cost for use in rest)
        own.append(StageUse(OTHERS, runs, cost))
    return replace(group, uses=tuple(own))


def _css(number: int, names: Sequence[str]) -> str:
    return "rest" if names[number] == OTHERS else f"s{number}"


def _bar(group: Group, most: float, *, is_first: bool) -> str:
    names = [use.stage for use in group.uses]
    total = sum(use.cost for use in group.uses)
    values = ", ".join(f"{use.stage} {use.cost:.2f}" for use in group.uses)
    pieces = "".join(
        tag("i", class_=f"use {_css(n, names)}", style=f"width:{100 * use.cost / most:.2f}%")
        for n, use in enumerate(group.uses)
        if use.cost
    )
    title = f"{group.name}, {counted(group.problems, 'problem')}"
    rows = [
        [f"swatch {_css(n, names)}", None, use.stage, f"{use.cost:.2f}"]
        for n, use in enumerate(group.uses)
    ]
    bar = tag(
        "span",
        pieces,
        class_="bar hit",
        role="img",
        tabindex=0 if is_first else -1,
        aria_label=f"{title}: {values}",
        data_tip=json.dumps([title, rows], ensure_ascii=False, separators=(",", ":")),
    )
    name = f"{group.name}, {percent(group.accuracy)} right"
    return tag(
        "li",
        tag("span", escape(name), class_="name"),
        bar,
        tag("span", escape(prose.amount(total) if total else "0"), class_="total"),
    )


# Decisions and problems --------------------------------------------------------------------------


def taken(policy: Sequential) -> str:
    """How often each decision was taken at every look, as a table."""
    if not policy.taken:
        return ""
    looks = len(policy.taken[0].shares)
    rows = [
        [row.decision or "answer", *(percent(share) if share else DASH for share in row.shares)]
        for row in policy.taken
    ]
    caption = (
        "Share of all problems, as the policy that is kept decides; those that were answered are "
        "not looked at again"
    )
    head = ["decision", *(f"look {look + 1}" for look in range(looks))]
    return tag("h3", "How often each decision was taken") + table(head, rows, caption=caption)


def _problems(policy: Sequential) -> str:
    if not policy.followed:
        return ""
    said = (
        "What the policy knew at every look: what was spent, the best answer so far, and the "
        "probability that it is right. Worth is what the best next stage adds to that, less its "
        "price, in points; at 0 or below, the policy answers."
    )
    return (
        tag("h3", "Problems followed through their decisions")
        + tag("p", escape(said), class_="reading")
        + "".join(map(_followed, policy.followed))
    )


def _followed(one: Followed) -> str:
    stages = len(one.looks) - 1
    how = "answered at once" if stages == 1 else f"answered after {counted(stages, 'stage')}"
    rows = [_look(number, look) for number, look in enumerate(one.looks, 1)]
    head = ["look", "spent", "answer so far", "is right", "worth", "decision"]
    reference = "" if one.reference is None else f"; the reference is {one.reference}"
    caption = f"A problem {how}, {'right' if one.right else 'wrong'}{reference}"
    asked = tag("p", escape(_short(one.prompt, LONGEST)), class_="asked")
    return asked + table(head, rows, caption=caption)


def _look(number: int, look: Look) -> list[str]:
    return [
        str(number),
        prose.amount(look.spent) if look.spent else "0",
        DASH if look.answer is None else _short(look.answer, LONGEST_ANSWER),
        DASH if look.chance is None else percent(look.chance),
        DASH if look.worth is None else signed(look.worth).removesuffix("%").rstrip("\u202f"),
        "answer" if look.stage is None else look.stage,
    ]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


# Is it right? ------------------------------------------------------------------------------------


def certainty(report: Report, _: Styles) -> Section | None:
    """A reliability diagram of the probability that comes with every answer."""
    policy = report.sequential
    if policy is None or not policy.certainties:
        return None
    answers = sum(row.count for row in policy.certainties)
    buckets = tuple(
        Bucket(row.chance, row.rate, row.low, row.high, row.count) for row in policy.certainties
    )
    measured = Calibration("the policy", buckets, policy.problems, unit="answers")
    rows = [
        [percent(row.chance), percent(row.rate), span(row.low, row.high), whole(row.count)]
        for row in policy.certainties
    ]
    return Section(
        "certainty",
        "Is it right?",
        "Does it know when it is right?",
        figure(
            "figure-certainty",
            reliability(measured, score="probability that the policy gave"),
            reading=prose.read_certainty(policy.certainties, policy.calibration_error),
            basis=f"{whole(answers)} answers to {counted(policy.problems, 'problem')}, each in "
            "several random orders of what was drawn, by policies that were not fitted on the "
            "problem; whiskers are 95 % intervals over problems. On the diagonal the probability "
            "is the share that is right.",
            numbers=table(
                ["mean probability", "right", "interval", "answers"],
                rows,
                caption="Reliability of the policy's probability to be right",
            ),
        ),
    )
