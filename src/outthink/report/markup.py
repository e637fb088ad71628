"""HTML and SVG as strings, with all text from outside escaped.

Markup is plain `str`. It is safe because text enters it only through `escape`, the attributes of
`tag`, and `embed`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = frozenset({"br", "hr", "input", "link", "meta", "wbr"})
_CONTROLS = {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n\r"}
_JSON_IN_HTML = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def escape(text: object) -> str:
    """Text for an element or a quoted attribute. Control characters show as U+FFFD."""
    return html.escape(str(text)).translate(_CONTROLS)


def tag(name: str, /, *children: str, **attributes: object) -> str:
    """An element. `class_` and `for_` lose their underscore, inner ones become hyphens.

    An attribute that is `None` or false is left out, one that is true stands alone.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_value(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return f"<{name}{written}>" + ("" if name in _VOID else "".join(children) + f"</{name}>")


def _value(value: object) -> str:
    # A tenth of a pixel is exact enough, and keeps the page small.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else escape(value)


def embed(data: Any) -> str:
    """JSON that is safe inside a script element, whatever text it contains."""
    dumped = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return dumped.translate(_JSON_IN_HTML)


def breakable(name: str) -> str:
    """A strategy's name, escaped, with marks where a narrow column may break it."""
    return escape(name).replace("(", "<wbr>(").replace(",", ",<wbr>").replace("=", "=<wbr>")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str) -> str:
    """A table that scrolls on its own; the first column holds the row headings."""
    body = "".join(
        tag(
            "tr",
            tag("th", escape(row[0]), scope="row"),
            *(tag("td", escape(cell)) for cell in row[1:]),
        )
        for row in rows
    )
    return tag(
        "div",
        tag(
            "table",
            tag("caption", escape(caption)),
            tag("thead", tag("tr", *(tag("th", escape(name), scope="col") for name in head))),
            tag("tbody", body),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )
