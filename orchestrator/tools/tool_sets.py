"""The tools of a trajectory as they were when it was created, so that a source that changes does not change them.

Trajectories with equal tools share one set, which is stored once, by its digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakValueDictionary

from alpha_umi.roles.turns import Tool as RoleTool
from alpha_umi.roles.turns import estimated_tokens
from orchestrator.store import EventStore, StoreDamaged
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.retrieval import ToolIndex

# Sets that stay in memory without a trajectory that uses them.
RECENT_SETS = 8


@dataclass(frozen=True, eq=False)
class ToolSet:
    """Tools by the names under which they are offered, in order. What is computed from them is computed once."""

    digest: str
    tools: Mapping[str, Tool]

    @cached_property
    def tokens(self) -> Mapping[str, int]:
        """The estimated tokens of each tool in a prompt."""
        return {name: estimated_tokens([role_tool(name, tool)]) for name, tool in self.tools.items()}

    @cached_property
    def index(self) -> ToolIndex:
        """The index for retrieval. It takes up to a second for thousands of tools: not for the event loop."""
        return ToolIndex(self.tools)


class ToolSets:
    """Stores sets and reads them."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._sets: WeakValueDictionary[str, ToolSet] = WeakValueDictionary()
        self._recent: deque[ToolSet] = deque(maxlen=RECENT_SETS)
        # Digests of sets that are being written.
        self._saving: Counter[str] = Counter()

    def in_use(self) -> set[str]:
        """The digests of the sets that are in memory: a trajectory may be about to name one. Safe in any thread."""
        return {*self._saving, *self._sets.keys()}

    async def save(self, tools: Mapping[str, Tool]) -> ToolSet:
        """The set of these tools, once it is durable. Raises `StoreError`."""
        digest = await asyncio.to_thread(_digest, tools)
        if (known := self._sets.get(digest)) is not None:
            return known
        self._saving[digest] += 1
        try:
            await self._store.put_tool_set(digest, await asyncio.to_thread(_write, tools))
            return self._remember(ToolSet(digest, dict(tools)))
        finally:
            self._saving[digest] -= 1
            self._saving += Counter()

    async def load(self, digest: str) -> ToolSet:
        """The set with this digest. Raises `StoreError`."""
        if (known := self._sets.get(digest)) is not None:
            return known
        text = await self._store.tool_set(digest)
        return self._remember(ToolSet(digest, await asyncio.to_thread(_read, digest, text)))

    def _remember(self, tool_set: ToolSet) -> ToolSet:
        remembered = self._sets.setdefault(tool_set.digest, tool_set)
        self._recent.append(remembered)
        return remembered


def role_tool(name: str, tool: Tool) -> RoleTool:
    """The tool as roles see it under its offered name."""
    return RoleTool(name, tool.description, tool.parameters)


def _digest(tools: Mapping[str, Tool]) -> str:
    """Hexadecimal SHA-256 of names and definitions, in order."""
    digest = hashlib.sha256()
    for name, tool in tools.items():
        digest.update(f"{json.dumps(name)} {tool.digest}\n".encode())
    return digest.hexdigest()


def _write(tools: Mapping[str, Tool]) -> str:
    return json.dumps({name: tool.record() for name, tool in tools.items()}, separators=(",", ":"))


def _read(digest: str, text: str) -> dict[str, Tool]:
    try:
        return {
            name: Tool(**{**fields, "effect": EffectClass(fields["effect"])})
            for name, fields in json.loads(text).items()
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(f"the tool set {digest} cannot be read: restore the database from a backup") from error
