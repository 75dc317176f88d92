"""Serve a tool server inside this process, on a loopback port that the system chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from evaluation.errors import EvaluationError

STARTING_S = 30
ENDING_S = 10


class NotServed(EvaluationError):
    """The tool server did not start."""


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Its base address, until the block ends. Raises `NotServed`.

    It has a thread of its own: there uvicorn leaves the signals to the process, and it answers while others work.
    """
    with contextlib.closing(_listening()) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="tool server", daemon=True)
        thread.start()
        try:
            _wait_for(server, thread)
            host, port = listening.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join(ENDING_S)


def _listening() -> socket.socket:
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    try:
        listening.bind(("127.0.0.1", 0))
    except OSError as error:
        listening.close()
        raise NotServed(f"the tool server cannot listen on loopback: {error.strerror}") from error
    return listening


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    for _ in range(STARTING_S * 100):
        if server.started:
            return
        if not thread.is_alive():
            break
        thread.join(0.01)
    raise NotServed("the tool server did not start")
