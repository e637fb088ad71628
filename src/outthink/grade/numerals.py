r"""Numbers as people write them, with their units, and their exact values.

The whole text has to be one number: `1,234`, `-3/4`, `2\frac{1}{2}`, `1.5 \times 10^{3}`,
`5 million`, `50\%`, `12 \text{ cm}^2`, `18 dollars per day`. Nothing is looked for inside of
anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from outthink.grade import latex

MOST_DIGITS = 400
"""Digits of a number that is read exactly; longer ones are compared as they are written."""


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value. `places` are the digits after the point, where it was written with one."""

    value: Fraction
    places: int | None = None
    unit: str = ""


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_DECIMAL = rf"(?:(?:\d{{1,3}}(?: \d{{3}})+(?![\d /])|{_DIGITS})(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]\s*)?(?:"
    rf"(?:(?P<whole>{_DIGITS})\s*)?\\frac\s*\{{\s*(?P<inner>-?)\s*(?P<top>{_DIGITS})\s*\}}\s*\{{\s*(?P<bottom>{_DIGITS})\s*\}}"
    rf"|(?:(?P<whole2>\d+)\s+)?(?P<top2>{_DIGITS})\s*/\s*(?P<bottom2>{_DIGITS})"
    rf"|(?P<once>\d*\.\d*?)(?:\\(?:overline|bar)\s*(?:\{{\s*(?P<over>\d+)\s*\}}|(?P<over2>\d))"
    rf"|(?P<again>\d{{1,6}}?)(?P=again){{2,}}\s*(?:\.\.\.|\\[lc]?dots))"
    rf"|(?P<decimal>{_DECIMAL})(?:\s*(?:[eE]|(?:\\times|\\cdot|\*)\s*10\s*\^)\s*"
    rf"(?:\{{\s*(?P<exp>[-+]?\d+)\s*\}}|(?P<exp2>[-+]?\d+)))?"
    rf")"
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNIT = re.compile(
    r"\s*(?P<percent>%|percent\b|\\text\s*\{\s*(?:%|percent)\s*\})?"
    r"\s*(?P<scale>(?:\\text\s*\{\s*)?(?:hundred|thousand|million|billion|trillion)\b(?:\s*\})?)?"
    r"\s*(?P<degree>\\degree)?"
    r"\s*(?P<unit>\\text\s*\{[^{}\d]*\}|[a-zA-Z][a-zA-Z./' -]*)?"
    r"\s*(?P<power>\^\s*\{?\s*-?\s*\d\s*\}?)?"
    r"(?P<more>(?:\s*(?:/|\\cdot(?![a-zA-Z]))?\s*\\text\s*\{[^{}\d]*\}"
    r"(?:\s*\^\s*\{?\s*-?\s*\d\s*\}?)?)*)\s*"
)
FUNCTIONS = latex.FUNCTIONS | set(latex.NAMES) | {"sqrt", "binom", "lim"}
"""Names that stand for functions and constants."""
_NOT_A_UNIT = {
    "or", "and", "plus", "minus", "times", "than", "out", "over", "not", "if", "but", "to", "half",
    "divided", "each", "remainder", "r", "mod", "choose", "is", "are", "was", "between", "e", "i",
    "pi", "sqrt", "through", "hundred", "thousand", "million", "billion", "trillion", "quarter",
    "third", "base", "root", "squared", "cubed",
}  # fmt: skip
_SYNONYMS = {
    "mm": "mm", "millimeter": "mm", "millimetre": "mm",
    "cm": "cm", "centimeter": "cm", "centimetre": "cm",
    "m": "m", "meter": "m", "metre": "m",
    "km": "km", "kilometer": "km", "kilometre": "km",
    "in": "inch", "inch": "inch", "inche": "inch",
    "ft": "foot", "foot": "foot", "feet": "foot",
    "yd": "yard", "yard": "yard", "mi": "mile", "mile": "mile",
    "g": "g", "gram": "g", "kg": "kg", "kilogram": "kg",
    "lb": "pound", "oz": "ounce", "ounce": "ounce",
    "l": "litre", "liter": "litre", "litre": "litre", "ml": "ml", "milliliter": "ml",
    "s": "second", "sec": "second", "second": "second", "min": "minute", "minute": "minute",
    "h": "hour", "hr": "hour", "hour": "hour", "day": "day", "week": "week", "month": "month",
    "year": "year", "dollar": "dollar", "cent": "cent", "degree": "degree", "deg": "degree",
    "radian": "radian", "rad": "radian", "square": "", "sq": "", "cubic": "", "cu": "",
}  # fmt: skip


