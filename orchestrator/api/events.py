"""The stream of a trajectory's events, from the start or resumed after an event."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.stream_events import EVENT_NAMES
from alpha_umi.web.documentation import event_stream as documented
from alpha_umi.web.scopes import User
from orchestrator.assembly import Orchestrator
from orchestrator.runs.manager import Run
from orchestrator.store import StoreDamaged, TrajectoryRow
from orchestrator.stream.follow import follow
from orchestrator.stream.serialization import Comment, serialized

EventId = Annotated[int, Field(ge=0)]


class EventsQuery(BaseModel):
    """Query of the stream. `after` is for clients that cannot set the header, which counts if both are there."""

    model_config = ConfigDict(extra="forbid")

    after: EventId = 0


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["trajectories"])

    @router.get(
        "/v1/trajectories/{trajectory_id}/events",
        summary="Server-sent events; `Last-Event-ID` resumes",
        response_class=Response,
        responses=TRAJECTORY_STREAM | {204: {"description": "The trajectory has ended, with this event"}},
    )
    async def events(
        trajectory_id: str,
        user: User,
        query: Annotated[EventsQuery, Query()],
        last_event_id: Annotated[EventId | SkipJsonSchema[None], Header()] = None,
    ) -> Response:
        row, run = await attached(orchestrator, trajectory_id, owner=user.owner)
        after = query.after if last_event_id is None else last_event_id
        if after > row.last_seq:
            detail = f"trajectory {trajectory_id} has no event {after}; its last one is {row.last_seq}"
            raise ServiceError(
                "event-not-found", detail, field="Last-Event-ID", remedy="read the stream from its start"
            )
        if run is None and row.finished_at is not None and after == row.last_seq:
            # An EventSource reconnects after any other answer (WHATWG HTML, section 9.2).
            return Response(status_code=204)
        with contextlib.ExitStack() as slot:
            slot.enter_context(orchestrator.streams.slot(user.owner))
            items = follow(orchestrator.store, row, orchestrator.runs.broadcast_of(run), after=after)
            return event_stream(serialized(items, row), slot=slot)

    return router


async def attached(orchestrator: Orchestrator, trajectory_id: str, *, owner: str) -> tuple[TrajectoryRow, Run | None]:
    """An owner's trajectory for a stream, and its run, which is started if the trajectory is not recovered yet.

    There is no run after the end, while the process stops, and for an unreadable log. Raises `StoreError`.
    """
    runs = orchestrator.runs
    # The run is looked up before the row is read: a run that ends in between has published its events and written the
    # log. A run that begins in between, with a further turn, is found by the second look-up.
    run = runs.find(trajectory_id, owner=owner)
    row = await orchestrator.store.get(trajectory_id, owner=owner)
    run = runs.find(trajectory_id, owner=owner) or run
    if run is None and row.finished_at is None and not runs.stopping:
        with contextlib.suppress(StoreDamaged):
            run = await runs.attach(trajectory_id, owner=owner)
    return row, run


TRAJECTORY_STREAM = documented(*EVENT_NAMES)
KEEP_ALIVE_S = 15
SLOW_READER_S = 30
# Streams end themselves when the process stops; this bounds one that does not.
STOP_GRACE_S = 3


def event_stream(
    events: AsyncGenerator[ServerSentEvent, None],
    *,
    slot: contextlib.ExitStack,
    headers: Mapping[str, str] | None = None,
    on_leave: Callable[[], None] | None = None,
) -> EventSourceResponse:
    """A response with keep-alive comments, which ends when the client does not read for 30 seconds.

    It takes over what `slot` holds and releases it at the end. `on_leave` is called when the client disconnects, also
    before the first event.
    """

    async def closed() -> AsyncIterator[ServerSentEvent]:
        async with contextlib.aclosing(events):
            async for event in events:
                yield event

    async def left(_: Message) -> None:
        if on_leave is not None:
            on_leave()

    response = _StreamResponse(
        closed(),
        headers={"Cache-Control": "no-cache", **(headers or {})},
        ping=KEEP_ALIVE_S,
        ping_message_factory=lambda: Comment("keep-alive"),
        sep="\n",
        send_timeout=SLOW_READER_S,
        client_close_handler_callable=left,
        shutdown_event=anyio.Event(),
        shutdown_grace_period=STOP_GRACE_S,
    )
    response.slot = slot.pop_all()
    return response


class _StreamResponse(EventSourceResponse):
    """Releases its slot also when the client left before the first event."""

    slot: contextlib.ExitStack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.slot:
            await super().__call__(scope, receive, send)
