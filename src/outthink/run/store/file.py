"""The file of a store: opening it, keeping other writers out, SQLite's errors as ours.

It does not protect against two machines that write one file over a network.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from outthink.errors import RunError, StoreError


def connect(path: Path, write: bool) -> sqlite3.Connection:
    try:
        if write:
            return sqlite3.connect(path, isolation_level=None)
        address = path.resolve().as_uri()
        database = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None)
        try:
            database.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            database.close()
            if error.sqlite_errorcode & 0xFF not in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                raise
            # A folder that cannot be written has no place for SQLite's side files, nor a writer.
            database = sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
        return database
    except sqlite3.Error as error:
        raise trouble(path, "opened", error) from error


def lock(path: Path) -> int:
    """Keep other writers out until the descriptor returned is closed, by us or by our death."""
    name = lock_name(path)
    while True:
        try:
            lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file since we opened it.
            if os.path.samestat(os.fstat(lock), os.stat(name)):
                with suppress(OSError):  # a full disk; the number is for people alone
                    os.truncate(lock, 0)
                    os.write(lock, b"process %d" % os.getpid())
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.read(lock, 30).decode() or "another process"
            os.close(lock)
            raise StoreError(
                f"{path}: being written by {holder}; wait for it, or stop it"
            ) from error
        except OSError as error:
            os.close(lock)
            raise StoreError(f"{path}: cannot be locked: {error.strerror}") from error
        os.close(lock)


def unlock(path: Path, lock: int | None) -> None:
    if lock is not None:
        # While we hold it: after that it may be another's.
        with suppress(FileNotFoundError):
            os.unlink(lock_name(path))
        os.close(lock)


def lock_name(path: Path) -> Path:
    real = path.resolve()
    return real.with_name(real.name + "-lock")


def stranger(path: Path) -> StoreError:
    return StoreError(f"{path}: is no outthink store; `outthink sweep` makes one")


def trouble(path: Path, how: str, error: sqlite3.Error) -> StoreError | RunError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return stranger(path)
    if how == "opened":
        return StoreError(f"{path}: cannot be opened: {error}")
    safe = "; nothing recorded was lost: see to the disk and give the same command again"
    return RunError(f"{path}: cannot be {how}: {error}{safe if how == 'written' else ''}")
