"""What `up` leaves for `down`: which processes run, recorded with their start times so that a number that the system
gave to somebody else is never taken for ours."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

FILE_NAME = "run.json"


@dataclass(frozen=True)
class Running:
    """One service process. `created` is the start time that the system knows, in seconds since 1970."""

    name: str
    pid: int
    created: float
    address: str

    def process(self) -> psutil.Process | None:
        """The process, if it is still the one that was started."""
        try:
            process = psutil.Process(self.pid)
            alive = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def state_folder(environment: Mapping[str, str]) -> Path:
    """`ALPHA_UMI_STATE`, else `alpha-umi` in the user's state folder (XDG)."""
    if chosen := environment.get("ALPHA_UMI_STATE"):
        return Path(chosen)
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "alpha-umi"


class RunFile:
    """The record of what runs, in the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE_NAME

    def prepare(self) -> None:
        """Make the folder, for this user alone."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> list[Running]:
        """Services that still run; a missing or damaged record is an empty one."""
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
            recorded = [Running(**entry) for entry in entries]
        except (OSError, ValueError, TypeError):
            return []
        return [entry for entry in recorded if entry.process() is not None]

    def write(self, running: list[Running]) -> None:
        """Replace the record at once."""
        temporary = self._path.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump([asdict(entry) for entry in running], stream)
        temporary.replace(self._path)

    def clear(self) -> None:
        """Forget everything."""
        self._path.unlink(missing_ok=True)
