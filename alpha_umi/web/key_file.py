"""The file of hashed API keys: its format, and the creation of keys.

One key per line, `ID sha256:DIGEST [NAME] [owner=OWNER] [scopes=use,tools] [expires=2027-01-31]`, with `#` comments.
Without an owner, the key's id is its owner. A key is `umi_ID_SECRET` with 192 random bits, so its plain SHA-256
discloses nothing, and a slow hash would only slow requests down. Write access to the file grants access to the service,
so a file that others can write to is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Literal, cast, get_args

OWNER_ONLY = 0o600
MAX_BYTES = 1 << 20
SECRET_BYTES = 24

# `use` trajectories and tools, change the owner's `tools`, `operate` the server and the tools that all owners share.
Scope = Literal["use", "tools", "operate"]
ALL_SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
USER_SCOPES: Final[frozenset[Scope]] = frozenset(("use", "tools"))

KEY = re.compile(r"umi_(?P<id>[0-9a-f]{8})_[0-9a-f]{48}")
# Of a key or of an owner.
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_LINE = re.compile(
    rf"(?P<id>[0-9a-f]{{8}})\s+sha256:(?P<digest>[0-9a-f]{{64}})(?:\s+(?P<name>{NAME.pattern})(?=\s|$))?"
    r"(?P<options>(?:\s+[a-z]+=\S+)*)"
)
_FORM = "ID sha256:DIGEST [NAME] [owner=OWNER] [scopes=use,tools] [expires=YYYY-MM-DD]"


class KeyFileUnusable(RuntimeError):
    """The key file cannot be read or written, or has an invalid line."""


@dataclass(frozen=True)
class Grant:
    """What a key gives: the owner of what it creates, what it may do, and from which day (UTC) on it is refused.

    An empty owner stands for the key's id.
    """

    owner: str = ""
    scopes: frozenset[Scope] = USER_SCOPES
    expires: date | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError`, which begins with the name of the field."""
        if self.owner and not NAME.fullmatch(self.owner):
            raise ValueError(f"owner: {self.owner!r} is no name: letters, digits and ._@- only, 64 at most")
        unknown = sorted(self.scopes - ALL_SCOPES)
        if unknown or not self.scopes:
            raise ValueError(f"scope: use, tools and operate are known, not {', '.join(unknown) or 'an empty list'}")

    @classmethod
    def parse(cls, owner: str, scopes: Iterable[str] | None, expires: date | None) -> Grant:
        """The grant with these scopes, by default those of a user. Raises `ValueError`."""
        return cls(owner, USER_SCOPES if not scopes else cast(frozenset[Scope], frozenset(scopes)), expires)


@dataclass(frozen=True)
class KeyEntry:
    """A key in the file. `digest` is the SHA-256 of the complete key, `name` its display name."""

    id: str
    digest: bytes = field(repr=False)
    name: str = ""
    grant: Grant = Grant()

    @property
    def owner(self) -> str:
        """The owner of what the key creates."""
        return self.grant.owner or self.id

    @property
    def expired(self) -> bool:
        """Whether the key's last day is over, by the wall clock (UTC)."""
        return self.grant.expires is not None and datetime.now(UTC).date() >= self.grant.expires

    @property
    def line(self) -> str:
        """The entry as a line of the file, without the line end."""
        owner, expires = self.grant.owner, self.grant.expires
        parts = [
            f"{self.id} sha256:{self.digest.hex()}",
            self.name,
            owner and f"owner={owner}",
            "" if self.grant.scopes == USER_SCOPES else f"scopes={','.join(scope_names(self.grant.scopes))}",
            "" if expires is None else f"expires={expires.isoformat()}",
        ]
        return " ".join(filter(None, parts))


def scope_names(scopes: frozenset[Scope]) -> list[Scope]:
    """Scopes in their usual order."""
    return [scope for scope in get_args(Scope) if scope in scopes]


@dataclass(frozen=True)
class NewKey:
    """A new key; its text is stored nowhere else."""

    text: str = field(repr=False)
    entry: KeyEntry


def digest_of(key: str) -> bytes:
    """The stored digest of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key(name: str = "", grant: Grant | None = None, *, taken: Sequence[str] = ()) -> NewKey:
    """A random key whose id is not in `taken`. Raises `ValueError` for an invalid name."""
    if name and not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a key: letters, digits and ._@- only, 64 at most")
    while (key_id := secrets.token_hex(4)) in taken:
        pass
    text = f"umi_{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    return NewKey(text, KeyEntry(key_id, digest_of(text), name, grant or Grant()))


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


def create_key(path: Path, name: str = "", grant: Grant | None = None) -> NewKey:
    """Create a key and append it to a file, which need not exist. Raises `KeyFileUnusable`, `ValueError`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        with os.fdopen(descriptor, "r+b") as file:
            # Concurrent commands must not choose the same id or interleave their lines.
            fcntl.flock(file, fcntl.LOCK_EX)
            _check_private(path, os.fstat(file.fileno()))
            content = file.read().decode("utf-8", "replace")
            made = new_key(name, grant, taken=[entry.id for entry in _entries(path, content)])
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
        entry = _entry(written)
        if entry is None:
            # The line is not repeated: it may be a key in clear.
            raise KeyFileUnusable(f"{path}: line {number} is not `{_FORM}`; `alpha-umi keys create` writes such lines")
        if entry.id in entries:
            raise KeyFileUnusable(f"{path}: line {number} has the id {entry.id} of an earlier line; remove one")
        entries[entry.id] = entry
    return list(entries.values())


def _entry(line: str) -> KeyEntry | None:
    """The entry of a line; None if the line is not valid."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    pairs = [option.split("=", 1) for option in match["options"].split()]
    options = dict(pairs)
    if len(options) < len(pairs) or not options.keys() <= {"owner", "scopes", "expires"}:
        return None
    scopes = options["scopes"].split(",") if "scopes" in options else None
    try:
        expires = date.fromisoformat(options["expires"]) if "expires" in options else None
        grant = Grant.parse(options.get("owner", ""), scopes, expires)
        return KeyEntry(match["id"], bytes.fromhex(match["digest"]), match["name"] or "", grant)
    except ValueError:
        return None
