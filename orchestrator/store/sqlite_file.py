"""The file of an SQLite event log: private to its user, and locked by one process at a time.

The lock is a kernel lock (`flock`) on a file next to the database, so that it ends with the process. The lock file
stays: removing it could let two processes lock different files.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from orchestrator.store.errors import StoreInUse, StoreUnavailable


class LockedFile:
    """A database file that this process has locked until `release`."""

    def __init__(self, path: Path) -> None:
        """Create folder (0700) and file (0600) where they are missing; existing ones keep their mode.

        Raises `StoreInUse` and `StoreUnavailable`.
        """
        self.path = path.resolve()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._acquire()
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                self._identity = _identity(self.path)
            except OSError:
                self.release()
                raise
        except OSError as error:
            raise StoreUnavailable(
                f"{self.path} cannot be opened ({error.strerror}): make its folder writable, or name another database"
            ) from error

    def check_not_replaced(self) -> None:
        """Raises `StoreUnavailable` when the path leads to another file, or to none.

        A process can write to a file that it has open after the file was moved or removed; those writes would be lost.
        """
        try:
            identity = _identity(self.path)
        except OSError:
            identity = None
        if identity != self._identity:
            raise StoreUnavailable(f"{self.path} was moved, removed or replaced: put it back, or start anew")

    def release(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def _acquire(self) -> int:
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StoreInUse(
                f"{self.path} is in use by another orchestrator (process {holder}): stop that one, "
                "or name another database"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        return lock


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
