"""What a batch of writes becomes: rows for three statements, and an outcome for every write. No I/O.

Conflicts are found here, before anything is inserted, so that one writer's conflict costs the others nothing. The ends
of the logs must have been read in the transaction that inserts the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.store.errors import SequenceConflict, StoreError, TrajectoryExists, TrajectoryNotFound
from orchestrator.store.rows import Row


@dataclass(frozen=True)
class LogWrite:
    """Events for the end of one log. The first write of a log brings the row of its trajectory.

    `status` and `finished_at` are new values for that row, None to leave them.
    """

    trajectory_id: str
    after: int
    events: Sequence[Row]
    trajectory: Row | None = None
    status: str | None = None
    finished_at: str | None = None

    @property
    def end(self) -> int:
        """Last sequence number once this is written."""
        return self.after + len(self.events)


@dataclass
class Plan:
    """Rows to insert, ends to move, and None or an error for each write."""

    trajectories: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    ends: list[Row] = field(default_factory=list)
    outcomes: list[StoreError | None] = field(default_factory=list)


def plan_writes(ends: Mapping[str, int], writes: Sequence[LogWrite]) -> Plan:
    """Accept or refuse each write in turn. `ends` has the last sequence number of every log that exists."""
    plan = Plan()
    reached = dict(ends)
    for write in writes:
        refusal = _refusal(write, reached.get(write.trajectory_id))
        plan.outcomes.append(refusal)
        if refusal is None:
            reached[write.trajectory_id] = write.end
            _accept(plan, write)
    return plan


def _refusal(write: LogWrite, end: int | None) -> StoreError | None:
    if write.trajectory is not None:
        return None if end is None else TrajectoryExists(f"trajectory {write.trajectory_id} exists already")
    if end is None:
        return TrajectoryNotFound(f"no trajectory has the id {write.trajectory_id}")
    if end != write.after:
        return SequenceConflict(
            f"the log of trajectory {write.trajectory_id} ends at {end}, not at {write.after}: "
            "read what was appended, then decide again"
        )
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
