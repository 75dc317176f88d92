"""The registered tools: sources are added and removed at run time, tools are looked up by name and called.

A source belongs to an owner, who alone is offered its tools, or is shared by all owners. Leaves out persistence (a
source's `record` is what to store) and the decision which calls may be repeated.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from orchestrator.store import SHARED
from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import (
    SourceExistsError,
    SourceLimitError,
    ToolGone,
    UnknownSourceError,
    UnknownToolError,
)
from orchestrator.tools.kinds import load_source
from orchestrator.tools.model import RequestPreview, Tool, ToolResult
from orchestrator.tools.names import ToolKey, ToolNames
from orchestrator.tools.source import ToolProvider, ToolSource

# Views of owners with sources of their own that stay in memory.
MAX_VIEWS: Final = 32


class SourceKey(NamedTuple):
    """A source by its owner (or `SHARED`) and its name."""

    owner: str
    name: str


class ToolView:
    """The tools that one owner is offered: the shared ones and the owner's. It never changes.

    `offered` has them by the names under which they are offered, by source and then in the order of the source. A tool
    itself has its own name.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = {ToolKey(tool.source, tool.name, tool.owner): tool for tool in tools}
        self._names = ToolNames(self._tools)
        self.offered: Mapping[str, Tool] = {name: self._tools[key] for name, key in self._names.offered.items()}

    def list_tools(self) -> list[Tool]:
        """All tools under the names by which they are offered, by source and then in the order of the source."""
        return [replace(tool, name=name) for name, tool in self.offered.items()]

    def knows(self, name: str) -> bool:
        """Whether there is a tool of this name, or several."""
        return bool(self._names.candidates(name))

    def get(self, names: Iterable[str]) -> list[Tool]:
        """The tools of these names: own names, or `source__tool`.

        Raises `UnknownToolError` with all names that are not registered, or that tools of several sources have.
        """
        candidates = [(name, self._names.candidates(name)) for name in names]
        unknown = {name: keys for name, keys in candidates if len(keys) != 1}
        if unknown:
            shared = {name: [self._names.long_name(key) for key in keys] for name, keys in unknown.items()}
            raise UnknownToolError(list(unknown), self.offered, shared)
        return [self._tools[key] for _, (key,) in candidates]


class _Loaded(NamedTuple):
    provider: ToolProvider
    tools: Mapping[str, Tool]


