"""Everything outthink raises on purpose.

    OutthinkError
    |-- UsageError          the caller's mistake: a bad option, budget, file or policy (exit code 2)
    |   |-- ProblemFileError    a line of a problem file that cannot be read
    |   |-- PolicyError         a policy that does not fit what it is used on
    |   |-- WeightsError        weights that do not match their configuration
    |   |-- MissingPackage      a package of an extra that is not installed
    |   |-- ServerRefused       a server that will not serve this: key, model, what it cannot do
    |   `-- StoreError          a store of another version, of another run
    |       `-- StoreInUse          a store that another process writes
    `-- RunError            what the world did: disk full, an engine that failed (exit code 1)
        |-- DeadlineError       a problem that took longer than it may
        |-- DiskError           a store whose disk is full, or fails
        |-- UnjudgedError       an answer that its judge gives no verdict on
        `-- ServerError         a server that cannot be reached, fails, or answers with nonsense
            `-- ContextError        a prompt longer than the model can read

Each message is one line that names what was seen and the way out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """What a server answered in place of what it was asked for."""

    server: str
    """Its address."""
    status: int
    text: str
    """Its message on one line, with its status and without a key."""
    wait_s: float = 0.0
    """Seconds after which to ask again, as the server has it; 0 where it does not say."""
    has_no_quota: bool = False
    """The account behind the key has nothing left."""


class OutthinkError(Exception):
    """Base of the family: catch this to catch everything outthink raises on purpose."""

    exit_code = 1


class UsageError(OutthinkError, ValueError):
    """The caller asked for something that cannot be; the message says what would do."""

    exit_code = 2


class ProblemFileError(UsageError):
    """A problem file, or one line of it, cannot be read."""


class PolicyError(UsageError):
    """A policy does not fit the models, data or budget it is used with."""


class WeightsError(UsageError):
    """Weights are missing or do not match their configuration."""


class MissingPackage(UsageError):
    """A package that only some uses need is not installed."""

    @classmethod
    def of(cls, error: ImportError) -> MissingPackage | None:
        """What to say of an import that failed; `None` where no extra of outthink brings it."""
        package = (error.name or "").partition(".")[0]
        extras = _EXTRAS.get(package)
        if extras is None:
            return None
        ways = " or ".join(f"pip install 'outthink[{name}]' for {use}" for name, use in extras)
        return cls(f"this needs {package}, which is not installed: {ways}")


_SERVE = (("serve", "the gateway"),)
_EXTRAS: dict[str, tuple[tuple[str, str], ...]] = {
    "torch": (("lab", "the lab and the demo"), ("transformers", "checkpoints")),
    "transformers": (("transformers", "checkpoints"),),
    "peft": (("transformers", "checkpoints"),),
    "fastapi": _SERVE,
    "starlette": _SERVE,
    "uvicorn": _SERVE,
    "pydantic": _SERVE,
    "prometheus_client": _SERVE,
    "ray": (("ray", "sweeps on many machines"),),
}


class StoreError(UsageError):
    """A store is of another version, belongs to another run, or is being written elsewhere."""


class StoreInUse(StoreError):
    """A store is being written by another process."""


class RunError(OutthinkError):
    """The run failed for a reason outside the caller's words: disk, memory, engine."""


class DeadlineError(RunError):
    """A problem was not done when its time was up."""


class DiskError(RunError):
    """A store cannot be read or written now: its disk is full, or fails. What it was to keep waits,
    and is written with whatever comes next."""


class UnjudgedError(RunError):
    """A judge that is a model gave no verdict on an answer."""


class ServerError(RunError):
    """A server could not be reached, failed, or answered with nonsense, and went on doing so."""

    def __init__(self, message: str, said: Said | None = None) -> None:
        super().__init__(message)
        self.said = said
        """`None` where nothing came that could be read."""


class ContextError(ServerError):
    """A prompt is longer than the model can read."""


class ServerRefused(UsageError):
    """A server will not do what is asked of it, however often: a wrong address or key, a model it
    does not have, a thing it cannot do."""

    def __init__(self, message: str, said: Said | None = None) -> None:
        super().__init__(message)
        self.said = said
        """`None` where it was not asked, or did not say it in an error."""
