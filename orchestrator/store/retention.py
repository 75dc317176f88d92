"""Deletion of finished trajectories, with everything that only they use.

What stays of a deleted trajectory is its id and its owner, so that a stream of it ends with a reason, and the keys of
its requests, so that a repetition is still no second execution. Both are deleted later.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, Select, delete, exists, insert, select

from orchestrator.store.model import AuditEntry
from orchestrator.store.rows import audit_row, encode_time
from orchestrator.store.tables import AUDIT, EVENTS, PRUNED, TOOL_SETS, TRAJECTORIES


def finished_before(
    time: datetime, *, owner: str | None, statuses: Collection[str], but: Collection[str], limit: int
) -> Select[tuple[str, int]]:
    """Logs of trajectories that ended before a time, oldest end first; of all owners and statuses by default."""
    statement = select(TRAJECTORIES.c.id, TRAJECTORIES.c.last_seq).where(
        TRAJECTORIES.c.finished_at < encode_time(time), TRAJECTORIES.c.id.not_in(sorted(but))
    )
    if owner is not None:
        statement = statement.where(TRAJECTORIES.c.owner == owner)
    if statuses:
        statement = statement.where(TRAJECTORIES.c.status.in_(sorted(statuses)))
    return statement.order_by(TRAJECTORIES.c.finished_at, TRAJECTORIES.c.id).limit(limit)


def delete_trajectories(
    connection: Connection,
    ends: Sequence[tuple[str, int]],
    *,
    at: datetime,
    sets_in_use: Collection[str],
    audit: AuditEntry | None = None,
    remembers: bool = True,
) -> list[str]:
    """Delete those of the trajectories that have ended and whose log still ends where it is said to; their ids.

    `ends` are ids with the last sequence number of the log, `sets_in_use` the tool sets that are in memory. With
    `remembers` the ids stay known as deleted.
    """
    rows = [_ended(connection, trajectory_id, last_seq) for trajectory_id, last_seq in ends]
    gone = [row for row in rows if row is not None]
    ids = [row["id"] for row in gone]
    if not ids:
        return []
    connection.execute(delete(EVENTS).where(EVENTS.c.trajectory_id.in_(ids)))
    connection.execute(delete(TRAJECTORIES).where(TRAJECTORIES.c.id.in_(ids)))
    if remembers:
        connection.execute(insert(PRUNED), [{**row, "at": encode_time(at)} for row in gone])
    # One look-up in an index for each set: there are few sets, and can be millions of trajectories.
    is_used = exists().where(TRAJECTORIES.c.tool_set == TOOL_SETS.c.digest)
    connection.execute(delete(TOOL_SETS).where(~is_used, TOOL_SETS.c.digest.not_in(sorted(sets_in_use))))
    if audit is not None:
        connection.execute(insert(AUDIT).values(audit_row(audit)))
    return ids


def forget_pruned(connection: Connection, before: datetime) -> None:
    """Delete what was left of trajectories that were deleted before a time."""
    connection.execute(delete(PRUNED).where(PRUNED.c.at < encode_time(before)))


def _ended(connection: Connection, trajectory_id: str, last_seq: int) -> dict[str, str] | None:
    row = connection.execute(
        select(TRAJECTORIES.c.id, TRAJECTORIES.c.owner).where(
            TRAJECTORIES.c.id == trajectory_id,
            TRAJECTORIES.c.last_seq == last_seq,
            TRAJECTORIES.c.finished_at.is_not(None),
        )
    ).first()
    return None if row is None else row._asdict()
