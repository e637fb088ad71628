"""The report as one HTML page that needs nothing else: no network, no other file.

`render` depends on the report only: the same report gives the same bytes. The page's content
security policy blocks every request and every script but its own, so a prompt or an answer that
looks like markup is shown as text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from outthink import whole
from outthink.errors import RunError
from outthink.report.calibration import calibration
from outthink.report.curves import accuracy, comparison, difficulty
from outthink.report.data import Report
from outthink.report.decisions import certainty, decisions
from outthink.report.frontier import frontier
from outthink.report.glossary import glossary
from outthink.report.grids import agreement, choices
from outthink.report.markup import escape, tag
from outthink.report.promises import promises
from outthink.report.prose import verdict
from outthink.report.section import Section
from outthink.report.style import MARKERS, Styles
from outthink.report.summary import provenance, summary
from outthink.report.tokens import tokens
from outthink.report.trees import explorer
from outthink.report.verifiers import verifiers

SECTIONS = (
    frontier,
    decisions,
    certainty,
    promises,
    accuracy,
    difficulty,
    comparison,
    choices,
    calibration,
    verifiers,
    agreement,
    tokens,
    explorer,
    glossary,
)


def render(report: Report) -> str:
    """The page.

    Raises `UsageError` for a number that is not finite, or a tree whose steps are out of order.
    """
    report.to_json()  # raises, naming the field
    styles = Styles.of(report)
    sections = [section for make in SECTIONS if (section := make(report, styles))]
    header = (
        tag("p", escape(verdict(report)), class_="verdict")
        + summary(report)
        + notes(report.notes)
        + provenance(report.provenance)
    )
    return document(report.title, header, sections)


def document(title: str, header: str, sections: Sequence[Section]) -> str:
    """A whole page: its title, `header` below it, then the sections."""
    script, style = _asset("report.js"), _style()
    # A proposer can emit a lone surrogate, which UTF-8 cannot encode.
    return _clean(
        "<!doctype html>\n"
        + tag(
            "html",
            tag("head", _head(title, script), tag("style", style)),
            tag("body", _body(title, header, sections), tag("script", script)),
            lang="en",
        )
        + "\n"
    )


def write(report: Report, path: str | Path) -> None:
    """Render to `path`; a file there is replaced once the page is complete. Raises `RunError` where
    it cannot be written."""
    save(render(report), path)


def save(page: str, path: str | Path) -> None:
    """Write a page; a file there is replaced once the page is complete. Raises `RunError` where it
    cannot be written."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.write(target, page)
    except OSError as error:
        raise RunError(
            f"cannot write the report to {target}: {error.strerror or error}; "
            "free some space there, or give another path with -o"
        ) from error


def _clean(page: str) -> str:
    return page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _asset(name: str) -> str:
    return resources.files("outthink.report").joinpath("assets", name).read_text("utf-8")


def _style() -> str:
    """The style sheet. Dark colours apply by the system's setting and by the page's own switch."""
    dark = _asset("dark.css")
    by_system = f":root:not([data-theme=light]){{{dark}}}"
    by_choice = f":root[data-theme=dark]{{{dark}}}"
    return (
        _asset("report.css")
        + f"@media screen and (prefers-color-scheme:dark){{{by_system}}}\n"
        + f"@media screen{{{by_choice}}}\n"
    )


def _head(title: str, script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        tag("meta", charset="utf-8")
        + tag("meta", http_equiv="Content-Security-Policy", content=policy)
        + tag("meta", name="viewport", content="width=device-width, initial-scale=1")
        + tag("meta", name="color-scheme", content="light dark")
        + tag("link", rel="icon", href="data:,")
        + tag("title", escape(title))
    )


def _body(title: str, header: str, sections: Sequence[Section]) -> str:
    links = "".join(tag("a", escape(section.name), href=f"#{section.id}") for section in sections)
    theme = tag("button", "Theme: system", type="button", id="theme", hidden=True)
    bar = tag("div", tag("nav", links, aria_label="Contents"), theme, class_="top")
    top = tag("header", tag("h1", escape(title)), header)
    parts = "".join(map(_section, sections))
    skip = tag("a", "Skip to the figures", href=f"#{sections[0].id}", class_="skip")
    return (
        skip + bar + tag("main", top, parts) + _markers() + tag("div", id="tip", aria_hidden="true")
    )


def _section(section: Section) -> str:
    title = f"{section.id}-title"
    heading = tag("h2", escape(section.title), id=title)
    return tag("section", heading, section.body, id=section.id, aria_labelledby=title)


def notes(lines: Sequence[str]) -> str:
    """The caveats, as a box."""
    if not lines:
        return ""
    items = "".join(tag("li", escape(note)) for note in lines)
    return tag("div", tag("h2", "Read with care"), tag("ul", items), class_="notes")


def _markers() -> str:
    """The marker shapes, which the script draws in the tooltip."""
    shapes = (tag("path", id=f"marker-{index}", d=d) for index, d in enumerate(MARKERS))
    return tag("svg", tag("defs", *shapes), width=0, height=0, aria_hidden="true", class_="defs")
