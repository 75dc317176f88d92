"""Names of the tools that one owner sees: a tool has a name of its own in its source, and a long one, `source__tool`.

It is offered by its own name while no other source has that name, else by its long name. No two tools are offered by
the same name, and no source is refused for the names of its tools.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from alpha_umi.roles.turns import NAME_CHARACTERS
from orchestrator.store import SHARED

SEPARATOR = "__"
_DIGEST_CHARACTERS = 8
# Of a long name that is cut, the tool's own part keeps this much before the source's.
_OWN_CHARACTERS = 40


class ToolKey(NamedTuple):
    """A tool by its source, its own name, and the owner of the source."""

    source: str
    name: str
    owner: str = SHARED

    @property
    def long_name(self) -> str:
        """`source__tool` in full, however long."""
        return f"{self.source}{SEPARATOR}{self.name}"


class ToolNames:
    """The names of some tools. `offered` has each by the name under which it is offered."""

    def __init__(self, keys: Iterable[ToolKey]) -> None:
        keys = list(keys)
        self._by_own_name = _grouped((key.name, key) for key in keys)
        self._by_full_name = _grouped((key.long_name, key) for key in keys)
        self._shortened = frozenset(map(_shortened, keys))
        self._long_names = {key: self._long_name(key) for key in keys}
        self._by_long_name = {name: key for key, name in self._long_names.items()}
        self.offered = {self._offered_name(key): key for key in keys}

    def candidates(self, name: str) -> Sequence[ToolKey]:
        """The tools that a name stands for: one, none, or several sources' tools of this own name."""
        if name in self.offered:
            return [self.offered[name]]
        if name in self._by_long_name:
            return [self._by_long_name[name]]
        return self._by_own_name.get(name) or self._by_full_name.get(name, [])

    def long_name(self, key: ToolKey) -> str:
        """The name of a tool that no other tool has, whatever other sources are added: `source__tool` where it fits."""
        return self._long_names[key]

    def _long_name(self, key: ToolKey) -> str:
        full = key.long_name
        is_taken = len(self._by_full_name[full]) > 1 or full in self._by_own_name or full in self._shortened
        return _shortened(key) if is_taken or len(full) > NAME_CHARACTERS else full

    def _offered_name(self, key: ToolKey) -> str:
        alone = len(self._by_own_name[key.name]) == 1 and key.name not in self._by_long_name
        return key.name if alone else self._long_names[key]


def _shortened(key: ToolKey) -> str:
    """A long name of at most 64 characters with a digest of the full one."""
    full = f"{key.source}\0{key.name}" + (f"\0{key.owner}" if key.owner != SHARED else "")
    digest = hashlib.sha256(full.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    own = key.name[:_OWN_CHARACTERS]
    source = key.source[: NAME_CHARACTERS - len(own) - len(SEPARATOR) - len(digest) - 1]
    return f"{source}{SEPARATOR}{own}_{digest}"


def _grouped(pairs: Iterator[tuple[str, ToolKey]]) -> dict[str, list[ToolKey]]:
    grouped: dict[str, list[ToolKey]] = {}
    for name, key in pairs:
        grouped.setdefault(name, []).append(key)
    return grouped
