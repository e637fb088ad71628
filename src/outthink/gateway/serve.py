"""Runs the application until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import math
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.server import HANDLED_SIGNALS

from outthink.errors import OutthinkError, RunError, UsageError
from outthink.gateway.app import LOG, app
from outthink.gateway.dawdlers import let_go
from outthink.gateway.gateway import Gateway
from outthink.gateway.settings import Settings

_FILES = 10_240
"""Open at once: what every system grants that grants more than it begins with."""


def serve(
    settings: Settings, host: str, port: int, on_start: Callable[[str, Gateway], None]
) -> None:
    """Serve until SIGINT or SIGTERM; answers under way are finished, for as long as the limits
    allow or until a second one comes. SIGHUP reads the policy and the keys again.

    Raises `UsageError` without keys on an interface that others reach, `RunError` where the port is
    taken or answers were cut off, and as `gateway` does.
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
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{listening.getsockname()[1]}"
            config = _config(made, settings.limits.grace_s)
            server = _Server(config, opened, lambda: on_start(url, opened))
            opened.stop = server.stop
            with _reloading(opened):
                _keep_out_of_collections()
                looking = asyncio.create_task(let_go(server.server_state.connections))
                try:
                    await server.serve(sockets=[listening])
                finally:
                    looking.cancel()
    if server.cut_off:
        raise RunError(f"{server.cut_off} answers were cut off; give them longer, with --grace")


def _config(made: FastAPI, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        made,
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=math.ceil(grace_s),
    )


class _Server(uvicorn.Server):
    """Told to stop, it goes on listening, says that it is not ready, takes no more requests, and
    ends when none is under way."""

    def __init__(
        self, config: uvicorn.Config, opened: Gateway, on_start: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._opened = opened
        self._on_start = on_start
        self._until = math.inf
        self.cut_off = 0
        """Requests that were not finished."""

    def stop(self) -> None:
        """To be called from anywhere."""
        self._opened.ready = False
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Unlike uvicorn's, signals are not raised again at the end: the store is to be closed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        asyncio.get_running_loop().call_soon_threadsafe(self._told)

    def _told(self) -> None:
        """To stop; a second time, at once."""
        if not self._opened.ready:
            self._until = 0.0
            if self.should_exit:  # nothing looks at the time any more
                self._cut()
            return
        self._opened.ready = False
        self._until = time.monotonic() + self._opened.settings.limits.grace_s
        LOG.warning("stops; requests under way, which are finished: %d", self._opened.under_way)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def on_tick(self, counter: int) -> bool:
        if not self._opened.ready and not self._opened.under_way:
            self.should_exit = True
        elif time.monotonic() >= self._until:
            self._cut()
        return await super().on_tick(counter)

    def _cut(self) -> None:
        self.cut_off = self._opened.under_way
        self.should_exit = self.force_exit = True
        for task in list(self.server_state.tasks):
            task.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._opened.live.close()
        await super().shutdown(sockets)


@contextmanager
def _reloading(opened: Gateway) -> Iterator[None]:
    """SIGHUP reads the policy and the keys again, where this is the thread that gets signals."""
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
    for what, read in (("policy", opened.solver.reload), ("keys", opened.reload_keys)):
        try:
            if read():
                LOG.warning("read the %s again", what)
        except OutthinkError as error:
            LOG.error("goes on with the old %s: %s", what, error)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, or asyncio would not turn Nagle's algorithm off: 40 ms an answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
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
