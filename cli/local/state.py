"""The state folder: run file, logs, and the orchestrator's database.

`ALPHA_UMI_STATE`, else `alpha-umi` in the state folder of the XDG Base Directory Specification. Only its owner can read
it, because the run file contains the token of the role services.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alpha_umi.roles.turns import Role
from cli.errors import StateUnusable

ORCHESTRATOR = "orchestrator"
ROLES: tuple[Role, ...] = ("planner", "caller", "summarizer")
# The process of all three roles.
SHARED = "roles"
OWNER_ONLY = 0o700
OWNER_FILE = 0o600


class ProcessIdentity(BaseModel):
    """A process, distinct from a later one with the same PID: `started` is in seconds since boot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int = Field(gt=0)
    started: float


class ServiceRecord(BaseModel):
    """A started service. `members` are the other processes that it had when it was ready."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    url: str
    ready_url: str
    log: Path
    process: ProcessIdentity
    members: tuple[ProcessIdentity, ...] = ()


class RunRecord(BaseModel):
    """The services that one `up` started, in order. `complete`: all were started and ready."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    complete: bool = False
    role_token: str = Field(repr=False)
    services: tuple[ServiceRecord, ...] = ()

    def url_of(self, name: str) -> str | None:
        """The address of a service; a role may have that of the process of all three."""
        urls = {service.name: service.url for service in self.services}
        return urls.get(name, urls.get(SHARED) if name in ROLES else None)


def state_path(option: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Path of the state folder. Raises `StateUnusable` for a user without a home."""
    if option is not None:
        return option.absolute()
    # By the specification relative paths are ignored.
    if (shared := environment.get("XDG_STATE_HOME", "")) and Path(shared).is_absolute():
        return Path(shared) / "alpha-umi"
    if home := environment.get("HOME"):
        return Path(home) / ".local" / "state" / "alpha-umi"
    raise StateUnusable("this user has no home folder", remedy="name a state folder with --state-dir")


class StateFolder:
    """The files of one state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.database = path / "alpha_umi.db"
        self.tool_sources = path / "tool_sources.json"
        self.secrets_key = path / "secrets_key"
        self._run_file = path / "run.json"

    def create(self) -> None:
        """Create the folders, accessible to their owner only. Raises `StateUnusable`."""
        try:
            for folder in (self.path, self.logs):
                folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
                folder.chmod(OWNER_ONLY)
        except OSError as error:
            raise self._unusable(error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock while services start or stop. Raises `StateUnusable` if another command has it."""
        self.create()
        try:
            lock = (self.path / "lock").open("a")
        except OSError as error:
            raise self._unusable(error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateUnusable(
                    f"another alpha-umi command is starting or stopping services in {self.path}",
                    remedy="wait for it, or stop it with Ctrl-C",
                ) from None
            yield

    def read_run(self) -> RunRecord | None:
        """The current run; None if nothing was started. Raises `StateUnusable`."""
        try:
            return RunRecord.model_validate_json(self._run_file.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        except ValidationError as error:
            raise StateUnusable(
                f"{self._run_file} cannot be read: {error.errors(include_input=False)[0]['msg']}",
                remedy="stop the services by hand, then remove the file",
            ) from error

    def write_run(self, run: RunRecord) -> None:
        """Write the run file. Raises `StateUnusable`."""
        self.write_private(self._run_file, run.model_dump_json(indent=2) + "\n")

    def delete_run(self) -> None:
        """Remove the run file."""
        self._run_file.unlink(missing_ok=True)

    def write_private(self, path: Path, text: str) -> None:
        """Write a file of this folder atomically, readable by its owner only. Raises `StateUnusable`."""
        partial = path.with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_FILE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            partial.replace(path)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StateUnusable:
        return StateUnusable(
            f"the state folder {self.path} cannot be used: {error.strerror or error}",
            remedy="name another one with --state-dir or ALPHA_UMI_STATE",
        )