def read_number(text: str) -> Number | None:
    """The number that the whole text is, with or without a unit; `None` where it is none."""
    match = _NUMBER.match(text)
    if match is None or len(text) > MOST_DIGITS + 100:
        return None
    rest = _UNIT.fullmatch(text, match.end())
    if rest is None:
        return None
    unit = _unit(rest)
    if unit is None:
        return None
    value = _value(match)
    if value is None:
        return None
    if rest["scale"]:
        value *= 10 ** _SCALES[re.sub(r"\\text|[\s{}]", "", rest["scale"])]
    places = None
    if match["decimal"] and "." in match["decimal"]:
        exponent = int(match["exp"] or match["exp2"] or 0)
        places = len(match["decimal"].partition(".")[2]) - exponent
    return Number(value, places, unit)


def _value(match: re.Match[str]) -> Fraction | None:
    def digits(text: str | None) -> int:
        return int((text or "0").replace(",", ""))

    sign = -1 if (match["sign"] or "").strip() == "-" else 1
    if len(match[0]) > MOST_DIGITS:
        return None
    if match["decimal"]:
        exponent = match["exp"] or match["exp2"] or "0"
        if len(exponent) > 4 or abs(int(exponent)) > MOST_DIGITS:
            return None
        return sign * Fraction(re.sub("[, ]", "", match["decimal"])) * Fraction(10) ** int(exponent)
    if match["once"]:
        whole, _, fixed = match["once"].partition(".")
        period = match["over"] or match["over2"] or match["again"]
        nines = int("9" * len(period))
        part = (int(fixed or 0) + Fraction(int(period), nines)) / int("1" + "0" * len(fixed))
        return sign * (digits(whole) + part)
    top = digits(match["top"] or match["top2"])
    bottom = digits(match["bottom"] or match["bottom2"])
    whole = match["whole"] or match["whole2"]
    if bottom == 0 or (whole and match["inner"]):
        return None
    part = Fraction(top, bottom) * (-1 if match["inner"] else 1)
    return sign * (digits(whole) + part)


def _unit(rest: re.Match[str]) -> str | None:
    """The unit after a number as one word, `""` where there is none, `None` where it is no unit."""
    written = rest["unit"] or ""
    in_text = written.startswith(r"\text")
    if re.search(rf"\{{\s*(?:{'|'.join(_NOT_A_UNIT)})\s*\}}", rest["more"]):
        return None
    words = re.findall(r"[a-zA-Z]+", re.sub(r"\\text", " ", written).lower())
    if any(word in _NOT_A_UNIT for word in words) or len(words) > 6:
        return None
    if rest["power"] and not words:
        return None
    known = [_SYNONYMS.get(word) or _SYNONYMS.get(word.removesuffix("s")) for word in words]
    if words and not in_text and not (known[0] and len(words[0]) > 1):
        # `3x`, `2ab` and `2 ab` are products; a word that is no known unit stands apart.
        apart = rest.string[: rest.start("unit")].endswith(" ")
        if not apart or len(words[0]) < 3 or words[0] in FUNCTIONS:
            return None
    if rest["degree"]:
        return "degree"
    if rest["percent"]:
        return "percent"
    if rest["more"]:  # `\text{ mol} \text{L}^{-1}`
        return ""
    power = re.sub(r"[^\d-]", "", rest["power"] or "")
    if words and words[0] in {"square", "sq", "cubic", "cu"}:
        power = "2" if words[0] in {"square", "sq"} else "3"
        words, known = words[1:], known[1:]
    if len(words) == 1 and known[0]:
        return known[0] + power
    return ""
