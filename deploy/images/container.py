"""Run an image's command as in a container, without an engine.

It has a mount namespace with a read-only root, the image's user without capabilities, and a network namespace with a
loopback only. Needs root, util-linux and iproute2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.images import buildah
from deploy.images.commands import end

GRACE_S = 30  # stop_grace_period of the compose file
END_S = 10  # for a container that a failed check leaves running

# Arguments: root, number of mounts, each as SOURCE TARGET, and the command. The steps are those of an engine.
_START = """
set -eu
root=$1 count=$2; shift 2
ip link set lo up
mount --bind "$root" "$root"
for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
for folder in dev/shm tmp; do mount -t tmpfs -o size=1g,mode=1777 tmpfs "$root/$folder"; done
while [ "$count" -gt 0 ]; do mount --bind "$1" "$root$2"; count=$((count - 1)); shift 2; done
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


class Unhealthy(Exception):
    """A container exited, or did not become healthy or exit in time. The message ends with its last output."""


@dataclass
class Container:
    """A container of an image, which runs within its block.

    `mounts` maps folders of the container to those of this machine; the network of `beside` is shared.
    """

    image: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, Path] = field(default_factory=dict)
    command: Sequence[str] = ()
    beside: Container | None = None

    def __enter__(self) -> Self:
        self._config = buildah.config(self.image)
        self.folder.mkdir(parents=True)
        with ExitStack() as stack:
            root = buildah.mount(stack.enter_context(buildah.container(self.image)))
            for target in self.mounts:
                Path(f"{root}{target}").mkdir(parents=True, exist_ok=True)
            self.process = self._start(root)
            stack.callback(end, self.process, seconds=END_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait_until_healthy(self, *, seconds: float) -> float:
        """Wait for the image's health check to pass; the seconds it took. Raises `Unhealthy`."""
        began = time.monotonic()
        while (check := self.execute(*self._config.health)).returncode != 0:
            if self.process.poll() is not None or time.monotonic() - began > seconds:
                code = self.process.returncode
                raise Unhealthy(f"{self.image}, exit code {code}: {check.stderr.strip()}\n{self.output[-3000:]}")
            time.sleep(0.5)
        return time.monotonic() - began

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as the same user."""
        entering = ["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--root"]
        return subprocess.run([*entering, *self._as_user(command)], capture_output=True, text=True, check=False)

    def stop(self) -> int:
        """Send SIGTERM; the exit code. Raises `Unhealthy` after the grace period."""
        self.process.terminate()
        return self.wait(seconds=GRACE_S)

    def wait(self, *, seconds: float) -> int:
        """Wait for the exit code. Raises `Unhealthy` after a timeout."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Unhealthy(f"{self.image} has not ended within {seconds:.0f} s\n{self.output[-3000:]}") from None

    @property
    def output(self) -> str:
        """The output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _start(self, root: Path) -> subprocess.Popen[bytes]:
        mounts = [word for target, source in self.mounts.items() for word in (str(source), target)]
        network = ["nsenter", f"--target={self.beside.process.pid}", "--net"] if self.beside else []
        apart = ["unshare", "--mount"] if self.beside else ["unshare", "--mount", "--net"]
        start = ["sh", "-c", _START, "start", str(root), str(len(self.mounts))]
        command = [*network, *apart, *start, *mounts, *self._as_user(self.command or self._config.command)]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # So that its remaining processes can be identified.
                start_new_session=True,
            )

    def _as_user(self, command: Sequence[str]) -> list[str]:
        user, group = self._config.user.split(":")
        rights = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        variables = {**self._config.environment, **self.environment}
        return [
            *("setpriv", f"--reuid={user}", f"--regid={group}", *rights),
            *("env", "--ignore-environment", f"--chdir={self._config.directory}"),
            *(f"{name}={value}" for name, value in variables.items()),
            *command,
        ]


def volume(folder: Path, *, user: int = 10001) -> Path:
    """A new folder that the containers' user owns, like a volume."""
    folder.mkdir(parents=True)
    os.chown(folder, user, user)
    return folder


def missing_tools() -> list[str]:
    """The missing Debian packages, by their commands."""
    needed = {"buildah": "buildah", "debootstrap": "debootstrap", "ip": "iproute2", "nsenter": "util-linux"}
    return [package for command, package in needed.items() if shutil.which(command) is None]
