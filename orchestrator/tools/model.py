"""What the rest of the orchestrator knows of tools: their description, their result, and who executes them.

Leaves out where tools come from and how they are reached; see `registry` and `openapi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class EffectClass(StrEnum):
    """What repeating a call may do; it decides what happens to a call that a crash interrupted.

    `READ` changes nothing and may be repeated. `KEYED_WRITE` may be repeated with the same idempotency key.
    `UNKEYED_WRITE` is never sent a second time.
    """

    READ = "read"
    KEYED_WRITE = "keyed_write"
    UNKEYED_WRITE = "unkeyed_write"


@dataclass(frozen=True)
class Tool:
    """A tool on offer. `parameters` is a JSON Schema of type object, `source` the tool source's name."""

    name: str
    description: str
    parameters: dict[str, Any]
    source: str
    effect: EffectClass


@dataclass(frozen=True)
class ToolResult:
    """What a call gave, as text for the planner. `truncated`: the tool answered more than `content` holds."""

    content: str
    is_error: bool
    truncated: bool


class Executor(Protocol):
    """Executes calls."""

    async def execute(
        self, tool: Tool, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        """Call the tool within `timeout_s` seconds. Never raises for a failing tool: that is a result, too."""
        ...
