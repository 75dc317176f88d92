"""How a request that was accepted is answered: at the next pause, as a stream, or at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import Request
from fastapi.responses import Response
from sse_starlette import ServerSentEvent

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.web.documentation import Responses
from orchestrator.api.leaving import CLIENT_LEFT, client_stays
from orchestrator.api.sse import TRAJECTORY_STREAM, event_stream
from orchestrator.assembly import Orchestrator
from orchestrator.records import driven_trajectory, load_trajectory
from orchestrator.request_keys import Accepted
from orchestrator.run import Run, RunLease
from orchestrator.stream import follow

REPLAYED = "Idempotent-Replayed"
ANSWERS: Responses = {**TRAJECTORY_STREAM, 202: {"model": Trajectory}}


async def answer(
    orchestrator: Orchestrator, request: Request, accepted: Accepted, *, stream: bool, background: bool
) -> Response:
    """The response to an accepted request.

    One that is neither in the background nor has an idempotency key ends its trajectory when its client leaves.
    """
    request.state.trajectory_id = accepted.trajectory_id
    owner = None if background or accepted.run is None else accepted.run.own()
    if stream:
        return await _stream(orchestrator, accepted, owner)
    if background:
        return await _whole(orchestrator, accepted, status_code=202)
    if accepted.run is not None and owner is not None:
        if not await client_stays(request, accepted.run.settled()):
            _leave(orchestrator, owner)
            return Response(status_code=CLIENT_LEFT)
        owner.answered()
        _require_settled(orchestrator, accepted.run)
    return await _whole(orchestrator, accepted)


async def _stream(orchestrator: Orchestrator, accepted: Accepted, owner: RunLease | None) -> Response:
    """The events from the request's first row on."""
    run, store = accepted.run, orchestrator.store
    row = await store.get(accepted.trajectory_id) if run is None else run.row

    def leave() -> None:
        if owner is not None:
            _leave(orchestrator, owner)

    async def events() -> AsyncGenerator[ServerSentEvent, None]:
        try:
            async for event in follow(store, row, orchestrator.runs.broadcast_of(run), after=accepted.seq - 1):
                yield event
        finally:
            leave()

    return event_stream(events(), open_streams=orchestrator.metrics.streams, headers=_headers(accepted), on_leave=leave)


def _leave(orchestrator: Orchestrator, owner: RunLease) -> None:
    """A connection that ends because the process stops is no client that left."""
    if orchestrator.runs.stopping:
        owner.answered()
    else:
        owner.left()


def _require_settled(orchestrator: Orchestrator, run: Run) -> None:
    if run.finished or run.waits:
        return
    where = {"trajectory_id": run.id}
    if orchestrator.runs.stopping:
        detail = f"trajectory {run.id} goes on after the restart; read it with GET /v1/trajectories/{run.id}"
        raise ServiceError("shutting-down", detail, extra=where)
    raise ServiceError("internal", f"trajectory {run.id} was abandoned; the log has the details", extra=where)


async def _whole(orchestrator: Orchestrator, accepted: Accepted, *, status_code: int = 200) -> Response:
    if accepted.run is not None:
        trajectory = driven_trajectory(accepted.run)
    else:
        trajectory = await load_trajectory(orchestrator.store, await orchestrator.store.get(accepted.trajectory_id))
    content = trajectory.model_dump_json()
    return Response(content, status_code, headers=_headers(accepted), media_type="application/json")


def _headers(accepted: Accepted) -> dict[str, str]:
    replayed = {REPLAYED: "true"} if accepted.replayed else {}
    return {"Location": f"/v1/trajectories/{accepted.trajectory_id}", **replayed}
