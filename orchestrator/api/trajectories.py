"""Routes of trajectories: create, read, list and cancel; tool outputs and further messages of the client."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.client_turns import AddMessage, GiveOutputs
from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import CreateTrajectory, Trajectory, TrajectoryList, TrajectorySummary
from alpha_umi.trajectory import MessageAdded, Status, TrajectoryCreated
from alpha_umi.web.scopes import User
from orchestrator.api.answers import ANSWERS, IdempotencyKey, carry_out, json_response, request_key
from orchestrator.api.audit import audit_entry
from orchestrator.api.bodies import BoundedBodyRoute
from orchestrator.api.tools import offered_tools, select_tools
from orchestrator.assembly import Orchestrator
from orchestrator.runs.client_tools import ClientOutput
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.runs.manager import Run
from orchestrator.runs.views import MAX_PAGE_BYTES
from orchestrator.settings import OrchestratorSettings
from orchestrator.store import RequestKey


class ListQuery(BaseModel):
    """Query of `GET /v1/trajectories`. `after` is the last id of the page before. `include` adds the steps."""

    model_config = ConfigDict(extra="forbid")

    status: Status | SkipJsonSchema[None] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str, Field(max_length=128)] | SkipJsonSchema[None] = None
    include: Literal["steps"] | SkipJsonSchema[None] = None


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["trajectories"], route_class=BoundedBodyRoute)
    store, runs, views = orchestrator.store, orchestrator.runs, orchestrator.views

    @router.post(
        "/v1/trajectories",
        response_model=Trajectory,
        summary="Carry out an instruction",
        responses=ANSWERS,
    )
    async def create(body: CreateTrajectory, user: User, request: Request, key: IdempotencyKey) -> Response:
        identity = request_key(request, key, body)

        async def accept() -> AcceptedRequest:
            run = await accept_trajectory(orchestrator, body, user.owner, request=identity)
            return AcceptedRequest(run.id, 1, run)

        return await carry_out(orchestrator, request, identity, accept, stream=body.stream, background=body.background)

    @router.get(
        "/v1/trajectories",
        response_model=TrajectoryList[TrajectorySummary] | TrajectoryList[Trajectory],
        summary="Trajectories, newest first",
    )
    async def list_all(user: User, query: Annotated[ListQuery, Query()]) -> Response:
        page = await store.list(
            owner=user.owner,
            status=query.status,
            limit=query.limit,
            after=query.after,
            max_bytes=MAX_PAGE_BYTES,
        )
        return json_response(await views.page(page, steps=query.include == "steps"))

    @router.get("/v1/trajectories/{trajectory_id}", response_model=Trajectory, summary="One trajectory")
    async def read(trajectory_id: str, user: User) -> Response:
        return json_response((await views.read(await store.get(trajectory_id, owner=user.owner))).document())

    @router.post(
        "/v1/trajectories/{trajectory_id}/cancel",
        response_model=Trajectory,
        summary="Cancel a trajectory; requests in flight are aborted",
    )
    async def cancel(trajectory_id: str, user: User) -> Response:
        run = None if runs.stopping else await runs.attach(trajectory_id, owner=user.owner)
        if run is not None:
            act = audit_entry(user, "trajectory.cancelled", trajectory_id)
            run.driver.cancel("cancelled by the client", audit=act)
            await run.ended()
        row = await store.get(trajectory_id, owner=user.owner)
        if row.finished_at is None:
            runs.require_open()
            raise ServiceError(
                "internal", f"trajectory {trajectory_id} is not being driven; see the log for the reason"
            )
        if run is None or row.status != "cancelled":
            raise ServiceError("trajectory-finished", f"trajectory {trajectory_id} has ended: {row.status}")
        return json_response((await views.read(row)).document())

    return router


async def accept_trajectory(
    orchestrator: Orchestrator, body: CreateTrajectory, owner: str, *, request: RequestKey | None = None
) -> Run:
    """Begin an owner's trajectory, if it may have one. Raises `ServiceError` and `StoreError`."""
    _require_strategy(orchestrator.settings, body)
    with orchestrator.admission.accept(owner, background=body.background):
        names = None if body.tools is None else [tool for tool in body.tools if isinstance(tool, str)]
        view = await offered_tools(orchestrator, owner, names)
        selection = await select_tools(view, body.tools, retrieve=body.retrieve)
        tools = await orchestrator.tool_sets.save(selection.registered)
        created = TrajectoryCreated(
            body.instruction,
            selection.names,
            orchestrator.settings.limits(
                body.strategy,
                max_steps=body.max_steps,
                max_repeats=body.max_repeats,
                max_tokens=body.max_tokens,
                max_depth=body.max_depth,
            ),
            body.strategy,
            selection.client_tools,
            tools.digest,
            body.retrieve,
        )
        return await orchestrator.runs.create(
            created, tools, owner=owner, metadata=body.metadata, background=body.background, request=request
        )


def create_turn_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes that extend a trajectory: outputs of tools that the client executes, and further messages."""
    router = APIRouter(tags=["trajectories"], route_class=BoundedBodyRoute)
    client_turns = orchestrator.client_turns

    @router.post(
        "/v1/trajectories/{trajectory_id}/tool_outputs",
        response_model=Trajectory,
        summary="Submit the output of a client tool",
        responses=ANSWERS,
    )
    async def give_outputs(
        trajectory_id: str, body: GiveOutputs, user: User, request: Request, key: IdempotencyKey
    ) -> Response:
        (given,) = body.outputs
        identity = request_key(request, key, body)
        output = ClientOutput(given.call_id, given.content, given.is_error, identity)

        async def accept() -> AcceptedRequest:
            return await client_turns.submit_tool_output(
                trajectory_id, output, owner=user.owner, background=body.background
            )

        return await carry_out(orchestrator, request, identity, accept, stream=body.stream, background=body.background)

    @router.post(
        "/v1/trajectories/{trajectory_id}/messages",
        response_model=Trajectory,
        summary="Continue a finished trajectory with a user message",
        responses=ANSWERS,
    )
    async def add_message(
        trajectory_id: str, body: AddMessage, user: User, request: Request, key: IdempotencyKey
    ) -> Response:
        identity = request_key(request, key, body)

        async def accept() -> AcceptedRequest:
            with orchestrator.admission.accept(user.owner, background=body.background):
                return await client_turns.add_message(
                    trajectory_id,
                    MessageAdded(body.content),
                    owner=user.owner,
                    background=body.background,
                    request=identity,
                )

        return await carry_out(orchestrator, request, identity, accept, stream=body.stream, background=body.background)

    return router


def _require_strategy(settings: OrchestratorSettings, body: CreateTrajectory) -> None:
    """Raises `ServiceError` for a strategy without a service, or a limit that the strategy does not have."""
    if body.strategy == "single" and not settings.backbone_url:
        raise ServiceError(
            "invalid-request",
            "this orchestrator has no single model",
            field="strategy",
            remedy="use `chain`, or start services.backbone and name its address in ALPHA_UMI_BACKBONE_URL",
        )
    if body.strategy != "dfsdt" and body.max_depth is not None:
        raise ServiceError(
            "invalid-request",
            f"the strategy `{body.strategy}` has one branch, which is as long as `max_steps` allows",
            field="max_depth",
            remedy="leave it out, or use `dfsdt`",
        )
