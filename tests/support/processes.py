"""Start a service as a real process and wait for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO

import httpx
import psutil


@contextlib.contextmanager
def service_process(
    module: str, environment: Mapping[str, str], *, log: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`python -m module` with an environment; everything that it started is gone when the block ends.

    Standard error goes to `log`, or into a pipe, which holds 64 KiB.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE if log is None else log,
        text=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.communicate()


def wait_ready(address: str, process: subprocess.Popen[str], *, seconds: float = 180) -> None:
    """Wait for `/readyz`; an error when the process ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"exit code {process.returncode}: {process.stderr.read() if process.stderr else ''}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{address} was not ready within {seconds} s")
