"""Tries a program against tests, inside the sandbox. A script, not a module; knows only Python.

The tests never share a process with the program they test. The tester holds the tests; the program
runs in a process of its own, and its functions are called from the tests through a pipe that
carries plain values: numbers, text, lists, sets, dictionaries. So a program cannot pass by ending
early, by reading the tests, by replacing what they use, or by returning an object that says it is
equal to everything. Objects of the program's own classes stay where they are; the tests hold
handles to them and can call their methods.

A name of Python's own, such as `len`, is Python's in the tests, or a program could make them mean
nothing. The one exception is the function that is tested: where it is called `sum`, it is the
program's `sum` that they call, and a program without one fails.

It does not protect against a program that knows the expected values by heart.
"""

from __future__ import annotations

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import io
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from itertools import islice
from typing import Any, NoReturn

MOST_ITEMS = 100_000
"""Items taken from an iterator that a program returns."""
MOST_BYTES = 1 << 24
"""Of one message."""

# Values on the wire ------------------------------------------------------------------------------

_PLAIN: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "complex": (complex, lambda value: [value.real, value.imag]),
    "bytes": (bytes, lambda value: value.hex()),
    "bytearray": (bytearray, lambda value: value.hex()),
    "range": (range, lambda value: [value.start, value.stop, value.step]),
    "Decimal": (decimal.Decimal, str),
    "Fraction": (fractions.Fraction, lambda value: [value.numerator, value.denominator]),
    "timedelta": (
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
    ),
    "datetime": (datetime.datetime, lambda value: value.isoformat()),
    "date": (datetime.date, lambda value: value.isoformat()),
}
_BACK: dict[str, Callable[[Any], Any]] = {
    "complex": lambda value: complex(*value),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "range": lambda value: range(*value),
    "Decimal": decimal.Decimal,
    "Fraction": lambda value: fractions.Fraction(*value),
    "timedelta": lambda value: datetime.timedelta(*value),
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "int": lambda value: int(value, 16),
    "type": lambda value: vars(builtins)[value],
}


_SEQUENCES: tuple[Any, ...] = (list, tuple, set, frozenset, collections.deque)


class Handles:
    """Objects of this process that the other one has numbers of."""

    def __init__(self) -> None:
        self._objects: list[Any] = []

    def number(self, value: Any) -> int:
        self._objects.append(value)
        return len(self._objects) - 1

    def __getitem__(self, number: int) -> Any:
        return self._objects[number]


def encode(value: Any, handles: Handles | None = None, depth: int = 0) -> Any:
    """A value as JSON. What has no plain form becomes a handle, or is refused without `handles`."""
    if depth > 100:
        raise ValueError("nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int.__int__(value)
        return number if -(10**18) < number < 10**18 else ["int", hex(number)]
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Remote):
        return ["object", value._number]

    def items(values: Any) -> list[Any]:
        return [encode(item, handles, depth + 1) for item in values]

    if isinstance(value, dict):
        return ["dict", [items(pair) for pair in dict.items(value)]]
    for kind in _SEQUENCES:
        if isinstance(value, kind):
            return [kind.__name__, items(kind.__iter__(value))]
    for name, (plain_kind, plain) in _PLAIN.items():
        if isinstance(value, plain_kind):
            return [name, plain(value)]
    if isinstance(value, Iterator | KeysView | ValuesView | ItemsView):
        return ["iterator", items(islice(iter(value), MOST_ITEMS))]
    if any(value is kind for kind in vars(builtins).values() if type(kind) is type):
        return ["type", str(value.__name__)]
    if handles is None:
        raise TypeError(f"cannot hand over a {type(value).__name__}")
    return ["object", handles.number(value)]


