"""The page of a reproduction: the paper's figures from measured data, then the claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outthink.report import wire
from outthink.report.bars import improvements
from outthink.report.chart import NARROW, WIDE, Series, line_chart
from outthink.report.claims import claims
from outthink.report.curves import Multiple, curve_table, small_multiples, versus
from outthink.report.decisions import spending, taken
from outthink.report.frontier import frontier_figure, members
from outthink.report.glossary import terms_of
from outthink.report.grids import agreement_figure, policy_figure
from outthink.report.markup import escape, table, tag
from outthink.report.page import document, notes, save
from outthink.report.reproduction_data import (
    Adaptive,
    Bars,
    Choices,
    Confusion,
    Figure,
    Item,
    NotRun,
    Panel,
    Part,
    Reproduction,
    Table,
    Versus,
)
from outthink.report.section import Section, figure
from outthink.report.sequential_prose import opening
from outthink.report.style import Style, Styles, legend, numbered, shaded
from outthink.report.summary import key_figures, provenance


def render_reproduction(reproduction: Reproduction) -> str:
    """The page. Raises `UsageError` for a number that is not finite."""
    wire.dump(reproduction)  # raises, naming the field
    styles = Styles(_strategies(reproduction), reproduction.labels)
    header = (
        tag("p", escape(reproduction.summary), class_="verdict")
        + key_figures(reproduction.key_figures)
        + notes(reproduction.notes)
        + provenance(reproduction.provenance)
    )
    sections = [_section(part, styles) for part in reproduction.parts]
    judged = claims(reproduction.claims)
    sections += [judged] if judged else []
    sections.append(terms_of(reproduction.labels))
    return document(reproduction.title, header, sections)


def write_reproduction(reproduction: Reproduction, path: str | Path) -> None:
    """Render to `path`; a file there is replaced once the page is complete. Raises `RunError` where
    it cannot be written."""
    save(render_reproduction(reproduction), path)


def _strategies(reproduction: Reproduction) -> Iterator[str]:
    yield from (label.strategy for label in reproduction.labels)
    for part in reproduction.parts:
        for item in part.items:
            if isinstance(item, Versus):
                yield item.comparison.baseline.strategy
                yield from (curve.strategy for curve in item.comparison.others)
            elif isinstance(item, Choices):
                yield from (cell.strategy for cell in item.policy.cells)
            elif isinstance(item, Adaptive):
                yield from (line.name for line in item.adaptive.lines if line.kind == "fixed")


def _section(part: Part, styles: Styles) -> Section:
    lead = tag("p", escape(part.lead), class_="lead-in")
    body = "".join(_heading(item) + _item(item, styles) for item in part.items)
    return Section(part.id, part.name, part.title, lead + body)


def _heading(item: Item) -> str:
    paper = tag("span", escape(item.paper), class_="paper") if item.paper else ""
    return tag("h3", escape(item.title), " ", paper)


def _item(item: Item, styles: Styles) -> str:
    match item:
        case Figure():
            return _figure(item, styles)
        case NotRun():
            why = f"Not run at this scale: {item.reason}"
            return tag("p", escape(why), class_="not-run", id=f"figure-{item.id}")
        case Versus():
            return versus(item.comparison, item.problems, styles, id=f"-{item.id}")
        case Choices():
            return policy_figure(item.policy, styles, id=item.id)
        case Confusion():
            return agreement_figure(item.agreement)
        case Bars():
            return improvements(item)
        case Adaptive():
            return _adaptive(item, styles)
        case Table():
            return figure(
                f"figure-{item.id}",
                table(item.head, item.rows, caption=item.title),
                reading=item.reading,
                basis=item.basis,
                can_save=False,
            )


def _adaptive(item: Adaptive, styles: Styles) -> str:
    policy = item.adaptive
    return (
        tag("p", escape(opening(policy, styles)), class_="reading")
        + frontier_figure(policy, styles, item.id)
        + members(policy, styles)
        + spending(policy, f"{item.id}-spending")
        + taken(policy)
    )


def _figure(item: Figure, styles: Styles) -> str:
    own = _own_styles(item, styles)
    if len(item.panels) > 1:
        panels = [Multiple(panel.title, panel.sub, _series(panel, own)) for panel in item.panels]
        return figure(
            f"figure-{item.id}",
            small_multiples(panels, x=item.x, y=item.y, choice=f"scale-{item.id}", own=item.own),
            reading=item.reading,
            basis=item.basis,
            numbers="".join(curve_table(panel.series, panel.title, item.x) for panel in panels),
            can_save=False,
        )
    [panel] = item.panels
    series = _series(panel, own)
    drawn = [
        line_chart(series, canvas, description=f"{item.title}.", x=item.x, y=item.y)
        for canvas in (WIDE, NARROW)
    ]
    return figure(
        f"figure-{item.id}",
        legend([panel.style for panel in series], css="small-screens") + "".join(drawn),
        reading=item.reading,
        basis=item.basis,
        numbers=curve_table(series, item.title, item.x),
    )


def _series(panel: Panel, styles: dict[str, Style]) -> tuple[Series, ...]:
    return tuple(Series(styles[line.name], line.points, line.best) for line in panel.lines)


def _own_styles(item: Figure, styles: Styles) -> dict[str, Style]:
    """Styles by line name: a strategy keeps its style, other lines get styles not yet in use."""
    lines = {line.name: line for panel in item.panels for line in panel.lines}
    ordered = [line for line in lines.values() if line.order is not None]
    chosen: dict[str, Style] = {}
    for name, line in lines.items():
        if line.order is not None:
            chosen[name] = shaded(name, line.order, len(ordered))
        elif name in styles:
            chosen[name] = styles[name]
    taken = {style.css for style in chosen.values()}
    free = (style for n in range(99) if (style := numbered("", n)).css not in taken)
    for name in lines:
        if name not in chosen:
            style = next(free)
            chosen[name] = Style(name, style.css, style.marker)
    return chosen
