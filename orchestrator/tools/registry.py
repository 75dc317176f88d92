"""The registered tools: sources are added and removed at run time, tools are looked up and called by name.

Leaves out persistence (a source's `record` is what to store) and the decision which calls may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import SourceExistsError, UnknownSourceError, UnknownToolError
from orchestrator.tools.kinds import load_source
from orchestrator.tools.model import RequestPreview, Tool, ToolResult
from orchestrator.tools.observation import MAX_OBSERVATION_BYTES
from orchestrator.tools.source import ToolProvider, ToolSource


class ToolRegistry:
    """Every tool that trajectories may use. Names of tools are unique over all sources."""

    def __init__(self, egress: Egress, *, max_observation_bytes: int = MAX_OBSERVATION_BYTES) -> None:
        self._egress = egress
        self._max_observation_bytes = max_observation_bytes
        self._sources: dict[str, ToolProvider] = {}
        self._tools: dict[str, ToolProvider] = {}

    async def add_source(self, source: ToolSource) -> ToolProvider:
        """Load a source and register its tools.

        Raises `ToolSourceError` (see `errors`), and then nothing has changed.
        """
        self._refuse_same_source(source.name)
        provider = await load_source(source, self._egress, max_observation_bytes=self._max_observation_bytes)
        try:
            self._refuse_same_source(source.name)
            self._refuse_same_tools(source.name, provider.tools)
        except SourceExistsError:
            await provider.close()
            raise
        self._sources[source.name] = provider
        self._tools |= dict.fromkeys(provider.tools, provider)
        return provider

    async def remove_source(self, name: str) -> None:
        """Remove a source and its tools. Raises `UnknownSourceError`."""
        if name not in self._sources:
            raise UnknownSourceError(name, self._sources)
        removed = self._sources.pop(name)
        for tool in removed.tools:
            del self._tools[tool]
        await removed.close()

    async def aclose(self) -> None:
        """Remove all sources."""
        for name in list(self._sources):
            await self.remove_source(name)

    def list_sources(self) -> list[ToolProvider]:
        """All sources, in the order they were added."""
        return list(self._sources.values())

    def list_tools(self) -> list[Tool]:
        """All tools, by source and then in the order of the source."""
        return [tool for provider in self._sources.values() for tool in provider.tools.values()]

    def get(self, names: Iterable[str]) -> list[Tool]:
        """The tools of these names. Raises `UnknownToolError` with all names that are not registered."""
        names = list(names)
        if unknown := [name for name in names if name not in self._tools]:
            raise UnknownToolError(unknown, self._tools)
        return [self._tools[name].tools[name] for name in names]

    def preview(self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> RequestPreview:
        """The request that `call` would send. Raises `UnknownToolError` and `ArgumentError`."""
        if name not in self._tools:
            raise UnknownToolError([name], self._tools)
        return self._tools[name].preview(name, arguments, idempotency_key=idempotency_key)

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        """Call a tool within `timeout_s` seconds. A failed call is a result for the planner.

        The arguments are checked against the tool as it is registered now, so that a source which was replaced since
        the planner's decision is not called with arguments that it does not take. Raises `UnknownToolError`, and then
        nothing was sent.
        """
        if name not in self._tools:
            raise UnknownToolError([name], self._tools)
        return await self._tools[name].call(name, arguments, idempotency_key=idempotency_key, timeout_s=timeout_s)

    def _refuse_same_source(self, name: str) -> None:
        if name in self._sources:
            raise SourceExistsError(
                f"a source {name!r} is registered",
                field="name",
                remedy="remove it first, or choose another name",
            )

    def _refuse_same_tools(self, name: str, tools: Iterable[str]) -> None:
        for tool in tools:
            if tool in self._tools:
                other = self._tools[tool].source.name
                raise SourceExistsError(
                    f"the sources {other!r} and {name!r} both have a tool {tool!r}",
                    field="operations",
                    remedy="rename one of the operations, or select others with `operations`",
                )
