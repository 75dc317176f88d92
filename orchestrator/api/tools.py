"""Routes of tools and tool sources, and the selection of a new trajectory's tools."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, NamedTuple

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from alpha_umi.contract.client_turns import ClientTool
from alpha_umi.contract.problems import FieldProblem, Kind, ServiceError
from alpha_umi.contract.tool_schema import ToolSchemaError, check_answer_schema, check_schema, schema_faults
from alpha_umi.contract.tool_sources import LeftOutInfo, ToolSourceInfo, ToolSourceList
from alpha_umi.contract.trajectories import MAX_TOOLS, ToolInfo, ToolList
from alpha_umi.roles.turns import NAME_CHARACTERS, Tool
from alpha_umi.web.scopes import ToolsUser, User, require_scope
from orchestrator.api.answers import json_response
from orchestrator.api.audit import audit_entry
from orchestrator.api.bodies import SourceBodyRoute
from orchestrator.assembly import Orchestrator
from orchestrator.runs.offer import MAX_STEP_TOOLS
from orchestrator.store import SHARED
from orchestrator.tools.errors import (
    SourceExistsError,
    SourcesLoading,
    ToolSourceError,
    UnknownSourceError,
    UnknownToolError,
)
from orchestrator.tools.kinds import AnySource
from orchestrator.tools.model import Tool as RegisteredTool
from orchestrator.tools.registry import ToolView
from orchestrator.tools.sources import SourceEntry
from orchestrator.workers import LimitExceeded, Limits, run_limited

# Of a trajectory whose tools are retrieved: the others get the rest of a step.
MAX_CLIENT_TOOLS = 50
# Of all tools that the client executes.
MAX_SCHEMAS_BYTES = 512 * 1024
_LARGE_BYTES = 64 * 1024
_CHECK_LIMITS = Limits(cpu_s=10)
# Of one answer.
MAX_PROBLEMS = 20


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["tools"], route_class=SourceBodyRoute, dependencies=[Depends(orchestrator.sources.tried)])
    registry, sources = orchestrator.registry, orchestrator.sources

    @router.get("/v1/tools", response_model=ToolList, summary="Tools on offer")
    async def list_tools(user: User) -> Response:
        return json_response(await asyncio.to_thread(_tool_list, await registry.view(user.owner)))

    @router.get("/v1/tool-sources", response_model=ToolSourceList, summary="Sources of tools")
    async def list_sources(user: User) -> Response:
        return json_response(await asyncio.to_thread(_source_list, sources.of(user.owner)))

    @router.post(
        "/v1/tool-sources", status_code=201, response_model=ToolSourceInfo, summary="Register a source; it is kept"
    )
    async def add_source(body: AnySource, user: ToolsUser) -> Response:
        orchestrator.admission.count_request(user.owner)
        if body.shared:
            require_scope(user, "operate")
        act = audit_entry(user, "tool_source.registered", body.name, {"shared": body.shared})
        try:
            entry = await sources.add(body, audit=act)
        except ToolSourceError as error:
            raise source_problem(error) from error
        text = await asyncio.to_thread(lambda: source_info(entry).model_dump_json())
        return json_response(text, 201, headers={"Location": f"/v1/tool-sources/{body.name}"})

    @router.delete("/v1/tool-sources/{name}", status_code=204, summary="Withdraw a source and its tools")
    async def remove_source(name: str, user: ToolsUser) -> None:
        try:
            entry = sources.find(name, owner=user.owner)
            shared = entry.owner == SHARED
            if shared:
                require_scope(user, "operate")
            act = audit_entry(user, "tool_source.deleted", name, {"shared": shared})
            await sources.remove(entry, audit=act)
        except ToolSourceError as error:
            raise source_problem(error) from error

    return router


@lru_cache(maxsize=2)
def _tool_list(view: ToolView) -> bytes:
    """The wire form of a `ToolList`. It is made tool by tool, so that other threads get their turn."""
    text = bytearray(b'{"object":"list","data":[')
    for name, tool in view.offered.items():
        text += json.dumps(public_record(tool) | {"name": name}, separators=(",", ":")).encode() + b","
    return bytes(text.removesuffix(b",") + b"]}")


def _source_list(entries: Sequence[SourceEntry]) -> str:
    return ToolSourceList(data=[source_info(entry) for entry in entries]).model_dump_json()


def public_record(tool: RegisteredTool) -> dict[str, Any]:
    """The fields of a tool that clients see."""
    return {name: getattr(tool, name) for name in ToolInfo.model_fields}


def source_info(entry: SourceEntry) -> ToolSourceInfo:
    """The wire form of a source."""
    source, provider = entry.source, entry.provider
    return ToolSourceInfo(
        name=source.name,
        kind=source.kind,
        origin=entry.origin,
        shared=entry.owner == SHARED,
        url=source.url,
        base_url=source.base_url if provider is None else provider.base_url,
        effect=source.effect,
        status=entry.status,
        error=entry.error,
        tools=[] if provider is None else list(provider.tools),
        left_out=[] if provider is None else [LeftOutInfo(**asdict(each)) for each in provider.left_out],
        prompt_tokens=entry.prompt_tokens,
    )


def source_problem(error: ToolSourceError) -> ServiceError:
    """The problem document of a source that cannot be used."""
    kind: Kind = "tool-source-invalid"
    if isinstance(error, SourceExistsError):
        kind = "tool-source-exists"
    elif isinstance(error, UnknownSourceError):
        kind = "tool-source-not-found"
    return ServiceError(kind, error.message, field=error.field, remedy=error.remedy)


async def offered_tools(orchestrator: Orchestrator, owner: str, names: Collection[str] | None = None) -> ToolView:
    """What an owner is offered. While sources are being loaded, it waits for tools of these names; None: for any tool.

    Raises `ServiceError`.
    """
    try:
        return await orchestrator.sources.view(owner, names)
    except SourcesLoading as error:
        remedy = "send the request again, or name tools of other sources"
        raise ServiceError("tools-loading", str(error), field="tools", remedy=remedy) from error


class ToolSelection(NamedTuple):
    """All names in order, the registered tools by name, and the definitions of the tools that the client executes."""

    names: tuple[str, ...]
    registered: Mapping[str, RegisteredTool]
    client_tools: tuple[Tool, ...]


async def select_tools(
    view: ToolView, tools: Sequence[str | ClientTool] | None, *, retrieve: bool | None = None
) -> ToolSelection:
    """The tools that a request selects of those in view. Raises `ServiceError` naming each tool at fault."""
    chosen = list(view.offered) if tools is None else tools
    if tools is None and not chosen:
        remedy = "register a tool source first, or send an empty list for an answer without tools"
        raise ServiceError("no-tools", "no tool is registered", field="tools", remedy=remedy)
    client_tools = [tool for tool in chosen if isinstance(tool, ClientTool)]
    _require_few(len(chosen), len(client_tools), retrieve=retrieve)
    registered = _registered(view, chosen)
    _require_distinct(chosen, registered)
    if client_tools:
        await _check_schemas(chosen)
    return ToolSelection(
        tuple(_name(tool) for tool in chosen),
        registered,
        tuple(Tool(tool.name, tool.description, tool.parameters) for tool in client_tools),
    )


def _require_few(tools: int, client_tools: int, *, retrieve: bool | None) -> None:
    """Raises `ServiceError` for more tools than a trajectory, or a step without retrieval, can have."""
    remedy = "name the tools to use"
    if retrieve is False and tools > MAX_STEP_TOOLS:
        detail = f"there are {tools} tools, and a step without retrieval can have {MAX_STEP_TOOLS}"
        raise ServiceError("invalid-request", detail, field="tools", remedy=f"{remedy}, or leave `retrieve` out")
    if tools > MAX_TOOLS:
        detail = f"there are {tools} tools, and a trajectory can have {MAX_TOOLS}"
        raise ServiceError("invalid-request", detail, field="tools", remedy=remedy)
    if tools > MAX_STEP_TOOLS and client_tools > MAX_CLIENT_TOOLS:
        detail = f"{client_tools} of the tools are the client's, which every step is offered; {MAX_CLIENT_TOOLS} fit"
        raise ServiceError("invalid-request", detail, field="tools", remedy="define fewer tools")


def _registered(view: ToolView, tools: Sequence[str | ClientTool]) -> dict[str, RegisteredTool]:
    names = [tool for tool in tools if isinstance(tool, str)]
    try:
        return dict(zip(names, view.get(names), strict=True))
    except UnknownToolError as error:
        unknown = set(error.names)
        problems = [
            FieldProblem(field=f"tools.{position}", message=error.reason_for(tool), remedy=error.remedy)
            for position, tool in enumerate(tools)
            if isinstance(tool, str) and tool in unknown
        ]
        raise ServiceError("unknown-tool", str(error), errors=problems[:MAX_PROBLEMS]) from error


def _require_distinct(tools: Sequence[str | ClientTool], registered: Mapping[str, RegisteredTool]) -> None:
    """The role models see the last 64 characters of a name. One tool may be named in two ways."""
    names: dict[tuple[str, str], str] = {}
    for name, registered_tool in registered.items():
        earlier = names.setdefault((registered_tool.source, registered_tool.name), name)
        if earlier != name:
            detail = f"{earlier!r} and {name!r} are the same tool"
            field = f"tools.{list(tools).index(name)}"
            raise ServiceError("invalid-request", detail, field=field, remedy="list each tool once")
    first: dict[str, int] = {}
    for position, tool in enumerate(tools):
        short_name = _name(tool)[-NAME_CHARACTERS:]
        if short_name in first:
            field = f"tools.{position}" if isinstance(tool, str) else f"tools.{position}.name"
            detail = f"{short_name!r} is offered twice: tools.{first[short_name]} has the name, too"
            raise ServiceError("invalid-request", detail, field=field, remedy="give every tool a name of its own")
        first[short_name] = position


async def _check_schemas(tools: Sequence[str | ClientTool]) -> None:
    """Raises `ServiceError` for the first schema that cannot be used, and if all are too large or dear together."""
    schemas = {position: tool.parameters for position, tool in enumerate(tools) if isinstance(tool, ClientTool)}
    size = await asyncio.to_thread(_size, schemas)
    if size > MAX_SCHEMAS_BYTES:
        detail = f"the schemas of the tools have {size} bytes, allowed are {MAX_SCHEMAS_BYTES}"
        raise ServiceError("tool-schema-invalid", detail, field="tools", remedy="describe less, or offer fewer tools")
    try:
        faults = await _schema_faults(schemas, check_schema, size=size)
    except LimitExceeded as error:
        detail = f"checking the schemas of the tools failed: {error}"
        raise ServiceError("tool-schema-invalid", detail, field="tools", remedy="describe less") from error
    for position, fault in faults:
        place = f"tools.{position}.parameters{fault.pointer.replace('/', '.')}"
        detail = f"tool {_name(tools[position])!r}: {fault.reason}"
        raise ServiceError("tool-schema-invalid", detail, field=place, remedy=fault.remedy)


async def require_answer_schema(schema: Mapping[str, Any], *, field: str) -> None:
    """Raises `ServiceError`: `answer-schema-invalid`, which names the place below `field`."""
    kind: Kind = "answer-schema-invalid"
    try:
        faults = await _schema_faults(
            {0: schema}, check_answer_schema, size=await asyncio.to_thread(_size, {0: schema})
        )
    except LimitExceeded as error:
        detail = f"checking the schema of the answer failed: {error}"
        raise ServiceError(kind, detail, field=field, remedy="describe less") from error
    for _, fault in faults:
        place = f"{field}{fault.pointer.replace('/', '.')}"
        raise ServiceError(kind, fault.reason, field=place, remedy=fault.remedy)


async def _schema_faults(
    schemas: Mapping[int, Any], check: Callable[..., None], *, size: int
) -> list[tuple[int, ToolSchemaError]]:
    """What `schema_faults` yields. The check of large schemas holds the interpreter's lock: it has its own process.

    Raises `LimitExceeded`.
    """
    if size > _LARGE_BYTES:
        return await run_limited(schema_faults, schemas, check, limits=_CHECK_LIMITS)
    return await asyncio.to_thread(lambda: list(schema_faults(schemas, check)))


def _size(schemas: Mapping[int, Any]) -> int:
    try:
        return len(json.dumps(schemas))
    except (RecursionError, ValueError):
        # The check itself says what is wrong.
        return 0


def _name(tool: str | ClientTool) -> str:
    return tool if isinstance(tool, str) else tool.name
