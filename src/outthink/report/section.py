"""Sections, figures with captions, and radio buttons: the parts every section is built from."""

from __future__ import annotations

from dataclasses import dataclass

from outthink.report.markup import escape, tag


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page."""

    id: str
    name: str
    """Its name in the contents."""
    title: str
    body: str


def figure(
    id: str, drawing: str, *, reading: str, basis: str, numbers: str = "", can_save: bool = True
) -> str:
    """A drawing with its caption (what it shows; what it is based on) and its table of numbers."""
    save = tag("button", "Save SVG", type="button", class_="save", hidden=True)
    caption = tag("p", escape(reading), class_="reading") + tag("p", escape(basis), class_="basis")
    details = tag("details", tag("summary", "Numbers"), numbers) if numbers else ""
    return tag(
        "figure",
        drawing,
        tag("figcaption", caption),
        tag("div", details, save if can_save else "", class_="tools"),
        id=id,
        class_="figure",
    )


def radio(name: str, value: str, label: str, *, is_on: bool = False) -> str:
    """One radio button with its label."""
    button = tag("input", type="radio", name=name, value=value, checked=is_on)
    return tag("label", button, tag("span", escape(label)))
