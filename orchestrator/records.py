"""Whole trajectories from the event log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from alpha_umi import telemetry
from alpha_umi.contract.trajectories import MessageModel, TokenUsage, Trajectory, TrajectoryError, as_trajectory
from alpha_umi.trajectory import IllegalEvent, Phase, State, Status, UnknownEvent, replay, unpack
from orchestrator.run import Run
from orchestrator.store import EventStore, StoredEvent, TrajectoryRow

_log = telemetry.logger(__name__)


async def load_trajectory(store: EventStore, row: TrajectoryRow) -> Trajectory:
    """The trajectory of a row with everything in its log. Raises `StoreError`."""
    return whole_trajectory(row, await store.events(row.id))


def whole_trajectory(row: TrajectoryRow, log: Sequence[StoredEvent]) -> Trajectory:
    """The trajectory that a log adds up to; where the log makes no sense, what the row alone says."""
    try:
        state = replay(unpack(event.type, event.payload) for event in log)
    except (UnknownEvent, IllegalEvent) as error:
        _log.error("log.unreadable", trajectory_id=row.id, reason=str(error))
        return _without_log(row, f"the log of this trajectory cannot be read: {error}")
    return _shown(row, state, log[-1].at if state.phase is Phase.FINISHED else None)


def driven_trajectory(run: Run) -> Trajectory:
    """A trajectory that this process drives, as its log has it, without reading that again."""
    return _shown(run.row, run.driver.state, run.driver.ended_at)


def _shown(row: TrajectoryRow, state: State, finished_at: datetime | None) -> Trajectory:
    return as_trajectory(row.id, state, created_at=row.created_at, finished_at=finished_at, metadata=row.metadata)


def _without_log(row: TrajectoryRow, reason: str) -> Trajectory:
    return Trajectory(
        id=row.id,
        status=cast(Status, row.status),
        instruction=row.instruction,
        tools=list(row.tools),
        strategy=row.strategy,
        steps=[],
        messages=[MessageModel(role="user", content=row.instruction)],
        answer=None,
        error=TrajectoryError(code="log_unreadable", detail=reason),
        usage=TokenUsage(prompt_tokens=0, completion_tokens=0),
        metadata=row.metadata,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
