"""Frozen dataclasses to plain dicts and back, for JSON.

Handles dataclasses, tuples, literals, optionals and scalars. Numbers that are not finite, which
JSON does not have, and unknown keys are errors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from outthink.errors import UsageError

T = TypeVar("T")


def dump(value: Any, place: str = "") -> Any:
    """`value` as dicts, lists and scalars. `place` is its path, for errors.

    Raises `UsageError` for a number that is not finite, or a value of another type.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: dump(getattr(value, f.name), _under(place, f.name)) for f in fields}
    if isinstance(value, tuple | list):
        return [dump(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{place} is {value}; give a finite number, or leave out what has none")
    if not isinstance(value, str | int | float | NoneType):
        kind = type(value).__name__
        raise UsageError(f"{place} is a {kind}, not a plain value; convert it, e.g. with float()")
    return value


def load(kind: type[T], data: Any, place: str = "") -> T:
    """A `kind` from what `dump` returned.

    Raises `UsageError` naming the field that is missing, unknown or of another type.
    """
    result: T = _load(kind, data, place)
    return result


def _load(kind: Any, data: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _load_dataclass(kind, data, place)
    if origin in (UnionType, Union):
        if data is None and NoneType in arguments:
            return None
        inner = [argument for argument in arguments if argument is not NoneType]
        return _load(inner[0] if len(inner) == 1 else _kind_of(inner, data, place), data, place)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise _mismatch(place, "a list", data)
        return tuple(_load(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(data))
    if origin is Literal:
        if data not in arguments:
            raise _mismatch(place, " or ".join(map(repr, arguments)), data)
        return data
    return _load_scalar(kind, data, place)


def _kind_of(kinds: Sequence[Any], data: Any, place: str) -> Any:
    """Which of several dataclasses has exactly these fields."""
    for kind in kinds:
        if isinstance(data, Mapping) and {f.name for f in dataclasses.fields(kind)} == set(data):
            return kind
    raise _mismatch(place, " or ".join(kind.__name__ for kind in kinds), data)


def _load_dataclass(kind: type, data: Any, place: str) -> Any:
    if not isinstance(data, Mapping):
        raise _mismatch(place, "an object", data)
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        here = _under(place, field.name)
        if field.name in data:
            values[field.name] = _load(hints[field.name], data[field.name], here)
        elif field.default is dataclasses.MISSING:
            raise UsageError(f"{here} is missing")
    if unknown := sorted(set(data) - set(hints)):
        raise UsageError(f"{_under(place, unknown[0])} is not a field of {kind.__name__}")
    return kind(**values)


def _load_scalar(kind: type, data: Any, place: str) -> Any:
    # In Python a bool is an int; here it is not. A whole number is accepted for a float.
    fits = isinstance(data, int | float if kind is float else kind)
    if not fits or (isinstance(data, bool) and kind is not bool):
        raise _mismatch(place, kind.__name__, data)
    if isinstance(data, float) and not math.isfinite(data):
        raise _mismatch(place, "a finite number", data)
    return data


def _under(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _mismatch(place: str, expected: str, data: Any) -> UsageError:
    return UsageError(f"{place or 'report'} is {str(data)[:60]!r}, not {expected}")
