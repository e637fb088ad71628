"""How a process is asked: one request a line to it, one answer a line back, each bounded in time.

Both ends are file descriptors. `worker` asks the process for computer algebra so, `sandbox.Session`
a program in the sandbox. What a line holds is for them to say.
"""

from __future__ import annotations

import os
import select
import time


class Lines:
    """The asking end. It closes neither descriptor."""

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._buffer = b""

    def ask(self, request: str, *, seconds: float) -> str | None:
        """The answer, without its line end; `None` where the process has ended or is silent for
        too long. It must not be asked again then: its answer may still come."""
        data = request.encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except OSError:  # the process has ended
            return None
        return self.next(seconds=seconds)

    def next(self, *, seconds: float) -> str | None:
        """The next line that the process writes; see `ask`."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self._read], [], [], left)
            chunk = os.read(self._read, 1 << 16) if readable else b""
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace")
