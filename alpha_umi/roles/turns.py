"""The offered tools and the turns of a trajectory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TurnRole = Literal["user", "planner", "caller", "observation", "conclusion"]
# `backbone` is the single model of the strategy `single`; the others divide a step between them.
Role = Literal["planner", "caller", "summarizer", "backbone"]

# Truncation of the published preprocessing: the end of a name (with the tool's own name), the beginning of a function's
# description, the end of a parameter's description.
NAME_CHARACTERS = 64
DESCRIPTION_CHARACTERS = 256


@dataclass(frozen=True)
class Turn:
    """One turn: its role, and the raw text."""

    role: TurnRole
    content: str


@dataclass(frozen=True)
class Tool:
    """An offered tool. `parameters` is a JSON Schema of type object; empty means no arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_name(self) -> str:
        """The name in prompts: its last 64 characters."""
        return self.name[-NAME_CHARACTERS:]


def tool_line(tool: Tool) -> str:
    """The JSON line of a tool in a prompt, without the line end."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    line = {
        "Name": tool.prompt_name,
        "function": tool.description[:DESCRIPTION_CHARACTERS],
        "input": {name: _parameter_text(schema) for name, schema in properties.items()},
    }
    return json.dumps(line)


def tool_document(tools: Sequence[Tool]) -> str:
    """All tools, one per line, with line ends."""
    return "".join(f"{tool_line(tool)}\n" for tool in tools)


def _parameter_text(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    kind = schema.get("type", "any")
    text = kind if isinstance(kind, str) else " or ".join(kind)
    if "description" in schema:
        text += f", {schema['description'][-DESCRIPTION_CHARACTERS:]}"
    return text
