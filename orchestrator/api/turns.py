"""What a client adds to a trajectory: outputs of the tools that it executes, and further messages."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alpha_umi.contract.client_turns import AddMessage, GiveOutputs
from alpha_umi.contract.trajectories import Trajectory
from orchestrator.api.answering import ANSWERS, answer
from orchestrator.api.idempotency import IdempotencyKey, request_key
from orchestrator.assembly import Orchestrator
from orchestrator.client_outputs import ClientOutput
from orchestrator.request_keys import Accepted
from orchestrator.tools.observation import MAX_OBSERVATION_BYTES, bounded


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["trajectories"])
    conversation, keys = orchestrator.conversation, orchestrator.request_keys

    @router.post(
        "/v1/trajectories/{trajectory_id}/tool_outputs",
        response_model=Trajectory,
        summary="Hand in the output of the call that the client executed",
        responses=ANSWERS,
    )
    async def give_outputs(trajectory_id: str, body: GiveOutputs, request: Request, key: IdempotencyKey) -> Response:
        (given,) = body.outputs
        content, truncated = bounded(given.content, MAX_OBSERVATION_BYTES)
        known = request_key(request, key, body)
        output = ClientOutput(given.call_id, content, given.is_error, truncated, known)

        async def accept() -> Accepted:
            return await conversation.give(trajectory_id, output, background=body.background)

        accepted = await keys.once(known, accept)
        return await answer(orchestrator, request, accepted, stream=body.stream, background=body.background)

    @router.post(
        "/v1/trajectories/{trajectory_id}/messages",
        response_model=Trajectory,
        summary="Go on with a trajectory that has ended",
        responses=ANSWERS,
    )
    async def add_message(trajectory_id: str, body: AddMessage, request: Request, key: IdempotencyKey) -> Response:
        known = request_key(request, key, body)

        async def accept() -> Accepted:
            return await conversation.say(trajectory_id, body.content, background=body.background, request=known)

        accepted = await keys.once(known, accept)
        return await answer(orchestrator, request, accepted, stream=body.stream, background=body.background)

    return router
