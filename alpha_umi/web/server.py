"""Run an application with uvicorn: a clear error for a taken port, and a graceful end on SIGTERM or SIGINT.

On the first signal the work comes to rest while the server goes on answering, so that probes and clients hear a 503
with a reason; then it stops listening. On the second the work is left as it is. Either way the exit is a clean one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from alpha_umi import telemetry

# For answers that are being sent when the work has come to rest.
GRACE_S = 2
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = telemetry.logger(__name__)


class PortTaken(RuntimeError):
    """Another program listens on the address already."""


class Work(Protocol):
    """What a server does, and how it comes to rest."""

    async def drain(self) -> None:
        """Refuse new work at once. Return when what is under way is done, or its time is over."""

    def cancel_all(self) -> None:
        """Leave what is under way as it is: `drain` returns in a moment."""


class Server(uvicorn.Server):
    """A server that drains its work before it ends."""

    def __init__(self, config: uvicorn.Config, work: Work) -> None:
        super().__init__(config)
        self._work = work
        self._draining: asyncio.Task[None] | None = None

    def end(self) -> None:
        """End gracefully; told a second time, end now."""
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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In place of uvicorn's own way, which raises the signal once more at the end: that is no clean exit."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.end)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                # The process is about to end by itself.
                signal.signal(number, signal.SIG_IGN)

    async def _drain(self) -> None:
        try:
            await self._work.drain()
        finally:
            self.should_exit = True


def open_socket(host: str, port: int) -> socket.socket:
    """A bound socket. Raises `PortTaken` with the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only on sockets that say TCP; others wait 40 ms for an ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} on {host} is taken by another program; choose another port") from error
        raise
    return bound


def create_server(app: FastAPI, work: Work, *, grace_s: int = GRACE_S) -> Server:
    """A server that leaves logging to us. It closes what is open `grace_s` seconds after its work came to rest."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=grace_s, server_header=False, lifespan="on"
    )
    return Server(config, work)
