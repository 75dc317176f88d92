"""Run an application with uvicorn: a clear error for a taken port, and an end to open streams on SIGTERM."""

from __future__ import annotations

import errno
import signal
import socket

import uvicorn
from fastapi import FastAPI

GRACE_S = 8


class PortTaken(RuntimeError):
    """Another program listens on the address already."""


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


def create_server(app: FastAPI, *, grace_s: int = GRACE_S) -> uvicorn.Server:
    """A server that leaves logging to us and closes what is still open `grace_s` seconds after SIGTERM."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=grace_s, server_header=False, lifespan="on"
    )
    return uvicorn.Server(config)


def end_with_exit_code(server: uvicorn.Server) -> None:
    """Let the process outlive the signal that stops its server, so that it ends with an exit code of its own.

    uvicorn has handlers of its own while it runs. When it has stopped it raises the signal once more for those that
    were there before, which by default end the process. A signal that comes before it runs counts as well.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
