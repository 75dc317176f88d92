"""Run the services of the compose file as processes: started, checked for health and stopped as Compose does it."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.compose_containers import Container, Entry, containers
from support.deployment_files import ROOT

TIMEOUT_S = 120


class Deployment:
    """Running services. `exit_codes` are those of `stop`."""

    def __init__(self, made: Sequence[Container], folder: Path, overrides: Mapping[str, Mapping[str, str]]) -> None:
        self.containers = {container.name: container for container in made}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self._overrides = overrides

    def start(self) -> None:
        """Start each service once those that it depends on are healthy, and wait until all are. Raises `RuntimeError`
        with what a service wrote."""
        for wave in self._waves():
            for container in wave:
                self.processes[container.name] = self._started(container)
            for container in wave:
                self._wait_until_healthy(container)

    def stop(self) -> dict[str, int]:
        """SIGTERM, dependents first; the exit codes. Raises `TimeoutExpired` when a service needs more than its grace
        period."""
        for wave in reversed(self._waves()):
            for container in wave:
                self.processes[container.name].terminate()
            for container in wave:
                self.processes[container.name].wait(container.grace_s)
        return {name: process.returncode for name, process in self.processes.items()}

    def kill(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        """The output of a service."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8")

    def address(self, name: str, port: int) -> str:
        """Where a service listens."""
        return f"http://{self.containers[name].address}:{port}"

    def _waves(self) -> list[list[Container]]:
        waves: list[list[Container]] = []
        waiting = dict(self.containers)
        while waiting:
            waves.append([container for container in waiting.values() if not container.needs & waiting.keys()])
            for container in waves[-1]:
                del waiting[container.name]
        return waves

    def _started(self, container: Container) -> subprocess.Popen[bytes]:
        if _listens(container):
            raise RuntimeError(f"{container.name}: another program on this machine listens on its port")
        overrides = self._overrides.get(container.name, {})
        environment = {**container.environment, "PYTHONPATH": str(ROOT), **overrides}
        with (self._folder / f"{container.name}.log").open("wb") as log:
            return subprocess.Popen(
                container.command, env=environment, cwd=container.directory, stdout=log, stderr=subprocess.STDOUT
            )

    def _wait_until_healthy(self, container: Container) -> None:
        end = time.monotonic() + TIMEOUT_S
        while reason := _illness(container) if _listens(container) else "nothing listens":
            code = self.processes[container.name].poll()
            if code is not None or time.monotonic() > end:
                raise RuntimeError(f"{container.name}, exit code {code}: {reason}\n{self.log(container.name)}")
            time.sleep(0.1)


@contextlib.contextmanager
def deployed(
    entries: Mapping[str, Entry],
    folder: Path,
    variables: Mapping[str, str],
    overrides: Mapping[str, Mapping[str, str]],
) -> Iterator[Deployment]:
    """These services, running and healthy. `variables` are those of the environment file, `overrides` come on top of
    what a service's environment says. Raises `RuntimeError` when one does not become healthy."""
    running = Deployment(list(containers(entries, folder, variables)), folder, overrides)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def _listens(container: Container) -> bool:
    """Whether something accepts connections where the health check asks; far quicker than the check."""
    [port] = {int(port) for port in re.findall(r"http://[^/:]+:([0-9]+)", " ".join(container.health))}
    with contextlib.suppress(OSError), socket.create_connection((container.address, port), timeout=1):
        return True
    return False


def _illness(container: Container) -> str:
    """The output of a failed health check."""
    result = subprocess.run(
        container.health, env=container.environment, capture_output=True, text=True, timeout=60, check=False
    )
    return "" if result.returncode == 0 else result.stderr or f"exit code {result.returncode}"
