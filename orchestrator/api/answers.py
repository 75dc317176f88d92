"""Responses to accepted requests (blocking, streamed or in the background), and the `Idempotency-Key` header."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Annotated, Any, Protocol

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
from orchestrator.runs.idempotency import HEADER, Accept, AcceptedRequest
from orchestrator.runs.manager import Run, RunLease
from orchestrator.runs.views import driven_text
from orchestrator.store import RequestKey, TrajectoryRow
from orchestrator.stream.follow import Followed, follow
from orchestrator.stream.serialization import serialized

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


class View(Protocol):
    """How accepted requests are answered: an interface's form of a trajectory, or of a part of it."""

    background_status: int

    def headers(self, accepted: AcceptedRequest) -> Mapping[str, str]:
        """Headers of every answer."""

    def watch(self, accepted: AcceptedRequest) -> None:
        """Called as soon as a request was accepted whose answer is a document."""

    async def document(self, accepted: AcceptedRequest) -> bytes:
        """The JSON text of what the request has led to so far."""

    def events(
        self, accepted: AcceptedRequest, row: TrajectoryRow, items: AsyncGenerator[Followed, None]
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """The events of a stream. `items` begin with the first row that the request wrote."""


class TrajectoryView:
    """The answers of our own interface."""

    background_status = 202

    def __init__(self, orchestrator: Orchestrator, owner: str) -> None:
        self._orchestrator = orchestrator
        self._owner = owner

    def headers(self, accepted: AcceptedRequest) -> Mapping[str, str]:
        """Where the trajectory is."""
        return {"Location": f"/v1/trajectories/{accepted.trajectory_id}"}

    def watch(self, accepted: AcceptedRequest) -> None:
        """Do nothing: the run has the trajectory."""

    async def document(self, accepted: AcceptedRequest) -> bytes:
        """The trajectory."""
        if accepted.run is not None:
            return driven_text(accepted.run).document().encode()
        row = await self._orchestrator.store.get(accepted.trajectory_id, owner=self._owner)
        return (await self._orchestrator.views.read(row)).document().encode()

    def events(
        self, accepted: AcceptedRequest, row: TrajectoryRow, items: AsyncGenerator[Followed, None]
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """The events of the log, with the trajectory at the end."""
        return serialized(items, row)


async def carry_out(
    orchestrator: Orchestrator,
    request: Request,
    identity: RequestKey | None,
    accept: Accept,
    *,
    stream: bool,
    background: bool,
    view: View | None = None,
) -> Response:
    """Accept a request, or find what the first one with its key led to, and answer it.

    A request that is neither in the background nor has an idempotency key cancels its trajectory when its client
    disconnects.
    """
    view = view or TrajectoryView(orchestrator, request.state.principal.owner)
    with contextlib.ExitStack() as slot:
        if stream:
            slot.enter_context(orchestrator.streams.slot(request.state.principal.owner))
        accepted = await orchestrator.request_keys.run_once(identity, accept)
        held = slot if stream else None
        return await _answer(orchestrator, request, accepted, view=view, slot=held, background=background)


async def _answer(
    orchestrator: Orchestrator,
    request: Request,
    accepted: AcceptedRequest,
    *,
    view: View,
    slot: contextlib.ExitStack | None,
    background: bool,
) -> Response:
    request.state.trajectory_id = accepted.trajectory_id
    owner = request.state.principal.owner
    replayed = {REPLAYED: "true"} if accepted.replayed else {}
    headers = {**view.headers(accepted), **replayed, **orchestrator.admission.headers(owner)}
    lease = None if background or accepted.run is None else accepted.run.acquire()
    if slot is not None:
        return await _stream(orchestrator, owner, accepted, view, lease, headers, slot)
    view.watch(accepted)
    if background:
        return json_response(await view.document(accepted), view.background_status, headers=headers)
    if accepted.run is not None and lease is not None:
        if not await completes_before_disconnect(request, accepted.run.settled()):
            abandon(orchestrator, lease)
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        lease.release()
        require_settled(orchestrator, accepted.run)
    return json_response(await view.document(accepted), headers=headers)


async def _stream(
    orchestrator: Orchestrator,
    owner: str,
    accepted: AcceptedRequest,
    view: View,
    lease: RunLease | None,
    headers: Mapping[str, str],
    slot: contextlib.ExitStack,
) -> Response:
    """The events from the request's first row on."""
    run, store = accepted.run, orchestrator.store
    row = await store.get(accepted.trajectory_id, owner=owner) if run is None else run.row

    def leave() -> None:
        if lease is not None:
            abandon(orchestrator, lease)

    async def events() -> AsyncGenerator[ServerSentEvent, None]:
        try:
            items = follow(store, row, orchestrator.runs.broadcast_of(run), after=accepted.seq - 1)
            async for event in view.events(accepted, row, items):
                yield event
        finally:
            leave()

    return event_stream(events(), slot=slot, headers=headers, on_leave=leave)


def abandon(orchestrator: Orchestrator, lease: RunLease) -> None:
    """A connection that ends because the process stops is not a client that disconnected."""
    if orchestrator.runs.stopping:
        lease.release()
    else:
        lease.abandon()


def require_settled(orchestrator: Orchestrator, run: Run) -> None:
    """Raises `ServiceError` for a run that has neither ended nor waits for its client."""
    if run.finished or run.awaiting_client:
        return
    where = {"trajectory_id": run.id}
    if orchestrator.runs.stopping:
        detail = f"trajectory {run.id} continues after the restart; read it with GET /v1/trajectories/{run.id}"
        raise ServiceError("shutting-down", detail, extra=where)
    raise ServiceError("internal", f"trajectory {run.id} was abandoned; the log has the details", extra=where)


def json_response(text: str | bytes, status_code: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is JSON text."""
    return Response(text, status_code, headers=headers, media_type="application/json")


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
