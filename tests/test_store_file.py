"""The file of a store: what reading it leaves behind, who may read it, what SQLite's errors say."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from contract import results

from outthink.errors import RunError, StoreError
from outthink.models.scripted import ScriptedProposer, scripted_problems
from outthink.run.journal import Job
from outthink.run.store import Store
from outthink.run.store import file as store_file
from outthink.run.store.file import network_drive, trouble
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget

PROBLEMS = 5
NOBODY = 65534


def fill(store, count=PROBLEMS):
    jobs = [Job(problem, strategy("majority"), Budget(2)) for problem in scripted_problems(count)]
    results(Team.of(ScriptedProposer()), jobs, journal=store)


@pytest.fixture
def path():
    """A closed store in a folder that every user can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        made = Path(folder) / "a.store"
        with Store.open(made, write=True) as store:
            fill(store)
        made.chmod(0o644)
        yield made


def draws(path):
    with Store.open(path, write=False) as store:
        return store.counts().draws


def beside(path):
    return sorted(os.listdir(path.parent))


# What reading leaves behind ----------------------------------------------------------------------


def test_reading_a_closed_store_leaves_it_alone_and_nothing_beside_it(path):
    content, changed = path.read_bytes(), path.stat().st_mtime_ns
    assert draws(path) == 2 * PROBLEMS
    assert beside(path) == [path.name]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, changed)


def test_readers_at_once_leave_nothing_whoever_is_last(path):
    first, second = (Store.open(path, write=False) for _ in range(2))
    first.close()
    assert second.counts().draws == 2 * PROBLEMS
    second.close()
    assert beside(path) == [path.name]


def test_a_reader_that_outlives_the_writer_clears_up_after_both(path):
    reader = Store.open(path, write=False)
    with Store.open(path, write=True) as store:
        fill(store, PROBLEMS + 3)
    assert reader.counts().draws == 2 * (PROBLEMS + 3)
    reader.close()
    assert beside(path) == [path.name]


KILLED = """
import os, sys
sys.path[:0] = sys.argv[2:]
from test_store_file import fill
from outthink.run.store import Store
fill(Store.open(sys.argv[1], write=True), 9)
os._exit(9)
"""


def killed(path):
    """A writer that died with its rows in the log, and left its files lying about."""
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", KILLED, path, here, *sys.path], check=False)
    assert f"{path.name}-wal" in beside(path)


def test_what_a_killed_writer_left_is_read_whole_and_cleared_up(path):
    killed(path)
    assert draws(path) == 18
    assert {f"{path.name}-wal", f"{path.name}-shm"}.isdisjoint(beside(path))
    assert draws(path) == 18


def test_a_reader_cannot_write(path):
    with Store.open(path, write=False) as store, pytest.raises(RunError, match="copy it"):
        store.set_meta("x", "y")
    assert beside(path) == [path.name]


def test_the_database_of_another_program_is_not_even_tidied(path):
    path.unlink()
    theirs = sqlite3.connect(path)
    theirs.execute("PRAGMA journal_mode = WAL")
    theirs.execute("CREATE TABLE t (x)")
    theirs.commit()
    shutil.copytree(path.parent, path.parent / "kept")  # as a killed program leaves it
    theirs.close()
    kept = path.parent / "kept" / path.name
    content = {each.name: each.read_bytes() for each in kept.parent.iterdir()}
    with pytest.raises(StoreError, match="is no outthink store"):
        Store.open(kept, write=False)
    after = {each.name: each.read_bytes() for each in kept.parent.iterdir()}
    assert {k: v for k, v in after.items() if not k.endswith("-shm")} == {
        k: v for k, v in content.items() if not k.endswith("-shm")
    }


# Who may read it ---------------------------------------------------------------------------------

