"""The file of an SQLite event log: private to its user, and locked by one process at a time.

The lock belongs to the database file itself, not to its name: a second path to the file (a hard link, another mount)
finds the lock, too, and nothing beside it can be removed. It is an open file description lock, which the kernel ends
with the process, on a byte next to those that SQLite locks (`PENDING_BYTE`, https://www.sqlite.org/lockingv3.html).

Closing any descriptor of a file releases all POSIX locks of the process on it, those of SQLite included. So the
descriptor stays open until `release`, and a file that this process has locked is not opened again.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from orchestrator.store.errors import StoreInUse, StoreUnavailable

_LOCKED_BYTE = 0x3FFF_FFFF
# struct flock: type, whence, start, length, process.
_REQUEST = struct.Struct("hhqqi4x").pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)

_locked: set[tuple[int, int]] = set()


class LockedFile:
    """A database file that this process has locked until `release`."""

    def __init__(self, path: Path) -> None:
        """Create folder (0700) and file (0600) where they are missing; existing ones keep their mode.

        Raises `StoreInUse` and `StoreUnavailable`.
        """
        self.path = path.resolve()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.exists() and _identity(self.path) in _locked:
                raise self._in_use()
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._lock()
                self._refuse_earlier_version()
            except (OSError, StoreInUse):
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise StoreUnavailable(
                f"{self.path} cannot be opened ({error.strerror}): make its folder writable, or name another database"
            ) from error
        status = os.fstat(self._descriptor)
        self._identity = status.st_dev, status.st_ino
        _locked.add(self._identity)

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
        """Release the lock. Every connection must be closed."""
        _locked.discard(self._identity)
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _REQUEST)
        except BlockingIOError as error:
            raise self._in_use() from error

    def _refuse_earlier_version(self) -> None:
        """Orchestrators of schema 4 and before hold a lock on a file beside the database, and would go on beside us."""
        with suppress(FileNotFoundError), open(self.path.with_name(f"{self.path.name}.lock"), "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._in_use() from error

    def _in_use(self) -> StoreInUse:
        return StoreInUse(
            f"{self.path} is in use by another orchestrator (process {_holder(self.path)}): stop that one, "
            "or name another database"
        )


def _holder(path: Path) -> str:
    """The process that has the lock; it is unknown if it is in another namespace, or another user's."""
    inode = path.stat().st_ino
    for opened in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):
            locks = opened.read_text()
            if "OFDLCK" in locks and f":{inode} {_LOCKED_BYTE} " in locks:
                return opened.parts[2]
    return "unknown"


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
