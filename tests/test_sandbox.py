"""The sandbox: each test is an attack, and proves that it came to nothing.

No attack is faked: programs really fork, fill, flood and hide. Limits are small so that the whole
file takes seconds.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from outthink.errors import RunError
from outthink.grade import sandbox
from outthink.grade.sandbox import Ended, Limits

WHY_NOT = sandbox.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"no sandbox here: {WHY_NOT}")

SMALL = Limits(cpu_s=1, wall_s=10.0, memory_bytes=1 << 28, processes=12, output_bytes=1 << 16)
QUICK = replace(SMALL, wall_s=0.7)


def boxed():
    """Processes that are part of a sandbox, inside or out, but for those of the test processes
    beside this one."""
    found, parents = set(), {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            parents[folder.name] = parent
            if b"/box/main.py" in command or b"sandbox/supervisor.py" in command:
                found.add(folder.name)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return found
    us, above = str(os.getpid()), str(os.getppid())
    beside = {each for each, parent in parents.items() if parent == above} - {us}

    def is_others(process):
        while process in parents and process not in beside:
            process = parents[process]
        return process in beside

    return {each for each in found if not is_others(each)}


def until(holds):
    """Wait for a condition, at most ten seconds."""
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("it never happened")


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Whatever a test ran, all of it is gone soon after."""
    before = boxed()
    yield
    left = boxed() - before
    until(lambda: not left & boxed())


# What a program may do ---------------------------------------------------------------------------


def test_a_program_runs_with_the_standard_library_and_its_input():
    found = sandbox.run(
        "import json,sys; print(json.load(sys.stdin)['a'])", stdin='{"a": "\u00e9"}'
    )
    assert (found.ended, found.code, found.stdout) == (Ended.EXIT, 0, "\u00e9\n")


def test_a_program_may_write_in_its_own_folder_and_nothing_of_it_stays():
    writes = (
        "open('kept','w').write('x'); import os,tempfile; tempfile.mkstemp(); print(os.getcwd())"
    )
    assert sandbox.run(writes).stdout == "/box\n"
    assert "kept" not in sandbox.run("import os; print(os.listdir())").stdout


def test_files_are_put_beside_the_program():
    assert sandbox.run("print(open('a').read())", files={"a": "text"}).stdout == "text\n"


def test_errors_and_exit_codes_are_reported():
    found = sandbox.run("import sys; print('why', file=sys.stderr); sys.exit(3)")
    assert (found.ended, found.code, found.stderr) == (Ended.EXIT, 3, "why\n")


def test_threads_and_processes_are_possible_within_the_limit():
    program = """
import threading, subprocess, sys
one = threading.Thread(target=lambda: print('thread', flush=True)); one.start(); one.join()
print(subprocess.run([sys.executable, '-S', '-c', 'print(1)'], capture_output=True).stdout)
"""
    assert (
        sandbox.run(program, limits=replace(SMALL, memory_bytes=1 << 29)).stdout
        == "thread\nb'1\\n'\n"
    )


def test_many_sandboxes_run_side_by_side():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: sandbox.run(f"print({number})").stdout, range(8)))
    assert found == [f"{number}\n" for number in range(8)]


# Time --------------------------------------------------------------------------------------------


def test_an_endless_loop_uses_up_its_cpu_time():
    found = sandbox.run("while True: pass", limits=SMALL)
    assert found.ended in {Ended.SIGNAL, Ended.TIME}
    assert found.seconds < SMALL.wall_s + 2


def test_sleeping_for_ever_ends_with_the_wall_time():
    found = sandbox.run("import time; time.sleep(1e6)", limits=QUICK)
    assert (found.ended, found.code) == (Ended.TIME, None)


def test_signals_cannot_be_ignored():
    program = """
import signal, time
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
signal.alarm(1)
while True: time.sleep(1)
"""
    assert sandbox.run(program, limits=QUICK).ended is Ended.TIME


# Processes ---------------------------------------------------------------------------------------


def test_a_fork_bomb_stops_at_the_limit():
    program = """
import os, time
made = 0
try:
    for _ in range(1000):
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError: pass
print(made, flush=True)
"""
    found = sandbox.run(program, limits=SMALL)
    assert 0 < int(found.stdout) < SMALL.processes
    assert found.seconds < 60


