"""A batch of writes: it is planned without I/O, then executed in a transaction that the caller opened and commits.

The plan has the rows to insert and an outcome for every write. Conflicts are detected in it, before anything is
inserted, so that one writer's conflict does not fail the others. The ends of the logs must have been read in the
transaction that inserts the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.sql import Executable

from orchestrator.store.errors import (
    IdempotencyKeyExists,
    SequenceConflict,
    StoreError,
    TrajectoryExists,
    TrajectoryNotFound,
)
from orchestrator.store.model import AuditEntry, RequestKey, Snapshot, UsedRate
from orchestrator.store.rows import Row, audit_row, encode_time, request_row
from orchestrator.store.tables import (
    AUDIT,
    ENDS_OF,
    EVENTS,
    IDEMPOTENCY_KEYS,
    MOVE_END,
    RATES,
    REMOVE_SUMMARY,
    SUMMARIES,
    TOOL_SETS,
    TOOL_SOURCES,
    TRAJECTORIES,
    TURNS,
    expired_idempotency_records,
    idempotency_records,
)

IdempotencyKey = tuple[str, str, str]


@dataclass(frozen=True)
class LogWrite:
    """Events to append to one log. The first write of a log has the `trajectory` row to insert.

    `status` updates that row together with `finished_at`, which is None for a trajectory that continues. `request` is
    the key of the request that caused the write, `audit` the act, `at` the time by which keys expire (`observed_time`).
    `snapshot` is that of a trajectory that has ended, `turn` the row of a request that begins with the first event.
    """

    trajectory_id: str
    after: int
    events: Sequence[Row]
    trajectory: Row | None = None
    status: str | None = None
    finished_at: str | None = None
    request: RequestKey | None = None
    audit: AuditEntry | None = None
    at: datetime | None = None
    snapshot: Snapshot | None = None
    turn: Row | None = None

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
    audit: list[Row] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    turns: list[Row] = field(default_factory=list)
    outcomes: list[StoreError | None] = field(default_factory=list)


def plan_writes(ends: Mapping[str, int], writes: Sequence[LogWrite], recorded: Collection[IdempotencyKey] = ()) -> Plan:
    """Accept or refuse each write in turn.

    `ends` has the last sequence number of every log that exists, `recorded` the requests that are known.
    """
    plan = Plan()
    reached, known = dict(ends), set(recorded)
    for write in writes:
        refusal = _refusal(write, reached.get(write.trajectory_id), known)
        plan.outcomes.append(refusal)
        if refusal is None:
            reached[write.trajectory_id] = write.end
            if write.request is not None:
                known.add(key_of(write.request))
            _accept(plan, write)
    return plan


def key_of(request: RequestKey) -> IdempotencyKey:
    """What identifies a request, whatever its body was."""
    return request.owner, request.route, request.key


def _refusal(write: LogWrite, end: int | None, recorded: Collection[IdempotencyKey]) -> StoreError | None:
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
    if write.request is not None and key_of(write.request) in recorded:
        return IdempotencyKeyExists("an earlier request had this idempotency key")
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
    if write.audit is not None:
        plan.audit.append(audit_row(write.audit))
    if write.snapshot is not None:
        plan.snapshots.append(write.snapshot)
    if write.turn is not None:
        plan.turns.append(write.turn)
    if write.request is not None and write.at is not None:
        plan.requests.append(request_row(write.request, write.trajectory_id, seq=write.after + 1, at=write.at))


# How long the record of a request is kept under its idempotency key.
IDEMPOTENCY_RETENTION = timedelta(hours=72)


@dataclass(frozen=True)
class SourceWrite:
    """A registration to replace, or to remove when there is no document, with the act for the audit log."""

    owner: str
    name: str
    document: str | None
    audit: AuditEntry | None = None


def write_logs(connection: Connection, writes: Sequence[LogWrite]) -> Sequence[StoreError | None]:
    """Execute the writes that have no conflict; None or an error for each."""
    ends = connection.execute(ENDS_OF, {"ids": sorted({write.trajectory_id for write in writes})})
    plan = plan_writes({row.id: row.last_seq for row in ends}, writes, _recorded_keys(connection, writes))
    _execute_many(connection, insert(TRAJECTORIES), plan.trajectories)
    _execute_many(connection, insert(EVENTS), plan.events)
    _execute_many(connection, MOVE_END, plan.ends)
    _execute_many(connection, insert(IDEMPOTENCY_KEYS), plan.requests)
    _execute_many(connection, insert(AUDIT), plan.audit)
    _execute_many(connection, insert(TURNS), plan.turns)
    write_snapshots(connection, plan.snapshots)
    return plan.outcomes


def write_snapshots(connection: Connection, snapshots: Sequence[Snapshot]) -> None:
    """Replace the snapshots of some trajectories. Of several of one trajectory the last one counts."""
    rows = {snapshot.trajectory_id: vars(snapshot) for snapshot in snapshots}
    _execute_many(connection, REMOVE_SUMMARY, [{"of": trajectory_id} for trajectory_id in rows])
    _execute_many(connection, insert(SUMMARIES), list(rows.values()))


def write_sources(connection: Connection, writes: Sequence[SourceWrite]) -> Sequence[bool | StoreError]:
    """Replace and remove registrations; whether each existed."""
    existed = []
    for write in writes:
        place = (TOOL_SOURCES.c.owner == write.owner, TOOL_SOURCES.c.name == write.name)
        existed.append(connection.execute(delete(TOOL_SOURCES).where(*place)).rowcount > 0)
        if write.document is not None:
            row = {"owner": write.owner, "name": write.name, "document": write.document}
            connection.execute(insert(TOOL_SOURCES).values(row))
        if write.audit is not None:
            write_act(connection, act=write.audit)
    return existed


def write_act(connection: Connection, act: AuditEntry) -> None:
    """Add an act to the audit log."""
    connection.execute(insert(AUDIT).values(audit_row(act)))


def write_tool_set(connection: Connection, digest: str, document: str) -> None:
    """Insert a tool set unless it is there."""
    if connection.execute(select(TOOL_SETS.c.digest).where(TOOL_SETS.c.digest == digest)).first() is None:
        connection.execute(insert(TOOL_SETS).values(digest=digest, document=document))


def write_used_rates(connection: Connection, used: Sequence[UsedRate]) -> None:
    """Replace what is stored of all owners' rates."""
    connection.execute(delete(RATES))
    rows = [{"owner": each.owner, "kind": each.kind, "until": encode_time(each.until)} for each in used]
    _execute_many(connection, insert(RATES), rows)


def _recorded_keys(connection: Connection, writes: Sequence[LogWrite]) -> set[IdempotencyKey]:
    """Those of the writes' idempotency keys that are recorded. Deletes expired records first."""
    times = [write.at for write in writes if write.at is not None]
    requests = [write.request for write in writes if write.request is not None]
    if not requests or not times:
        return set()
    horizon = max(times) - IDEMPOTENCY_RETENTION
    connection.execute(expired_idempotency_records(horizon))
    rows = connection.execute(idempotency_records(requests, since=horizon))
    return {(row.owner, row.route, row.key) for row in rows}


def _execute_many(connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(statement, rows)
