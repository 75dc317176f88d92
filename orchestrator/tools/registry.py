"""The registered tools: sources are added and removed at run time, tools are looked up and called by name.

Leaves out persistence (a source's `record` is what to store) and the decision which calls may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import SourceExistsError, UnknownSourceError, UnknownToolError
from orchestrator.tools.kinds import load_source
from orchestrator.tools.model import RequestPreview, Tool, ToolResult
from orchestrator.tools.names import ToolNames
from orchestrator.tools.source import ToolProvider, ToolSource


class ToolRegistry:
    """Every tool that trajectories may use. `names` has the rule of their names over all sources."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._sources: dict[str, ToolProvider] = {}
        self._names = ToolNames({})

    async def add_source(self, source: ToolSource) -> ToolProvider:
        """Load a source and register its tools.

        Raises `ToolSourceError` (see `errors`), and then nothing has changed.
        """
        self._refuse_same_source(source.name)
        provider = await load_source(source, self._egress)
        try:
            self._refuse_same_source(source.name)
        except SourceExistsError:
            await provider.close()
            raise
        self._set_sources({**self._sources, source.name: provider})
        return provider

    async def remove_source(self, name: str) -> None:
        """Remove a source and its tools. Raises `UnknownSourceError`."""
        if name not in self._sources:
            raise UnknownSourceError(name, self._sources)
        removed = self._sources[name]
        self._set_sources({other: provider for other, provider in self._sources.items() if other != name})
        await removed.close()

    async def aclose(self) -> None:
        """Remove all sources."""
        for name in list(self._sources):
            await self.remove_source(name)

    def list_sources(self) -> list[ToolProvider]:
        """All sources, in the order they were added."""
        return list(self._sources.values())

    def offered(self) -> dict[str, Tool]:
        """All tools by the names under which they are offered, by source and then in the order of the source.

        A tool itself has its own name.
        """
        return {name: self._sources[key.source].tools[key.name] for name, key in self._names.offered.items()}

    def list_tools(self) -> list[Tool]:
        """All tools under the names by which they are offered, by source and then in the order of the source."""
        return [replace(tool, name=name) for name, tool in self.offered().items()]

    def find(self, source: str, name: str) -> Tool | None:
        """The tool of a source by its own name, as it is registered now; None if it is not."""
        provider = self._sources.get(source)
        return None if provider is None else provider.tools.get(name)

    def get(self, names: Iterable[str]) -> list[Tool]:
        """The tools of these names: own names, or `source__tool`.

        Raises `UnknownToolError` with all names that are not registered, or that tools of several sources have.
        """
        candidates = [(name, self._names.candidates(name)) for name in names]
        unknown = {name: keys for name, keys in candidates if len(keys) != 1}
        if unknown:
            shared = {name: [self._names.long_name(key) for key in keys] for name, keys in unknown.items()}
            raise UnknownToolError(list(unknown), self._names.offered, shared)
        return [self._sources[key.source].tools[key.name] for _, (key,) in candidates]

    def preview(self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> RequestPreview:
        """The request that `call` would send. Raises `UnknownToolError` and `ArgumentError`."""
        (tool,) = self.get([name])
        return self._sources[tool.source].preview(tool.name, arguments, idempotency_key=idempotency_key)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        idempotency_key: str,
        timeout_s: float,
        source: str | None = None,
    ) -> ToolResult:
        """Call a tool within `timeout_s` seconds. A failed call is a result for the planner.

        With `source` the name is the tool's own. The arguments are checked against the tool as it is registered now, so
        that a source which was replaced since the planner's decision is not called with arguments that it does not
        take. Raises `UnknownToolError`, and then nothing was sent.
        """
        tool = self.get([name])[0] if source is None else self.find(source, name)
        if tool is None:
            raise UnknownToolError([name], self._names.offered)
        provider = self._sources[tool.source]
        return await provider.call(tool.name, arguments, idempotency_key=idempotency_key, timeout_s=timeout_s)

    def _set_sources(self, sources: dict[str, ToolProvider]) -> None:
        self._sources = sources
        self._names = ToolNames({name: provider.tools for name, provider in sources.items()})

    def _refuse_same_source(self, name: str) -> None:
        if name in self._sources:
            raise SourceExistsError(
                f"a source {name!r} is registered",
                field="name",
                remedy="remove it first, or choose another name",
            )
