"""The tool sources of an orchestrator: those of the operator's file, and those of the API, which are stored.

A source that cannot be loaded does not prevent the start: it is listed with its error and retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import ValidationError

from alpha_umi import telemetry
from alpha_umi.contract.tool_sources import Origin
from alpha_umi.roles.turns import estimated_tokens
from orchestrator.store import SHARED, EventStore, StoreError
from orchestrator.tools.errors import SourceExistsError, ToolSourceError, UnknownSourceError
from orchestrator.tools.kinds import parse_source
from orchestrator.tools.registry import ToolRegistry
from orchestrator.tools.source import ToolProvider, ToolSource
from orchestrator.tools.tool_sets import role_tool

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
START_TIMEOUT_S = 2.0
RECOVERY_TIMEOUT_S = 30.0

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class SourceEntry:
    """A source, its origin, and its provider or the error of the last attempt to load it.

    `prompt_tokens` is an estimate of the tokens that all its tools take in a prompt.
    """

    source: ToolSource
    origin: Origin
    provider: ToolProvider | None = None
    error: str | None = None
    prompt_tokens: int = 0

    @property
    def status(self) -> Literal["ready", "failed", "pending"]:
        """`ready`, `failed` (it is retried), or `pending` (not tried yet)."""
        if self.provider is not None:
            return "ready"
        return "pending" if self.error is None else "failed"


class ToolSources:
    """Registers sources, stores those of the API, and retries those that failed."""

    def __init__(self, registry: ToolRegistry, store: EventStore, *, from_file: Sequence[ToolSource] = ()) -> None:
        self._registry = registry
        self._store = store
        self._entries = {source.name: SourceEntry(source, "file") for source in from_file}
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start loading all sources; returns when each was tried once, or after two seconds."""
        for row in await self._store.list_tool_sources():
            try:
                source = parse_source(row.document)
            except ValidationError:
                _log.error("tool_source.unreadable", source=row.name)
                continue
            self._entries.setdefault(source.name, SourceEntry(source, "api"))
        tried = asyncio.Event()
        self._task = asyncio.create_task(self._register_all(tried), name="tool sources")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await tried.wait()
        except TimeoutError:
            _log.warning("tool_source.slow", sources=[entry.source.name for entry in self._pending()])

    async def aclose(self) -> None:
        """Stop retrying."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def list_sources(self) -> list[SourceEntry]:
        """All sources, failed ones included."""
        return list(self._entries.values())

    async def add(self, source: ToolSource) -> SourceEntry:
        """Register and store a source. Raises `ToolSourceError`, `StoreError`; then nothing has changed."""
        if source.name in self._entries:
            raise SourceExistsError(
                f"a source {source.name!r} is registered",
                field="name",
                remedy="remove it first, or choose another name",
            )
        provider = await self._load(source)
        try:
            await self._store.put_tool_source(SHARED, source.name, provider.source.record())
        except StoreError:
            await self._registry.remove_source(source.name)
            raise
        entry = await _loaded(source, "api", provider)
        await self._set(entry)
        return entry

    async def remove(self, name: str) -> None:
        """Remove a source; one of the operator's file returns at the next start. Raises `UnknownSourceError`."""
        if name not in self._entries:
            raise UnknownSourceError(name, self._entries)
        await self._store.delete_tool_source(SHARED, name)
        if self._entries.pop(name).provider is not None:
            await self._registry.remove_source(name)

    async def wait_for(self, is_ready: Callable[[], bool]) -> None:
        """Return when it is ready (asked after each source), no source is left to load, or after 30 seconds."""
        try:
            async with asyncio.timeout(RECOVERY_TIMEOUT_S), self._changed:
                await self._changed.wait_for(lambda: not self._pending() or is_ready())
        except TimeoutError:
            _log.warning("tool_source.missing", sources=[entry.source.name for entry in self._pending()])

    async def _load(self, source: ToolSource) -> ToolProvider:
        provider = await self._registry.add_source(source)
        left_out = provider.left_out
        _log.info("tool_source.registered", source=source.name, tools=len(provider.tools), left_out=len(left_out))
        for each in left_out:
            _log.warning("tool_source.left_out", source=source.name, **asdict(each))
        return provider

    def _pending(self) -> list[SourceEntry]:
        return [entry for entry in self._entries.values() if entry.provider is None]

    async def _register_all(self, tried: asyncio.Event) -> None:
        pause_s = FIRST_PAUSE_S
        while pending := self._pending():
            await asyncio.gather(*(self._register(entry) for entry in pending))
            tried.set()
            if self._pending():
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        tried.set()

    async def _register(self, entry: SourceEntry) -> None:
        name = entry.source.name
        try:
            provider = await self._load(entry.source)
        except ToolSourceError as error:
            _log.warning("tool_source.failed", source=name, reason=str(error))
            outcome = SourceEntry(entry.source, entry.origin, error=str(error))
        else:
            outcome = await _loaded(entry.source, entry.origin, provider)
        if name in self._entries:
            await self._set(outcome)
        elif outcome.provider is not None:
            # It was removed while it was being loaded.
            await self._registry.remove_source(name)

    async def _set(self, entry: SourceEntry) -> None:
        async with self._changed:
            self._entries[entry.source.name] = entry
            self._changed.notify_all()


async def _loaded(source: ToolSource, origin: Origin, provider: ToolProvider) -> SourceEntry:
    tools = [role_tool(name, tool) for name, tool in provider.tools.items()]
    # Thousands of tools take too long for the event loop.
    tokens = await asyncio.to_thread(estimated_tokens, tools)
    return SourceEntry(source, origin, provider, prompt_tokens=tokens)
