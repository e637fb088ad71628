"""Runs one program where it can do no harm, and says how it ended. A script, not a module.

It is started in a fresh interpreter for every program, reads the task from standard input (one JSON
object) and writes the result to standard output. The processes, each the child of the one above:

    supervisor  outside the sandbox: bounds time, memory and output, and writes the result
    guard       waits for init; when the guard dies, the kernel kills init
    init        the first process of the sandbox: builds the file system, starts the program and
                waits; when init ends, the kernel kills all that the program left running
    program     runs without privileges

What the program cannot do, and what prevents it:

    use the network             an empty network namespace; only Unix sockets can be made
    read or write other files   a root file system of its own: the interpreter, read-only, and one
                                folder that it can write to
    see or signal processes     a process namespace of its own; no /proc
    run for longer              CPU time: rlimit; wall time: the supervisor
    start many processes        a limit on processes, counted in its own user namespace
    fill memory or disk         rlimits, tmpfs sizes, and the supervisor, which adds up the memory
                                of all processes in the sandbox
    gain privileges             no_new_privs, no capabilities, seccomp (x86-64 and arm64)

It does not protect against flaws in the kernel, or against what can be learnt from timing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from typing import Any, NoReturn

BOX = "/box"
"""The program's folder: the only place it can write to."""
NOBODY = 65534
TICK_SECONDS = 0.05

_libc = ctypes.CDLL(None, use_errno=True)

# Linux's numbers ---------------------------------------------------------------------------------

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x08000000, 0x10000000, 0x20000000
CLONE_NEWNET, CLONE_NEWTIME = 0x40000000, 0x00000080
NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 0x1, 0x2, 0x4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SYS_MOUNT_SETATTR = 442


class Refused(Exception):
    """The kernel does not offer what is needed."""


