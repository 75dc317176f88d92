"""Responses to accepted requests (blocking, streamed or in the background), and the `Idempotency-Key` header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel
from pydantic.json_schema import SkipJsonSchema
from sse_starlette import ServerSentEvent

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.web.documentation import Responses
from orchestrator.api.events import TRAJECTORY_STREAM, event_stream
from orchestrator.assembly import Orchestrator
from orchestrator.race import race
from orchestrator.runs.idempotency import HEADER, AcceptedRequest
from orchestrator.runs.manager import Run, RunLease
from orchestrator.runs.views import driven_trajectory, load_trajectory
from orchestrator.store import RequestKey
from orchestrator.stream.follow import follow

CLIENT_CLOSED_REQUEST = 499
MAX_CHARACTERS = 255
REPLAYED = "Idempotent-Replayed"
# Not part of a request's identity: a client may repeat it with another kind of delivery.
_DELIVERY = {"stream", "background"}
# Fields that were added after the first release. Without them the digest of a request is the one stored before an
# upgrade.
_ADDED = {"max_tokens", "max_depth", "max_repeats", "retrieve"}
_FORM = f"{HEADER} has 1 to {MAX_CHARACTERS} visible ASCII characters"
ANSWERS: Responses = {**TRAJECTORY_STREAM, 202: {"model": Trajectory}}


async def answer(
    orchestrator: Orchestrator, request: Request, accepted: AcceptedRequest, *, stream: bool, background: bool
) -> Response:
    """The response to an accepted request.

    A request that is neither in the background nor has an idempotency key cancels its trajectory when its client
    disconnects.
    """
    request.state.trajectory_id = accepted.trajectory_id
    owner = request.state.principal.owner
    headers = _headers(orchestrator, owner, accepted)
    lease = None if background or accepted.run is None else accepted.run.acquire()
    if stream:
        return await _stream(orchestrator, owner, accepted, lease, headers)
    if background:
        return await _trajectory_response(orchestrator, owner, accepted, headers, status_code=202)
    if accepted.run is not None and lease is not None:
        if not await completes_before_disconnect(request, accepted.run.settled()):
            _leave(orchestrator, lease)
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        lease.release()
        _require_settled(orchestrator, accepted.run)
    return await _trajectory_response(orchestrator, owner, accepted, headers)


async def _stream(
    orchestrator: Orchestrator,
    owner: str,
    accepted: AcceptedRequest,
    lease: RunLease | None,
    headers: Mapping[str, str],
) -> Response:
    """The events from the request's first row on."""
    run, store = accepted.run, orchestrator.store
    row = await store.get(accepted.trajectory_id, owner=owner) if run is None else run.row

    def leave() -> None:
        if lease is not None:
            _leave(orchestrator, lease)

    async def events() -> AsyncGenerator[ServerSentEvent, None]:
        try:
            async for event in follow(store, row, orchestrator.runs.broadcast_of(run), after=accepted.seq - 1):
                yield event
        finally:
            leave()

    return event_stream(events(), open_streams=orchestrator.metrics.streams, headers=headers, on_leave=leave)


def _leave(orchestrator: Orchestrator, lease: RunLease) -> None:
    """A connection that ends because the process stops is not a client that disconnected."""
    if orchestrator.runs.stopping:
        lease.release()
    else:
        lease.abandon()


def _require_settled(orchestrator: Orchestrator, run: Run) -> None:
    if run.finished or run.awaiting_client:
        return
    where = {"trajectory_id": run.id}
    if orchestrator.runs.stopping:
        detail = f"trajectory {run.id} continues after the restart; read it with GET /v1/trajectories/{run.id}"
        raise ServiceError("shutting-down", detail, extra=where)
    raise ServiceError("internal", f"trajectory {run.id} was abandoned; the log has the details", extra=where)


async def _trajectory_response(
    orchestrator: Orchestrator,
    owner: str,
    accepted: AcceptedRequest,
    headers: Mapping[str, str],
    *,
    status_code: int = 200,
) -> Response:
    if accepted.run is not None:
        trajectory = driven_trajectory(accepted.run)
    else:
        row = await orchestrator.store.get(accepted.trajectory_id, owner=owner)
        trajectory = await load_trajectory(orchestrator.store, row)
    content = trajectory.model_dump_json()
    return Response(content, status_code, headers=headers, media_type="application/json")


def _headers(orchestrator: Orchestrator, owner: str, accepted: AcceptedRequest) -> dict[str, str]:
    replayed = {REPLAYED: "true"} if accepted.replayed else {}
    limits = orchestrator.admission.headers(owner)
    return {"Location": f"/v1/trajectories/{accepted.trajectory_id}", **replayed, **limits}


async def completes_before_disconnect(request: Request, until: Coroutine[Any, Any, Any]) -> bool:
    """Wait for `until`; False if the client disconnected first. Only for requests whose body was read."""
    return not (await race(until, _wait_for_disconnect(request))).cancelled()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _well_formed(key: str | None) -> str | None:
    if key is not None and not (
        1 <= len(key) <= MAX_CHARACTERS and key.isascii() and key.isprintable() and " " not in key
    ):
        raise ValueError(_FORM)
    return key


async def _one_key(
    request: Request,
    key: Annotated[
        str | SkipJsonSchema[None],
        AfterValidator(_well_formed),
        Header(
            alias=HEADER,
            description="The same request with the same key is performed once; the key is stored for 72 hours",
            json_schema_extra={"minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": "^[!-~]+$"},
        ),
    ] = None,
) -> str | None:
    if len(request.headers.getlist(HEADER)) > 1:
        raise ServiceError("invalid-request", f"there are two {HEADER} headers", field=HEADER, remedy="send one")
    return key


IdempotencyKey = Annotated[str | None, Depends(_one_key)]


def request_key(request: Request, key: str | None, body: BaseModel) -> RequestKey | None:
    """The identity of the request, if it has an idempotency key."""
    if key is None:
        return None
    return RequestKey(request.state.principal.owner, request.url.path, key, _digest(body))


def _digest(body: BaseModel) -> str:
    """SHA-256 of the parsed body, so that notation does not matter."""
    parsed = body.model_dump(mode="json", exclude=_DELIVERY)
    fields = {name: value for name, value in parsed.items() if value is not None or name not in _ADDED}
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