AS_ORDINARY = """
import os, sys
sys.path[:0] = sys.argv[3:]
from outthink.errors import OutthinkError
from outthink.run.store import Store
if os.geteuid() == 0:
    os.setegid(int(sys.argv[2]))
    os.seteuid(int(sys.argv[2]))
try:
    with Store.open(sys.argv[1], write=False) as store:
        print(store.counts().draws)
except OutthinkError as error:
    print(type(error).__name__, error)
try:
    Store.open(sys.argv[1], write=True)
except OutthinkError as error:
    print(type(error).__name__, error)
"""


def ordinary(path):
    """What a user who is not root, and not the owner, gets of reading and of writing."""
    words = [sys.executable, "-c", AS_ORDINARY, path, str(NOBODY), *sys.path]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("file", [0o444, 0o644])
@pytest.mark.parametrize("folder", [0o555, 0o755])
def test_an_ordinary_user_reads_a_store_that_is_read_only(path, file, folder):
    path.chmod(file)
    path.parent.chmod(folder)
    if os.geteuid() != 0 and folder & stat.S_IWUSR:
        path.parent.chmod(0o555)  # the owner is an ordinary user already
    read, wrote = ordinary(path)
    assert read == str(2 * PROBLEMS)
    assert wrote.startswith(f"StoreError {path}: cannot be written")
    assert beside(path) == [path.name]
    path.parent.chmod(0o755)


def test_a_file_that_cannot_be_written_in_a_folder_that_can_leaves_nothing(path):
    path.parent.chmod(0o777)
    path.chmod(0o444)
    read, *_ = ordinary(path)
    assert read == str(2 * PROBLEMS)
    assert {f"{path.name}-wal", f"{path.name}-shm"}.isdisjoint(beside(path))


def test_an_ordinary_user_reads_what_a_killed_writer_left(path):
    killed(path)
    path.parent.chmod(0o555)
    read, _ = ordinary(path)
    assert read == "18"
    path.parent.chmod(0o755)


def test_rows_that_cannot_be_read_where_nothing_can_be_written_are_not_passed_over(path):
    killed(path)
    (path.parent / f"{path.name}-shm").unlink()  # as where it was copied without
    path.parent.chmod(0o555)
    read, _ = ordinary(path)
    assert read.startswith(f"StoreError {path}: its last rows are in a.store-wal")
    assert "copy both files to a folder of your own" in read
    path.parent.chmod(0o755)


def test_a_file_that_may_not_be_read_says_so(path):
    path.chmod(0o000)
    path.parent.chmod(0o555)
    read, _ = ordinary(path)
    assert read.startswith(f"StoreError {path}: cannot be opened: unable to open database file")
    assert "you may read it" in read
    path.parent.chmod(0o755)


def test_commands_leave_nothing_beside_a_store(path, tmp_path):
    from outthink.cli import main

    assert (
        main(["fit", "--kind", "table", str(path), "-o", str(tmp_path / "p.json")]) == 2
    )  # not of a sweep
    assert beside(path) == [path.name]


# What SQLite's errors say ------------------------------------------------------------------------


def error(code, said):
    raised = sqlite3.OperationalError(said)
    raised.sqlite_errorcode = code
    return raised


DRIVE = "copy it to a disk of this machine"