def decode(value: Any, remote: Callable[[int], Any]) -> Any:
    """The value that was encoded; `remote` gives what a handle stands for."""
    if not isinstance(value, list):
        return value
    kind, inside = value
    if kind == "object":
        return remote(inside)
    if kind in _BACK:
        return _BACK[kind](inside)
    members = [decode(member, remote) for member in inside] if kind != "dict" else []
    if kind == "dict":
        return {decode(key, remote): decode(member, remote) for key, member in inside}
    if kind == "iterator":
        return iter(members)
    makers = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return makers.get(kind, collections.deque)(members)


# The tester --------------------------------------------------------------------------------------


class Remote:
    """An object in the program's process: a function to call, or one of its classes' objects."""

    __slots__ = ("_number", "_program")

    def __init__(self, program: Program, number: int) -> None:
        self._program, self._number = program, number

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._program.call(self._number, arguments, named)

    def __getattr__(self, name: str) -> Any:
        return self._program.attribute(self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Remote.__slots__:
            object.__setattr__(self, name, value)
        else:
            self._program.set_attribute(self._number, name, value)

    def __len__(self) -> int:
        return int(self.__getattr__("__len__")())

    def __getitem__(self, key: Any) -> Any:
        return self.__getattr__("__getitem__")(key)


class Program:
    """The process of the program, as the tests see it."""

    def __init__(self, source: str) -> None:
        to_read, to_write = os.pipe(), os.pipe()
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", __file__, str(to_read[0]), str(to_write[1])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_read[0], to_write[1]),
        )
        os.close(to_read[0])
        os.close(to_write[1])
        self._requests = os.fdopen(to_read[1], "w")
        self._answers = os.fdopen(to_write[0])
        self.names: dict[str, Any] = self._ask("load", source)

    def call(self, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call an object. Lists, dictionaries and sets that it changed are changed here too."""
        sent = [encode(argument) for argument in arguments]
        result, after = self._ask("call", [number, sent, encode(named)])
        for argument, state in zip(arguments, after, strict=True):
            if state is not None:
                _assign(argument, self._decode(state))
        return self._decode(result)

    def attribute(self, number: int, name: str) -> Any:
        return self._decode(self._ask("attribute", [number, name]))

    def set_attribute(self, number: int, name: str, value: Any) -> None:
        self._ask("set_attribute", [number, name, encode(value)])

    def value(self, name: str) -> Any:
        """What a name of the program stands for; modules of the library are our own."""
        kept = self.names[name]
        if isinstance(kept, dict):
            return __import__(kept["module"])
        return self._decode(kept)

    def _decode(self, value: Any) -> Any:
        return decode(value, lambda number: Remote(self, number))

    def _ask(self, what: str, about: Any) -> Any:
        self._requests.write(json.dumps([what, about]) + "\n")
        self._requests.flush()
        line = self._answers.readline(MOST_BYTES)
        if not line.endswith("\n"):
            raise RuntimeError("the program ended, or said too much")
        answer = json.loads(line)
        if "raised" in answer:
            _raise(*answer["raised"])
        return answer["value"]


def _assign(target: Any, state: Any) -> None:
    """Make a list, dictionary or set what it has become on the other side."""
    if isinstance(target, list):
        target[:] = state
    else:
        target.clear()
        target.update(state)


def _raise(name: str, message: str) -> NoReturn:
    """The same exception where it is one of Python's own, else a RuntimeError."""
    kind = getattr(builtins, str(name), None)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind is not AssertionError:
        try:
            error = kind(message)
        except TypeError:
            error = RuntimeError(f"{name}: {message}")
        raise error
    raise RuntimeError(f"{name}: {message}")


def builtin_tested(trees: list[ast.Module]) -> str | None:
    """The function under test where it is called as one of Python's own; `None` where it is not.

    It is the one that every test calls, in tests that call nothing else that is not their own. Of
    several, as in `abs(pow(2, 3) - 8) < 1e-6`, it is the innermost, and a type only where there is
    no function: `sum(range(4))` tests `sum`.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.name for node in nodes if isinstance(node, _DEFINITIONS)}
    imported = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    bound |= {alias.asname or alias.name for node in imported for alias in node.names}
    calls = [called for tree in trees if (called := _called(tree, bound))]
    if any(name not in vars(builtins) for called in calls for name in called):
        return None
    shared = [name for name in calls[0] if all(name in called for called in calls)] if calls else []
    functions = [name for name in shared if not isinstance(vars(builtins)[name], type)]
    return next(iter(functions or shared), None)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _called(node: ast.AST, bound: set[str]) -> list[str]:
    """Names that a test calls and does not bind itself, the innermost first."""
    names = [name for child in ast.iter_child_nodes(node) for name in _called(child, bound)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in bound:
        names.append(node.func.id)
    return names


def judge(task: dict[str, Any]) -> dict[str, Any]:
    """Run the tests; `passed` is true where none failed."""
    tests: list[str] = task["tests"]
    passed = 0
    try:
        program = Program(task["program"])
        space: dict[str, Any] = {"__name__": "tests"}
        trees = [ast.parse(test) for test in tests]
        tested = task["entry_point"] or builtin_tested(trees)
        own = set(dir(builtins)) - {tested}
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.Name) and node.id in program.names and node.id not in own:
                space[node.id] = program.value(node.id)
        if tested is not None and tested not in program.names:
            raise NameError(f"the program defines no {tested!r}")
        for test in tests:
            exec(compile(test, "tests", "exec"), space)
            passed += 1
    except BaseException as error:  # SystemExit in a test is a failed test too
        return {"passed": False, "tests": passed, "why": f"{type(error).__name__}: {error}"[:300]}
    return {"passed": passed > 0, "tests": passed, "why": ""}


# The program -------------------------------------------------------------------------------------


def serve(requests: Any, answers: Any) -> None:
    """Answer the tester about one program, until it asks no more."""
    handles = Handles()
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # as without -S

    def load(source: str) -> dict[str, Any]:
        exec(compile(source, "solution", "exec"), module.__dict__)
        names: dict[str, Any] = {}
        for name, value in vars(module).items():
            if isinstance(value, types.ModuleType):
                if value.__name__ in sys.stdlib_module_names:
                    names[name] = {"module": value.__name__}
            elif not name.startswith("__"):
                names[name] = encode(value, handles)
        return names

    def call(number: int, arguments: list[Any], named: Any) -> list[Any]:
        given = [decode(argument, handles.__getitem__) for argument in arguments]
        result = handles[number](*given, **decode(named, handles.__getitem__))
        encoded = encode(result, handles)
        changeable = [one if isinstance(one, list | dict | set) else None for one in given]
        return [encoded, [encode(one, handles) for one in changeable]]

    def attribute(number: int, name: str) -> Any:
        return encode(getattr(handles[number], name), handles)

    def set_attribute(number: int, name: str, value: Any) -> None:
        setattr(handles[number], name, decode(value, handles.__getitem__))

    work: dict[str, Callable[..., Any]] = {
        "call": call,
        "attribute": attribute,
        "set_attribute": set_attribute,
    }
    for line in requests:
        what, about = json.loads(line)
        try:
            value = load(about) if what == "load" else work[what](*about)
            text = json.dumps({"value": value})
        except BaseException as error:
            text = json.dumps({"raised": [type(error).__name__, str(error)[:300]]})
        answers.write(text + "\n")
        answers.flush()


def main() -> None:
    if len(sys.argv) == 3:
        requests, answers = (int(number) for number in sys.argv[1:])
        with os.fdopen(requests) as asked, os.fdopen(answers, "w") as told:
            serve(asked, told)
        return
    verdict = os.dup(1)
    os.dup2(2, 1)  # what tests print is no verdict
    task = json.load(sys.stdin)
    sys.stdin = io.StringIO()
    result = judge(task)
    os.write(verdict, json.dumps(result).encode())
    os._exit(0)  # whatever the tests have left running


if __name__ == "__main__":
    main()
