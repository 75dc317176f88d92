"""The orchestrator as a child process that tests can kill and restart.

It is forked from a server process with preloaded modules, so that a start takes a tenth of a second. It runs the same
`main`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from orchestrator.runs import manager
from orchestrator.runs.manager import STOP_GRACE_S

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["orchestrator.__main__"])


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class OrchestratorProcess:
    """A running orchestrator."""

    process: ForkServerProcess
    address: str
    errors: Path

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.is_alive()


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"ALPHA_UMI_{name.upper()}": str(value) for name, value in settings.items()}


def settings_for(roles: str, folder: Path) -> dict[str, Any]:
    """Settings with all roles at one address, and loopback tools allowed."""
    addresses = {f"{role}_url": roles for role in ("planner", "caller", "summarizer")}
    return {**addresses, "database_url": f"sqlite:///{folder}/log.db", "allow_loopback_tools": "true"}


@contextlib.contextmanager
def orchestrator_process(
    settings: Mapping[str, Any], *, stop_grace_s: float = STOP_GRACE_S
) -> Iterator[OrchestratorProcess]:
    """A running orchestrator, killed at the end of the block.

    When it is terminated, tool calls in flight have `stop_grace_s` seconds to complete.
    """
    chosen = {"port": free_port(), "log_level": "ERROR", **settings}
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "stderr")
        process = _FORKS.Process(target=_run, args=(variables(chosen), errors, stop_grace_s))
        process.start()
        started = OrchestratorProcess(process, f"http://127.0.0.1:{chosen['port']}", errors)
        try:
            _wait_until_it_answers(started)
            yield started
        finally:
            process.kill()
            process.join()
            process.close()


def refusal(settings: Mapping[str, Any]) -> tuple[int | None, str]:
    """Exit code and standard error of an orchestrator that does not start."""
    with orchestrator_process(settings) as started:
        started.process.join(20)
        return started.process.exitcode, started.errors.read_text()


def _wait_until_it_answers(started: OrchestratorProcess, *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and started.alive:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", httpx.URL(started.address).port)):
            return
        time.sleep(0.01)


def _run(environment: Mapping[str, str], errors: Path, stop_grace_s: float) -> None:
    from orchestrator.__main__ import main

    manager.STOP_GRACE_S = stop_grace_s
    with errors.open("wb") as file:
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.exit(main())
