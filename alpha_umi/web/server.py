"""Run an application with uvicorn: a clear error for a taken port, and graceful shutdown on SIGTERM or SIGINT.

HTTP is that of `connections`; web sockets, where an application has any, are those of `web_sockets`.

On the first signal the work drains while the server keeps answering, so that probes and clients get a 503 with a
reason; then the server stops listening. The second signal cancels the work. The exit code is 0 either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from alpha_umi import telemetry
from alpha_umi.web.connections import MAX_CONNECTIONS, BoundedConnection, Door

# For responses that are being sent after the drain.
GRACE_S = 2
# Of a connection, in the kernel, and so about what one read returns. A thousand bodies that begin at once are held with
# it, and an upload has so many bytes a round trip.
RECEIVE_BYTES = 64 * 2**10
# The kernel takes twice as much. Else it takes up to 4 MB of what a client does not read.
SEND_BYTES = 64 * 2**10
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = telemetry.logger(__name__)


class PortTaken(RuntimeError):
    """Another program listens on the address."""


class Work(Protocol):
    """The work of a server, which it drains on shutdown."""

    async def drain(self) -> None:
        """Refuse new work. Return when the current work is done, or its grace period is over."""

    def cancel_all(self) -> None:
        """Cancel the current work, so that `drain` returns soon."""


class _Checked(Protocol):
    def check(self) -> None: ...


class Server(uvicorn.Server):
    """A server that drains its work before it stops."""

    def __init__(self, config: uvicorn.Config, work: Work) -> None:
        super().__init__(config)
        self._work = work
        self._draining: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Shut down gracefully; on the second call, immediately."""
        if self._draining is None:
            _log.info("server.ending")
            self._draining = asyncio.create_task(self._drain(), name="drain")
            return
        _log.warning("server.ending_now")
        self.config.timeout_graceful_shutdown = 0
        self._work.cancel_all()
        if self.should_exit:
            for task in self.server_state.tasks:
                task.cancel()

    async def on_tick(self, counter: int) -> bool:
        """Check the connections every second; called every 0.1 s."""
        if counter % 10 == 0:
            self.check_connections()
        return await super().on_tick(counter)

    def check_connections(self) -> None:
        """Close those whose clients are too slow; to be called once a second."""
        for connection in list(self.server_state.connections):
            cast(_Checked, connection).check()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Replaces uvicorn's handlers, which raise the signal again at the end, so that the exit code is not 0."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.end)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                # The process is about to exit.
                signal.signal(number, signal.SIG_IGN)

    async def _drain(self) -> None:
        try:
            await self._work.drain()
        finally:
            self.should_exit = True


def open_socket(host: str, port: int) -> socket.socket:
    """A bound socket. Raises `PortTaken` with the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets with an explicit protocol TCP; others delay small responses by 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} on {host} is taken by another program; choose another port") from error
        raise
    return bound


def create_server(
    app: FastAPI,
    work: Work,
    *,
    grace_s: int = GRACE_S,
    max_connections: int = MAX_CONNECTIONS,
    web_sockets: bool = False,
) -> Server:
    """A server without uvicorn's logging. It closes open connections `grace_s` seconds after the drain."""
    return Server(server_config(app, grace_s=grace_s, max_connections=max_connections, web_sockets=web_sockets), work)


def server_config(
    app: ASGIApp, *, grace_s: int, max_connections: int = MAX_CONNECTIONS, web_sockets: bool = False
) -> uvicorn.Config:
    """uvicorn's configuration with the connections of this project, whose `check` the server has to call."""
    door = Door(max_connections)
    return uvicorn.Config(
        app,
        # uvicorn calls it as it would the class.
        http=cast(Any, partial(BoundedConnection, door=door)),
        **(_web_socket_options(door) if web_sockets else {"ws": "none"}),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=grace_s,
        server_header=False,
        lifespan="on",
    )


def _web_socket_options(door: Door) -> dict[str, Any]:
    # Services without web sockets come without the library.
    from alpha_umi.web.web_sockets import MAX_MESSAGE_BYTES, PING_S, BoundedWebSocket, MessageMemory

    return {
        "ws": partial(BoundedWebSocket, door=door, memory=MessageMemory()),
        "ws_max_size": MAX_MESSAGE_BYTES,
        "ws_ping_interval": PING_S,
        "ws_ping_timeout": PING_S,
        "ws_per_message_deflate": False,
    }