def call(name: str, *arguments: Any) -> int:
    """A function of the C library. Raises `Refused` naming it where it fails."""
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        label = name if name != "syscall" else f"system call {arguments[0]}"
        raise Refused(f"{label}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int) -> None:
    call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


# The supervisor ----------------------------------------------------------------------------------


def watch(task: dict[str, Any]) -> dict[str, Any]:
    """Run a task and report. Raises `Refused` where the kernel cannot contain it."""
    limits = task["limits"]
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    output, status, gate = Pipe(), Pipe(), Pipe()
    errors = Pipe()
    guard = os.fork()
    if guard == 0:
        _become(lambda: keep(task, output, errors, status, gate), status)
    for pipe in (output, errors, status):
        pipe.close_write()
    gate.close_read()
    try:
        _open_gate(guard, status, gate)
        init = _message(status)["init"]
        handle = os.pidfd_open(init)  # its number may belong to another process once it has ended
        os.write(gate.write, b"1")
        result = _follow(init, handle, status, {"stdout": output, "stderr": errors}, limits)
        os.waitpid(guard, 0)
        return result
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(guard, signal.SIGKILL)
        os.waitpid(guard, 0)
        raise


class Pipe:
    """A pipe whose ends are closed by name."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def close_read(self) -> None:
        os.close(self.read)

    def close_write(self) -> None:
        os.close(self.write)


def _become(work: Any, status: Pipe) -> NoReturn:
    """Do `work` in a child process and never return; an error is reported through `status`."""
    try:
        work()
    except BaseException as error:  # the child must not run its parent's code
        with contextlib.suppress(OSError):
            os.write(status.write, (json.dumps({"refused": f"{error}"}) + "\n").encode())
    finally:
        os._exit(125)


def _open_gate(guard: int, status: Pipe, gate: Pipe) -> None:
    """Give the user namespace its ids: root and nobody where this process is root, else nobody
    alone, which stands for this user. Then let the guard go on."""
    _message(status)
    user, group = os.getuid(), os.getgid()
    single = (f"{NOBODY} {user} 1", f"{NOBODY} {group} 1")
    double = (f"0 0 1\n{NOBODY} {NOBODY} 1",) * 2
    root = user == 0 and _write_maps(guard, double, deny=False)
    # The limit on processes does not hold for the machine's root: the program must be another user.
    if not root and (_is_machine_root() or not _write_maps(guard, single, deny=True)):
        raise Refused("user namespaces cannot be given an identity here")
    os.write(gate.write, b"2" if root else b"1")


def _is_machine_root() -> bool:
    """Whether this process is the machine's root, and not root of a user namespace alone."""
    with open("/proc/self/uid_map") as file:
        return os.getuid() == 0 and file.read().split()[1] == "0"


def _write_maps(guard: int, maps: tuple[str, str], *, deny: bool) -> bool:
    try:
        if deny:
            with open(f"/proc/{guard}/setgroups", "w") as file:
                file.write("deny")
        for name, text in zip(("uid_map", "gid_map"), maps, strict=True):
            with open(f"/proc/{guard}/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    return True


def _message(status: Pipe) -> dict[str, Any]:
    """The next message of the guard or of init. Raises `Refused` where it reports an error, or none
    comes."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(status.read, 1)
        if not byte:
            raise Refused("the sandbox ended before the program began")
        line += byte
    message: dict[str, Any] = json.loads(line)
    if "refused" in message:
        raise Refused(message["refused"])
    return message


def _follow(
    init: int,
    handle: int,
    status: Pipe,
    streams: dict[str, Pipe],
    limits: dict[str, Any],
) -> dict[str, Any]:
    """Read what the program writes until all its processes have ended; kill it at a limit."""
    _message(status)  # the program is about to start
    began = time.monotonic()
    kept = {name: bytearray() for name in streams}
    open_pipes = {pipe.read: name for name, pipe in streams.items()} | {status.read: "status"}
    ended: str | None = None
    reports = b""
    next_look = began
    while open_pipes:
        readable, _, _ = select.select(list(open_pipes), [], [], TICK_SECONDS)
        for descriptor in readable:
            name = open_pipes[descriptor]
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                del open_pipes[descriptor]
            elif name == "status":
                reports += chunk
            else:
                room = limits["output_bytes"] - len(kept[name])
                kept[name] += chunk[: max(0, room)]
                if len(chunk) > room:
                    ended = ended or "output"
        if limits["wall_s"] is not None and time.monotonic() - began > limits["wall_s"]:
            ended = ended or "time"
        if ended is None and (now := time.monotonic()) > next_look:
            if _memory(init) > limits["memory_bytes"]:
                ended = "memory"
            # Reading /proc takes long on a machine with many processes.
            next_look = now + max(TICK_SECONDS, 20 * (time.monotonic() - now))
        if ended is not None:
            # The guard is left alive: it waits for init, and tells that it has ended.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    report = json.loads(reports.split(b"\n")[-2]) if b"\n" in reports else {}
    if "refused" in report and ended is None:
        raise Refused(report["refused"])
    code = report.get("exit")
    return {
        "ended": ended or ("exit" if code is not None and code >= 0 else "signal"),
        "code": None if ended else code,
        "seconds": time.monotonic() - began,
        **{name: kept[name].decode("utf-8", "replace") for name in kept},
    }


def _memory(init: int) -> int:
    """Bytes in use by a process and all below it; 0 once it is gone."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with (
                contextlib.suppress(OSError, ValueError, IndexError),
                open(f"/proc/{name}/stat") as file,
            ):
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
    total = 0
    for process in parents:
        ancestor = process
        while ancestor not in (0, init):
            ancestor = parents.get(ancestor, 0)
        if ancestor == init:
            with (
                contextlib.suppress(OSError, ValueError, IndexError),
                open(f"/proc/{process}/statm") as file,
            ):
                total += int(file.read().split()[1]) * resource.getpagesize()
    return total


# The guard ---------------------------------------------------------------------------------------


def keep(task: dict[str, Any], output: Pipe, errors: Pipe, status: Pipe, gate: Pipe) -> None:
    """Enter new namespaces, start init in them, and wait for it to end."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    call("unshare", NAMESPACES)
    _tell(status, {"unshared": True})
    gate.close_write()
    identities = os.read(gate.read, 1)
    init = os.fork()
    if init == 0:
        as_nobody = identities == b"2"
        _become(lambda: live(task, output, errors, status, gate, as_nobody=as_nobody), status)
    output.close_write()
    errors.close_write()
    _tell(status, {"init": init})
    _, ended = os.waitpid(init, 0)
    os._exit(0 if ended == 0 else 1)


def _tell(status: Pipe, message: dict[str, Any]) -> None:
    os.write(status.write, (json.dumps(message) + "\n").encode())


# Init --------------------------------------------------------------------------------------------


def live(
    task: dict[str, Any],
    output: Pipe,
    errors: Pipe,
    status: Pipe,
    gate: Pipe,
    *,
    as_nobody: bool,
) -> None:
    """Build the program's file system, start the program, and report how it ended."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not os.read(gate.read, 1):  # wait until the supervisor knows init and can kill it
        raise Refused("the supervisor ended before the program began")
    os.setsid()
    _build(task)
    given = os.open(f"{BOX}/.stdin", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(f"{BOX}/.stdin")
    with os.fdopen(os.dup(given), "wb") as file:
        file.write(task["stdin"].encode())
    os.lseek(given, 0, os.SEEK_SET)
    if as_nobody:
        for name in (BOX, *(f"{BOX}/{name}" for name in os.listdir(BOX))):
            os.chown(name, NOBODY, NOBODY)
    _seal()
    _tell(status, {"ready": True})
    program = os.fork()
    if program == 0:
        _become(lambda: _start(task, (given, output.write, errors.write), as_nobody), status)
    for descriptor in (given, output.write, errors.write):
        os.close(descriptor)
    while True:
        process, ended = os.wait()  # init is the parent of orphans too
        if process == program:
            _tell(status, {"exit": os.waitstatus_to_exitcode(ended)})
            os._exit(0)


def _build(task: dict[str, Any]) -> None:
    """A root file system with what the interpreter needs, read-only, and one folder to write in."""
    limits = task["limits"]
    root = "/proc"  # a mount point on every Linux; the old /proc is not needed any more
    _mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=10k,mode=755")
    for path in task["readonly"]:
        _bind(path, root + path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
    for name in ("null", "zero", "random", "urandom"):
        _bind(f"/dev/{name}", f"{root}/dev/{name}", MOUNT_ATTR_NOSUID)
    box = root + BOX
    os.mkdir(box)
    size = limits["disk_bytes"]
    _mount("tmpfs", box, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},nr_inodes=1k,mode=700")
    if not os.path.lexists(f"{root}/tmp"):
        os.symlink(BOX, f"{root}/tmp")
    for name, text in task["files"].items():
        with open(f"{box}/{name}", "x", encoding="utf-8") as file:
            file.write(text)
    os.chdir(root)
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir(BOX)
    with contextlib.suppress(Refused):
        call("sethostname", b"box", 3)


def _seal() -> None:
    _set_attributes("/", MOUNT_ATTR_RDONLY, 0)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None
) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    try:
        call("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    except Refused as error:
        raise Refused(f"{error} (mounting {source or ''} on {target})") from error


def _bind(source: str, target: str, attributes: int) -> None:
    """Bind-mount a file or folder at another path, with everything mounted below it."""
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, MS_BIND | MS_REC, None)
    _set_attributes(target, attributes, AT_RECURSIVE)


def _set_attributes(path: str, attributes: int, flags: int) -> None:
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    call("syscall", SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, wanted, len(wanted))


# The program -------------------------------------------------------------------------------------


def _start(task: dict[str, Any], streams: tuple[int, int, int], as_nobody: bool) -> None:
    """Give up privileges and open files, set the limits, and become the program."""
    os.setsid()
    for number, descriptor in enumerate((*streams, *task["channel"])):
        os.dup2(os.dup(descriptor) if descriptor < number else descriptor, number)
    os.closerange(3 + len(task["channel"]), 1 << 12)
    limits = task["limits"]
    for kind, value in (
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, limits["processes"]),
    ):
        resource.setrlimit(kind, (value, value))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    if as_nobody:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    for capability in range(64):
        with contextlib.suppress(Refused):
            prctl(PR_CAPBSET_DROP, capability)
    _drop_capabilities()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _filter_calls()
    os.execve(task["command"][0], task["command"], task["environment"])


def _drop_capabilities() -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    call("capset", header, struct.pack("6I", *[0] * 6))


_CALLS = {  # architecture: (its audit number, clone, clone3, socket, and what is refused)
    "x86_64": (
        0xC000003E, 56, 435, 41,
        (
            101, 310, 311, 165, 166, 155, 272, 308, 161, 321, 298, 250, 248, 249, 323, 246, 320,
            175, 313, 176, 425, 426, 427, 304, 303, 428, 429, 430, 431, 432, 433, 442, 438, 312,
            135, 167, 168, 169, 103, 163, 179, 164, 159, 227, 305, 172, 173, 212, 319, 29, 68, 64,
            240, 447,
        ),
    ),
    "aarch64": (
        0xC00000B7, 220, 435, 198,
        (
            117, 270, 271, 40, 39, 41, 97, 268, 51, 280, 241, 219, 217, 218, 282, 104, 294, 105,
            273, 106, 425, 426, 427, 265, 264, 428, 429, 430, 431, 432, 433, 442, 438, 272, 92,
            224, 225, 142, 116, 89, 60, 170, 171, 112, 266, 18, 279, 194, 186, 190, 180, 447,
        ),
    ),
}  # fmt: skip
"""Refused, in this order: tracing and memory of others (ptrace, process_vm_*), mounts and
namespaces, bpf, perf, keys, userfaultfd, kexec, modules, io_uring, handles, the newer mount calls,
pidfd_getfd, kcmp, personality, swap, reboot, logs, accounting, quotas, clocks, ports, memfd, and
System V and POSIX message queues and shared memory, which no rlimit bounds."""


def _filter_calls() -> None:
    """seccomp: refuse system calls that no program needs and that have let programs escape."""
    if os.uname().machine not in _CALLS:
        return
    machine, clone, clone3, socket, refused = _CALLS[os.uname().machine]
    load, equal, more, bits, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill = 0x7FFF0000, 0x80000000

    def refuse(number: int) -> tuple[int, int, int, int]:
        return (answer, 0, 0, 0x00050000 | number)

    program: list[tuple[int, int, int, int]] = [
        (load, 0, 0, 4),
        (equal, 1, 0, machine),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),
        (more, 0, 1, 0x40000000),  # the other calling convention of x86-64
        refuse(errno.EPERM),
    ]
    for number in refused:
        program += [(equal, 0, 1, number), refuse(errno.EPERM)]
    # clone3 hides its flags from filters; C libraries fall back to clone.
    program += [(equal, 0, 1, clone3), refuse(errno.ENOSYS)]
    spaces = NAMESPACES | CLONE_NEWCGROUP | CLONE_NEWTIME
    program += [
        (equal, 0, 4, clone),
        (load, 0, 0, 16),
        (bits, 0, 1, spaces & 0xFFFFFFFF & ~0xFF),
        refuse(errno.EPERM),
        (answer, 0, 0, allow),
        (equal, 0, 4, socket),
        (load, 0, 0, 16),
        (equal, 1, 0, 1),  # AF_UNIX
        refuse(errno.EPERM),
        (answer, 0, 0, allow),
        (answer, 0, 0, allow),
    ]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(described, len(described))
    call("prctl", PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(holder), 0, 0)


def main() -> None:
    task = json.load(sys.stdin)
    try:
        result = watch(task)
    except Refused as error:
        result = {"refused": str(error)}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
