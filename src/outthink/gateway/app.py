"""The application: paths, who may ask, and what is said where something fails."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outthink.errors import OutthinkError
from outthink.gateway import chat, refused, reply
from outthink.gateway.asked import AUTO
from outthink.gateway.gateway import Gateway, gateway
from outthink.gateway.refused import Refused
from outthink.gateway.responses import RESPONSES
from outthink.gateway.settings import Settings
from outthink.gateway.stream import Stream, with_silence
from outthink.gateway.wire import ChatRequest, CompletionRequest, Feedback, ResponseRequest
from outthink.version import VERSION

LOG = logging.getLogger("outthink.gateway")
ANYONE = "anyone"
"""Whose requests they are where there are no keys."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]", "::1")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = {"": "live.html", "live.js": "live.js", "live.css": "live.css", "icon.svg": "icon.svg"}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


def app(settings: Settings, *, here: bool = True) -> FastAPI:
    """The application of a gateway. `here`: it listens on this machine alone, and answers to its
    names only, so that no web page can ask it under a name of its own."""

    @asynccontextmanager
    async def life(made: FastAPI) -> AsyncIterator[None]:
        async with gateway(settings) as opened:
            made.state.gateway = opened
            yield

    made = FastAPI(
        title="outthink gateway",
        version=VERSION,
        description="Answers as a fitted policy has them, behind OpenAI's API.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
    )
    made.add_exception_handler(Refused, _refused)
    made.add_exception_handler(OutthinkError, _refused)
    made.add_exception_handler(HTTPException, _not_there)
    made.add_exception_handler(Exception, _refused)
    _add_answers(made)
    _add_facts(made)
    _add_page(made)
    made.add_middleware(_Counting, here=here and settings.keys is None)
    return made


def _gateway(request: Request) -> Gateway:
    opened: Gateway = request.app.state.gateway
    return opened


def _who(request: Request) -> str:
    """The user of a request. Raises `Refused` (401) for nobody's key."""
    keys = _gateway(request).keys
    if keys is None:
        return ANYONE
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    name = keys.name(key.strip()) if scheme.lower() == "bearer" else None
    if name is None:
        raise Refused(
            401, "a key is needed, as 'Authorization: Bearer KEY'", code="invalid_api_key"
        )
    return name


# Paths ------------------------------------------------------------------------------------------

_JSON = "application/json"
_NULLABLE = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {**_NULLABLE, "description": "The parameter that is to blame."},
                "code": {**_NULLABLE, "description": "A word that a program can go by."},
            },
        }
    },
}
_AGAIN = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
}
_Refusals = dict[int | str, dict[str, Any]]
_REFUSALS: _Refusals = {
    status: {
        "description": text,
        "content": {_JSON: {"schema": _ERROR}},
        **({"headers": _AGAIN} if status in (429, 503) else {}),
    }
    for status, text in (
        (400, "What cannot be done, by name; or the model refuses it (`upstream_refused`)."),
        (401, "Nobody's key."),
        (403, "A name of this gateway that is not this machine's."),
        (404, "No such model; or its server lacks this path (`upstream_not_offered`)."),
        (408, "The request did not come in time (`slow`)."),
        (413, "Too long, for the gateway or for the model (`upstream_refused`)."),
        (415, "No JSON."),
        (422, "The model's server cannot make sense of it (`upstream_refused`)."),
        (
            429,
            "Too many wait (`too_many_requests`), the key has spent what it may within a minute or "
            "a day (`rate_limit_exceeded`, `insufficient_quota`), or the model is busy "
            "(`upstream_busy`).",
        ),
        ("4XX", "Whatever else the model's own server refuses, as it says it."),
        (
            502,
            "The model's server fails or cannot be reached (`upstream`), refuses the gateway's own "
            "key (`upstream_key`) or account (`upstream_quota`), or lacks the model "
            "(`upstream_not_found`). Only whoever runs the gateway can mend it.",
        ),
        (
            503,
            "The model's server is overloaded, or starts (`upstream_unavailable`); what is drawn "
            "cannot be kept (`store`); or the gateway stops (`shutting_down`).",
        ),
        (504, "The deadline came before any answer (`deadline`), or the model took too long."),
    )
}


_ANSWERED: dict[str, Any] = {
    "description": "The answer, whole or streamed.",
    "content": {_JSON: {"schema": {"type": "object"}}, "text/event-stream": {}},
}


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = schema.pop("$defs", {})
    text = json.dumps(schema)
    for name, one in inner.items():
        text = text.replace(f'{{"$ref": "#/components/schemas/{name}"}}', json.dumps(one))
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": json.loads(text)}}}}


