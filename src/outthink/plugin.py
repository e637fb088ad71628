"""Functions of a user's own module, by name: `my_module:my_search`, `folder/file.py:my_search`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from outthink.errors import MissingPackage, UsageError


def is_plugin(name: str) -> bool:
    """Whether a name is that of a module's function: MODULE:FUNCTION."""
    module, colon, function = name.rpartition(":")
    return bool(colon) and bool(module) and function.isidentifier()


def load(name: str) -> Callable[..., Any]:
    """The function that MODULE:FUNCTION names; modules are looked for in the working folder too.

    Raises `UsageError` where the module cannot be imported, with file and line, or has no such
    function.
    """
    place, _, function = name.rpartition(":")
    module = _module(place)
    made = getattr(module, function, None)
    if made is None:
        there = [word for word, value in vars(module).items() if _is_own(module, word, value)]
        raise UsageError(
            f"{module.__file__}: has no {function!r}; it has {', '.join(there) or 'no functions'}"
        )
    if not callable(made):
        raise UsageError(f"{module.__file__}: {function!r} is not a function")
    return made  # type: ignore[no-any-return]


def _module(place: str) -> ModuleType:
    try:
        if place.endswith(".py"):
            return _of_file(Path(place))
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        importlib.invalidate_caches()
        return importlib.import_module(place)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        missing = MissingPackage.of(error)
        if missing is not None:
            raise missing from error
        if error.name == place.partition(".")[0] or error.name == place:
            raise UsageError(
                f"no module {place!r} here or among what is installed; give the path of its file, "
                "as folder/file.py:my_search"
            ) from error
        raise UsageError(_explained(place, error)) from error
    except Exception as error:
        raise UsageError(_explained(place, error)) from error


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    name = f"outthink_plugin_{path.resolve().as_posix().replace('/', '_').removesuffix('.py')}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explained(place: str, error: Exception) -> str:
    """File, line and reason of an import that failed."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: cannot be imported: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else place
    return f"{where}: cannot be imported: {type(error).__name__}: {error}"


def _is_own(module: ModuleType, word: str, value: object) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
