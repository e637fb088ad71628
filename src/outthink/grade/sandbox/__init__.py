"""Runs programs that nobody has read: without network, in a folder of their own, within limits.

Linux only, as root or as an ordinary user, wherever the kernel lets users make namespaces. Where it
does not, `run` raises `RunError`: a program is never run outside the sandbox. `supervisor.py` has
the table of what a program cannot do, and what prevents it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from outthink.errors import RunError
from outthink.grade.lines import Lines

__all__ = ["Ended", "Finished", "Limits", "Session", "require", "run", "why_not"]

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_PACKAGES = {"site-packages", "dist-packages"}
_GRACE_SECONDS = 60.0
"""What the supervisor itself may take to start, and to end the program, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use."""

    cpu_s: int = 5
    """CPU time of each process."""
    wall_s: float = 15.0
    """Of the whole run; more than the CPU time, since the machine may be busy."""
    memory_bytes: int = 1 << 30
    """Address space of each process; also the memory in use by all of them together."""
    processes: int = 16
    """Processes and threads at any one time."""
    file_bytes: int = 1 << 23
    """Largest file."""
    disk_bytes: int = 1 << 25
    """All files together."""
    output_bytes: int = 1 << 18
    """Of each of the two streams; a program that writes more is ended."""


class Ended(StrEnum):
    """How a program ended."""

    EXIT = "exit"
    """It ended by itself, with an exit code."""
    SIGNAL = "signal"
    """A signal ended it; it does so too where the CPU time is used up."""
    TIME = "time"
    """Its wall time was up."""
    MEMORY = "memory"
    """Its processes together used too much memory."""
    OUTPUT = "output"
    """It wrote too much."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended, and what it wrote."""

    ended: Ended
    code: int | None
    """Exit code, or minus the signal; `None` where the supervisor ended it."""
    stdout: str
    stderr: str
    seconds: float


def run(
    source: str,
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Finished:
    """Run a Python program in a sandbox, with `files` beside it in its folder.

    The standard library is there, other packages are not. Raises `RunError` where the kernel
    offers no sandbox: the program has not been run then.
    """
    limits = limits or Limits()
    task = _task(source, limits, stdin=stdin, files=files)
    with _supervisor() as process:
        try:
            out, err = process.communicate(task, timeout=limits.wall_s + _GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RunError("the sandbox did not answer; is the machine overloaded?") from error
        finally:
            process.kill()  # what it watches dies with it
    result = _result(process.returncode, out, err)
    return Finished(
        Ended(result["ended"]),
        result["code"],
        result["stdout"],
        result["stderr"],
        result["seconds"],
    )


class Session:
    """A Python program that stays in its sandbox and answers line by line.

    It reads requests from file descriptor 3 and writes answers to 4. With `packages`, it sees what
    is installed beside outthink. CPU time and memory are limited for its whole life, not for each
    request. It may be asked by one thread at a time.
    """

    def __init__(
        self, source: str, *, packages: bool = False, limits: Limits | None = None
    ) -> None:
        """Raises `RunError` where there is no sandbox."""
        (read, self._write), (self._read, write) = os.pipe(), os.pipe()
        seen = (
            [path for path in sys.path if os.path.basename(path) in _PACKAGES] if packages else []
        )
        run_it = "runpy.run_path('/box/session.py', run_name='__main__')"
        task = _task(
            f"import runpy, sys; sys.path += {seen!r}; {run_it}",
            limits or Limits(),
            files={"session.py": source},
            channel=(read, write),
            readonly=seen,
            for_ever=True,
        )
        self._process = _supervisor((read, write))
        os.close(read)
        os.close(write)
        assert self._process.stdin is not None
        self._process.stdin.write(task)
        self._process.stdin.close()
        self._process.stdin = None
        self._lines = Lines(self._read, self._write)
        self.last_words = ""
        """What it wrote to its standard error, known once it has ended."""

    def ask(self, request: str, *, seconds: float) -> str | None:
        """The answer; `None`, and the end of the session, where there is none in time.

        Raises `RunError` where there is no sandbox after all.
        """
        answer = None if self._write < 0 else self._lines.ask(request, seconds=seconds)
        if answer is None:
            self._end()
        return answer

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        """End the program and all that it started."""
        if self._write >= 0:
            os.close(self._write)
            os.close(self._read)
            self._write = -1
        self._process.kill()
        self._process.communicate()

    def _end(self) -> None:
        """End the session; raise `RunError` where the supervisor found no sandbox."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = self._process.communicate(timeout=1.0)
            if out or self._process.returncode:
                result = _result(self._process.returncode, out, err)
                self.last_words = f"{result['ended']}: {result['stderr'][-300:].strip()}"
        self.close()


def why_not() -> str | None:
    """Why there is no sandbox here; `None` where there is one."""
    try:
        require()
    except RunError as error:
        return str(error)
    return None


@lru_cache(maxsize=1)
def require() -> None:
    """Raises `RunError` where there is no sandbox here."""
    result = run("print(6 * 7)")
    if result.stdout != "42\n":
        raise RunError(
            f"the sandbox does not run Python ({result.ended}, code {result.code}): "
            f"{result.stderr[-200:].strip()!r}"
        )


def _task(
    source: str,
    limits: Limits,
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    channel: tuple[int, ...] = (),
    readonly: Sequence[str] = (),
    for_ever: bool = False,
) -> bytes:
    """The task as JSON, for the supervisor's standard input."""
    if sys.platform != "linux":
        raise RunError(f"no sandbox on {sys.platform}; grade programs on Linux")
    interpreter, needed = _interpreter()
    return json.dumps(
        {
            "command": [interpreter, "-I", "-S", "-B", "/box/main.py"],
            "environment": {
                "HOME": "/box", "TMPDIR": "/box", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
                "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
            },
            "readonly": [*needed, *readonly],
            "files": {"main.py": source, **(files or {})},
            "stdin": stdin,
            "channel": channel,
            "limits": {**asdict(limits), "wall_s": None if for_ever else limits.wall_s},
        }
    ).encode()  # fmt: skip


def _supervisor(channel: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(_SUPERVISOR)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={"LANG": "C.UTF-8"},
        pass_fds=channel,
    )


def _result(code: int, out: bytes, err: bytes) -> dict[str, Any]:
    """What the supervisor wrote. Raises `RunError` where it found no sandbox."""
    if code != 0:
        raise RunError(f"the sandbox failed: {err.decode(errors='replace')[-300:].strip()}")
    result: dict[str, Any] = json.loads(out)
    if "refused" in result:
        raise RunError(
            f"no sandbox here ({result['refused']}); programs are graded on Linux 5.14 or newer "
            "with user namespaces allowed (sysctl user.max_user_namespaces, "
            "kernel.apparmor_restrict_unprivileged_userns=0), and never outside a sandbox"
        )
    return result


@lru_cache(maxsize=1)
def _interpreter() -> tuple[str, list[str]]:
    """The interpreter outside its virtual environment, and the paths that it has to read."""
    executable = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    wanted = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"]
    wanted += [os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)]
    wanted += [os.path.dirname(executable)]
    paths: list[str] = []
    for path in wanted:
        if os.path.lexists(path) and not any(_within(path, other) for other in paths):
            paths.append(path)
    return executable, paths


def _within(path: str, folder: str) -> bool:
    return not os.path.islink(folder) and (path == folder or path.startswith(folder + "/"))
