"""Tokens a problem by kind: stacked bars, one set for each budget."""

from __future__ import annotations

import json
from collections.abc import Sequence

from outthink.report import prose
from outthink.report.data import Report, Spending
from outthink.report.format import counted, whole
from outthink.report.markup import breakable, escape, table, tag
from outthink.report.section import Section, figure, radio
from outthink.report.style import Style, Styles

KINDS = (
    ("prompt", "prompt read"),
    ("cached", "served from cache"),
    ("kept", "decoded and kept"),
    ("discarded", "decoded and discarded"),
    ("verified", "verifier, computed"),
    ("recalled", "verifier, from cache"),
)


def tokens(report: Report, styles: Styles) -> Section | None:
    """Stacked bars of tokens a problem, one set for each budget."""
    if not report.spending:
        return None
    budgets = sorted({spent.budget for spent in report.spending})
    shown = 16 if 16 in budgets else budgets[len(budgets) // 2]
    radios = "".join(
        radio("budget", str(budget), whole(budget), is_on=budget == shown) for budget in budgets
    )
    chooser = tag(
        "fieldset", tag("legend", "Generations"), radios, class_="choice budget-choice", hidden=True
    )
    bars = "".join(_bars(report.spending, b, styles, is_on=b == shown) for b in budgets)
    key = "".join(tag("li", tag("i", class_=f"swatch {css}"), escape(name)) for css, name in KINDS)
    rows = [
        [styles[spent.strategy].label, whole(spent.budget), *map(whole, map(round, _parts(spent)))]
        for spent in report.spending
    ]
    problems = max(spent.problems for spent in report.spending)
    return Section(
        "tokens",
        "Tokens",
        "Where the tokens went",
        figure(
            "figure-tokens",
            chooser + tag("ul", key, class_="key", aria_label="Legend") + bars,
            reading=prose.read_spending(
                [spent for spent in report.spending if spent.budget == shown], styles
            ),
            basis=f"Mean tokens a problem over {counted(problems, 'problem')}. Hatched parts were "
            "read from a cache, or decoded and discarded. All bars of a budget have one scale.",
            numbers=table(
                ["strategy", "generations", *(name for _, name in KINDS)],
                rows,
                caption="Mean tokens a problem",
            ),
            can_save=False,
        )
        + _each_generation(report.spending, styles),
    )


def _each_generation(spending: Sequence[Spending], styles: Styles) -> str:
    """What a generation really costs, by search."""
    rows = [
        [styles[spent.strategy].label, whole(spent.budget), *map(whole, _each(spent))]
        for spent in spending
        if spent.usage.generations
    ]
    heads = [
        *("strategy", "generations", "decoded", "of it discarded", "verifier calls"),
        *("verifier tokens", "of it critiques"),
    ]
    said = (
        "What a generation really costs: budgets count generations, and a generation of one search "
        "takes more tokens than one of another. A verifier call is a solution or a prefix scored."
    )
    caption = "Mean of a generation, in tokens and calls"
    return tag("p", escape(said)) + table(heads, rows, caption=caption)


def _each(spent: Spending) -> list[float]:
    usage = spent.usage
    amounts = (
        usage.decoded_tokens,
        usage.discarded_tokens,
        spent.verifier_calls,
        usage.verifier_tokens,
        spent.critique_tokens,
    )
    return [round(amount / usage.generations, 1) for amount in amounts]


def _parts(spent: Spending) -> list[float]:
    """Tokens a problem, in the order of `KINDS`."""
    usage = spent.usage
    amounts = (
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.decoded_tokens - usage.discarded_tokens,
        usage.discarded_tokens,
        usage.verifier_tokens,
        usage.verifier_cached_tokens,
    )
    return [amount / max(1, spent.problems) for amount in amounts]


def _bars(spending: Sequence[Spending], budget: int, styles: Styles, *, is_on: bool) -> str:
    """All bars of one budget."""
    spending = [spent for spent in spending if spent.budget == budget]
    most = max(1.0, *(sum(_parts(spent)) for spent in spending))
    rows = ""
    for spent in spending:
        style, parts = styles[spent.strategy], _parts(spent)
        values = ", ".join(
            f"{name} {whole(round(part))}" for (_, name), part in zip(KINDS, parts, strict=True)
        )
        pieces = "".join(
            tag("i", class_=css, style=f"width:{100 * part / most:.2f}%")
            for (css, _), part in zip(KINDS, parts, strict=True)
            if part
        )
        bar = tag(
            "span",
            pieces,
            class_="bar hit",
            role="img",
            tabindex=0 if not rows else -1,
            aria_label=f"{style.label}: {values}",
            data_tip=_bar_tip(style, parts),
        )
        total = tag("span", escape(whole(round(sum(parts)))), class_="total")
        rows += tag("li", tag("span", breakable(style.label), class_="name"), bar, total)
    return tag(
        "ul",
        rows,
        class_="bars on" if is_on else "bars",
        data_budget=budget,
        aria_label=f"Tokens a problem at {counted(budget, 'generation')}",
    )


def _bar_tip(style: Style, parts: Sequence[float]) -> str:
    rows = [
        [f"swatch {css}", None, name, whole(round(part))]
        for (css, name), part in zip(KINDS, parts, strict=True)
    ]
    return json.dumps([style.label, rows], ensure_ascii=False, separators=(",", ":"))
