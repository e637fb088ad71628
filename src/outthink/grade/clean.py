r"""Signs and brackets of an answer: one way to write each sign, and cutting outside of brackets.

`clean` takes away what only says how an answer looks: formula signs, emphasis, spacing commands,
sizes of brackets, currency. It changes no value and joins no digits that were apart, save over a
thousands separator. Knows nothing of numbers or formulas.
"""

from __future__ import annotations

import re

from outthink.grade.latex import braced, without_fonts

CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—‒―﹣－", "-"),
        **dict.fromkeys(
            "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " "
        ),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **dict.fromkeys("（", "("),
        **dict.fromkeys("）", ")"),
        **dict.fromkeys("，、", ","),
        "；": ";",
        "．": ".",
        "％": "%",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∗": "*",
        "÷": "/",
        "∕": "/",
        "⁄": "/",
        "≤": r"\le ",
        "⩽": r"\le ",
        "≥": r"\ge ",
        "⩾": r"\ge ",
        "≠": r"\ne ",
        "≈": r"\approx ",
        "±": r"\pm ",
        "∞": r"\infty ",
        "π": r"\pi ",
        "θ": r"\theta ",
        "√": r"\sqrt ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∈": r"\in ",
        "∅": r"\emptyset ",
        "°": r"^\circ ",
        "′": "'",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "½": r"\frac{1}{2}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "⅕": r"\frac{1}{5}",
        "⅛": r"\frac{1}{8}",
        **{sign: f"^{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
        **{sign: f"_{{{digit}}}" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    }
)
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|bigg?|Bigg?|bigl|bigr|middle)(?![a-zA-Z])\s*\.?(?=[^0-9]|$)", ""),
        (r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits)(?![a-zA-Z])", ""),
        (r"(?<=\d)(?:\\,|\s*\{\s*,\s*\}|,\\!|\\!,|,\\,)\s*(?=\d{3}(?!\d))", ","),
        (r"\\!", ""),
        (
            r"(?<!\\)\\[,;:>]|\\q?quad(?![a-zA-Z])|(?<!\\)\\(?=\s)|~|\\hspace\*?\{[^}]*\}|\\phantom\{[^}]*\}",
            " ",
        ),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\(?:leq|leqslant)(?![a-zA-Z])", r"\\le "),
        (r"\\(?:geq|geqslant)(?![a-zA-Z])", r"\\ge "),
        (r"\\neq(?![a-zA-Z])", r"\\ne "),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=", r"\\ne "),
        (r"\\lbrace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\lbrack(?![a-zA-Z])", "["),
        (r"\\rbrack(?![a-zA-Z])", "]"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset "),
        (r"\{\s*,\s*\}", ","),
        (r"\\(?=%)", ""),
        (
            r"\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\(?:circ|degree)(?![a-zA-Z]))"
            r"|\\(?:degree|textdegree)(?![a-zA-Z])",
            r"\\degree ",
        ),
        (r"\\text\s*\{\s*\}", " "),
        (r"\s*(?:\\pmod|\(\\text\{?mod\}?|\(\\bmod)\s*\{?[^{}]*\}?\)?\s*$", ""),
    )
)
_MONEY = re.compile(r"\\\$|\$|[€£¥₹]|\\(?:pounds|euro|texteuro)(?![a-zA-Z])")
SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    r"""The answer with one way to write each sign, spaces collapsed, and without its wrapping."""
    text = text.translate(CHARACTERS).strip()
    text = unwrapped(text)
    if r"\begin" not in text:
        text = re.sub(r"\\{2,}(?=[a-zA-Z%])", r"\\", text)
    text = without_fonts(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _MONEY.sub(" ", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"(\\frac\s*\{[^{}]*\})\s*([\da-zA-Z])", r"\1{\2}", text)
    text = SPACES.sub(" ", text).strip()
    return unwrapped(text)


def unwrapped(text: str) -> str:
    """Without formula signs, emphasis or a full stop around it."""
    before = None
    while before != text:
        before = text
        text = text.strip().strip("`*").strip()
        text = re.sub(r"(?<!\.)(?<!\\)[.,;]$", "", text)
        text = re.sub(r"^(?:=|:|\\approx(?![a-zA-Z])|\\implies|\\Rightarrow)\s*", "", text)
        for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            inside = text[len(left) : len(text) - len(right)]
            if (
                len(text) > len(left) + len(right)
                and text.startswith(left)
                and text.endswith(right)
                and not text.endswith("\\" + right)
                and left not in inside
                and right not in inside
            ):
                text = inside
        for opening in ("{", r"\text{"):  # words alone need no mark
            if text.startswith(opening) and braced(text, len(opening) - 1) == len(text):
                text = text[len(opening) : -1]
    return text


# Cutting at the top level ------------------------------------------------------------------------

_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)


def balanced(text: str) -> bool:
    """Whether every brace closes; the two brackets of an interval may be of different kinds."""
    depth = brackets = 0
    for token in _TOKEN.findall(text):
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
        elif token in {"(", "[", r"\{"}:
            brackets += 1
        elif token in {")", "]", r"\}"}:
            brackets -= 1
        if depth < 0 or brackets < 0:
            return False
    return depth == brackets == 0 and text.count(r"\begin") == text.count(r"\end")


def closing(text: str, start: int) -> int | None:
    """Where the bracket at `start` closes, whatever kind the closing one is; `None` if nowhere."""
    depth = 0
    position = start
    while position < len(text):
        token = _TOKEN.match(text, position)
        assert token is not None
        if token[0] in {"(", "[", "{", r"\{"}:
            depth += 1
        elif token[0] in {")", "]", "}", r"\}"}:
            depth -= 1
            if depth == 0:
                return token.end() - 1
        position = token.end()
    return None


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """The text cut at a separator that stands in no bracket, brace, bar or environment."""
    parts: list[str] = []
    depth = position = begin = 0
    while position < len(text):
        if depth == 0 and (match := separator.match(text, position)):
            parts.append(text[begin:position])
            begin = position = match.end()
            continue
        token = _TOKEN.match(text, position)
        assert token is not None
        if token[0] in {"(", "[", "{", r"\{", r"\begin"}:
            depth += 1
        elif token[0] in {")", "]", "}", r"\}", r"\end"}:
            depth = max(0, depth - 1)
        position = token.end()
    return [*parts, text[begin:]]
