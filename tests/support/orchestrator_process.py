"""The orchestrator as a process of its own, to be killed and started again.

Started from a server process that has its modules loaded already: a start then takes a tenth of a second, and what
runs is the same `main`.
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
    """Settings of an orchestrator whose roles are all at one address, and which may call tools of this machine."""
    addresses = {f"{role}_url": roles for role in ("planner", "caller", "summarizer")}
    return {**addresses, "database_url": f"sqlite:///{folder}/log.db", "allow_loopback_tools": "true"}


@contextlib.contextmanager
def orchestrator_process(settings: Mapping[str, Any]) -> Iterator[OrchestratorProcess]:
    """An orchestrator that answers; killed at the end of the block."""
    chosen = {"port": free_port(), "log_level": "ERROR", **settings}
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "stderr")
        process = _FORKS.Process(target=_run, args=(variables(chosen), errors), daemon=True)
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


def _run(environment: Mapping[str, str], errors: Path) -> None:
    from orchestrator.__main__ import main

    with errors.open("wb") as file:
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.exit(main())
