"""The SQL of the event log, in the words that every database understands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Update, bindparam, func, select, tuple_, update

from orchestrator.store.model import TrajectoryRow
from orchestrator.store.rows import encode_time
from orchestrator.store.tables import EVENTS, TRAJECTORIES

# One row of `batches.Plan.ends` each; what is None there stays as it is.
MOVE_END: Update = (
    update(TRAJECTORIES)
    .where(TRAJECTORIES.c.id == bindparam("of"))
    .values(
        last_seq=bindparam("end"),
        status=func.coalesce(bindparam("new_status"), TRAJECTORIES.c.status),
        finished_at=func.coalesce(bindparam("new_finished_at"), TRAJECTORIES.c.finished_at),
    )
)

UNFINISHED: Select[Any] = (
    select(TRAJECTORIES.c.id)
    .where(TRAJECTORIES.c.finished_at.is_(None))
    .order_by(TRAJECTORIES.c.created_at, TRAJECTORIES.c.id)
)


def ends_of(ids: Collection[str]) -> Select[Any]:
    """Where logs end, held against other writers until the commit; always in one order, against deadlocks."""
    return (
        select(TRAJECTORIES.c.id, TRAJECTORIES.c.last_seq)
        .where(TRAJECTORIES.c.id.in_(sorted(ids)))
        .order_by(TRAJECTORIES.c.id)
        .with_for_update()
    )


def events_of(trajectory_id: str, *, after: int, limit: int | None) -> Select[Any]:
    """Part of one log, in order."""
    return (
        select(EVENTS)
        .where(EVENTS.c.trajectory_id == trajectory_id, EVENTS.c.seq > after)
        .order_by(EVENTS.c.seq)
        .limit(limit)
    )


def newest(*, status: str | None, older_than: TrajectoryRow | None, limit: int) -> Select[Any]:
    """A page of trajectories; the id decides between those of one instant."""
    place = tuple_(TRAJECTORIES.c.created_at, TRAJECTORIES.c.id)
    statement = select(TRAJECTORIES).order_by(TRAJECTORIES.c.created_at.desc(), TRAJECTORIES.c.id.desc()).limit(limit)
    if status is not None:
        statement = statement.where(TRAJECTORIES.c.status == status)
    if older_than is not None:
        statement = statement.where(place < tuple_(encode_time(older_than.created_at), older_than.id))
    return statement
