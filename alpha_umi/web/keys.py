"""Which bearer keys a service knows, and no open bind without a key.

Keys come in clear from the environment or hashed from a file (`key_file`), which is read again when it changes: a line
that was removed lets nobody in any more, without a restart. Once a file was named keys are always asked for, also when
it holds none.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from alpha_umi import telemetry
from alpha_umi.contract.http import is_loopback
from alpha_umi.web.key_file import KEY, KeyEntry, KeyFileUnusable, digest_of, read_key_file

# How long a key may still work after its line was removed, in seconds.
RECHECK_S = 2.0
# Whoever asks a service that has no keys.
ANONYMOUS = "anonymous"

_log = telemetry.logger(__name__)


class OpenBindRefused(RuntimeError):
    """The service would listen beyond loopback without a key."""


class Keyring:
    """The keys of a service. `clock` counts seconds."""

    def __init__(
        self, plain: Sequence[str] = (), file: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file. Raises `KeyFileUnusable`."""
        self._plain = [KeyEntry(_id_of(key), digest_of(key)) for key in plain]
        self._file = None if file is None else _WatchedFile(file, clock)

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._plain) or self._file is not None

    def __len__(self) -> int:
        """The number of keys that are known now."""
        return len(self._known())

    def owner(self, shown: str) -> str | None:
        """The id of a key, or None if it is not known."""
        digest = digest_of(shown)
        # Every key is compared, so that the time says nothing about which one came close.
        matches = [entry.id for entry in self._known() if hmac.compare_digest(digest, entry.digest)]
        return matches[0] if matches else None

    def _known(self) -> list[KeyEntry]:
        return [*self._plain, *([] if self._file is None else self._file.entries())]


class _WatchedFile:
    """The entries of a file as it is now, looked at every `RECHECK_S` seconds at most."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._checked = clock()
        self._version = _version(path)
        self._entries = read_key_file(path)

    def entries(self) -> list[KeyEntry]:
        now = self._clock()
        if now - self._checked >= RECHECK_S:
            self._checked = now
            self._refresh()
        return self._entries

    def _refresh(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            # A file that is gone names no keys; one that cannot be understood changes nothing until it is mended.
            self._entries = [] if version is None else read_key_file(self._path)
        except KeyFileUnusable as error:
            _log.error("keys.unusable", reason=str(error), in_force=len(self._entries))
        else:
            _log.info("keys.changed", keys=len(self._entries))


def check_bind(host: str, keys: Sequence[str] | Keyring, *, variable: str) -> None:
    """Refuse an address beyond loopback while no key is set. `variable` is the setting that would allow it."""
    if as_keyring(keys).required or is_loopback(host):
        return
    raise OpenBindRefused(f"listening on {host} would let everybody in: set {variable}, or listen on 127.0.0.1")


def as_keyring(keys: Sequence[str] | Keyring) -> Keyring:
    """Keys in clear as a keyring; a keyring as it is."""
    return keys if isinstance(keys, Keyring) else Keyring(keys)


@cache
def _id_of(key: str) -> str:
    """A name for a key that logs may hold.

    Ours carry one. Others may be words that people chose, whose plain hash could be guessed: theirs is a slow one.
    """
    ours = KEY.fullmatch(key)
    if ours is not None:
        return ours["id"]
    return f"plain-{hashlib.scrypt(key.encode(), salt=b'alpha-umi key id', n=2**14, r=8, p=1, dklen=4).hex()}"


def _version(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode
