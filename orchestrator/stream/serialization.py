"""Events of the log as the server-sent events that clients see. An event's `id` is its row's sequence number."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sse_starlette import ServerSentEvent

from alpha_umi.contract.stream_events import LiveEvent, Reconnect, event_data, live_data
from alpha_umi.trajectory import TrajectoryFinished
from orchestrator.log import LoggedEvent
from orchestrator.runs.snapshots import text_of
from orchestrator.store import TrajectoryRow
from orchestrator.stream.broadcast import Unlogged
from orchestrator.stream.follow import Followed

SEPARATOR = "\n"
RETRY_MS = 1_000


class Comment(ServerSentEvent):
    """A comment, without the blank line that would end an event.

    After an event with an id, httpx-sse and the official OpenAI client for Python take that line for an event without
    data; the latter fails on it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(comment=text, sep=SEPARATOR)

    def encode(self) -> bytes:
        """The comment as bytes."""
        return super().encode().removesuffix(SEPARATOR.encode())


async def serialized(
    items: AsyncGenerator[Followed, None], trajectory: TrajectoryRow
) -> AsyncGenerator[ServerSentEvent, None]:
    """The server-sent events of a trajectory that is followed."""
    async with aclosing(items):
        async for item in items:
            match item:
                case LoggedEvent():
                    if (event := serialize(item, trajectory)) is not None:
                        yield event
                case Unlogged():
                    yield serialize_live(item.event)
                case Reconnect():
                    yield serialize_reconnect(item)


def serialize(logged: LoggedEvent, trajectory: TrajectoryRow) -> ServerSentEvent | None:
    """The event of a row; None for one that the stream does not send."""
    if isinstance(logged.event, TrajectoryFinished):
        data: str | None = text_of(trajectory, logged.after, finished_at=logged.at).document()
    else:
        fields = event_data(logged, trajectory.id)
        data = None if fields is None else json.dumps(fields)
    return None if data is None else ServerSentEvent(data, event=logged.event.type, id=str(logged.seq), sep=SEPARATOR)


def serialize_live(event: LiveEvent) -> ServerSentEvent:
    """Live text, or the availability of a role. It has no id, because it is not in the log."""
    return ServerSentEvent(json.dumps(live_data(event)), event=event.name, sep=SEPARATOR)


def serialize_reconnect(reconnect: Reconnect) -> ServerSentEvent:
    """The stream ends here before the trajectory does; a new one resumes after the last id."""
    data = json.dumps({"reason": reconnect.reason})
    return ServerSentEvent(data, event=reconnect.name, retry=RETRY_MS, sep=SEPARATOR)
