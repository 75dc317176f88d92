"""Events of the log as the server-sent events that clients see. An event's `id` is its row's sequence number."""

from __future__ import annotations

import json

from sse_starlette import ServerSentEvent

from alpha_umi.contract.stream_events import LiveEvent, Reconnect, event_data, live_data
from alpha_umi.contract.trajectories import as_trajectory
from alpha_umi.trajectory import TrajectoryFinished
from orchestrator.log import LoggedEvent
from orchestrator.store import TrajectoryRow

SEPARATOR = "\n"
RETRY_MS = 1_000


def serialize(logged: LoggedEvent, trajectory: TrajectoryRow, *, last: bool = True) -> ServerSentEvent | None:
    """The event of a row; None for one that the stream does not send.

    An end is sent if its row is the `last` one: where a further turn follows, the stream is not over.
    """
    if isinstance(logged.event, TrajectoryFinished):
        data = _trajectory_data(logged, trajectory) if last else None
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


def _trajectory_data(logged: LoggedEvent, trajectory: TrajectoryRow) -> str:
    return as_trajectory(
        trajectory.id,
        logged.after,
        created_at=trajectory.created_at,
        finished_at=logged.at,
        metadata=trajectory.metadata,
    ).model_dump_json()
