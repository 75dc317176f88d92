"""What a batch of writes becomes: rows for three statements, and an outcome for every write. No I/O.

Conflicts are found here, before anything is inserted, so that one writer's conflict costs the others nothing. The ends
of the logs must have been read in the transaction that inserts the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.store.errors import (
    RequestKept,
    SequenceConflict,
    StoreError,
    TrajectoryExists,
    TrajectoryNotFound,
)
from orchestrator.store.model import RequestKey
from orchestrator.store.rows import Row, request_row

Place = tuple[str, str, str]


@dataclass(frozen=True)
class LogWrite:
    """Events for the end of one log. The first write of a log brings the row of its trajectory.

    A `status` is a new one for that row and brings `finished_at` with it, None for a trajectory that goes on. `request`
    is the key of the request that caused the write `at` this time.
    """

    trajectory_id: str
    after: int
    events: Sequence[Row]
    trajectory: Row | None = None
    status: str | None = None
    finished_at: str | None = None
    request: RequestKey | None = None
    at: datetime | None = None

    @property
    def end(self) -> int:
        """Last sequence number once this is written."""
        return self.after + len(self.events)


@dataclass
class Plan:
    """Rows to insert, ends to move, and None or an error for each write."""

    trajectories: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    requests: list[Row] = field(default_factory=list)
    ends: list[Row] = field(default_factory=list)
    outcomes: list[StoreError | None] = field(default_factory=list)


def plan_writes(ends: Mapping[str, int], writes: Sequence[LogWrite], kept: Collection[Place] = ()) -> Plan:
    """Accept or refuse each write in turn.

    `ends` has the last sequence number of every log that exists, `kept` the places of requests that are known.
    """
    plan = Plan()
    reached, known = dict(ends), set(kept)
    for write in writes:
        refusal = _refusal(write, reached.get(write.trajectory_id), known)
        plan.outcomes.append(refusal)
        if refusal is None:
            reached[write.trajectory_id] = write.end
            if write.request is not None:
                known.add(place_of(write.request))
            _accept(plan, write)
    return plan


def place_of(request: RequestKey) -> Place:
    """Where a request is kept, whatever its body was."""
    return request.key_id, request.route, request.key


def _refusal(write: LogWrite, end: int | None, kept: Collection[Place]) -> StoreError | None:
    if write.trajectory is not None:
        if end is not None:
            return TrajectoryExists(f"trajectory {write.trajectory_id} exists already")
    elif end is None:
        return TrajectoryNotFound(f"no trajectory has the id {write.trajectory_id}")
    elif end != write.after:
        return SequenceConflict(
            f"the log of trajectory {write.trajectory_id} ends at {end}, not at {write.after}: "
            "read what was appended, then decide again"
        )
    if write.request is not None and place_of(write.request) in kept:
        return RequestKept("an earlier request had this idempotency key")
    return None


def _accept(plan: Plan, write: LogWrite) -> None:
    if write.trajectory is not None:
        plan.trajectories.append(write.trajectory)
    else:
        plan.ends.append(
            {
                "of": write.trajectory_id,
                "end": write.end,
                "new_status": write.status,
                "new_finished_at": write.finished_at,
            }
        )
    plan.events.extend(write.events)
    if write.request is not None and write.at is not None:
        plan.requests.append(request_row(write.request, write.trajectory_id, seq=write.after + 1, at=write.at))
