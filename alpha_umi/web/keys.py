"""The bearer keys of a service, and the refusal to listen beyond loopback without one.

Keys come in plain text from the environment or hashed from a file (`key_file`), which is read again when it changes, so
that removing a line revokes a key without a restart. With a file, requests always need a key, even if it is empty.

The first key of the environment is the operator's; each further one is an owner of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import os
import string
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from alpha_umi import telemetry
from alpha_umi.contract.http import is_loopback
from alpha_umi.web.key_file import ALL_SCOPES as ALL_SCOPES
from alpha_umi.web.key_file import (
    KEY,
    Grant,
    KeyEntry,
    KeyFileUnusable,
    digest_of,
    read_key_file,
)
from alpha_umi.web.key_file import Scope as Scope

# Maximum delay of a revocation, in seconds.
RECHECK_S = 2.0
MIN_KEY_BITS = 128
# Groups of five characters that a random key may have twice: more are rarer than one key in a million.
CHANCE_REPEATS = 3
# The key id of requests to a service without keys.
ANONYMOUS = "anonymous"

# Who owns what an installation without keys has, and what it had before there were owners.
DEFAULT_OWNER: Final = "default"

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Principal:
    """Who sends a request: the id of the key, the owner of what it creates, and what it may do."""

    key_id: str
    owner: str
    scopes: frozenset[Scope]


OPERATOR: Final = Grant(DEFAULT_OWNER, ALL_SCOPES)
# Of a service without keys, and of the routes that need none.
NOBODY: Final = Principal(ANONYMOUS, DEFAULT_OWNER, ALL_SCOPES)
# The owner of the key of the request that is being handled; empty outside of requests.
CURRENT_OWNER: Final = ContextVar("current_owner", default="")


class OpenBindRefused(RuntimeError):
    """The service would listen beyond loopback without a key."""


class Keyring:
    """The keys of a service. `clock` counts seconds."""

    def __init__(
        self, plain: Sequence[str] = (), file: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file. Raises `KeyFileUnusable`."""
        self._plain = [
            KeyEntry(_id_of(key), digest_of(key), grant=Grant() if position else OPERATOR)
            for position, key in enumerate(plain)
        ]
        self._file = None if file is None else _WatchedFile(file, clock)

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._plain) or self._file is not None

    def __len__(self) -> int:
        """The current number of keys."""
        return len(self._known())

    def principal(self, key: str) -> Principal | None:
        """Who has this key; None if it is unknown or expired."""
        entry = self.entry(key)
        return None if entry is None or entry.expired else Principal(entry.id, entry.owner, entry.grant.scopes)

    def entry(self, key: str) -> KeyEntry | None:
        """The entry of this key, which may be expired; None if it is unknown."""
        digest = digest_of(key)
        # Every key is compared, so that the time discloses no near match.
        matches = [entry for entry in self._known() if hmac.compare_digest(digest, entry.digest)]
        return matches[0] if matches else None

    def _known(self) -> list[KeyEntry]:
        return [*self._plain, *([] if self._file is None else self._file.entries())]


class _WatchedFile:
    """The current entries of a file, checked at most every `RECHECK_S` seconds."""

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
            # A missing file has no keys; an invalid one changes nothing until it is repaired.
            self._entries = [] if version is None else read_key_file(self._path)
        except KeyFileUnusable as error:
            _log.error("keys.unusable", reason=str(error), in_force=len(self._entries))
        else:
            _log.info("keys.changed", keys=len(self._entries))


def check_bind(host: str, keys: Sequence[str] | Keyring, *, variable: str) -> None:
    """Raises `OpenBindRefused` for an address beyond loopback without keys. `variable` is the setting of the key."""
    if as_keyring(keys).required or is_loopback(host):
        return
    raise OpenBindRefused(f"listening on {host} without a key would admit everyone: set {variable}, or use 127.0.0.1")


def as_keyring(keys: Sequence[str] | Keyring) -> Keyring:
    """A keyring of plain-text keys; a keyring is returned unchanged."""
    return keys if isinstance(keys, Keyring) else Keyring(keys)


def _require_strong(secret: SecretStr) -> SecretStr:
    """The secret, unless it cannot have 128 random bits. Raises `ValueError` with the remedy.

    This is an upper estimate: the alphabet that the key seems to use, for each character that repeats nothing. A random
    key repeats a little by chance, which must not count.
    """
    key = secret.get_secret_value()
    distinct = len({key[start : start + 5] for start in range(len(key) - 4)}) + 4
    counted = min(len(key), distinct + CHANCE_REPEATS)
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(key)}
    if len(steps) < 8 or counted * math.log2(_alphabet(key)) < MIN_KEY_BITS:
        raise ValueError("a key needs 128 random bits: make one with `alpha-umi keys create` or `openssl rand -hex 32`")
    return secret


def _alphabet(key: str) -> int:
    """The size of the smallest usual alphabet that has these characters: decimal, hexadecimal, letters, base64."""
    if key.isdecimal():
        return 10
    if set(key) <= set(string.hexdigits):
        return 16
    # A base64 text of 128 bits has digits or letters of both cases, all but once in ten million.
    is_words = not any(map(str.isdecimal, key)) and key in (key.lower(), key.upper())
    return 32 if is_words else 64


# A key in a setting.
StrongSecret = Annotated[SecretStr, AfterValidator(_require_strong)]


@cache
def _id_of(key: str) -> str:
    """The id of a key in logs.

    Generated keys contain one. Others can be words that people chose, whose plain hash could be guessed, so their id is
    a slow hash.
    """
    ours = KEY.fullmatch(key)
    if ours is not None:
        return ours["id"]
    return f"plain-{hashlib.scrypt(key.encode(), salt=b'alpha-umi key id', n=2**14, r=8, p=1, dklen=4).hex()}"


def _version(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode
