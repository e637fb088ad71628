"""Commands that are killed at moments that a seed chooses: before a file is opened to be written,
renamed or removed, inside a statement of SQLite, or when a request is sent or answered.

As a script it takes a command a line, as JSON, runs each in a process of its own, and says how it
ended (negative for a signal) and what it passed by. Modules that it is given by name are loaded
once.
"""

import importlib
import itertools
import json
import os
import resource
import signal
import sqlite3
import sys
import time

KINDS = ("file", "step", "request")
STEPS = 25
"""Steps of SQLite's machine between two moments."""
_FILES = {"os.rename", "os.remove", "os.truncate", "os.mkdir", "os.link"}
_WRITES = os.O_WRONLY | os.O_RDWR


class Moment:
    """Ends the process at the n-th event of a kind, or stops it there until it is sent on."""

    def __init__(self, kind, at, number):
        self.kind, self.at, self.number = kind, at, number
        self.counts = dict.fromkeys(KINDS, 0)

    def pass_by(self, kind):
        at = self.counts[kind]
        self.counts[kind] += 1
        if kind == self.kind and at == self.at:
            os.kill(os.getpid(), self.number)


def watch(moment):
    """Have all that this process does from now on pass by."""
    from outthink.models import http

    def audit(event, arguments):
        if event in _FILES or (event == "open" and arguments[2] & _WRITES):
            moment.pass_by("file")

    connect, whole = sqlite3.connect, http._whole

    def connected(*given, **more):
        database = connect(*given, **more)
        database.set_progress_handler(lambda: moment.pass_by("step"), STEPS)
        return database

    async def asked(*given):
        moment.pass_by("request")
        response = await whole(*given)
        moment.pass_by("request")
        return response

    sqlite3.connect, http._whole = connected, asked
    sys.addaudithook(audit)


def fill(room, name):
    """From the first file of this name on that is written, none can be longer."""

    def audit(event, arguments):
        if event == "open" and arguments[2] & _WRITES and str(arguments[0]).endswith(name):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    sys.addaudithook(audit)


def run(asked):
    """In the child: the command, and its exit status."""
    from outthink.cli.app import main

    os.chdir(asked["folder"])
    told = asked.get("pipe") or os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(told, 1)
    os.dup2(told, 2)
    if "room" in asked:
        fill(asked["room"], asked["fills"])
    if asked.get("clock"):
        seconds = itertools.count(4e9, -3600.0)
        time.time = lambda: next(seconds)
    moment = Moment(asked["kind"], asked["at"], asked.get("signal", signal.SIGKILL))
    watch(moment)
    code = main(asked["words"])
    sys.stdout.flush()
    counts = moment.counts
    if "room" not in asked:
        with open("passed", "w") as file:
            json.dump(counts, file)
    os._exit(code)


def ended(child):
    """How a process ended; one that stopped is sent on."""
    while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
        os.kill(child, signal.SIGCONT)
    return os.waitstatus_to_exitcode(status)


def main():
    import numpy  # noqa: F401 - what every command loads is loaded once

    import outthink.api
    import outthink.cli.app
    import outthink.study.imports
    import outthink.study.merge
    import outthink.study.sweep  # noqa: F401

    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        if "room" in asked:  # a file could not take what is said
            heard, asked["pipe"] = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                run(asked)
            finally:
                os._exit(99)
        if asked.get("alone"):
            sys.stdout.write(f"{child}\n")
            sys.stdout.flush()
            sys.stdin.readline()
            os.kill(child, signal.SIGKILL)
        status = ended(child)
        if "room" in asked:
            os.close(asked["pipe"])
            with os.fdopen(heard) as pipe, open(f"{asked['folder']}/said", "w") as file:
                file.write(pipe.read())
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
