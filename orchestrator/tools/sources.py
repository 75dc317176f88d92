"""The tool sources of an orchestrator: those of the operator's file, and those of the API, which are stored.

A source belongs to an owner, or is shared by all; those of the file are shared. A source that cannot be loaded does not
prevent the start: it is listed with its error and retried.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pydantic import ValidationError

from alpha_umi import telemetry
from alpha_umi.contract.tool_sources import Origin
from alpha_umi.roles.turns import estimated_tokens
from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.store import SHARED, AuditEntry, EventStore, StoreError
from orchestrator.tools.errors import (
    SourceExistsError,
    SourceLimitError,
    SourcesLoading,
    ToolSourceError,
    UnknownSourceError,
)
from orchestrator.tools.kinds import parse_source
from orchestrator.tools.registry import SourceKey, ToolRegistry, ToolView
from orchestrator.tools.source import ToolProvider, ToolSource
from orchestrator.tools.tool_sets import role_tool
from orchestrator.tools.vault import SEALED, Vault, with_secrets_of

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
START_TIMEOUT_S = 2.0
LOADING_TIMEOUT_S = 30.0
# Of what one source leaves out; the API lists all.
MAX_LOGGED = 20

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class SourceEntry:
    """A source, its owner and origin, and its provider or the error of the last attempt to load it.

    `sealed` are the encrypted credentials of a stored source (see `vault`). `prompt_tokens` is an estimate of the
    tokens that all its tools take in a prompt.
    """

    source: ToolSource
    owner: str
    origin: Origin
    sealed: str | None = None
    provider: ToolProvider | None = None
    error: str | None = None
    prompt_tokens: int = 0

    @property
    def key(self) -> SourceKey:
        """What identifies the source."""
        return SourceKey(self.owner, self.source.name)

    @property
    def status(self) -> Literal["ready", "failed", "pending"]:
        """`ready`, `failed` (it is retried), or `pending` (not tried yet)."""
        if self.provider is not None:
            return "ready"
        return "pending" if self.error is None else "failed"


class ToolSources:
    """Registers sources, stores those of the API, and retries those that failed.

    An owner registers at most `max_sources`, with `max_tools` together; shared ones have no limit.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        store: EventStore,
        *,
        from_file: Sequence[ToolSource] = (),
        vault: Vault,
        max_sources: int,
        max_tools: int,
    ) -> None:
        self._registry = registry
        self._store = store
        self._vault = vault
        self._max_sources = max_sources
        self._max_tools = max_tools
        entries = [SourceEntry(source, SHARED, "file") for source in from_file]
        self._entries = {entry.key: entry for entry in entries}
        # Being registered now: they count, and their names are taken.
        self._adding: set[SourceKey] = set()
        self._removing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        # Stored sources, and those of the file, since the start.
        self._untried: set[SourceKey] = set()
        self._wait_until = 0.0

    async def start(self) -> None:
        """Start loading all sources in the background."""
        renewed = False
        for row in await self._store.list_tool_sources():
            sealed = row.document.pop(SEALED, None)
            try:
                source = parse_source(row.document, stored=True)
            except ValidationError:
                _log.error("tool_source.unreadable", source=row.name)
                continue
            entry = SourceEntry(source, row.owner, "api", sealed)
            renewed |= await self._renew(entry)
            self._entries.setdefault(entry.key, entry)
        if renewed:
            await self._store.erase_replaced()
        self._untried = set(self._entries)
        self._wait_until = asyncio.get_running_loop().time() + START_TIMEOUT_S
        self._task = asyncio.create_task(self._register_all(), name="tool sources")

    async def tried(self) -> None:
        """Return when each source was tried once, or two seconds after the start."""
        if self._untried:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._wait_until):
                    await self._until(lambda: not self._untried)

    async def view(self, owner: str, names: Collection[str] | None = None) -> ToolView:
        """What an owner is offered, once it has tools of these names (None: any tool), or each source was tried.

        Raises `SourcesLoading` after 30 seconds.
        """
        await self.tried()
        try:
            async with asyncio.timeout(LOADING_TIMEOUT_S):
                return await self._view(owner, names)
        except TimeoutError:
            raise SourcesLoading(sorted(key.name for key in self._untried_of(owner))) from None

    async def aclose(self) -> None:
        """Stop retrying."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def list_sources(self) -> list[SourceEntry]:
        """The sources of all owners, failed ones included."""
        return list(self._entries.values())

    def of(self, owner: str) -> list[SourceEntry]:
        """The sources that an owner sees: the shared ones and the owner's, failed ones included."""
        return [entry for key, entry in self._entries.items() if key.owner in (owner, SHARED)]

    def find(self, name: str, *, owner: str) -> SourceEntry:
        """The owner's source of this name, or else the shared one. Raises `UnknownSourceError`."""
        for key in (SourceKey(owner, name), SourceKey(SHARED, name)):
            if key in self._entries:
                return self._entries[key]
        raise UnknownSourceError(name, [entry.source.name for entry in self.of(owner)])

    async def add(self, source: ToolSource, *, audit: AuditEntry) -> SourceEntry:
        """Register and store a source, and the act of the owner.

        Raises `ToolSourceError`, `StoreError`; then nothing has changed.
        """
        key = SourceKey(SHARED if source.shared else audit.owner, source.name)
        self._refuse(key, audit.owner)
        self._vault.check(source)
        self._adding.add(key)
        try:
            entry = SourceEntry(source, key.owner, "api")
            provider = await self._load(entry, max_tools=None if source.shared else self._max_tools)
            try:
                # With references and not with what they stand for.
                stored = with_secrets_of(provider.source, source)
                record = await asyncio.to_thread(self._vault.record, stored, key.owner)
                await self._store.put_tool_source(*key, record, audit=audit)
            except StoreError:
                await self._registry.remove_source(key.name, owner=key.owner)
                raise
            entry = await _ready(entry, provider)
            await self._set(key, entry)
        finally:
            self._adding.discard(key)
        return entry

    async def remove(self, entry: SourceEntry, *, audit: AuditEntry) -> None:
        """Remove a source and record the act; one of the operator's file returns at the next start.

        Raises `UnknownSourceError`.
        """
        # Of two requests at once the second finds nothing.
        async with self._removing:
            name = entry.source.name
            if entry.key not in self._entries:
                raise UnknownSourceError(name, [other.source.name for other in self.of(audit.owner)])
            await self._store.delete_tool_source(*entry.key, audit=audit)
            entry = self._entries[entry.key]
            await self._set(entry.key, None)
            if entry.provider is not None:
                await self._registry.remove_source(name, owner=entry.owner)

    async def wait_for(self, is_ready: Callable[[], bool]) -> None:
        """Return when it is ready (asked after each source), no source is left to load, or after 30 seconds."""
        try:
            async with asyncio.timeout(LOADING_TIMEOUT_S):
                await self._until(lambda: not self._pending() or is_ready())
        except TimeoutError:
            _log.warning("tool_source.missing", sources=[entry.source.name for entry in self._pending()])

    def _refuse(self, key: SourceKey, owner: str) -> None:
        """Raises `ToolSourceError` for a name that the owner sees already, or a source too many."""
        taken = {*self._entries, *self._adding}
        if not {key, SourceKey(SHARED, key.name), SourceKey(owner, key.name)}.isdisjoint(taken):
            raise SourceExistsError(key.name)
        if key.owner != SHARED and sum(other.owner == owner for other in taken) >= self._max_sources:
            raise SourceLimitError(
                f"the owner {owner!r} has {self._max_sources} sources already, which is the limit",
                field="name",
                remedy="remove one first, or ask the operator to raise ALPHA_UMI_MAX_SOURCES",
            )

    async def _load(self, entry: SourceEntry, *, max_tools: int | None = None) -> ToolProvider:
        source = self._vault.opened(entry.source, entry.owner, entry.sealed)
        if entry.origin == "api" and entry.owner == SHARED:
            source = self._vault.expanded(source)
        token = CURRENT_OWNER.set(entry.owner)
        try:
            provider = await self._registry.add_source(source, owner=entry.owner, max_tools=max_tools)
        finally:
            CURRENT_OWNER.reset(token)
        name, left_out = entry.source.name, provider.left_out
        _log.info("tool_source.registered", source=name, tools=len(provider.tools), left_out=len(left_out))
        for each in left_out[:MAX_LOGGED]:
            _log.warning("tool_source.left_out", source=name, **asdict(each))
        return provider

    async def _renew(self, entry: SourceEntry) -> bool:
        """Encrypt the credentials of a stored source with the newest key; whether that was needed."""
        if self._vault.is_clear(entry.source):
            _log.warning("tool_source.credentials_in_clear", source=entry.source.name, remedy="set a secrets key")
        record = self._vault.renewed(entry.source, entry.owner, entry.sealed)
        if record is not None:
            await self._store.put_tool_source(*entry.key, record)
            _log.info("tool_source.credentials_encrypted", source=entry.source.name)
        return record is not None

    async def _view(self, owner: str, names: Collection[str] | None) -> ToolView:
        while True:
            # First: a source that is tried from here on may be missing in the view.
            untried = self._untried_of(owner)
            view = await self._registry.view(owner)
            if not untried or (all(map(view.knows, names)) if names is not None else view.offered):
                return view
            await self._until_tried(owner, untried)

    async def _until_tried(self, owner: str, untried: set[SourceKey]) -> None:
        """Return when one of these was tried."""
        await self._until(lambda: self._untried_of(owner) != untried)

    def _untried_of(self, owner: str) -> set[SourceKey]:
        return {key for key in self._untried if key.owner in (owner, SHARED)}

    def _pending(self) -> list[SourceEntry]:
        return [entry for entry in self._entries.values() if entry.provider is None]

    async def _register_all(self) -> None:
        pause_s = FIRST_PAUSE_S
        while pending := self._pending():
            await asyncio.gather(*(self._register(entry) for entry in pending))
            if self._pending():
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _register(self, entry: SourceEntry) -> None:
        try:
            outcome = await _ready(entry, await self._load(entry))
        except ToolSourceError as error:
            _log.warning("tool_source.failed", source=entry.source.name, reason=str(error))
            outcome = replace(entry, error=str(error))
        if entry.key in self._entries:
            await self._set(entry.key, outcome)
        elif outcome.provider is not None:
            # It was removed while it was being loaded.
            await self._registry.remove_source(entry.source.name, owner=entry.owner)

    async def _set(self, key: SourceKey, entry: SourceEntry | None) -> None:
        """The source is so now; None: it is gone."""
        async with self._changed:
            self._untried.discard(key)
            if entry is None:
                del self._entries[key]
            else:
                self._entries[key] = entry
            self._changed.notify_all()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so; it is tested whenever a source has changed."""
        async with self._changed:
            await self._changed.wait_for(is_so)


async def _ready(entry: SourceEntry, provider: ToolProvider) -> SourceEntry:
    tools = [role_tool(name, tool) for name, tool in provider.tools.items()]
    # Thousands of tools take too long for the event loop.
    tokens = await asyncio.to_thread(estimated_tokens, tools)
    return replace(entry, source=entry.source.light(), provider=provider, error=None, prompt_tokens=tokens)
