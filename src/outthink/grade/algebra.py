r"""Reads an explicit formula (`latex.explicit`) as an expression of SymPy.

Letters are real numbers, large and small ones different; e and i are the constants. What stands
side by side is multiplied before it is divided: `1/2x` is 1/(2x). The argument of a function
without brackets ends at the next function, sign or dot: `\sin 2x\cos x` is a product, and so is
`\ln 2\cdot x`. `f(x)` is a value of a function only for f and g, and where there are two arguments.
A root of odd degree is real where the number under it is, and so is a power with a fraction of odd
denominator. Everything else is unknown here, integrals, sums and limits among it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sympy

ROUNDED_DIGITS = 6
"""Digits after the point from which a decimal fraction may be a rounded number."""


class Unknown(Exception):
    """A formula that is not known here."""


_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|\\[a-zA-Z]+|\\.|.)", re.DOTALL)
_GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "iota"),
    *("vartheta", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi"),
    *("varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma"),
    *("Phi", "Psi", "Omega", "ell", "hbar"),
}


def _sinh(x: Any) -> Any:
    return (sympy.exp(x) - sympy.exp(-x)) / 2


def _cosh(x: Any) -> Any:
    return (sympy.exp(x) + sympy.exp(-x)) / 2


_TRIGONOMETRY: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(sympy, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": lambda x: _sinh(x) / _cosh(x),
    "coth": lambda x: _cosh(x) / _sinh(x),
    "sech": lambda x: 1 / _cosh(x),
    "csch": lambda x: 1 / _sinh(x),
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **_TRIGONOMETRY,
    **{f"arc{name}": getattr(sympy, f"a{name}")
       for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")},
    "ln": sympy.log,
    "log": lambda x: sympy.log(x) / sympy.log(10),
    "lg": lambda x: sympy.log(x) / sympy.log(10),
    "exp": sympy.exp,
}  # fmt: skip
_SEVERAL: dict[str, Callable[..., Any]] = {
    "max": sympy.Max,
    "min": sympy.Min,
    "gcd": lambda *numbers: sympy.gcd(list(numbers)),
    "lcm": lambda *numbers: sympy.lcm(list(numbers)),
}
_OPEN = {"(": ")", "[": "]", r"\{": r"\}"}
_PAIRS = {r"\lfloor": (r"\rfloor", sympy.floor), r"\lceil": (r"\rceil", sympy.ceiling)}
_TIMES = {r"\cdot", r"\times"}
_OVER = {"/", r"\div"}
_ENDS = {"+", "-", ")", "]", "}", r"\}", r"\rfloor", r"\rceil", ",", "&", r"\\", r"\end", ""}


def expression(latex: str) -> Any:
    """The expression, or matrix, that an explicit formula stands for. Raises `Unknown`."""
    parser = _Parser(_TOKEN.findall(latex))
    value = parser.sum()
    if parser.next:
        raise Unknown(parser.next)
    return value


def symbol(name: str) -> Any:
    """A letter: a real number."""
    return sympy.Symbol(name, real=True)


class _Parser:
    """One pass over the tokens of a formula."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, ""]
        self._place = 0
        self._bars = 0
        self._degrees = False  # inside a trigonometric function, where a degree is an angle

    @property
    def next(self) -> str:
        return self._tokens[self._place]

    def _take(self) -> str:
        token = self.next
        self._place += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise Unknown(f"{token} is missing")

    # Sums and products

    def sum(self) -> Any:
        value = self._product()
        while self.next in {"+", "-"}:
            sign = self._take()
            term = self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self) -> Any:
        value = self._side_by_side()
        while self.next in _TIMES | _OVER:
            operator = self._take()
            factor = self._side_by_side()
            value = value * factor if operator in _TIMES else _divided(value, factor)
        return value

    def _side_by_side(self) -> Any:
        if self.next in {"+", "-"}:
            return -self._side_by_side() if self._take() == "-" else self._side_by_side()
        value = self._factor()
        while self._starts_factor():
            value = value * self._factor()
        return value

    def _starts_factor(self) -> bool:
        return self.next not in _ENDS | _TIMES | _OVER and not (self.next == "|" and self._bars)

    def _factor(self) -> Any:
        value = self._atom()
        while True:
            if self.next == "!":
                self._take()
                value = sympy.factorial(value)
            elif self.next == "^":
                value = self._raised(value)
            else:
                return value

    def _raised(self, value: Any) -> Any:
        self._expect("^")
        if self._tokens[self._place : self._place + 3] == ["{", r"\circ", "}"]:
            self._place += 3
            return value * sympy.pi / 180 if self._degrees else value
        matrix = isinstance(value, sympy.MatrixBase)
        if matrix and self._tokens[self._place : self._place + 3] in (
            ["{", "T", "}"],
            ["{", r"\top", "}"],
        ):
            self._place += 3
            return value.T
        exponent = self._group()
        return value**exponent if matrix else power(value, exponent)

    def _group(self) -> Any:
        """The value between braces."""
        self._expect("{")
        bars, self._bars = self._bars, 0
        value = self.sum()
        self._bars = bars
        self._expect("}")
        return value

    def _written(self) -> str:
        """What stands between braces, as it is written."""
        self._expect("{")
        depth, start = 1, self._place
        while depth:
            token = self._take()
            if not token:
                raise Unknown("a brace is missing")
            depth += {"{": 1, "}": -1}.get(token, 0)
        return "".join(self._tokens[start : self._place - 1])

    # Atoms

    def _atom(self) -> Any:
        token = self._take()
        if token[:1].isdigit() or (token[:1] == "." and token != "."):
            return self._number(token)
        if token in _OPEN:
            bars, self._bars = self._bars, 0
            value = self.sum()
            self._bars = bars
            self._expect(_OPEN[token])
            return value
        if token == "|":
            self._bars += 1
            value = self.sum()
            self._expect("|")
            self._bars -= 1
            return value.det() if isinstance(value, sympy.MatrixBase) else sympy.Abs(value)
        if token[:1] == "\\" and token[1:].isalpha():
            return self._command(token)
        if len(token) == 1 and token.isalpha() and token.isascii():
            return self._letter(token)
        raise Unknown(token)

    def _number(self, token: str) -> Any:
        decimals = token.partition(".")[2]
        if decimals.rstrip("0") and len(token.lstrip("0.").replace(".", "")) >= ROUNDED_DIGITS:
            return sympy.Float(token, 30)
        value = sympy.Rational(token.rstrip("."))
        mixed = "".join(self._tokens[self._place : self._place + 7])
        if (
            not decimals
            and self.next == r"\frac"
            and (part := re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", mixed))
        ):
            self._place += 7
            return value + _divided(sympy.Integer(part[1]), sympy.Integer(part[2]))
        return value

    def _letter(self, name: str) -> Any:
        index = self._index()
        if not index and name == "e":
            return sympy.E
        if not index and name == "i":
            return sympy.I
        return self._applied(name + index)

    def _index(self) -> str:
        if self.next != "_":
            return ""
        self._take()
        return f"_{{{self._written()}}}"

    def _applied(self, name: str) -> Any:
        """A letter, or the value of the function that it names."""
        place, power_of = self._place, ""
        if self.next == "^":
            self._take()
            power_of = self._written()
        function = name[0] in "fg"
        if self.next == "(" and (function or not power_of):
            start = self._place
            self._take()
            arguments = [self.sum()]
            while self.next == ",":
                self._take()
                arguments.append(self.sum())
            if self.next == ")" and (function or len(arguments) > 1):
                self._take()
                inverse = power_of == "-1"
                value = sympy.Function(name + "^{-1}" * inverse)(*arguments)
                if not power_of or inverse:
                    return value
                return power(value, expression(power_of))
            self._place = start
        self._place = place
        return symbol(name)

    def _command(self, token: str) -> Any:
        name = token[1:]
        if name in _FUNCTIONS:
            return self._function(name)
        if name in _SEVERAL:
            return self._several(_SEVERAL[name])
        if name == "frac":
            return _divided(self._group(), self._group())
        if name == "binom":
            return sympy.binomial(self._group(), self._group())
        if name == "sqrt":
            degree: Any = sympy.Integer(2)
            if self.next == "[":
                self._take()
                degree = self.sum()
                self._expect("]")
            return root(self._group(), degree)
        if token in _PAIRS:
            closing, function = _PAIRS[token]
            value = self.sum()
            self._expect(closing)
            return function(value)
        if name == "begin":
            return self._matrix()
        if name == "pi" and self.next != "_":
            return sympy.pi
        if name == "infty":
            return sympy.oo
        if name == "det":
            return self._factor().det()
        if name in _GREEK or name == "pi":
            return symbol(f"\\{name}" + self._index())
        raise Unknown(token)

    def _several(self, function: Callable[..., Any]) -> Any:
        closing = {"(": ")", r"\{": r"\}"}.get(self._take())
        if closing is None:
            raise Unknown("arguments without brackets")
        arguments = [self.sum()]
        while self.next == ",":
            self._take()
            arguments.append(self.sum())
        self._expect(closing)
        return function(*arguments)

    def _matrix(self) -> Any:
        kind = self._written()
        if kind not in {"matrix", "pmatrix", "bmatrix", "vmatrix", "array"}:
            raise Unknown(kind)
        if kind == "array" and self.next == "{":
            self._written()
        rows: list[list[Any]] = [[]]
        while True:
            rows[-1].append(self.sum())
            separator = self._take()
            if separator == r"\\":
                if self.next == r"\end":
                    separator = self._take()
                else:
                    rows.append([])
            if separator == r"\end":
                break
            if separator not in {"&", r"\\"}:
                raise Unknown(separator)
        if self._written() != kind:
            raise Unknown(kind)
        matrix = sympy.Matrix(rows)
        return matrix.det() if kind == "vmatrix" else matrix

    # Functions

    def _function(self, name: str) -> Any:
        function = _FUNCTIONS[name]
        exponent = None
        if self.next == "_":
            if name != "log":
                raise Unknown(name)
            self._take()
            base = self._group()

            def function(x: Any) -> Any:
                return sympy.log(x) / sympy.log(base)

        if self.next == "^":
            self._take()
            exponent = self._group()
            if exponent == -1:
                if name not in _TRIGONOMETRY:
                    raise Unknown(f"the power -1 of {name}")
                exponent, function = None, _FUNCTIONS[f"arc{name}"]
        outer, self._degrees = self._degrees, name in _TRIGONOMETRY
        value = function(self._argument())
        self._degrees = outer
        return value if exponent is None else power(value, exponent)

    def _argument(self) -> Any:
        """What a function is of, in brackets or up to the next sign, function or bracket."""
        if self.next in _OPEN:
            return self._atom()
        if self.next in {"+", "-"}:
            return -self._argument() if self._take() == "-" else self._argument()
        start = self._place
        value = self._factor()
        while self._starts_factor() and not self._starts_function() and self.next not in _OPEN:
            value = value * self._factor()
        if self.next in _OVER and r"\pi" in self._tokens[start : self._place]:  # `\sin \pi/4`
            self._take()
            value = _divided(value, self._factor())
        return value

    def _starts_function(self) -> bool:
        return self.next[1:] in _FUNCTIONS and self.next[:1] == "\\"


def _divided(above: Any, below: Any) -> Any:
    if isinstance(below, sympy.MatrixBase) or below == 0:
        raise Unknown("division by a matrix or by nothing")
    return above / below


def power(base: Any, exponent: Any) -> Any:
    """A power; with a fraction of odd denominator the real one, where there is one."""
    if isinstance(exponent, sympy.MatrixBase):
        raise Unknown("a matrix as exponent")
    if isinstance(exponent, sympy.Rational) and exponent.q % 2 and exponent.q > 1:
        return root(base, sympy.Integer(exponent.q)) ** exponent.p
    return base**exponent


def root(base: Any, degree: Any) -> Any:
    """A root; the real one where its degree is odd and the sign of what is under it is known.

    One of odd degree is taken of every factor, and of a power by its exponent.
    """
    if isinstance(degree, sympy.Integer) and degree % 2:
        if base.is_Mul:
            return sympy.Mul(*(root(factor, degree) for factor in base.args))
        if base.is_number and base.is_negative:
            return -((-base) ** sympy.Rational(1, degree))
        if base.is_Pow and base.exp.is_Integer:
            return base.base ** (base.exp / degree)
    return base ** (1 / sympy.sympify(degree))
