"""The report as one HTML page that needs nothing else: no network, no other file.

`render` is a function of the report alone: the same report gives the same bytes. A content security
policy inside the page refuses every request and every script but the page's own, so a prompt or an
answer that looks like markup stays text.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path

from outthink.errors import RunError
from outthink.report.calibration import calibration
from outthink.report.curves import accuracy, comparison, difficulty
from outthink.report.data import Report
from outthink.report.glossary import glossary
from outthink.report.grids import agreement, choices
from outthink.report.look import MARKERS, Looks
from outthink.report.markup import escape, tag
from outthink.report.section import Section
from outthink.report.sentences import verdict
from outthink.report.tiles import provenance, tiles
from outthink.report.tokens import tokens
from outthink.report.trees import explorer
from outthink.report.verifiers import verifiers

SECTIONS = (
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
    """The page. Raises `UsageError` for a number that is not finite or a tree that is none."""
    report.to_json()  # refuses what could not be shown, and says where it is
    looks = Looks.of(report)
    found = [section for make in SECTIONS if (section := make(report, looks))]
    header = (
        tag("p", escape(verdict(report)), class_="verdict")
        + tiles(report)
        + notes(report.notes)
        + provenance(report.provenance)
    )
    return document(report.title, header, found)


def document(title: str, header: str, sections: Sequence[Section]) -> str:
    """A whole page: what stands below its title, then its sections."""
    script, style = _asset("report.js"), _style()
    # A lone surrogate, which a proposer can emit, has no place in UTF-8.
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
    """Render to `path`, whole or not at all. Raises `RunError` where the disk will not have it."""
    save(render(report), path)


def save(page: str, path: str | Path) -> None:
    """Write a page, whole or not at all. Raises `RunError` where the disk will not have it."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(page.encode())
        partial.replace(target)
    except OSError as error:
        raise RunError(
            f"cannot write the report to {target}: {error.strerror or error}; "
            "free some space there or name another file"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _clean(page: str) -> str:
    return page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _asset(name: str) -> str:
    return resources.files("outthink.report").joinpath("assets", name).read_text("utf-8")


def _style() -> str:
    """The style sheet, with the dark colours in both places that can call for them."""
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


def _body(title: str, header: str, found: Sequence[Section]) -> str:
    links = "".join(tag("a", escape(section.name), href=f"#{section.id}") for section in found)
    theme = tag("button", "Theme: system", type="button", id="theme", hidden=True)
    bar = tag("div", tag("nav", links, aria_label="Contents"), theme, class_="top")
    top = tag("header", tag("h1", escape(title)), header)
    parts = "".join(map(_section, found))
    skip = tag("a", "Skip to the figures", href=f"#{found[0].id}", class_="skip")
    return (
        skip + bar + tag("main", top, parts) + _markers() + tag("div", id="tip", aria_hidden="true")
    )


def _section(section: Section) -> str:
    title = f"{section.id}-title"
    heading = tag("h2", escape(section.title), id=title)
    return tag("section", heading, section.body, id=section.id, aria_labelledby=title)


def notes(found: Sequence[str]) -> str:
    """What a reader must know to read the page fairly."""
    if not found:
        return ""
    items = "".join(tag("li", escape(note)) for note in found)
    return tag("div", tag("h2", "Read with care"), tag("ul", items), class_="notes")


def _markers() -> str:
    """The marker shapes, for the script to draw in the box of values."""
    shapes = (tag("path", id=f"marker-{index}", d=d) for index, d in enumerate(MARKERS))
    return tag("svg", tag("defs", *shapes), width=0, height=0, aria_hidden="true", class_="defs")