@pytest.mark.parametrize(
    ("code", "said", "how", "kind", "way"),
    [
        (sqlite3.SQLITE_PROTOCOL, "locking protocol", "opened", StoreError, DRIVE),
        (sqlite3.SQLITE_PROTOCOL, "locking protocol", "read", StoreError, DRIVE),
        (sqlite3.SQLITE_PROTOCOL, "locking protocol", "written", StoreError, DRIVE),
        (sqlite3.SQLITE_BUSY, "database is locked", "opened", StoreError, "wait for it"),
        (sqlite3.SQLITE_BUSY, "database is locked", "written", StoreError, DRIVE),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "database is locked", "read", StoreError, "wait for it"),
        (sqlite3.SQLITE_LOCKED, "database table is locked", "read", StoreError, "wait for it"),
        (sqlite3.SQLITE_IOERR, "disk I/O error", "read", RunError, "see to its disk"),
        (sqlite3.SQLITE_IOERR_SHMMAP, "disk I/O error", "opened", StoreError, DRIVE),
        (sqlite3.SQLITE_IOERR_WRITE, "disk I/O error", "written", RunError, "same command again"),
        (sqlite3.SQLITE_FULL, "database or disk is full", "written", RunError, "free some space"),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database", "written", RunError, "c"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "readonly", "opened", StoreError, "that you can write"),
        (sqlite3.SQLITE_CORRUPT, "database disk image is malformed", "read", StoreError, "recover"),
        (sqlite3.SQLITE_CANTOPEN, "unable to open database file", "opened", StoreError, "you may"),
        (sqlite3.SQLITE_NOTADB, "file is not a database", "read", StoreError, "outthink sweep"),
        (sqlite3.SQLITE_NOMEM, "out of memory", "read", RunError, "free some memory"),
        (sqlite3.SQLITE_INTERNAL, "something new", "read", RunError, "something new"),
    ],
)
def test_an_error_of_sqlite_names_the_file_and_the_way_out(code, said, how, kind, way):
    told = trouble(Path("far") / "a.store", how, error(code, said))
    assert isinstance(told, kind)
    assert str(told).startswith("far/a.store: ")
    assert code == sqlite3.SQLITE_NOTADB or said in str(told)
    assert way in str(told)
    assert "\n" not in str(told)


def test_every_error_while_a_store_is_used_is_one_of_ours(path):
    with Store.open(path, write=False) as store:
        store._db.close()
        for use in (store.counts, store.problems, store.verifiers, store.view):
            with pytest.raises(RunError, match=r"a\.store: cannot be read: Cannot operate"):
                use()


def test_a_damaged_store_says_what_may_be_saved(path):
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    said = pytest.raises(StoreError, match=r"a\.store: cannot be read: .*malformed.*\.recover")
    with said, Store.open(path, write=False) as store:
        list(store.view().outcomes())


def test_a_store_that_another_program_locks_says_to_wait(path):
    with Store.open(path, write=True) as store:
        store._db.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked.*wait for it.*network drive"):
            store.set_meta("x", "y")
        other.execute("ROLLBACK")
        other.close()
        store.set_meta("x", "y")


MOUNTS = r"""
21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
30 21 0:44 / /far rw,relatime shared:1 - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /far/near rw - xfs /dev/sdb1 rw
32 21 0:45 / /my\040share rw - cifs //host/share rw
33 21 0:46 / /cloud rw - fuse.sshfs me@host: rw
34 21 0:47 / /fused rw - fuse.squashfuse x ro
35 21 0:48 / /over rw - ext4 /dev/sdc1 rw
36 21 0:49 / /over rw - 9p host rw
torn line
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "drive"),
    [
        ("/far/a.store", ("/far", "nfs4")),
        ("/far/deeper/a.store", ("/far", "nfs4")),
        ("/far/near/a.store", None),
        ("/farther/a.store", None),
        ("/my share/a.store", ("/my share", "cifs")),
        ("/cloud/a.store", ("/cloud", "fuse.sshfs")),
        ("/fused/a.store", None),
        ("/over/a.store", ("/over", "9p")),
        ("/a.store", None),
    ],
)
def test_a_network_drive_is_told_by_what_is_mounted_nearest(path, drive):
    assert network_drive(Path(path), MOUNTS) == drive


def test_a_network_drive_is_named_in_the_way_out(monkeypatch, tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text("30 21 0:44 / / rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(store_file, "_MOUNTS", mounts)
    told = str(trouble(Path("a.store"), "opened", error(sqlite3.SQLITE_PROTOCOL, "locking")))
    assert "/ is a network drive (nfs4), whose locks do not hold: copy it to a disk" in told
    monkeypatch.setattr(store_file, "_MOUNTS", tmp_path / "elsewhere")
    told = str(trouble(Path("a.store"), "opened", error(sqlite3.SQLITE_PROTOCOL, "locking")))
    assert "if it is on a network drive, copy it" in told
