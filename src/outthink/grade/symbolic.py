"""Computer algebra for one formula at a time, in a process that may be killed at any moment.

Two formulas are equal where math-verify says so and an evaluation to 30 digits agrees, so that
nothing is equal because both are tiny; or where an evaluation to 80 digits at five points does.
It is what runs in a process of `worker`: it reads requests from standard input, one JSON object a
line, and answers in kind. A formula that takes too long ends the process, by a timer on CPU time
that no library can swallow. Formulas come as LaTeX; nothing is ever evaluated as Python.

Needs the packages of the extra `math`. math-verify: Kydlicek 2025, Apache-2.0.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy

from outthink.grade import algebra

MEMORY_BYTES = 2 << 30
"""Address space of the process."""

LONGEST = 400
"""Characters of a formula that is worth multiplying out."""

_DIGITS = 30
_AGREES = sympy.Float("1e-12")
"""Two exact values with a smaller relative difference differ by rounding alone."""
_NEAR = sympy.Float("1e-6")
"""The same where a formula holds a decimal fraction, which may be rounded."""
_PROOF_DIGITS = 80
_PROVES = sympy.Float("1e-60", _PROOF_DIGITS)
"""Relative difference, at every point tried, of two formulas that are one."""
_POINTS = ("37/101", "113/89", "-29/71", "-197/83", "1009/97")
"""Values for the letters of two formulas: the first two can disprove that they are equal, all of
them prove it."""
_NORMALIZATION = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none",
    equations=False,
)  # fmt: skip
_CONVERSION = ConversionConfig(lowercase_symbols=False)


def same(left: str, right: str) -> bool:
    """Whether two formulas are equal for every value of their letters."""
    a, b = _parsed(left), _parsed(right)
    if a is None or b is None:
        return False
    if isinstance(a, sympy.MatrixBase) and isinstance(b, sympy.MatrixBase):
        pairs = zip(a.flat(), b.flat(), strict=True) if a.shape == b.shape else ((a, None),)
        return all(y is not None and _same(x, y) for x, y in pairs)
    return _same(a, b)


def _same(a: Any, b: Any) -> bool:
    if a == b:
        return True
    if not _agree(a, b):
        return False
    return _proved(a, b) or math_verify.verify(a, b, timeout_seconds=None) is True


def same_equation(left: str, right: str) -> bool:
    """Whether `left` = 0 and `right` = 0 say the same: one is a multiple of the other."""
    a, b = _parsed(left), _parsed(right)
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return False
    a, b = sympy.expand(a.doit()), sympy.expand(b.doit())
    if a.free_symbols != b.free_symbols or not a.free_symbols or b.is_zero:
        return False
    ratio = sympy.cancel(a / b)
    return bool(ratio.is_number and ratio.is_finite and not ratio.is_zero)


def value(latex: str) -> str | None:
    """The decimal value of a formula without letters, to 25 digits; `None` where it has none."""
    number = _number(_parsed(latex))
    return str(sympy.Float(number, 25)) if number is not None and number.is_real else None


def simplest(latex: str) -> str | None:
    """One way to write everything that is easily seen to be equal; `None` if it cannot be read."""
    formula = _parsed(latex)
    if isinstance(formula, sympy.MatrixBase):
        matrix = sympy.Matrix(*formula.shape, [_simplest(entry) for entry in formula.flat()])
        return _written(matrix, mat_str="pmatrix", mat_delim="")
    if not isinstance(formula, sympy.Expr):
        return None
    written = _written(_simplest(formula))
    return written if len(written) <= LONGEST else _written(formula)


def _simplest(formula: Any) -> Any:
    formula = sympy.nsimplify(formula.doit(), rational=True)
    if not formula.free_symbols:
        return sympy.expand(sympy.sqrtdenest(sympy.radsimp(formula)))
    if any(power.exp.could_extract_minus_sign() for power in formula.atoms(sympy.Pow)):
        formula = sympy.cancel(sympy.together(formula))  # slow, and of use with denominators alone
    return sympy.expand(formula)


def _written(expression: Any, **options: str) -> str:
    return str(sympy.latex(expression, order="lex", ln_notation=True, **options))


@lru_cache(maxsize=512)
def _parsed(latex: str) -> Any:
    """The expression a formula stands for; `None` where it cannot be read."""
    try:
        return algebra.expression(latex)
    except algebra.Unknown:
        pass
    # Integrals, sums and limits. A parser that takes `2(3)` for a mixed number would add the two.
    times = re.sub(r"((?<![\w^.\\])\d+(?:\.\d+)?|\))(?=\()", r"\1 \\cdot ", latex)
    expression = latex2sympy(
        times, is_real=True, conversion_config=_CONVERSION, normalization_config=_NORMALIZATION
    )
    if not isinstance(expression, sympy.Basic) or expression.has(sympy.logic.boolalg.BooleanAtom):
        return None
    # The parser decides by what stands around a letter whether it is real, and i the unit.
    letters = {
        letter: sympy.I if letter.name == "i" else algebra.symbol(letter.name)
        for letter in expression.free_symbols
    }
    return expression.subs(letters, simultaneous=True) if letters else expression


def _number(expression: Any, digits: int = _DIGITS, places: dict[Any, Any] | None = None) -> Any:
    """The value of an expression with its letters at these places, or `None`."""
    if not isinstance(expression, sympy.Expr) or expression.free_symbols - set(places or {}):
        return None
    # Numbers are put in while evaluating: exact powers of fractions would take for ever.
    value = expression.doit().evalf(digits, subs=places)
    return value if value.is_number and value.is_finite else None


def _agree(a: Any, b: Any) -> bool:
    """Whether two expressions that are said to be equal also evaluate to the same."""
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return True
    if a.free_symbols != b.free_symbols and not sympy.expand(a - b).is_zero:
        # Letters that cancel are no letters; otherwise different ones are different things.
        a, b = sympy.simplify(a), sympy.simplify(b)
        if a.free_symbols != b.free_symbols:
            return False
    near = _NEAR if a.has(sympy.Float) or b.has(sympy.Float) else _AGREES
    return False not in (_close(*pair, near) for pair in _values(a, b, _POINTS[:2], _DIGITS))


def _proved(a: Any, b: Any) -> bool:
    """Whether two formulas agree at so many points, to so many digits, that they are one."""
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return False
    if any(one.has(sympy.Float, sympy.floor, sympy.ceiling) for one in (a, b)):
        return False
    points = _POINTS if a.free_symbols | b.free_symbols else _POINTS[:1]
    values = list(_values(a, b, points, _PROOF_DIGITS))
    return len(values) == len(points) and all(_close(*pair, _PROVES) for pair in values)


def _values(a: Any, b: Any, points: tuple[str, ...], digits: int) -> Iterator[tuple[Any, Any]]:
    """The values of two expressions where both have one, at points for their letters."""
    letters = sorted(a.free_symbols | b.free_symbols, key=str)
    for point in points:
        places = {letter: sympy.Rational(point) + index for index, letter in enumerate(letters)}
        x, y = (_number(formula, digits, places) for formula in (a, b))
        if x is not None and y is not None:
            yield x, y


def _close(x: Any, y: Any, near: Any) -> bool:
    return bool(abs(x - y) <= near * max(abs(x), abs(y)))


_REQUESTS: dict[str, Callable[..., bool | str | None]] = {
    "same": same,
    "same_equation": same_equation,
    "value": value,
    "simplest": simplest,
}


def serve(cpu_seconds: float) -> None:
    """Answer requests until standard input ends; end where one takes longer than this."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, wherever it hangs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = sys.stdout
    sys.stdout = sys.stderr

    def tell(answer: bool | str | None) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    tell("ready")
    for line in sys.stdin:
        name, *formulas = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            answer = _REQUESTS[name](*formulas)
        except Exception:  # the libraries raise anything for text that is no mathematics
            answer = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        tell(answer)
