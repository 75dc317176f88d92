"""An example kind of tool source: settings, a provider, and the function that loads a source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.model import EffectClass, LeftOut, RequestPreview, Tool, ToolResult
from orchestrator.tools.source import SourceKind, ToolSource


class EchoSource(ToolSource):
    """One tool, `tool`, that answers with its arguments."""

    kind: Literal["echo"] = "echo"
    tool: str = "echo"


@dataclass
class EchoProvider:
    source: EchoSource
    base_url: str | None = None
    closed: bool = False
    left_out: tuple[LeftOut, ...] = ()
    tools: Mapping[str, Tool] = field(init=False)

    def __post_init__(self) -> None:
        parameters = {"type": "object", "properties": {"text": {"type": "string"}}}
        tool = Tool(self.source.tool, "Repeats its arguments.", parameters, self.source.name, EffectClass.READ)
        self.tools = {tool.name: tool}

    def preview(self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> RequestPreview:
        return RequestPreview("ECHO", name, {}, (), json.dumps(dict(arguments)))

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        return ToolResult(json.dumps([name, dict(arguments)]), is_error=False, truncated=False)

    async def close(self) -> None:
        self.closed = True


async def load_echo(source: EchoSource, egress: Egress) -> EchoProvider:
    if source.tool == "mute":
        raise ToolSourceError("this tool does not answer", field="tool", remedy="choose another")
    return EchoProvider(source)


ECHO = SourceKind(EchoSource, load_echo)
