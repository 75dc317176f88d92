"""Start a service as a real process and wait for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO

import httpx
import psutil


@contextlib.contextmanager
def service_process(
    module: str, environment: Mapping[str, str], *, log: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`python -m module` with an environment; its child processes are killed at the end of the block.

    Standard error goes to `log`, or to a file of its own, from which it can be read.
    """
    with tempfile.NamedTemporaryFile("a+") as own:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, **environment},
            stderr=own if log is None else log,
            text=True,
        )
        process.stderr = own if log is None else None
        try:
            yield process
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()


def _stderr_of(process: subprocess.Popen[str]) -> str:
    if process.stderr is None:
        return ""
    process.stderr.seek(0)
    return process.stderr.read()


def wait_ready(address: str, process: subprocess.Popen[str], *, seconds: float = 180) -> None:
    """Wait for `/readyz`; an error when the process ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"exit code {process.returncode}: {_stderr_of(process)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{address} was not ready within {seconds} s")