def test_a_fork_bomb_that_never_gives_up_is_ended():
    program = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert sandbox.run(program, limits=QUICK).ended is Ended.TIME


def test_a_daemon_does_not_survive():
    program = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3): os.close(number)
        time.sleep(1000)
    os._exit(0)
os.wait()
print('left it behind')
"""
    before = boxed()
    found = sandbox.run(program, limits=SMALL)
    left = boxed() - before
    assert found.stdout == "left it behind\n"
    assert found.seconds < SMALL.wall_s  # nobody waited for the daemon either
    until(lambda: not left & boxed())


def test_killing_everything_in_reach_reaches_nobody_else():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        program = f"""
import os, signal
for target in (1, os.getppid(), {bystander.pid}, {os.getpid()}):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try: os.kill(target, number)
        except OSError: pass
try: os.kill(-1, signal.SIGKILL)
except OSError: pass
print('still here', flush=True)
os.killpg(0, signal.SIGKILL)
"""
        found = sandbox.run(program, limits=SMALL)
        assert found.ended is Ended.SIGNAL
        assert found.code == -signal.SIGKILL
        assert bystander.poll() is None
        bystander.stdin.close()


def test_no_process_of_the_machine_is_seen():
    program = "import os; print(os.path.exists('/proc/self'), os.getpid() < 10, os.getppid())"
    assert sandbox.run(program).stdout == "False True 1\n"


def test_other_processes_cannot_be_traced_or_read():
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
mounted = libc.mount(b'x', b'/box', b'tmpfs', 0, 0)
print([libc.ptrace(16, 1, 0, 0), libc.unshare(0x10000000), mounted])
"""
    found = sandbox.run(program)
    assert found.stdout == "[-1, -1, -1]\n"


def test_a_caller_that_is_killed_leaves_nothing_behind():
    code = "from outthink.grade import sandbox; sandbox.run('import time; time.sleep(1000)')"
    before = boxed()
    with subprocess.Popen([sys.executable, "-c", code]) as caller:
        until(lambda: any(b"/box/main.py" in command(name) for name in boxed() - before))
        started = boxed() - before
        caller.kill()
    until(lambda: not started & boxed())


def command(process):
    try:
        return (Path("/proc") / process / "cmdline").read_bytes()
    except OSError:
        return b""


# Memory, disk, output ----------------------------------------------------------------------------


def test_a_memory_bomb_fails_in_its_own_process():
    found = sandbox.run("x = bytearray(1 << 30)", limits=SMALL)
    assert found.code == 1
    assert "MemoryError" in found.stderr


def test_memory_of_many_processes_is_added_up():
    program = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        block = bytearray(os.urandom(1)) * (60 << 20)
        time.sleep(60)
time.sleep(60)
"""
    limits = replace(SMALL, memory_bytes=200 << 20)
    assert sandbox.run(program, limits=limits).ended is Ended.MEMORY


def test_flooding_the_output_is_cut_off():
    found = sandbox.run("while True: print('x' * 1000)", limits=SMALL)
    assert found.ended is Ended.OUTPUT
    assert len(found.stdout) == SMALL.output_bytes


def test_flooding_the_disk_is_refused():
    program = """
import os
written = 0
try:
    for number in range(1000):
        with open(str(number), 'wb') as file: written += file.write(bytes(1 << 20))
except OSError as error: print(error.errno)
print(written)
"""
    limits = replace(SMALL, disk_bytes=5 << 20)
    number, written = sandbox.run(program, limits=limits).stdout.split()
    assert int(number) in {28, 122}
    assert int(written) <= limits.disk_bytes


def test_a_file_cannot_grow_without_bound():
    program = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with open('big', 'wb') as file:
        while True: file.write(bytes(1 << 20))
except OSError as error: print(error.errno)
"""
    assert sandbox.run(program, limits=replace(SMALL, file_bytes=1 << 20)).stdout == "27\n"


def test_shared_memory_is_no_way_around():
    program = """
import ctypes
libc = ctypes.CDLL(None)
print(libc.shmget(0, 1 << 20, 0o1600), libc.memfd_create(b'x', 0))
"""
    assert sandbox.run(program).stdout == "-1 -1\n"


# Files -------------------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("the planted secret")
    return path


