"""The file of hashed API keys: its format, and the creation of keys.

One key per line, `ID sha256:DIGEST [NAME]`, with `#` comments. A key is `umi_ID_SECRET` with 192 random bits, so its
plain SHA-256 discloses nothing, and a slow hash would only slow requests down. Write access to the file grants access
to the service, so a file that others can write to is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OWNER_ONLY = 0o600
MAX_BYTES = 1 << 20
SECRET_BYTES = 24

KEY = re.compile(r"umi_(?P<id>[0-9a-f]{8})_[0-9a-f]{48}")
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_LINE = re.compile(rf"(?P<id>[0-9a-f]{{8}})\s+sha256:(?P<digest>[0-9a-f]{{64}})(?:\s+(?P<name>{NAME.pattern}))?")
_FORM = "ID sha256:DIGEST [NAME]"


class KeyFileUnusable(RuntimeError):
    """The key file cannot be read or written, or has an invalid line."""


@dataclass(frozen=True)
class KeyEntry:
    """A key in the file. `digest` is the SHA-256 of the complete key, `name` the display name of its owner."""

    id: str
    digest: bytes = field(repr=False)
    name: str = ""

    @property
    def line(self) -> str:
        """The entry as a line of the file, without the line end."""
        return f"{self.id} sha256:{self.digest.hex()} {self.name}".rstrip()


@dataclass(frozen=True)
class NewKey:
    """A new key; its text is stored nowhere else."""

    text: str = field(repr=False)
    entry: KeyEntry


def digest_of(key: str) -> bytes:
    """The stored digest of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key(name: str = "", *, taken: Sequence[str] = ()) -> NewKey:
    """A random key whose id is not in `taken`. Raises `ValueError` for an invalid name."""
    if name and not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a key: letters, digits and ._@- only, 64 at most")
    while (key_id := secrets.token_hex(4)) in taken:
        pass
    text = f"umi_{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    return NewKey(text, KeyEntry(key_id, digest_of(text), name))


def read_key_file(path: Path) -> list[KeyEntry]:
    """The keys of a file, possibly none. Raises `KeyFileUnusable`, which names the file and the line."""
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            _check_private(path, os.fstat(file.fileno()))
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeyFileUnusable(f"{path}: {error.strerror}; `alpha-umi keys create` makes a file of keys") from error
    if len(content) > MAX_BYTES:
        raise KeyFileUnusable(f"{path}: larger than {MAX_BYTES} bytes; this is no file of keys")
    return _entries(path, content.decode("utf-8", "replace"))


def create_key(path: Path, name: str = "") -> NewKey:
    """Create a key and append it to a file, which need not exist. Raises `KeyFileUnusable`, `ValueError`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        with os.fdopen(descriptor, "r+b") as file:
            # Concurrent commands must not choose the same id or interleave their lines.
            fcntl.flock(file, fcntl.LOCK_EX)
            _check_private(path, os.fstat(file.fileno()))
            content = file.read().decode("utf-8", "replace")
            made = new_key(name, taken=[entry.id for entry in _entries(path, content)])
            ended = "\n" if content and not content.endswith("\n") else ""
            file.write(f"{ended}{made.entry.line}\n".encode())
    except OSError as error:
        raise KeyFileUnusable(f"{path}: {error.strerror}") from error
    return made


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without blocking: a pipe without a writer would block the start, or all requests."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileUnusable(f"{path}: not a file")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyFileUnusable(f"{path}: others can write to it, which grants access to the service; chmod go-w {path}")


def _entries(path: Path, text: str) -> list[KeyEntry]:
    entries: dict[str, KeyEntry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        match = _LINE.fullmatch(written)
        if match is None:
            # The line is not repeated: it may be a key in clear.
            raise KeyFileUnusable(f"{path}: line {number} is not `{_FORM}`; `alpha-umi keys create` writes such lines")
        if match["id"] in entries:
            raise KeyFileUnusable(f"{path}: line {number} has the id {match['id']} of an earlier line; remove one")
        entries[match["id"]] = KeyEntry(match["id"], bytes.fromhex(match["digest"]), match["name"] or "")
    return list(entries.values())
