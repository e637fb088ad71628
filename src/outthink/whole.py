"""Files that are there whole or not at all: written beside their place, then put into it.

A process that dies leaves the earlier file as it was, and a part beside it, which the next one
writes over. Two processes do not write one file at a time. A power cut leaves the earlier file or
the new one. Knows nothing of what is written. Stores are no such files: SQLite keeps them whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outthink.errors import RunError

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
"""What a file system says that has none."""


@contextmanager
def written(path: Path, *, private: bool = False) -> Iterator[Path]:
    """The part to write; it takes the place of `path` where nothing was raised, and is removed
    otherwise. `private`: only its owner may read it. What is no file, as a terminal or a pipe, is
    written in its place. The new file may be read and written by whom the earlier one could.

    Raises `OSError` where it cannot be written, or another process is writing it.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    part = path.with_name(f"{path.name}.part")
    held = _held(part)
    try:
        if private or path.exists():
            os.fchmod(held, 0o600 if private else stat.S_IMODE(path.stat().st_mode))
        yield part
        os.fsync(held)
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)
        raise
    finally:
        os.close(held)


@contextmanager
def saved(path: Path, *, private: bool = False) -> Iterator[Path]:
    """As `written`, for a file that a user named: raises `RunError` in place of `OSError`."""
    try:
        with written(path, private=private) as part:
            yield part
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def write(path: Path, data: str | bytes, *, private: bool = False) -> None:
    """Write a text (as UTF-8) or bytes. Raises `OSError` as `written`."""
    with written(path, private=private) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def _held(part: Path) -> int:
    """An empty part, kept from other processes until the descriptor returned is closed."""
    while True:
        held = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(held)
            # Whoever held it may have put it into its place since we opened it.
            if os.path.samestat(os.fstat(held), os.stat(part)):
                os.truncate(held, 0)
                return held
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(held)
            raise
        os.close(held)


def _lock(held: int) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another process is writing it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