def _add_answers(made: FastAPI) -> None:
    def about(kind: type[BaseModel]) -> dict[str, Any]:
        answers = _REFUSALS if kind is Feedback else {200: _ANSWERED, **_REFUSALS}
        told = {"responses": answers, "openapi_extra": _body(kind)}
        return {**told, "response_class": JSONResponse}

    @made.post("/v1/chat/completions", **about(ChatRequest))
    async def chat_completions(request: Request) -> Response:
        """An answer to a conversation."""
        return await chat.answer(chat.CHAT, request, _gateway(request), _who(request))

    @made.post("/v1/completions", **about(CompletionRequest))
    async def completions(request: Request) -> Response:
        """An answer to a text."""
        return await chat.answer(chat.TEXT, request, _gateway(request), _who(request))

    @made.post("/v1/responses", **about(ResponseRequest))
    async def create_response(request: Request) -> Response:
        """An answer to a conversation, in the shape of the Responses API."""
        return await chat.answer(RESPONSES, request, _gateway(request), _who(request))

    @made.post("/v1/feedback", **about(Feedback))
    async def feedback(request: Request) -> Response:
        """Whether an answer was right."""
        who, opened = _who(request), _gateway(request)
        told = chat.checked(Feedback, (await chat.received(request, opened)).body)
        opened.verdict(told.id, who, told.right)
        return JSONResponse({"id": told.id, "right": told.right})


def _add_facts(made: FastAPI) -> None:
    @made.get("/v1/models", responses={401: _REFUSALS[401]})
    async def models(request: Request) -> Response:
        """What `model` may name."""
        _who(request)
        data = [_model(name) for name in _models(_gateway(request))]
        return JSONResponse({"object": "list", "data": data})

    @made.get("/v1/models/{name:path}", responses={n: _REFUSALS[n] for n in (401, 404)})
    async def model(name: str, request: Request) -> Response:
        """One of them."""
        _who(request)
        if name not in _models(_gateway(request)):
            raise Refused(404, f"there is no model {name!r}", "model", "model_not_found")
        return JSONResponse(_model(name))

    @made.get("/healthz")
    async def healthz() -> Response:
        """Whether the process lives."""
        return JSONResponse({"status": "ok"})

    @made.get("/readyz", responses={503: {"description": "It shuts down."}})
    async def readyz(request: Request) -> Response:
        """Whether requests are taken."""
        ready = _gateway(request).ready
        told = {"status": "ok" if ready else "shutting down"}
        return JSONResponse(told, 200 if ready else 503)

    @made.get("/metrics", response_class=PlainTextResponse, responses={401: _REFUSALS[401]})
    async def metrics(request: Request) -> Response:
        """Counters, for Prometheus."""
        _who(request)
        opened = _gateway(request)
        opened.metrics.running.set(opened.line.running)
        opened.metrics.waiting.set(opened.line.length)
        return Response(opened.metrics.text(), media_type="text/plain; version=0.0.4")


def _models(opened: Gateway) -> tuple[str, ...]:
    name = opened.solver.name
    ways = (
        ("majority@8", "best_of_n@8", "beam@8") if opened.solver.has_verifier else ("majority@8",)
    )
    return (AUTO, name, *(f"{name}:{way}" for way in ways))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "outthink"}


def _add_page(made: FastAPI) -> None:
    for path, file in _PAGE.items():
        made.add_api_route(f"/{path}", _file(file), include_in_schema=False)

    @made.get("/live", include_in_schema=False)
    async def live(request: Request) -> Response:
        opened = _gateway(request)
        held = AsyncExitStack()
        return Stream(_events(opened, _who(request)), held)


def _file(name: str) -> Any:
    content = files("outthink.gateway").joinpath("page", name).read_bytes()
    kind = _TYPES[name.rpartition(".")[2]]
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }

    async def get() -> Response:
        return Response(content, media_type=kind, headers=headers)

    return get


async def _events(opened: Gateway, who: str) -> AsyncGenerator[bytes, None]:
    seconds = opened.settings.limits.keep_alive_s
    told = {"model": opened.solver.name, "policy": opened.solver.policy is not None}
    yield reply.sse({"kind": "gateway", **told})
    async with aclosing(with_silence(opened.live.listen(who), seconds)) as parts:
        async for event in parts:
            yield reply.KEEP_ALIVE if event is None else reply.sse(event)


# What fails -------------------------------------------------------------------------------------


async def _refused(request: Request, error: Exception) -> Response:
    told = refused.of(error)
    if told.status == 500:
        LOG.exception("a request failed", exc_info=error)
    if told.code == "store":
        LOG.error("%s", error)
    return JSONResponse(told.body, told.status, told.headers)


async def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = Refused(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
    return JSONResponse(told.body, told.status, error.headers)


class _Counting:
    """Around every request: its time and status counted and logged, and no text of it."""

    def __init__(self, inner: ASGIApp, *, here: bool) -> None:
        self._inner = inner
        self._here = here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._here and _host(scope) not in _THIS_MACHINE:
                told = Refused(403, "this gateway answers to localhost alone", code="host")
                await JSONResponse(told.body, told.status)(scope, receive, sent)
            else:
                await self._inner(scope, receive, sent)
        finally:
            self._count(scope, status, time.monotonic() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        opened: Gateway = scope["app"].state.gateway
        route = scope.get("route")
        path = getattr(route, "path", "other")
        opened.metrics.requests.labels(path, str(status)).inc()
        opened.metrics.seconds.labels(path).observe(seconds)
        LOG.info("%s %s %s %.3f s", scope["method"], path, status, seconds)


def _host(scope: Scope) -> str:
    headers = dict(scope["headers"])
    host: str = headers.get(b"host", b"").decode("latin-1")
    return host if host.endswith("]") else host.rpartition(":")[0] or host
