"""The JSON texts of a trajectory, and the snapshot of one that has ended."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import TypeAdapter

from alpha_umi.contract.trajectories import StepModel, Trajectory, as_steps, as_summary
from alpha_umi.roles.turns import Role
from alpha_umi.trajectory import State
from orchestrator.store import Snapshot, TrajectoryRow

# Snapshots in another form are not used: they are made again.
VERSION: Final = hashlib.sha256(json.dumps(Trajectory.model_json_schema()).encode()).hexdigest()[:16]
_STEPS: Final = TypeAdapter(list[StepModel])


class TrajectoryText(NamedTuple):
    """The JSON texts of a summary, and of the steps where they are asked for."""

    summary: str
    steps: str | None

    def document(self) -> str:
        """The wire form: that of a `Trajectory`, without steps that of a `TrajectorySummary`."""
        return self.summary if self.steps is None else f'{self.summary[:-1]},"steps":{self.steps}}}'


def text_of(
    row: TrajectoryRow,
    state: State,
    *,
    finished_at: datetime | None,
    steps: bool = True,
    waiting_for: Role | None = None,
) -> TrajectoryText:
    """The texts of a state. `waiting_for` is the unavailable role that the trajectory waits for."""
    summary = as_summary(row.id, state, created_at=row.created_at, finished_at=finished_at, metadata=row.metadata)
    shown = summary.model_copy(update={"waiting_for": waiting_for if state.status == "running" else None})
    return TrajectoryText(shown.model_dump_json(), _STEPS.dump_json(as_steps(state)).decode() if steps else None)


def snapshot_of(row: TrajectoryRow, state: State, *, seq: int, finished_at: datetime) -> Snapshot:
    """The snapshot of a trajectory that has ended with row `seq`."""
    return Snapshot(row.id, seq, VERSION, *text_of(row, state, finished_at=finished_at))
