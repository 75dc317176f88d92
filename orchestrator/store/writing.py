"""Batches of writes as statements, in a transaction that somebody else opened and commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, insert
from sqlalchemy.sql import Executable

from orchestrator.store.batches import LogWrite, Place, plan_writes
from orchestrator.store.errors import StoreError
from orchestrator.store.rows import Row
from orchestrator.store.statements import ENDS_OF, MOVE_END, requests_before, requests_kept
from orchestrator.store.tables import EVENTS, IDEMPOTENCY_KEYS, TOOL_SOURCES, TRAJECTORIES

# How long a request is known by its idempotency key.
REQUESTS_KEPT_FOR = timedelta(hours=72)


@dataclass(frozen=True)
class SourceWrite:
    """A registration to replace, or to remove when there is no document."""

    name: str
    document: str | None


def write_logs(connection: Connection, writes: Sequence[LogWrite]) -> Sequence[StoreError | None]:
    """Write what can be written; None or an error for each."""
    ends = connection.execute(ENDS_OF, {"ids": sorted({write.trajectory_id for write in writes})})
    plan = plan_writes({row.id: row.last_seq for row in ends}, writes, _kept(connection, writes))
    _execute_many(connection, insert(TRAJECTORIES), plan.trajectories)
    _execute_many(connection, insert(EVENTS), plan.events)
    _execute_many(connection, MOVE_END, plan.ends)
    _execute_many(connection, insert(IDEMPOTENCY_KEYS), plan.requests)
    return plan.outcomes


def write_sources(connection: Connection, writes: Sequence[SourceWrite]) -> Sequence[bool | StoreError]:
    """Replace and remove registrations; whether each existed."""
    existed = []
    for write in writes:
        removed = connection.execute(delete(TOOL_SOURCES).where(TOOL_SOURCES.c.name == write.name))
        existed.append(removed.rowcount > 0)
        if write.document is not None:
            row = {"name": write.name, "document": write.document}
            connection.execute(insert(TOOL_SOURCES).values(row))
    return existed


def _kept(connection: Connection, writes: Sequence[LogWrite]) -> set[Place]:
    """The places of these writes' keys that are taken. Requests that are too old are forgotten on the way."""
    times = [write.at for write in writes if write.at is not None]
    requests = [write.request for write in writes if write.request is not None]
    if not requests or not times:
        return set()
    horizon = max(times) - REQUESTS_KEPT_FOR
    connection.execute(requests_before(horizon))
    rows = connection.execute(requests_kept(requests, since=horizon))
    return {(row.key_id, row.route, row.key) for row in rows}


def _execute_many(connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(statement, rows)
