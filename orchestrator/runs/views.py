"""Wire form of trajectories, from the event log or from a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from alpha_umi import telemetry
from alpha_umi.contract.trajectories import MessageModel, TokenUsage, Trajectory, TrajectoryError, as_trajectory
from alpha_umi.trajectory import Phase, State, Status
from orchestrator.log import read_log, state_of
from orchestrator.runs.manager import Run
from orchestrator.store import EventStore, StoreDamaged, StoredEvent, TrajectoryRow

_log = telemetry.logger(__name__)


async def load_trajectory(store: EventStore, row: TrajectoryRow, run: Run | None = None) -> Trajectory:
    """The trajectory of a row and its log, and what it waits for according to its run. Raises `StoreError`."""
    return _with_outage(trajectory_of(row, await store.events(row.id)), run)


def trajectory_of(row: TrajectoryRow, log: Sequence[StoredEvent]) -> Trajectory:
    """The trajectory of a log; if the log cannot be read, only the fields of the row."""
    try:
        state = state_of(read_log(log))
    except StoreDamaged as error:
        _log.error("log.unreadable", trajectory_id=row.id, reason=str(error))
        return _without_log(row, f"the log of this trajectory cannot be read: {error}")
    return _rendered(row, state, log[-1].at if state.phase is Phase.FINISHED else None)


def driven_trajectory(run: Run) -> Trajectory:
    """The trajectory of a run, without reading its log."""
    return _with_outage(_rendered(run.row, run.driver.state, run.driver.ended_at), run)


def _with_outage(trajectory: Trajectory, run: Run | None) -> Trajectory:
    if run is None or run.driver.outage is None or trajectory.status != "running":
        return trajectory
    return trajectory.model_copy(update={"waiting_for": run.driver.outage.role})


def _rendered(row: TrajectoryRow, state: State, finished_at: datetime | None) -> Trajectory:
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
