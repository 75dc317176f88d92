"""Create, read, list and cancel trajectories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from sse_starlette import ServerSentEvent

from alpha_umi.contract.problems import FieldProblem, ServiceError
from alpha_umi.contract.trajectories import MAX_TOOLS, CreateTrajectory, Trajectory, TrajectoryList
from alpha_umi.trajectory import QuestionAsked, Status
from orchestrator.api.leaving import CLIENT_LEFT, client_stays
from orchestrator.api.sse import TRAJECTORY_STREAM, event_stream
from orchestrator.assembly import Orchestrator
from orchestrator.records import load_trajectory
from orchestrator.runs import Run
from orchestrator.stream import follow
from orchestrator.tools.errors import UnknownToolError
from orchestrator.tools.registry import ToolRegistry

CANCEL_PATIENCE_S = 10
LEFT = "the client left"


class ListQuery(BaseModel):
    """Query of `GET /v1/trajectories`. `after` is the last id of the page before."""

    model_config = ConfigDict(extra="forbid")

    status: Status | SkipJsonSchema[None] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str, Field(max_length=128)] | SkipJsonSchema[None] = None


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["trajectories"])
    store, runs = orchestrator.store, orchestrator.runs

    @router.post(
        "/v1/trajectories",
        response_model=Trajectory,
        summary="Carry out an instruction",
        responses={**TRAJECTORY_STREAM, 202: {"model": Trajectory}},
    )
    async def create(body: CreateTrajectory, request: Request) -> Response:
        question = QuestionAsked(
            body.instruction,
            chosen_tools(orchestrator.registry, body.tools),
            orchestrator.settings.limits(body.max_steps),
            body.strategy,
        )
        run = await runs.create(question, metadata=body.metadata, background=body.background)
        request.state.trajectory_id = run.id
        if body.stream:
            return _stream(orchestrator, run, owned=not body.background)
        if body.background:
            return await _whole(orchestrator, run.id, status_code=202)
        if not await client_stays(request, run.over.wait()):
            run.driver.cancel(LEFT)
            return Response(status_code=CLIENT_LEFT)
        _require_finished(orchestrator, run)
        return await _whole(orchestrator, run.id)

    @router.get("/v1/trajectories", summary="Trajectories, newest first")
    async def list_all(query: Annotated[ListQuery, Query()]) -> TrajectoryList:
        page = await store.list(status=query.status, limit=query.limit, after=query.after)
        found = await asyncio.gather(*(load_trajectory(store, row) for row in page.rows))
        return TrajectoryList(data=list(found), has_more=page.has_more)

    @router.get("/v1/trajectories/{trajectory_id}", summary="One trajectory")
    async def read(trajectory_id: str) -> Trajectory:
        return await load_trajectory(store, await store.get(trajectory_id))

    @router.post("/v1/trajectories/{trajectory_id}/cancel", summary="Stop a trajectory; what is in flight is aborted")
    async def cancel(trajectory_id: str) -> Trajectory:
        run = runs.find(trajectory_id)
        if run is not None:
            run.driver.cancel("cancelled by the client")
            await _settled(run)
        row = await store.get(trajectory_id)
        if row.finished_at is None:
            raise ServiceError("internal", f"trajectory {trajectory_id} is not being driven; the log says why")
        if run is None or row.status != "cancelled":
            raise ServiceError("trajectory-finished", f"trajectory {trajectory_id} has ended: {row.status}")
        return await load_trajectory(store, row)

    return router


def chosen_tools(registry: ToolRegistry, names: list[str] | None) -> tuple[str, ...]:
    """The names on offer for a new trajectory. Raises `ServiceError` naming those that are not registered."""
    if names is None:
        names = [tool.name for tool in registry.list_tools()]
        if len(names) > MAX_TOOLS:
            detail = f"{len(names)} tools are registered, and a trajectory can have {MAX_TOOLS}"
            raise ServiceError("invalid-request", detail, field="tools", remedy="name the tools to use")
    if not names:
        raise ServiceError("no-tools", "no tool is registered", field="tools", remedy="register a tool source first")
    try:
        registry.get(names)
    except UnknownToolError as error:
        raise _unknown_tools(error, names) from error
    return tuple(names)


def _unknown_tools(error: UnknownToolError, names: list[str]) -> ServiceError:
    problems = [
        FieldProblem(
            field=f"tools.{names.index(name)}", message=f"no tool is registered as {name!r}", remedy=error.remedy
        )
        for name in error.names
    ]
    return ServiceError("unknown-tool", str(error), errors=problems)


def _stream(orchestrator: Orchestrator, run: Run, *, owned: bool) -> Response:
    """The events of a run; one that is `owned` does not outlive its stream, unless the process is stopping."""

    def leave() -> None:
        if owned and not orchestrator.runs.stopping:
            run.driver.cancel(LEFT)

    async def events() -> AsyncGenerator[ServerSentEvent, None]:
        try:
            async for event in follow(orchestrator.store, run.row, run.feed):
                yield event
        finally:
            leave()

    return event_stream(events(), open_streams=orchestrator.metrics.streams, headers=_location(run.id), on_leave=leave)


def _require_finished(orchestrator: Orchestrator, run: Run) -> None:
    if run.finished:
        return
    where = {"trajectory_id": run.id}
    if orchestrator.runs.stopping:
        detail = f"trajectory {run.id} goes on after the restart; read it with GET /v1/trajectories/{run.id}"
        raise ServiceError("shutting-down", detail, extra=where)
    raise ServiceError("internal", f"trajectory {run.id} was abandoned; the log has the details", extra=where)


async def _settled(run: Run) -> None:
    try:
        async with asyncio.timeout(CANCEL_PATIENCE_S):
            await run.over.wait()
    except TimeoutError as error:
        raise ServiceError(
            "storage-unavailable", "the trajectory is being stopped, but that is not recorded yet"
        ) from error


async def _whole(orchestrator: Orchestrator, trajectory_id: str, *, status_code: int = 200) -> Response:
    trajectory = await load_trajectory(orchestrator.store, await orchestrator.store.get(trajectory_id))
    return JSONResponse(trajectory.model_dump(mode="json"), status_code, headers=_location(trajectory_id))


def _location(trajectory_id: str) -> dict[str, str]:
    return {"Location": f"/v1/trajectories/{trajectory_id}"}
