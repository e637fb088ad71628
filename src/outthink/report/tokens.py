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
CRITIQUES = ("critique", "decoded in critiques")
"""One more kind, where a search asked for critiques."""


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
    kinds = _kinds(report.spending)
    bars = "".join(_bars(report.spending, b, styles, kinds, is_on=b == shown) for b in budgets)
    key = "".join(tag("li", tag("i", class_=f"swatch {css}"), escape(name)) for css, name in kinds)
    rows = [
        [
            styles[spent.strategy].label,
            whole(spent.budget),
            *(whole(round(part)) for _, part in zip(kinds, _parts(spent), strict=False)),
            *(f"{calls / max(1, spent.problems):.1f}" for calls in _calls(spent, kinds)),
        ]
        for spent in report.spending
    ]
    calls = ["verifier calls", *(["critiques"] if CRITIQUES in kinds else [])]
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
                ["strategy", "generations", *(name for _, name in kinds), *calls],
                rows,
                caption="Mean tokens and calls a problem",
            ),
            can_save=False,
        )
        + _each_generation(report.spending, styles),
    )


def _each_generation(spending: Sequence[Spending], styles: Styles) -> str:
    """What a generation really costs, by search."""
    columns: list[tuple[str, Sequence[float]]] = [
        ("decoded", [spent.usage.decoded_tokens for spent in spending]),
        ("of it discarded", [spent.usage.discarded_tokens for spent in spending]),
        ("of it in critiques", [spent.usage.critique_tokens for spent in spending]),
        ("verifier calls", [spent.usage.verifier_calls for spent in spending]),
        ("verifier tokens", [spent.usage.verifier_tokens for spent in spending]),
        ("of it written", [spent.written_tokens for spent in spending]),
    ]
    told = [(name, amounts) for name, amounts in columns if name not in _RARE or any(amounts)]
    rows = [
        [
            styles[spent.strategy].label,
            whole(spent.budget),
            *(whole(round(amounts[at] / spent.usage.generations, 1)) for _, amounts in told),
        ]
        for at, spent in enumerate(spending)
        if spent.usage.generations
    ]
    heads = ["strategy", "generations", *(name for name, _ in told)]
    said = (
        "What a generation really costs: budgets count generations, and a generation of one search "
        "takes more tokens than one of another. A verifier call is a solution or a prefix scored."
    )
    caption = "Mean of a generation, in tokens and calls"
    return tag("p", escape(said)) + table(heads, rows, caption=caption)


_RARE = ("of it in critiques", "of it written")
"""Columns that are left out where all of them is 0."""


def _kinds(spending: Sequence[Spending]) -> tuple[tuple[str, str], ...]:
    """The kinds of tokens that these have."""
    return (*KINDS, CRITIQUES) if any(spent.usage.critiques for spent in spending) else KINDS


def _calls(spent: Spending, kinds: Sequence[tuple[str, str]]) -> tuple[int, ...]:
    usage = spent.usage
    return (usage.verifier_calls, usage.critiques)[: 1 + (CRITIQUES in kinds)]


def _parts(spent: Spending) -> list[float]:
    """Tokens a problem, in the order of `KINDS`, and those of critiques."""
    usage = spent.usage
    amounts = (
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.decoded_tokens - usage.discarded_tokens - usage.critique_tokens,
        usage.discarded_tokens,
        usage.verifier_tokens,
        usage.verifier_cached_tokens,
        usage.critique_tokens,
    )
    return [amount / max(1, spent.problems) for amount in amounts]


def _bars(
    spending: Sequence[Spending],
    budget: int,
    styles: Styles,
    kinds: Sequence[tuple[str, str]],
    *,
    is_on: bool,
) -> str:
    """All bars of one budget."""
    spending = [spent for spent in spending if spent.budget == budget]
    most = max(1.0, *(sum(_parts(spent)) for spent in spending))
    rows = ""
    for spent in spending:
        style, parts = styles[spent.strategy], _parts(spent)
        values = ", ".join(
            f"{name} {whole(round(part))}" for (_, name), part in zip(kinds, parts, strict=False)
        )
        pieces = "".join(
            tag("i", class_=css, style=f"width:{100 * part / most:.2f}%")
            for (css, _), part in zip(kinds, parts, strict=False)
            if part
        )
        bar = tag(
            "span",
            pieces,
            class_="bar hit",
            role="img",
            tabindex=0 if not rows else -1,
            aria_label=f"{style.label}: {values}",
            data_tip=_bar_tip(style, parts, kinds),
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


def _bar_tip(style: Style, parts: Sequence[float], kinds: Sequence[tuple[str, str]]) -> str:
    rows = [
        [f"swatch {css}", None, name, whole(round(part))]
        for (css, name), part in zip(kinds, parts, strict=False)
    ]
    return json.dumps([style.label, rows], ensure_ascii=False, separators=(",", ":"))