class ToolRegistry:
    """Every tool that trajectories may use."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._sources: dict[SourceKey, _Loaded] = {}
        self._views: OrderedDict[str, ToolView] = OrderedDict()
        self._making = asyncio.Lock()

    async def add_source(
        self, source: ToolSource, *, owner: str = SHARED, max_tools: int | None = None
    ) -> ToolProvider:
        """Load a source and register its tools for its owner, who has at most `max_tools`.

        Raises `ToolSourceError` (see `errors`), and then nothing has changed.
        """
        key = SourceKey(owner, source.name)
        self._refuse_same_source(key)
        provider = await load_source(source, self._egress)
        tools = provider.tools
        if owner != SHARED:
            tools = await asyncio.to_thread(_of_owner, owner, tools)
        try:
            self._refuse_same_source(key)
            self._refuse_too_many(owner, len(provider.tools), max_tools)
        except (SourceExistsError, SourceLimitError):
            await provider.close()
            raise
        self._sources[key] = _Loaded(provider, tools)
        self._forget_views(owner)
        return provider

    async def remove_source(self, name: str, *, owner: str = SHARED) -> None:
        """Remove a source and its tools. Raises `UnknownSourceError`."""
        removed = self._sources.pop(SourceKey(owner, name), None)
        if removed is None:
            raise UnknownSourceError(name, [key.name for key in self._sources if key.owner == owner])
        self._forget_views(owner)
        await removed.provider.close()

    async def aclose(self) -> None:
        """Remove all sources."""
        for owner, name in list(self._sources):
            await self.remove_source(name, owner=owner)

    def list_sources(self) -> list[ToolProvider]:
        """The sources of all owners, in the order they were added."""
        return [loaded.provider for loaded in self._sources.values()]

    def of(self, owner: str) -> ToolView:
        """What an owner is offered now: the same object until a source is added or removed."""
        owner = self._with_own_sources(owner)
        return self._views.get(owner) or self._remember(owner, ToolView(self._tools_of(owner)))

    async def view(self, owner: str) -> ToolView:
        """The same as `of`. The view of thousands of tools takes too long for the event loop."""
        async with self._making:
            owner = self._with_own_sources(owner)
            if owner in self._views:
                return self._remember(owner, self._views[owner])
            sources = dict(self._sources)
            view = await asyncio.to_thread(ToolView, self._tools_of(owner))
            return self._remember(owner, view) if sources == self._sources else view

    def find(self, tool: Tool) -> Tool | None:
        """The tool of this owner, source and own name, as it is registered now; None if it is not."""
        loaded = self._sources.get(SourceKey(tool.owner, tool.source))
        return None if loaded is None else loaded.tools.get(tool.name)

    def is_unchanged(self, tool: Tool) -> bool:
        """Whether the tool is registered with the same definition and the same server."""
        registered = self.find(tool)
        return registered is not None and tool.is_same(registered)

    def preview(self, tool: Tool, arguments: Mapping[str, Any], *, idempotency_key: str) -> RequestPreview:
        """The request that `call` would send. Raises `ToolGone` and `ArgumentError`."""
        return self._provider(tool).preview(tool.name, arguments, idempotency_key=idempotency_key)

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        """Call a tool within `timeout_s` seconds. A failed call is a result for the planner.

        Raises `ToolGone` if the tool is not registered as it was when it was chosen; then nothing was sent.
        """
        provider = self._provider(tool)
        return await provider.call(tool.name, arguments, idempotency_key=idempotency_key, timeout_s=timeout_s)

    def _provider(self, tool: Tool) -> ToolProvider:
        registered = self.find(tool)
        if registered is None:
            raise ToolGone
        if not tool.is_same(registered):
            raise ToolGone("is not the one that was chosen: its source describes it otherwise now")
        return self._sources[SourceKey(tool.owner, tool.source)].provider

    def _with_own_sources(self, owner: str) -> str:
        """The owner, or `SHARED` for one without sources, as all these have one view."""
        return owner if any(key.owner == owner for key in self._sources) else SHARED

    def _tools_of(self, owner: str) -> list[Tool]:
        mine = (loaded.tools for key, loaded in self._sources.items() if key.owner in (owner, SHARED))
        return [tool for tools in mine for tool in tools.values()]

    def _remember(self, owner: str, view: ToolView) -> ToolView:
        self._views[owner] = view
        self._views.move_to_end(owner)
        while len(self._views) > MAX_VIEWS:
            self._views.popitem(last=False)
        return view

    def _forget_views(self, owner: str) -> None:
        if owner == SHARED:
            self._views.clear()
        else:
            self._views.pop(owner, None)

    def _refuse_same_source(self, key: SourceKey) -> None:
        if key in self._sources:
            raise SourceExistsError(key.name)

    def _refuse_too_many(self, owner: str, tools: int, max_tools: int | None) -> None:
        registered = sum(len(loaded.tools) for key, loaded in self._sources.items() if key.owner == owner)
        if max_tools is not None and registered + tools > max_tools:
            raise SourceLimitError(
                f"the source has {tools} tools, and its owner has {registered} of at most {max_tools}",
                field="operations",
                remedy="select fewer with `operations`, `tags`, `paths` or `methods`, or remove a source",
            )


def _of_owner(owner: str, tools: Mapping[str, Tool]) -> dict[str, Tool]:
    return {name: replace(tool, owner=owner) for name, tool in tools.items()}
