"""The sections that are grids: the strategies a policy chose, and predicted against oracle bins."""

from __future__ import annotations

from outthink.report import prose
from outthink.report.data import Agreement, Policy, Report
from outthink.report.format import DASH, LEVEL, bin_name, counted, percent, span, whole
from outthink.report.markup import breakable, escape, tag
from outthink.report.section import Section, figure
from outthink.report.style import Styles, glyph

# What the policy chose ---------------------------------------------------------------------------


def choices(report: Report, styles: Styles) -> Section | None:
    """The fitted policies as tables, one cell for each bin and budget."""
    policies = [policy for policy in report.policies if policy.cells]
    if not policies:
        return None
    body = ""
    for policy in policies:
        if len(policies) > 1:
            body += tag("h3", escape(f"{policy.bins.capitalize()} bins"))
        body += policy_figure(policy, styles, id=f"choices-{policy.bins}")
    return Section("choices", "Choices", "What the policy chose", body)


def policy_figure(policy: Policy, styles: Styles, *, id: str) -> str:
    """One policy as a table."""
    return figure(
        f"figure-{id}",
        _policy_grid(policy, styles),
        reading=prose.read_policy(policy, styles),
        basis=f"{policy.bins.capitalize()} bins. Accuracy and {LEVEL} interval of each cell are "
        "from problems that had no part in the choice; n is their number.",
        can_save=False,
    )


def _policy_grid(policy: Policy, styles: Styles) -> str:
    budgets = sorted({cell.budget for cell in policy.cells})
    bins = sorted({cell.bin for cell in policy.cells})
    cells = {(cell.bin, cell.budget): cell for cell in policy.cells}
    head = tag(
        "tr",
        tag("th", "difficulty", scope="col"),
        *(tag("th", escape(f"N = {whole(budget)}"), scope="col") for budget in budgets),
    )
    rows = ""
    for number in bins:
        row = tag("th", escape(bin_name(number, max(bins)).capitalize()), scope="row")
        for budget in budgets:
            cell = cells.get((number, budget))
            budget_name = f"N = {whole(budget)}"
            if cell is None:
                row += tag("td", DASH, data_budget=budget_name, class_="empty")
                continue
            style = styles[cell.strategy]
            row += tag(
                "td",
                tag("span", glyph(style), breakable(style.label), class_="chosen"),
                tag("span", escape(percent(cell.accuracy)), class_="value"),
                tag("span", escape(span(cell.low, cell.high)), class_="interval"),
                tag("span", escape(f"n {whole(cell.problems)}"), class_="interval"),
                data_budget=budget_name,
                class_=f"cell {style.css}",
            )
        rows += tag("tr", row)
    caption = tag("caption", f"Strategy chosen by bin and budget, {policy.bins} bins")
    grid = tag("table", caption, tag("thead", head), tag("tbody", rows), class_="policy")
    return tag("div", grid, class_="scroll")


def agreement(report: Report, styles: Styles) -> Section | None:
    """Predicted against oracle difficulty."""
    measured = report.agreement
    if not measured or not measured.confusion:
        return None
    facts = ""
    if measured.spearman is not None:
        interval = (
            f" [{measured.low:.2f}, {measured.high:.2f}]"
            if measured.low is not None and measured.high is not None
            else ""
        )
        value = tag("dd", escape(f"{measured.spearman:.2f}{interval}"))
        facts = tag("dl", tag("div", tag("dt", "Spearman correlation"), value), class_="facts")
    title = "Predicted against oracle difficulty"
    return Section("agreement", "Agreement", title, facts + agreement_figure(measured))


def agreement_figure(measured: Agreement) -> str:
    """The confusion matrix of oracle and predicted bins."""
    total = sum(sum(row) for row in measured.confusion)
    return figure(
        "figure-agreement",
        _confusion(measured),
        reading=prose.read_agreement(measured),
        basis=f"{counted(total, 'problem')}, counted by bin, with the row's share in brackets. "
        "On the outlined diagonal both agree.",
        can_save=False,
    )


def _confusion(measured: Agreement) -> str:
    size = max(len(measured.confusion), *(len(row) for row in measured.confusion))
    head = tag(
        "tr",
        tag("th", "oracle \u2193 \u00a0predicted \u2192", scope="col"),
        *(tag("th", str(number), scope="col") for number in range(1, size + 1)),
    )
    rows = ""
    for index, row in enumerate(measured.confusion):
        total = sum(row)
        cells = tag("th", escape(bin_name(index + 1, size)), scope="row")
        for other, count in enumerate(row):
            share = count / total if total else 0.0
            cells += tag(
                "td",
                tag("b", whole(count)),
                tag("span", f"({100 * share:.0f}\u202f%)"),
                class_="same" if index == other else None,
                style=f"--share:{45 * share:.0f}%",
            )
        rows += tag("tr", cells)
    caption = tag("caption", "Problems by oracle bin (rows) and predicted bin (columns)")
    return tag("table", caption, tag("thead", head), tag("tbody", rows), class_="confusion")
