"""Files are there whole or not at all, whoever is killed or fails while one is written."""

import os
import resource
import signal
import stat
import subprocess
import sys

import pytest

from outthink import whole


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "a.json"
    for text in ("one", "zwei äöü"):
        whole.write(path, text)
        assert path.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_earlier_file_and_no_part(tmp_path):
    path = tmp_path / "a.json"
    whole.write(path, b"earlier")
    with pytest.raises(KeyError), whole.written(path) as part:
        part.write_text("half")
        raise KeyError
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from outthink import whole
with whole.written(Path(sys.argv[1])) as part:
    part.write_text("half of a text that is longer than the next")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_written_over(tmp_path):
    path = tmp_path / "a.json"
    whole.write(path, "earlier")
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "earlier"
    whole.write(path, "later")
    assert path.read_text() == "later"
    assert list(tmp_path.iterdir()) == [path]


def test_two_do_not_write_one_file_at_a_time(tmp_path):
    path = tmp_path / "a.json"
    with whole.written(path) as part:
        part.write_text("first")
        with pytest.raises(OSError, match="another process is writing it"):
            whole.write(path, "second")
    assert path.read_text() == "first"


def test_only_its_owner_reads_a_private_file_whatever_a_part_allowed(tmp_path):
    path = tmp_path / "keys"
    (tmp_path / "keys.part").touch(0o666)
    whole.write(path, "secret", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_pipe_is_written_in_its_place(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    whole.write(path, "said")
    assert os.read(reader, 100) == b"said"
    os.close(reader)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_file_to_be_written(tmp_path):
    with pytest.raises(IsADirectoryError):
        whole.write(tmp_path, "text")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    path, before = tmp_path / "a.json", resource.getrlimit(resource.RLIMIT_FSIZE)
    whole.write(path, "earlier")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            whole.write(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "rc"
    path.touch(0o640)
    path.chmod(0o640)
    whole.write(path, "text")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
