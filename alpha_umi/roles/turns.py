"""What the roles talk about: tools on offer and turns of a trajectory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TurnRole = Literal["user", "planner", "caller", "observation", "conclusion"]
# `backbone` is the single model of the strategy `single`; the others divide a step between them.
Role = Literal["planner", "caller", "summarizer", "backbone"]

# Cuts of the published preprocessing: a name keeps its end (the tool's own name stands there),
# a function's description its beginning, a parameter's description its end.
NAME_CHARACTERS = 64
DESCRIPTION_CHARACTERS = 256


@dataclass(frozen=True)
class Turn:
    """One turn: who spoke, and the raw text."""

    role: TurnRole
    content: str


@dataclass(frozen=True)
class Tool:
    """A tool on offer. `parameters` is a JSON Schema of type object; empty means no arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown_name(self) -> str:
        """The name as the role models see it: its last 64 characters."""
        return self.name[-NAME_CHARACTERS:]


def tool_line(tool: Tool) -> str:
    """The JSON line that shows a tool to a role model, without the line end."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    shown = {
        "Name": tool.shown_name,
        "function": tool.description[:DESCRIPTION_CHARACTERS],
        "input": {name: _shown_parameter(schema) for name, schema in properties.items()},
    }
    return json.dumps(shown)


def tool_document(tools: Sequence[Tool]) -> str:
    """All tools, a line each, every line ended."""
    return "".join(f"{tool_line(tool)}\n" for tool in tools)


def _shown_parameter(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    kind = schema.get("type", "any")
    shown = kind if isinstance(kind, str) else " or ".join(kind)
    if "description" in schema:
        shown += f", {schema['description'][-DESCRIPTION_CHARACTERS:]}"
    return shown
