"""The file a store is in: how SQLite opens it, and its errors as ours.

Reading leaves nothing behind. In WAL mode SQLite puts two files beside a database even to read it,
and takes them away only where the last to close it may write. So a reader opens it as a writer
would, with writing turned off; and where file or folder cannot be written, as a file that does not
change. Does not protect against another user who writes it then.

Knows no tables.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from outthink.errors import DiskError, StoreError, StoreInUse
from outthink.run.store.schema import APPLICATION

_MAGIC, _APPLICATION_AT = b"SQLite format 3\0", 68
"""Of a database's header (https://www.sqlite.org/fileformat.html, section 1.3)."""

_MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted; elsewhere nobody knows."""

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|ceph|lustre|gpfs|beegfs|glusterfs|davfs\d?|ncpfs|virtiofs|"
    r"fuse\.(sshfs|ceph\w*|glusterfs|davfs\d?|rclone|s3fs|gcsfuse|juicefs)"
)
"""File systems whose locks and shared memory are those of another machine, or none."""


WAITS_S = 5.0
"""For which a file is waited for that another process holds; nothing else goes on meanwhile."""


def connect(path: Path, write: bool, waits_s: float = WAITS_S) -> sqlite3.Connection:
    """Open a database; to write, it is made where it is missing.

    Raises `StoreError` where it cannot be opened.
    """
    if write and path.exists() and not _may_write(path):
        # SQLite would open it to read, and say so at the first row.
        raise StoreError(f"{path}: cannot be written: it is read-only; {_COPY}")
    try:
        if write:
            return sqlite3.connect(path, timeout=waits_s, isolation_level=None)
        return _reader(path)
    except sqlite3.Error as error:
        raise trouble(path, "opened", error) from error


def is_made(path: Path) -> bool:
    """Whether something is there. A process that died as it made a store leaves a file without a
    table, which whoever writes makes anew. Raises `StoreError` as `connect`."""
    if not path.is_file():
        return False
    try:
        with closing(connect(path, write=False)) as database:
            ((application,),) = database.execute("PRAGMA application_id")
            ((tables,),) = database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        return True  # whoever opens it says what is wrong with it
    return (application, tables) != (0, 0)


def _reader(path: Path) -> sqlite3.Connection:
    real = path.resolve()
    can_write = _may_write(real) and _may_write(real.parent)
    if can_write and _is_ours(real):
        database = _opened(real, "mode=rw")
        database.execute("PRAGMA query_only = 1")
        return database
    log = real.with_name(real.name + "-wal")
    if not (log.exists() and log.stat().st_size):
        # All of it is in the file, and whoever cannot write it has no place for a log.
        return _opened(real, "mode=ro" if can_write else "immutable=1")
    try:
        return _opened(real, "mode=ro")
    except sqlite3.OperationalError as error:
        if _kind(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        raise StoreError(
            f"{path}: its last rows are in {log.name}, which cannot be read where nothing can be "
            "written; copy both files to a folder of your own"
        ) from error


def _may_write(path: Path) -> bool:
    """Whether this process may, as whoever it acts for."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _is_ours(path: Path) -> bool:
    """Whether the header says so. A store that was killed while it was made may not yet."""
    try:
        with path.open("rb") as file:
            header = file.read(_APPLICATION_AT + 4)
    except OSError:
        return False  # SQLite says what is wrong with it
    return header.startswith(_MAGIC) and header[_APPLICATION_AT:] == APPLICATION.to_bytes(4, "big")


def _opened(path: Path, how: str) -> sqlite3.Connection:
    """Open it and touch it: SQLite makes its files when the first statement runs."""
    database = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, isolation_level=None)
    try:
        database.execute("PRAGMA schema_version")
    except BaseException:
        database.close()
        raise
    return database


# One writer ------------------------------------------------------------------------------------


def lock(path: Path) -> int:
    """Keep other writers out until the descriptor returned is closed, by us or by our death."""
    name = lock_name(path)
    while True:
        try:
            held = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file since we opened it.
            if os.path.samestat(os.fstat(held), os.stat(name)):
                with suppress(OSError):  # a full disk; the number is for people alone
                    os.truncate(held, 0)
                    os.write(held, b"process %d" % os.getpid())
                return held
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.read(held, 30).decode() or "another process"
            os.close(held)
            raise StoreInUse(
                f"{path}: being written by {holder}; wait for it, or stop it"
            ) from error
        except OSError as error:
            os.close(held)
            raise StoreError(
                f"{path}: cannot be locked: {error.strerror}; {on_network(path)}"
            ) from error
        os.close(held)


