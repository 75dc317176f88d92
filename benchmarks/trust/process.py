"""A service as a child process that can be killed, terminated, frozen and started again on its port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import psutil

from benchmarks.own_time import percentile
from benchmarks.processes import ROOT, free_port

READY_S = 90.0
POLL_S = 0.02


class ProcessEnded(RuntimeError):
    """The process is gone; the message has its exit code and the end of its output."""


class Process:
    """`python -m ARGUMENTS` with an environment; `{port}` in an argument is its port."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [argument.format(port=self.port) for argument in arguments]
        self.environment = dict(environment or {})
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._popen: subprocess.Popen[bytes] | None = None
        # What the command is run by.
        self.prefix: list[str] = []

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The running process."""
        if self._popen is None:
            raise ProcessEnded("it was not started")
        return self._popen

    def start(self) -> float:
        """Start it, without waiting. Returns the time of the start, monotonic."""
        started = time.monotonic()
        self._popen = subprocess.Popen(  # noqa: S603 - the command is our own
            [*self.prefix, sys.executable, "-m", *self._arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        return started

    async def ready(self, path: str, *, seconds: float = READY_S) -> float:
        """Wait until `path` answers with success. Returns the moment, monotonic.

        Raises `ProcessEnded`, `TimeoutError`.
        """
        end = time.monotonic() + seconds
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while time.monotonic() < end:
                if self.popen.poll() is not None:
                    raise ProcessEnded(f"exit code {self.popen.returncode}: {self.output()[-1_000:]}")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(self.url + path) as response:
                        if response.status == 200:
                            return time.monotonic()
                await asyncio.sleep(POLL_S)
        raise TimeoutError(f"{self._arguments[0]}: {path} was not ready within {seconds:g} s")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    async def ended(self, *, seconds: float = 60) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.to_thread(self.popen.wait, seconds)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.send(signal.SIGKILL)
        await self.ended()

    def output(self) -> str:
        """What it has written."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def close(self) -> None:
        """Kill it with its children, if it still runs."""
        if self._popen is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self._popen.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
            self._popen.kill()
            self._popen.wait()
        self._output.close()


@dataclass
class Grown:
    """How much memory a process and its children used more than before, at most, in MB."""

    mb: float = 0.0


@contextlib.contextmanager
def memory_of(process: Process) -> Iterator[Grown]:
    """The growth of the block."""
    main, grown, over = psutil.Process(process.popen.pid), Grown(), threading.Event()
    before = _memory(main)

    def watch() -> None:
        while not over.wait(0.05):
            grown.mb = max(grown.mb, (_memory(main) - before) / 1e6)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield grown
    finally:
        over.set()
        thread.join()
        grown.mb = max(grown.mb, (_memory(main) - before) / 1e6)


def _memory(main: psutil.Process) -> int:
    """Resident memory of the process, and what its children do not share with it."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        total = int(main.memory_info().rss)
        for child in main.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += int(child.memory_full_info().uss)
    return total


@dataclass
class Latencies:
    """Seconds that `/healthz` took, as a client of its own process saw them."""

    seconds: list[float]

    @property
    def worst(self) -> float:
        """The slowest answer."""
        return max(self.seconds, default=0.0)

    def percentile(self, share: float) -> float:
        """A percentile, such as 0.99."""
        return percentile(self.seconds, share) if self.seconds else 0.0


@contextlib.asynccontextmanager
async def health_of(process: Process) -> AsyncIterator[Latencies]:
    """Ask for `/healthz` 50 times a second during the block, from a process of its own."""
    result = Latencies([])
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.trust.probe", str(process.port)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    await cast(asyncio.StreamReader, probe.stdout).readline()
    try:
        yield result
    finally:
        output, _ = await probe.communicate(b"")
        result.seconds += [float(line) for line in output.split()]


@contextlib.contextmanager
def busy_machine(count: int) -> Iterator[None]:
    """Processes that compute all the time, as other work on the machine would."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def folder_size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
