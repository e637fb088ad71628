"""What a request is refused with: OpenAI's error object, and its status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outthink.errors import ContextError, DeadlineError, RunError, ServerRefused, UsageError


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


def of(error: Exception) -> Refused:
    """How an error of ours is told to a client."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ContextError):
        return wrong(str(error), "messages", "context_length_exceeded")
    if isinstance(error, DeadlineError):
        return Refused(504, str(error), code="deadline")
    if isinstance(error, ServerRefused | RunError):
        return Refused(502, str(error), code="upstream")
    if isinstance(error, UsageError):
        return wrong(str(error))
    return Refused(500, f"{type(error).__name__}, which is a bug of the gateway; see its log")


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