def unlock(path: Path, held: int | None) -> None:
    if held is not None:
        # While we hold it: after that it may be another's.
        with suppress(FileNotFoundError):
            os.unlink(lock_name(path))
        os.close(held)


def remove(path: Path) -> None:
    """Remove a store that is of no use, with what SQLite puts beside it."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def lock_name(path: Path) -> Path:
    real = path.resolve()
    return real.with_name(real.name + "-lock")


# Errors ------------------------------------------------------------------------------------------


def stranger(path: Path) -> StoreError:
    """What to say to a file that is something else."""
    return StoreError(f"{path}: is no outthink store; `outthink sweep` makes one")


def trouble(path: Path, how: str, error: sqlite3.Error) -> StoreError | DiskError:
    """An error of SQLite as one of ours: the file, what SQLite said, and the way out.

    `how` is what was tried: `opened`, `read` or `written`. What the file is, or who has it, is a
    `StoreError`; what its disk did while it was used is a `DiskError`.
    """
    kind = _kind(error)
    if kind == sqlite3.SQLITE_NOTADB:
        return stranger(path)
    said = f"{path}: cannot be {how}: {error}"
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT):
        return StoreError(
            f"{said}; the file is damaged: go on with a copy of it, or sweep into a new store "
            f"(`sqlite3 {path.name} .recover` saves the rows that can be read)"
        )
    way = _WAYS.get(kind or 0, "")
    if kind in _OF_DRIVES:
        way = f"{way}; {on_network(path)}" if way else on_network(path)
    if how == "written":
        way = f"nothing recorded was lost: {way or 'see to the disk'}; give the same command again"
    whole = f"{said}; {way}" if way else said
    return StoreError(whole) if how == "opened" or kind in _OF_OTHERS else DiskError(whole)


_COPY = "copy it to a folder that you can write, and work on the copy"
_WAYS = {
    sqlite3.SQLITE_FULL: "free some space on its disk",
    sqlite3.SQLITE_BUSY: "another process holds it: wait for it, or stop it",
    sqlite3.SQLITE_LOCKED: "another process holds it: wait for it, or stop it",
    sqlite3.SQLITE_READONLY: _COPY,
    sqlite3.SQLITE_PERM: _COPY,
    sqlite3.SQLITE_IOERR: "see to its disk",
    sqlite3.SQLITE_CANTOPEN: "see that it is a file, and that you may read it and its folder",
    sqlite3.SQLITE_TOOBIG: "a row is larger than SQLite takes",
    sqlite3.SQLITE_NOMEM: "free some memory",
}
_OF_DRIVES = {
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOLFS,
}
"""What a network drive makes of locks and shared memory."""
_OF_OTHERS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
"""The file is sound, and held elsewhere."""


def _kind(error: sqlite3.Error) -> int | None:
    """SQLite's primary code; `None` for errors of Python's own module."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def on_network(path: Path) -> str:
    """The advice for a file that may be on a drive of another machine."""
    way = "copy it to a disk of this machine"
    if drive := network_drive(path):
        return f"{drive[0]} is a network drive ({drive[1]}), whose locks do not hold: {way}"
    return f"if it is on a network drive, {way}"


def network_drive(path: Path, mounts: Iterable[str] | None = None) -> tuple[str, str] | None:
    """Where the network drive that holds a path is mounted, and its file system.

    `None` where the path is on a disk of this machine, or the system does not tell. `mounts` are
    lines as Linux has them (proc(5), mountinfo), by default this system's.
    """
    if mounts is None:
        if not _MOUNTS.exists():
            return None
        mounts = _MOUNTS.read_text("utf-8", "replace").splitlines()
    real = path.resolve()
    nearest: tuple[int, str, str] = (-1, "", "")
    for line in mounts:
        place, _, system = line.partition(" - ")
        fields, kind = place.split(" "), system.split(" ")[0]
        if len(fields) < 5:
            continue
        # Blanks and the like are written as octal escapes. The last of two on one place is seen.
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4])
        if real.is_relative_to(point) and len(point) >= nearest[0]:
            nearest = (len(point), point, kind)
    _, point, kind = nearest
    return (point, kind) if _NETWORK.fullmatch(kind) else None
