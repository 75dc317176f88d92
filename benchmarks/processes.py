"""Child processes of a benchmark: ready when the block starts, terminated when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.closed_loop import LoopCost, peak_memory_mb

ROOT = Path(__file__).parent.parent
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05


class ProcessFailed(RuntimeError):
    """A process exited early or with an error. The message contains the end of its output."""


def free_port() -> int:
    """A port that was free when checked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    arguments: Sequence[str], ready_url: str, *, environment: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """`python -m ARGUMENTS`, once `ready_url` answers with success. Raises `ProcessFailed`, `TimeoutError`."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - the command is our own
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
        )
        try:
            _await_ready(process, ready_url, output)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_loop(python: Path, module: str, url: str, *, concurrency: int, jobs: int) -> LoopCost:
    """The cost that a loop in a separate process reports. Raises `ProcessFailed`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-m", module, url, f"--concurrency={concurrency}", f"--jobs={jobs}"]
        done = subprocess.run(  # noqa: S603 - the command is our own
            [*command, f"--folder={folder}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise ProcessFailed(f"{module} ended with {done.returncode}: {done.stderr[-2_000:]}")
    cost: dict[str, float] = json.loads(done.stdout)
    return LoopCost(**cost)


@contextlib.contextmanager
def measured(process: psutil.Process) -> Iterator[list[LoopCost]]:
    """The cost of the block for another process; the list has it after the block."""
    cost: list[LoopCost] = []
    started, cpu_before = time.monotonic(), cpu_s(process)
    yield cost
    cost.append(LoopCost(time.monotonic() - started, cpu_s(process) - cpu_before, peak_memory_mb(process.pid)))


def cpu_s(process: psutil.Process) -> float:
    """CPU time of a process in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _await_ready(process: subprocess.Popen[bytes], url: str, output: Any) -> None:
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            output.seek(0)
            raise ProcessFailed(f"exit code {process.returncode}: {output.read().decode(errors='replace')[-2_000:]}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        time.sleep(POLL_S)
    raise TimeoutError(f"{url} was not ready within {READY_TIMEOUT_S:g} s")
