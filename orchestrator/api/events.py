"""Follow a trajectory's events, from the start or from where an earlier stream ended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.problems import ServiceError
from orchestrator.api.sse import TRAJECTORY_STREAM, event_stream
from orchestrator.assembly import Orchestrator
from orchestrator.stream import follow

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
        responses=TRAJECTORY_STREAM,
    )
    async def events(
        trajectory_id: str,
        query: Annotated[EventsQuery, Query()],
        last_event_id: Annotated[EventId | SkipJsonSchema[None], Header()] = None,
    ) -> Response:
        # The feed is looked up before the row is read: a run that ends in between has told its feed, and the log. A run
        # that begins in between, with a further turn, is found afterwards.
        run = orchestrator.runs.find(trajectory_id)
        row = await orchestrator.store.get(trajectory_id)
        run = orchestrator.runs.find(trajectory_id) or run
        after = query.after if last_event_id is None else last_event_id
        if after > row.last_seq:
            detail = f"trajectory {trajectory_id} has no event {after}; its last one is {row.last_seq}"
            raise ServiceError(
                "event-not-found", detail, field="Last-Event-ID", remedy="read the stream from its start"
            )
        told = follow(orchestrator.store, row, orchestrator.runs.broadcast_of(run), after=after)
        return event_stream(told, open_streams=orchestrator.metrics.streams)

    return router
