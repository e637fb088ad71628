"""Runs the application until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from outthink.errors import OutthinkError, RunError, UsageError
from outthink.gateway.app import LOG, app
from outthink.gateway.dawdlers import let_go
from outthink.gateway.gateway import Gateway
from outthink.gateway.settings import Settings

GRACE_S = 60
"""Seconds that answers under way have once it is told to stop."""
_FILES = 10_240
"""Open at once: what every system grants that grants more than it begins with."""


def serve(
    settings: Settings, host: str, port: int, on_start: Callable[[str, Gateway], None]
) -> None:
    """Serve until SIGINT or SIGTERM; answers under way are finished. SIGHUP reads the policy again.

    Raises `UsageError` without keys on an interface that others reach, `RunError` where the port is
    taken, and as `gateway` does.
    """
    here = is_here(host)
    if not here and settings.keys is None:
        raise UsageError(
            f"--host {host} can be reached by others, so it needs --keys FILE; make a key with "
            "'outthink key NAME -o FILE', or leave --host out"
        )
    _open_as_many_as_allowed()
    asyncio.run(_serve(settings, host, port, here, on_start))


def _open_as_many_as_allowed() -> None:
    """Connections are files, and a process begins with room for 1,024 where it may have more."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _keep_out_of_collections() -> None:
    """What is loaded stays until the end, and looking through it for garbage takes 0.25 s, in
    which no request goes on."""
    gc.collect()
    gc.freeze()


def is_here(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def _serve(
    settings: Settings,
    host: str,
    port: int,
    here: bool,
    on_start: Callable[[str, Gateway], None],
) -> None:
    with closing(_listen(host, port)) as listening:
        made = app(settings, here=here)
        # Its lifespan is run here, so that what is wrong with models or policy is an error of ours.
        async with made.router.lifespan_context(made):
            opened: Gateway = made.state.gateway
            server = _Server(_config(made), opened)
            opened.stop = server.stop
            shown = f"[{host}]" if ":" in host else host
            with _reloading(opened):
                on_start(f"http://{shown}:{listening.getsockname()[1]}", opened)
                _keep_out_of_collections()
                looking = asyncio.create_task(let_go(server.server_state.connections))
                try:
                    await server.serve(sockets=[listening])
                finally:
                    looking.cancel()


def _config(made: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        made,
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


class _Server(uvicorn.Server):
    """Says that it is not ready any more, and lets pages go, before it waits for answers."""

    def __init__(self, config: uvicorn.Config, opened: Gateway) -> None:
        super().__init__(config)
        self._opened = opened

    def stop(self) -> None:
        """To be called from anywhere."""
        self._opened.ready = False
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._opened.ready = False
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._opened.live.close()
        await super().shutdown(sockets)


@contextmanager
def _reloading(opened: Gateway) -> Iterator[None]:
    """SIGHUP reads the policy again, where this is the thread that gets signals."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, _reload, opened)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _reload(opened: Gateway) -> None:
    try:
        opened.solver.reload()
        LOG.warning("read the policy again")
    except OutthinkError as error:
        LOG.error("the policy is as it was: %s", error)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, or asyncio would not turn Nagle's algorithm off: 40 ms an answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
        # Whoever is told the address may ask at once.
        listening.listen()
    except OSError as error:
        listening.close()
        raise RunError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another --port"
        ) from error
    listening.setblocking(False)
    return listening


def log_to_stderr(*, requests: bool) -> None:
    """One line a request where they are wanted; warnings always."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
    LOG.setLevel(logging.INFO if requests else logging.WARNING)
