r"""A formula token by token: plain or LaTeX, it gets every brace that its notation leaves out.

`explicit` writes a formula so that it can be read in one way only: `a^2b^{2c}` is `a^{2}b^{2c}`,
`\frac Mm` is `\frac{M}{m}`, `\log_2 55` is `\log_{2}55`, `{5 \choose 2}` is `\binom{5}{2}`. Spaces
mean nothing afterwards. `without_fonts` takes away what only says how a value looks. Both read
brackets and braces by their nesting, not by patterns, and compute nothing.

Where TeX and plain notation differ, plain notation is meant: `x^10` is the tenth power.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FUNCTIONS = {
    *("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth"),
    *("arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc", "log", "ln", "lg", "exp"),
    *("max", "min", "gcd", "lcm", "det", "sech", "csch", "arcsinh", "arccosh", "arctanh"),
}
"""Names of functions; in LaTeX with a backslash, in plain notation without."""

NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "oo": "infty", "pi": "pi"}
"""Other names of plain notation, and their commands."""

_FONTS = {
    *(
        "mathbf",
        "boldsymbol",
        "bm",
        "mathit",
        "mathsf",
        "mathtt",
        "underline",
        "emph",
        "mathnormal",
    ),
    *("boxed", "fbox", "ensuremath", "uline", "pmb", "bold"),
}
_TEXTS = {
    *("text", "textbf", "textit", "textrm", "textnormal", "textsf", "texttt", "mbox", "hbox"),
    *("mathrm", "operatorname", "textup", "textmd", "textsc"),
}
_ALIASES = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "frac"),
    **dict.fromkeys(("dbinom", "tbinom"), "binom"),
    **dict.fromkeys(("dots", "cdots", "dotsc", "dotsb", "dotsm", "dotso"), "ldots"),
    **dict.fromkeys(("lvert", "rvert", "vert"), "|"),
    **dict.fromkeys(("ast", "bullet", "centerdot"), "cdot"),
    **{"leqslant": "le", "geqslant": "ge", "leq": "le", "geq": "ge", "varnothing": "emptyset"},
}
_ARGUMENTS = {"frac": 2, "binom": 2, "overline": 1, "bar": 1, "vec": 1, "hat": 1, "tilde": 1,
              "dot": 1, "mathbb": 1, "mathcal": 1, "mathfrak": 1, "overrightarrow": 1,
              "widehat": 1, "overset": 2, "underset": 2, "stackrel": 2}  # fmt: skip
_INFIX = {"choose": "binom", "over": "frac"}
_SIZES = {"left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "displaystyle"}


class Unreadable(Exception):
    """Text that is no formula, or one that can be read in two ways."""


@dataclass(slots=True)
class _Piece:
    """A part of a formula with its scripts. `kind`: number, letter, name, function, text, mark."""

    kind: str
    text: str
    apart: bool = False
    """Whether a space stands before it."""
    sub: str | None = None
    sup: str | None = None

    def __str__(self) -> str:
        scripts = "" if self.sub is None else f"_{{{self.sub}}}"
        return self.text + scripts + ("" if self.sup is None else f"^{{{self.sup}}}")


def explicit(text: str) -> str:
    """The formula with all its braces and without spaces that mean nothing.

    Raises `Unreadable` where braces do not close, an argument is missing, a power has two
    exponents, or two numbers stand side by side.
    """
    reader = _Reader(text)
    pieces = reader.sequence("")
    if reader.position < len(text):
        raise Unreadable(f"{text[reader.position]!r} closes nothing")
    return _joined(pieces).rstrip()


def _joined(pieces: list[_Piece]) -> str:
    written = ""
    for piece in pieces:
        part = str(piece)
        if re.search(r"\\[a-zA-Z]+\Z", written) and part[:1].isalpha():
            written += " "
        written += part
    return written


class _Reader:
    """Reads from `position` on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.depth = 0

    # Characters

    def _spaces(self) -> bool:
        start = self.position
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1
        return self.position > start

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _take(self, pattern: str) -> str | None:
        match = re.compile(pattern).match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        return match[0]

    # Parts

    def sequence(self, stop: str) -> list[_Piece]:
        """The pieces up to the character `stop`, which is taken; up to the end where it is empty.

        A `\\choose` or `\\over` among them makes one piece of all.
        """
        self.depth += 1
        if self.depth > 60:
            raise Unreadable("nested too deeply")
        pieces: list[_Piece] = []
        infix: tuple[str, list[_Piece]] | None = None
        while True:
            apart = self._spaces()
            if self.position >= len(self.text):
                if stop:
                    raise Unreadable(f"{stop!r} is missing")
                break
            if stop and self._peek() == stop:
                self.position += 1
                break
            if self._peek() == "}":
                if stop:
                    raise Unreadable("a brace closes nothing")
                break
            if name := self._take(r"\\(?:choose|over)(?![a-zA-Z])"):
                if infix is not None:
                    raise Unreadable(f"{name} twice in one group")
                infix, pieces = (_INFIX[name[1:]], pieces), []
                continue
            self._piece(pieces, apart)
        self.depth -= 1
        if infix is not None:
            command, above = infix
            if not above or not pieces:
                raise Unreadable(f"{command} without an argument")
            return [_Piece("name", f"\\{command}{{{_joined(above)}}}{{{_joined(pieces)}}}")]
        return pieces

    def _piece(self, pieces: list[_Piece], apart: bool) -> None:
        """Read one more piece, or a script of the last one."""
        sign = self._peek()
        if sign in "^_" or self.text.startswith("**", self.position):
            self.position += 2 if sign == "*" else 1
            self._script("_" if sign == "_" else "^", pieces)
        elif sign == "{":
            self.position += 1
            inside = self.sequence("}")
            if pieces and pieces[-1].kind == "function":  # the braces say where the argument ends
                written = _joined(inside)
                bare = _is_bracketed(written)
                inside = [_Piece("mark", written if bare else f"({written})")]
            pieces.extend(inside)
        elif sign == "\\":
            self._command(pieces, apart)
        elif number := self._take(r"\d+(?:\.\d+)?|\.\d+"):
            if pieces and apart and pieces[-1].kind == "number" and str(pieces[-1])[-1:] != "}":
                raise Unreadable("two numbers side by side")
            pieces.append(_Piece("number", number, apart))
        elif run := self._take(r"[a-zA-Z]+"):
            self._letters(run, pieces)
        elif sign == "*":
            self.position += 1
            pieces.append(_Piece("mark", r"\cdot"))
        else:
            self.position += 1
            pieces.append(_Piece("mark", sign))

    def _letters(self, run: str, pieces: list[_Piece]) -> None:
        """A run of letters: a name of plain notation, or a product."""
        if run == "sqrt":
            pieces.append(self._root())
        elif run in FUNCTIONS:
            pieces.append(_Piece("function", f"\\{run}"))
        elif run in NAMES:
            command = NAMES[run]
            kind = "function" if command in FUNCTIONS else "name"
            pieces.append(_Piece(kind, f"\\{command}"))
        else:
            pieces.extend(_Piece("letter", letter) for letter in run)

    def _command(self, pieces: list[_Piece], apart: bool) -> None:
        name = self._take(r"\\(?:[a-zA-Z]+|.)") or self._take(r"\\") or ""
        name = _ALIASES.get(name[1:], name[1:])
        if name in _SIZES or name in {"", " ", "!", ",", ";", ":", ">"}:
            return
        if name in _INFIX:
            raise Unreadable(f"\\{name} out of place")
        if name == "sqrt":
            pieces.append(self._root())
        elif name in _ARGUMENTS:
            arguments = [self._argument() for _ in range(_ARGUMENTS[name])]
            written = "".join(f"{{{argument}}}" for argument in arguments)
            pieces.append(_Piece("name", f"\\{name}{written}", apart))
        elif name in {"text", "mathrm"}:
            self._word(pieces)
        elif name in {"begin", "end"}:
            environment = self._take(r"\s*\{[a-zA-Z]*\*?\}(?:\{[lcr|]*\})?")
            if environment is None:
                raise Unreadable(f"\\{name} without a name")
            pieces.append(_Piece("mark", f"\\{name}{environment.strip()}"))
        elif name in FUNCTIONS:
            pieces.append(_Piece("function", f"\\{name}"))
        elif name == "degree":
            pieces.append(_Piece("mark", r"^{\circ}"))
        elif name == "|":
            pieces.append(_Piece("mark", "|"))
        else:
            mark = name in {"cdot", "times", "div", "pm", "mp"} or not name.isalpha()
            pieces.append(_Piece("mark" if mark else "name", f"\\{name}"))

    def _word(self, pieces: list[_Piece]) -> None:
        r"""What `\text` holds: a letter, the name of a function, or words."""
        self._spaces()
        if self._peek() != "{":
            return
        end = braced(self.text, self.position)
        if end is None:
            raise Unreadable("a brace does not close")
        word = self.text[self.position + 1 : end - 1]
        self.position = end
        bare = word.strip()
        if bare in FUNCTIONS:
            pieces.append(_Piece("function", f"\\{bare}"))
        elif len(bare) == 1 and bare.isalpha():
            pieces.append(_Piece("letter", bare))
        elif bare:
            pieces.append(_Piece("text", f"\\text{{{word}}}"))

    def _root(self) -> _Piece:
        self._spaces()
        degree = None
        if self._peek() == "[":
            self.position += 1
            degree = _joined(self.sequence("]"))
            self._spaces()
        if self._peek() == "(":
            self.position += 1
            inside = _joined(self.sequence(")"))
        else:
            inside = self._take(r"\d+") or self._argument()
        if not inside:
            raise Unreadable("a root of nothing")
        return _Piece("name", f"\\sqrt[{degree}]{{{inside}}}" if degree not in {None, "", "2"}
                      else f"\\sqrt{{{inside}}}")  # fmt: skip

    def _argument(self) -> str:
        """An argument as TeX takes it: a group, a command with its own arguments, a character."""
        self._spaces()
        pieces: list[_Piece] = []
        if self._peek() == "{":
            self.position += 1
            pieces = self.sequence("}")
        elif self._peek() == "\\":
            self._command(pieces, False)
        elif self._peek() not in {"", "}", "^", "_", "&", ")", "]"}:
            pieces = [_Piece("mark", self._peek())]
            self.position += 1
        written = _joined(pieces)
        if not written:
            raise Unreadable("an argument is missing")
        return written

    def _script(self, sign: str, pieces: list[_Piece]) -> None:
        r"""An exponent or index of the last piece; digits run on, as in `x^10` and `x^-2`."""
        self._spaces()
        if sign == "^" and self._peek() == "(":
            self.position += 1
            written = _joined(self.sequence(")"))
        elif sign == "^" and (
            number := self._take(r"[-+]?\s*(?:\d+(?:\.\d+)?|[a-zA-Z](?![a-zA-Z]))")
        ):
            written = number.replace(" ", "").removeprefix("+")
        elif sign == "^" and self._take("-"):
            written = "-" + self._argument()
        elif sign == "_" and (digits := self._take(r"\d+")):
            if len(digits) > 1 and pieces and pieces[-1].text == r"\log" and self._ends():
                self.position -= len(digits) - 1  # `\log_28` is the logarithm of 8
                digits = digits[0]
            written = digits
        elif self._peek() == "{":
            self.position += 1
            written = _joined(self.sequence("}"))
        else:
            written = self._argument()
        if not written:
            return
        if not pieces:
            pieces.append(_Piece("mark", ""))
        last = pieces[-1]
        if sign == "_":
            if last.sub is not None:
                raise Unreadable("two indices")
            last.sub = written
        elif last.sup is not None:
            raise Unreadable("two exponents")
        elif written == r"\circ":
            pieces.append(_Piece("mark", r"^{\circ}"))
        else:
            last.sup = written

    def _ends(self) -> bool:
        """Whether nothing follows that a function could be of."""
        return re.compile(r"\s*(?:[-+=,)\]}]|\\(?:cdot|times)|\Z)").match(
            self.text, self.position
        ) is not None  # fmt: skip


