"""Tools on offer, and the sources that they come from."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from alpha_umi.contract.problems import Kind, ServiceError
from alpha_umi.contract.tool_sources import ToolSourceInfo, ToolSourceList
from alpha_umi.contract.trajectories import ToolInfo, ToolList
from orchestrator.assembly import Orchestrator
from orchestrator.tool_sources import KnownSource
from orchestrator.tools.errors import SourceExistsError, ToolSourceError, UnknownSourceError
from orchestrator.tools.source import ToolSource


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["tools"])
    registry, sources = orchestrator.registry, orchestrator.sources

    @router.get("/v1/tools", summary="Tools on offer")
    async def list_tools() -> ToolList:
        return ToolList(
            data=[
                ToolInfo(
                    name=tool.name,
                    description=tool.description,
                    parameters=tool.parameters,
                    source=tool.source,
                    effect=tool.effect,
                )
                for tool in registry.list_tools()
            ]
        )

    @router.get("/v1/tool-sources", summary="Sources of tools")
    async def list_sources() -> ToolSourceList:
        return ToolSourceList(data=[source_info(known) for known in sources.list_sources()])

    @router.post(
        "/v1/tool-sources", status_code=201, response_model=ToolSourceInfo, summary="Register a source; it is kept"
    )
    async def add_source(body: ToolSource) -> Response:
        try:
            known = await sources.add(body)
        except ToolSourceError as error:
            raise source_problem(error) from error
        return JSONResponse(
            source_info(known).model_dump(mode="json"), 201, headers={"Location": f"/v1/tool-sources/{body.name}"}
        )

    @router.delete("/v1/tool-sources/{name}", status_code=204, summary="Withdraw a source and its tools")
    async def remove_source(name: str) -> None:
        try:
            await sources.remove(name)
        except ToolSourceError as error:
            raise source_problem(error) from error

    return router


def source_info(known: KnownSource) -> ToolSourceInfo:
    """The wire form of a source."""
    source, registered = known.source, known.registered
    return ToolSourceInfo(
        name=source.name,
        kind=source.kind,
        origin=known.origin,
        url=source.url,
        base_url=source.base_url if registered is None else registered.base_url,
        effect=source.effect,
        status=known.status,
        error=known.error,
        tools=[] if registered is None else list(registered.tools),
    )


def source_problem(error: ToolSourceError) -> ServiceError:
    """The problem document of a source that cannot be used."""
    kind: Kind = "tool-source-invalid"
    if isinstance(error, SourceExistsError):
        kind = "tool-source-exists"
    elif isinstance(error, UnknownSourceError):
        kind = "tool-source-not-found"
    return ServiceError(kind, error.message, field=error.field, remedy=error.remedy)
