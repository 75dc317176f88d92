"""Create, read, list and cancel trajectories."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import CreateTrajectory, Trajectory, TrajectoryList
from alpha_umi.trajectory import Status, TrajectoryCreated
from orchestrator.api.answering import ANSWERS, answer
from orchestrator.api.idempotency import IdempotencyKey, request_key
from orchestrator.api.offer import offered
from orchestrator.api.strategy import require_strategy
from orchestrator.assembly import Orchestrator
from orchestrator.records import load_trajectory
from orchestrator.request_keys import Accepted
from orchestrator.run import Run

CANCEL_PATIENCE_S = 10


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
        responses=ANSWERS,
    )
    async def create(body: CreateTrajectory, request: Request, key: IdempotencyKey) -> Response:
        known = request_key(request, key, body)

        async def accept() -> Accepted:
            require_strategy(orchestrator.settings, body)
            offer = await offered(orchestrator.registry, body.tools)
            limits = orchestrator.settings.limits(body)
            question = TrajectoryCreated(body.instruction, offer.names, limits, body.strategy, offer.client_tools)
            run = await runs.create(question, metadata=body.metadata, background=body.background, request=known)
            return Accepted(run.id, 1, run)

        accepted = await orchestrator.request_keys.once(known, accept)
        return await answer(orchestrator, request, accepted, stream=body.stream, background=body.background)

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
            runs.require_open()
            raise ServiceError("internal", f"trajectory {trajectory_id} is not being driven; the log says why")
        if run is None or row.status != "cancelled":
            raise ServiceError("trajectory-finished", f"trajectory {trajectory_id} has ended: {row.status}")
        return await load_trajectory(store, row)

    return router


async def _settled(run: Run) -> None:
    try:
        async with asyncio.timeout(CANCEL_PATIENCE_S):
            await run.over.wait()
    except TimeoutError as error:
        raise ServiceError(
            "storage-unavailable", "the trajectory is being stopped, but that is not recorded yet"
        ) from error