def _is_bracketed(text: str) -> bool:
    """Whether one pair of round brackets holds everything."""
    depth = 0
    for index, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return index == len(text) - 1 and index > 0
    return False


# Fonts -------------------------------------------------------------------------------------------


def braced(text: str, start: int) -> int | None:
    """Where the group that opens at `start` ends (after its brace); `None` if nowhere."""
    depth = 0
    position = start
    while position < len(text):
        sign = text[position]
        if sign == "\\":
            position += 1
        elif sign in "{}":
            depth += 1 if sign == "{" else -1
            if depth == 0:
                return position + 1
        position += 1
    return None


_FONT = re.compile(
    rf"\\(?:(?P<font>{'|'.join(sorted(_FONTS))})|(?P<text>{'|'.join(sorted(_TEXTS))})"
    r"|(?P<color>textcolor|colorbox)\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}"
    r"|(?P<switch>color\s*\{[^{}]*\}|(?:rm|bf|it|sf|tt)(?![a-zA-Z])))"
    r"(?![a-zA-Z])\*?\s*"
)


def without_fonts(text: str) -> str:
    r"""Without fonts, colours and frames; words stay in `\text`, what holds no word does not."""
    written = ""
    position = 0
    while match := _FONT.search(text, position):
        written += text[position : match.start()]
        position = match.end()
        if match["switch"]:
            written += " "
            continue
        end = braced(text, position) if text.startswith("{", position) else None
        if end is None:
            written += r"\text" if match["text"] else " "
            continue
        inside = without_fonts(text[position + 1 : end - 1])
        position = end
        part = _word(match["text"], inside) if match["text"] else _bare(inside)
        if part[:1].isalpha() and re.search(r"\\[a-zA-Z]+\Z", written):
            written += " "
        written += part
    return written + text[position:]


def _word(command: str, inside: str) -> str:
    r"""The content of a text command: in `\text`, unless it is no word."""
    bare = inside.strip()
    constant = command == "mathrm" and bare in {"e", "i"}
    if bare and (constant or not re.search(r"[^\W\d_]", bare)):
        return _bare(bare)
    if bare in FUNCTIONS and command in {"mathrm", "operatorname"}:
        return f"\\{bare} "
    if bare.startswith(r"\text{") and braced(bare, 5) == len(bare):
        return bare
    return f"\\text{{{inside}}}"


def _bare(inside: str) -> str:
    """The content of a group: without braces where it is one letter, or digits and signs."""
    return inside if re.fullmatch(r"[^\\{}a-zA-Z^_]*|[a-zA-Z]", inside) else f"{{{inside}}}"
