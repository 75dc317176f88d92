"""The tools on offer in a new trajectory: registered ones by name, and the client's own by definition."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from alpha_umi.contract.client_turns import ClientToolModel
from alpha_umi.contract.problems import FieldProblem, ServiceError
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from alpha_umi.contract.trajectories import MAX_TOOLS
from alpha_umi.roles.turns import NAME_CHARACTERS, Tool
from orchestrator.tools.errors import UnknownToolError
from orchestrator.tools.registry import ToolRegistry


class Offer(NamedTuple):
    """All names in order, and the definitions of those tools that the client executes."""

    names: tuple[str, ...]
    client_tools: tuple[Tool, ...]


async def offered(registry: ToolRegistry, tools: Sequence[str | ClientToolModel] | None) -> Offer:
    """What a request offers. Raises `ServiceError` naming each tool at fault."""
    chosen = _registered(registry) if tools is None else tools
    if not chosen:
        raise ServiceError("no-tools", "no tool is registered", field="tools", remedy="register a tool source first")
    _require_known(registry, chosen)
    _require_distinct(chosen)
    own = [tool for tool in chosen if isinstance(tool, ClientToolModel)]
    if own:
        # Schemas may be large, and their check must not hold up everybody else.
        await asyncio.to_thread(_check_schemas, chosen)
    return Offer(
        tuple(_name(tool) for tool in chosen),
        tuple(Tool(tool.name, tool.description, tool.parameters) for tool in own),
    )


def _registered(registry: ToolRegistry) -> list[str]:
    names = [tool.name for tool in registry.list_tools()]
    if len(names) > MAX_TOOLS:
        detail = f"{len(names)} tools are registered, and a trajectory can have {MAX_TOOLS}"
        raise ServiceError("invalid-request", detail, field="tools", remedy="name the tools to use")
    return names


def _require_known(registry: ToolRegistry, tools: Sequence[str | ClientToolModel]) -> None:
    try:
        registry.get([tool for tool in tools if isinstance(tool, str)])
    except UnknownToolError as error:
        problems = [
            FieldProblem(
                field=f"tools.{list(tools).index(name)}",
                message=f"no tool is registered as {name!r}",
                remedy=error.remedy,
            )
            for name in error.names
        ]
        raise ServiceError("unknown-tool", str(error), errors=problems) from error


def _require_distinct(tools: Sequence[str | ClientToolModel]) -> None:
    """The role models see the last 64 characters of a name."""
    first: dict[str, int] = {}
    for position, tool in enumerate(tools):
        shown = _name(tool)[-NAME_CHARACTERS:]
        if shown in first:
            field = f"tools.{position}" if isinstance(tool, str) else f"tools.{position}.name"
            detail = f"{shown!r} is offered twice: tools.{first[shown]} has the name, too"
            raise ServiceError("invalid-request", detail, field=field, remedy="give every tool a name of its own")
        first[shown] = position


def _check_schemas(tools: Sequence[str | ClientToolModel]) -> None:
    for position, tool in enumerate(tools):
        if isinstance(tool, str):
            continue
        try:
            check_schema(tool.parameters)
        except ToolSchemaError as error:
            place = f"tools.{position}.parameters{error.pointer.replace('/', '.')}"
            raise ServiceError(
                "tool-schema-invalid", f"tool {tool.name!r}: {error.reason}", field=place, remedy=error.remedy
            ) from error


def _name(tool: str | ClientToolModel) -> str:
    return tool if isinstance(tool, str) else tool.name
