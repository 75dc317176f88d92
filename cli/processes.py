"""Start services detached, and end them without leaving anything behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from alpha_umi.web.server import PortTaken, open_socket
from cli.state import Running

STOP_S = 15.0
_LOG_LINES = 15


class StartFailed(RuntimeError):
    """The services could not be started; nothing is left running. The message is for people."""


@dataclass(frozen=True)
class Service:
    """What to start: `command` with `environment` on top of ours; `option` changes the port."""

    name: str
    command: Sequence[str]
    port: int
    option: str
    ready: str = "/readyz"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"


def check_ports(services: Sequence[Service]) -> None:
    """Raises `StartFailed` naming the first port that is taken, and the option that changes it."""
    for service in services:
        try:
            open_socket("127.0.0.1", service.port).close()
        except PortTaken as error:
            raise StartFailed(f"{error} for the {service.name}: {service.option}") from error


def start(service: Service, logs: Path) -> Running:
    """Start a service in a session of its own, its output going to `logs/<name>.log`."""
    with (logs / f"{service.name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            service.command,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(service.name, process.pid, psutil.Process(process.pid).create_time(), service.address)


def wait_ready(
    services: Sequence[Service], running: Sequence[Running], logs: Path, *, timeout_s: float
) -> Iterator[list[str]]:
    """Yields the names of the services that are ready, again and again, until all are.

    Raises `StartFailed` when one ends before, or time is up.
    """
    end = time.monotonic() + timeout_s
    ready: list[str] = []
    with httpx.Client(timeout=2, trust_env=False) as client:
        while len(ready) < len(services):
            for service, entry in zip(services, running, strict=True):
                if entry.process() is None:
                    raise StartFailed(f"the {service.name} ended:\n{log_tail(logs, service.name)}")
                if service.name not in ready and _answers(client, service):
                    ready.append(service.name)
            if time.monotonic() > end:
                late = [service.name for service in services if service.name not in ready]
                raise StartFailed(f"not ready within {timeout_s:.0f} s: {', '.join(late)}; see the logs in {logs}")
            yield list(ready)
            time.sleep(0.2)


def _answers(client: httpx.Client, service: Service) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get(service.address + service.ready).status_code == 200
    return False


def log_tail(logs: Path, name: str) -> str:
    """The last lines of a service's log."""
    try:
        lines = (logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-_LOG_LINES:])


def stop(running: Sequence[Running], *, seconds: float = STOP_S) -> list[str]:
    """End services and everything that they started. Returns the names of those that had to be killed."""
    owned = {entry.name: family for entry in running if (family := _family(entry))}
    for entry in running:
        if entry.name in owned:
            _quietly(owned[entry.name][0].terminate)
    everyone = [process for family in owned.values() for process in family]
    _, alive = psutil.wait_procs(everyone, timeout=seconds)
    stubborn = [name for name, family in owned.items() if family[0] in alive]
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=5)
    return stubborn


def _family(entry: Running) -> list[psutil.Process]:
    """The process first, then its children, while they can still be found."""
    process = entry.process()
    if process is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _quietly(action: object) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        action()  # type: ignore[operator]