@pytest.mark.parametrize(
    "way", ["{path}", "../../../../..{path}", "/proc/1/root{path}", "/proc/self/cwd{path}"]
)
def test_a_file_outside_cannot_be_read(secret, way):
    found = sandbox.run(f"print(open({way.format(path=secret)!r}).read())")
    assert found.code == 1
    assert "planted" not in found.stdout + found.stderr


def test_a_link_leads_nowhere(secret):
    program = f"""
import os
for way in (os.symlink, os.link):
    for target in ({str(secret)!r}, '/etc/passwd', '/root'):
        try:
            way(target, 'link'); print(open('link').read())
        except OSError: pass
        try: os.unlink('link')
        except OSError: pass
os.symlink('/', 'root')
print(sorted(os.listdir('root')))
"""
    found = sandbox.run(program)
    assert found.stdout.count("\n") == 1
    assert "box" in found.stdout
    assert "home" not in found.stdout


def test_a_folder_handed_in_by_an_open_file_is_closed(secret):
    program = """
import os
print([number for number in range(3, 200) if os.path.exists(f'/dev/fd/{number}')])
for number in range(3, 200):
    try: os.fchdir(number); print('out', os.listdir('.'))
    except OSError: pass
"""
    held = os.open(secret.parent, os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        assert "out" not in sandbox.run(program).stdout
    finally:
        os.close(held)


def test_nothing_outside_the_folder_can_be_written(secret):
    program = f"""
import os, sys
for path in ({str(secret)!r}, {str(secret.parent / "new")!r}, '/new', '/usr/new',
             '/etc/new', '/dev/new', '/dev/shm/new', '/var/tmp/new', os.__file__,
             os.path.join(sys.prefix, 'new'), sys.executable):
    try:
        with open(path, 'a') as file: file.write('x')
        print('wrote', path)
    except OSError: pass
    try: os.remove(path); print('removed', path)
    except OSError: pass
"""
    found = sandbox.run(program)
    assert (found.code, found.stdout) == (0, "")
    assert secret.read_text() == "the planted secret"
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]


def test_the_environment_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("PLANTED_KEY", "secret")
    assert "PLANTED_KEY" not in sandbox.run("import os; print(dict(os.environ))").stdout


def test_privileges_cannot_be_regained():
    program = """
import os
for way in (lambda: os.setuid(0), lambda: os.setgid(0),
            lambda: os.chroot('/box'), lambda: os.chown('main.py', 0, 0)):
    try: way(); print('regained')
    except OSError: pass
print(os.getuid() != 0)
"""
    assert sandbox.run(program).stdout == "True\n"


# Network -----------------------------------------------------------------------------------------


def test_a_listening_socket_receives_nothing():
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        done = threading.Event()

        def listen():
            while not done.is_set():
                try:
                    heard.append(server.accept())
                except TimeoutError:
                    continue

        listener = threading.Thread(target=listen)
        listener.start()
        port = server.getsockname()[1]
        program = f"""
import socket
four, six = socket.AF_INET, socket.AF_INET6
for family, address in ((four, ('127.0.0.1', {port})), (six, ('::1', {port}))):
    try: socket.socket(family).connect(address); print('connected')
    except OSError: pass
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))
except OSError: print('no network')
"""
        found = sandbox.run(program)
        done.set()
        listener.join()
    assert found.stdout == "no network\n"
    assert not heard


def test_a_unix_socket_of_the_machine_is_out_of_reach(tmp_path):
    # An abstract name needs no file, and belongs to a network namespace.
    name = f"\0outthink-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        server.settimeout(0.05)
        program = f"""
import socket
try: socket.socket(socket.AF_UNIX).connect({name!r}); print('connected')
except OSError: print('refused')
"""
        assert sandbox.run(program).stdout == "refused\n"
        with pytest.raises(TimeoutError):
            server.accept()


# Where there is none -----------------------------------------------------------------------------


def test_without_a_sandbox_nothing_is_run(monkeypatch, tmp_path):
    broken = tmp_path / "supervisor.py"
    broken.write_text('print(\'{"refused": "unshare: Operation not permitted"}\')')
    monkeypatch.setattr(sandbox, "_SUPERVISOR", broken)
    with pytest.raises(RunError, match="never outside a sandbox"):
        sandbox.run("open('/tmp/outthink-escaped', 'w')")
    assert not Path("/tmp/outthink-escaped").exists()


def test_elsewhere_than_on_linux_it_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RunError, match="no sandbox on darwin"):
        sandbox.run("print(1)")
