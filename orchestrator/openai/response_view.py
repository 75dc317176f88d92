"""How responses are answered: the resource, or the stream of its events.

A stream ends with one terminal event and `[DONE]`. One that has to end early, because the process stops, the log cannot
be read or the response was deleted, ends without both. Official clients then end their iteration without an error; the
response goes on, and `starting_after` with the number of the last event reads on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from fastapi.responses import Response
from sse_starlette import ServerSentEvent

from alpha_umi.contract.openai.response_events import EVENT_TYPES, OPENAI_NAMES, ResponseEvent
from alpha_umi.contract.stream_events import Reconnect
from alpha_umi.trajectory import TrajectoryFinished
from alpha_umi.web.documentation import event_stream as documented
from orchestrator.api.events import attached, event_stream
from orchestrator.assembly import Orchestrator
from orchestrator.log import read_stored_log
from orchestrator.openai.ids import response_id
from orchestrator.openai.projection import Projection
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.store import EventStore, TrajectoryNotFound, TrajectoryRow, TurnRow
from orchestrator.stream.follow import Followed, follow
from orchestrator.stream.serialization import SEPARATOR, Comment

RESPONSE_STREAM = documented(*EVENT_TYPES)
_DONE: Final = ServerSentEvent("[DONE]", sep=SEPARATOR)


class ResponseView:
    """The answers to requests for responses of an owner: a `View` for `carry_out`."""

    background_status = 200

    def __init__(self, orchestrator: Orchestrator, owner: str, *, openai_names: bool = False) -> None:
        self._store = orchestrator.store
        self._owner = owner
        self._openai_names = openai_names
        self._watched: Projection | None = None

    def headers(self, accepted: AcceptedRequest) -> Mapping[str, str]:
        """Where the response is."""
        return {"Location": f"/v1/responses/{response_id(accepted.trajectory_id, accepted.seq)}"}

    def watch(self, accepted: AcceptedRequest) -> None:
        """Project the rows as they are written, so that the answer need not read the log."""
        run, turn = accepted.run, accepted.turn
        if run is not None and turn is not None and run.driver.seq == turn.seq:
            self._watched = Projection(turn, with_events=False)
            self._watched.begin(run.driver.state)
            run.broadcast.fold(self._watched.feed)

    async def document(self, accepted: AcceptedRequest) -> bytes:
        """The resource as it is now."""
        return json.dumps(await self.resource(accepted)).encode()

    async def resource(self, accepted: AcceptedRequest) -> dict[str, Any]:
        """The response as it is now. Raises `StoreError`."""
        watched = self._watched
        if watched is not None and accepted.run is not None and watched.seq == accepted.run.driver.seq:
            return watched.resource()
        return await response_resource(self._store, await self._turn(accepted))

    async def events(
        self, accepted: AcceptedRequest, row: TrajectoryRow, items: AsyncGenerator[Followed, None]
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """The events of the response's stream."""
        async with aclosing(items):
            async for event in serialized(await self._turn(accepted), items, openai_names=self._openai_names):
                yield event

    async def _turn(self, accepted: AcceptedRequest) -> TurnRow:
        if accepted.turn is not None:
            return accepted.turn
        turns = await self._store.turns(accepted.trajectory_id, owner=self._owner)
        turn = next((turn for turn in turns if turn.seq == accepted.seq), None)
        if turn is None:
            raise TrajectoryNotFound(response_id(accepted.trajectory_id, accepted.seq))
        return turn


async def response_resource(store: EventStore, turn: TurnRow) -> dict[str, Any]:
    """A response as the log has it now. Raises `StoreError`."""
    row = await store.get(turn.trajectory_id, owner=turn.owner)
    projection = Projection(turn, with_events=False)
    async for logged in read_stored_log(store, row):
        # An end that a resumed turn follows is none.
        is_end_between = isinstance(logged.event, TrajectoryFinished) and logged.seq != row.last_seq
        if logged.seq >= turn.seq and not is_end_between:
            projection.feed(logged)
        if projection.is_terminal:
            break
    return projection.resource()


async def stream_response(
    orchestrator: Orchestrator, turn: TurnRow, *, starting_after: int | None = None, openai_names: bool = False
) -> Response:
    """The stream of a stored response: its events after a number, those of its past first. Raises `StoreError`.

    A client that leaves does not cancel the response.
    """
    row, run = await attached(orchestrator, turn.trajectory_id, owner=turn.owner)
    with contextlib.ExitStack() as slot:
        slot.enter_context(orchestrator.streams.slot(turn.owner))
        items = follow(orchestrator.store, row, orchestrator.runs.broadcast_of(run), after=turn.seq - 1)
        events = serialized(turn, items, starting_after=starting_after, openai_names=openai_names)
        return event_stream(events, slot=slot)


async def response_events(
    turn: TurnRow,
    items: AsyncGenerator[Followed, None],
    *,
    starting_after: int | None = None,
    openai_names: bool = False,
) -> AsyncGenerator[ResponseEvent | Reconnect, None]:
    """The events after a number, up to the terminal one; a `Reconnect` if the stream has to end before.

    `items` begin with the response's first row. With `openai_names` events have the names that OpenAI's clients know.
    """
    projection = Projection(turn)
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Reconnect):
                yield item
                return
            for event in projection.feed(item):
                if starting_after is None or event.sequence_number > starting_after:
                    yield replace(event, type=OPENAI_NAMES.get(event.type, event.type)) if openai_names else event
            if projection.is_terminal:
                return
    yield Reconnect("the event log cannot be read")


async def serialized(
    turn: TurnRow,
    items: AsyncGenerator[Followed, None],
    *,
    starting_after: int | None = None,
    openai_names: bool = False,
) -> AsyncGenerator[ServerSentEvent, None]:
    """The same as server-sent events, with the sequence numbers as ids."""
    named = response_events(turn, items, starting_after=starting_after, openai_names=openai_names)
    async with aclosing(named) as events:
        async for event in events:
            if isinstance(event, Reconnect):
                yield Comment(event.reason)
                return
            yield ServerSentEvent(event.data(), event=event.type, id=str(event.sequence_number), sep=SEPARATOR)
    yield _DONE
