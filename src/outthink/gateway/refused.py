"""What a request is refused with: OpenAI's error object, and its status."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from outthink.errors import (
    ContextError,
    DeadlineError,
    DiskError,
    RunError,
    Said,
    ServerError,
    ServerRefused,
    StoreError,
    UsageError,
)

_KEEPS_S = 10
"""In which somebody may see to a disk that is full."""


@dataclass(eq=False)
class Refused(Exception):
    """A request that gets no answer. `message` says what was seen and what would do."""

    status: int
    message: str
    param: str | None = None
    """The parameter that is to blame."""
    code: str | None = None
    """One word that a program can go by."""
    retry_after_s: int | None = None

    def __str__(self) -> str:
        return self.message

    @property
    def body(self) -> dict[str, Any]:
        """As https://platform.openai.com/docs/guides/error-codes has it."""
        told = {"message": self.message, "type": _kind(self.status), "param": self.param}
        return {"error": {**told, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


def wrong(message: str, param: str | None = None, code: str | None = None) -> Refused:
    """A request that nobody could answer, however often it is sent."""
    return Refused(400, message, param, code)


def unsupported(param: str, instead: str) -> Refused:
    """A parameter that this way of thinking cannot do."""
    return wrong(f"'{param}' is not supported here: {instead}", param, "unsupported_parameter")


def unsupported_by_lab(param: str) -> Refused:
    """A parameter that would change how the lab's models draw."""
    instead = f"leave it out, or have it left out: outthink serve --ignore {param}"
    return unsupported(param, f"the lab's models draw in one way; {instead}")


def of(error: Exception) -> Refused:
    """How an error of ours is told to a client."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ContextError):
        # Behind the address, which is nobody's business.
        return wrong(str(error).partition(": ")[2], "messages", "context_length_exceeded")
    if isinstance(error, DeadlineError):
        return Refused(504, str(error), code="deadline")
    if isinstance(error, ServerError | ServerRefused):
        return upstream(error.said, is_own=False)
    if isinstance(error, DiskError | StoreError):
        message = f"what is drawn cannot be kept now; try again in {_KEEPS_S} s"
        return Refused(503, message, None, "store", _KEEPS_S)
    if isinstance(error, RunError):
        return Refused(502, str(error), code="upstream")
    if isinstance(error, UsageError):
        return wrong(str(error))
    return Refused(500, f"{type(error).__name__}, which is a bug of the gateway; see its log")


def upstream(said: Said | None, *, is_own: bool) -> Refused:
    """What a client can do about an error of a server of models; `None` for one that could not be
    read. `is_own`: what the server refused is the client's own request.

    What only whoever runs the gateway can mend is a 502 that repeats nothing the server said: it
    may hold a key, or an address.
    """
    if said is None:
        return Refused(502, "a server of models cannot be reached, or fails", code="upstream")
    status = said.status
    if status in (401, 403):
        return Refused(502, "the gateway's own key is refused", code="upstream_key")
    if said.has_no_quota:
        return Refused(502, "the gateway's own account has nothing left", code="upstream_quota")
    if status == 404:
        return Refused(502, "the model is not where it is served", code="upstream_not_found")
    seconds = max(1, math.ceil(said.wait_s))
    if status == 429:
        return Refused(
            429, f"the model is busy; try again in {seconds} s", None, "upstream_busy", seconds
        )
    if status in (503, 529):
        message = f"the model cannot be asked now; try again in {seconds} s"
        return Refused(503, message, None, "upstream_unavailable", seconds)
    if status in (408, 504):
        return Refused(504, "the model did not answer in time", code="upstream_late")
    if is_own and 400 <= status < 500 and status not in (405, 409, 425):
        return Refused(status, f"the model refuses this ({said.text})", code="upstream_refused")
    return Refused(502, f"a server of models fails with status {status}", code="upstream")


_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


def _kind(status: int) -> str:
    return _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
