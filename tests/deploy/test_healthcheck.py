"""The images' health check, against real servers."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.deployment_files import ROOT

SCRIPT = ROOT / "deploy" / "healthcheck.py"


@contextmanager
def server(status: int, body: bytes) -> Iterator[str]:
    """A server on a free port with a fixed answer to every GET; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/readyz"
        finally:
            listening.shutdown()
            thread.join()


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The container's own address must not go through a proxy.
    environment = {"http_proxy": "http://127.0.0.1:9", "PATH": ""}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_ready_is_healthy() -> None:
    with server(200, b'{"status": "ready"}') as address:
        result = check(address)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("status", [204, 401, 500, 503])
def test_anything_else_is_not(status: int) -> None:
    with server(status, b"" if status == 204 else b'{"detail": "the model is loading"}') as address:
        result = check(address)
    assert result.returncode == 1
    assert f"status {status}" in result.stderr
    assert ("the model is loading" in result.stderr) == (status != 204)


def test_an_unreachable_server_is_not_healthy() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = check(f"http://127.0.0.1:{free.getsockname()[1]}/readyz")
    assert result.returncode == 1
    assert "Connection refused" in result.stderr


def test_an_answer_that_is_not_http_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        result = check(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        thread.join()
    assert result.returncode == 1
    assert "BadStatusLine" in result.stderr


def test_it_asks_for_one_address() -> None:
    result = check()
    assert result.returncode == 1
    assert result.stderr.strip() == "usage: healthcheck URL"
